"""Read cases: one examination, or the examinations of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from metseg.argument_checks import optional_path, require_instance, require_path, require_texts, wrong_type
from metseg.errors import InputError
from metseg.io.case_discovery import DataOptions, data_part, find_cases
from metseg.io.case_source import CaseSource
from metseg.io.images.channel_names import GreyRule
from metseg.io.prediction_inputs import InputRules, find_inputs
from metseg.recipe import DataPart
from metseg.volume import Case


class Cases(Sequence[Case]):
    """The cases of a data set, in order of their ids. A case is read each time it is accessed, and not kept.

    Args:
        sources: one per case.

    Examples:
        `metseg.load_all` returns one::

            cases = metseg.load_all("data")
            len(cases), cases.ids, cases[0].modalities
            for case in cases:
                ...
    """

    def __init__(self, sources: Sequence[CaseSource]) -> None:
        self.sources = tuple(sources)

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the id of each case; nothing is read."""
        return tuple(source.case_id for source in self.sources)

    @property
    def patients(self) -> tuple[str, ...]:
        """Return the patient of each case; nothing is read."""
        return tuple(source.patient for source in self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, which: int) -> Case: ...

    @overload
    def __getitem__(self, which: slice) -> Cases: ...

    def __getitem__(self, which: int | slice) -> Case | Cases:
        if isinstance(which, slice):
            return Cases(self.sources[which])
        if not hasattr(which, "__index__"):
            raise wrong_type("index", which, expected="a whole number or a slice", cure="find names in Cases.ids")
        return self.sources[which].load()

    def __iter__(self) -> Iterator[Case]:
        return (source.load() for source in self.sources)

    def __repr__(self) -> str:
        return f"<{len(self)} cases of {len(set(self.patients))} patients>"


def load(path: str | Path, *, channels: Sequence[str] = (), labels: str = "binary") -> Case:
    """Read one examination, with masks beside the images as its truth.

    Args:
        path: a picture, a NIfTI file, a DICOM archive, or a folder with the files of one patient.
        channels: what the channels of pictures are, in file order, such as ``("t1n", "t2f", "t1c")``.
        labels: label scheme of the masks in the same folder.
    Returns:
        a `metseg.Case`: images (X, Y, Z) by sequence; volumes in the file's own axis order with their affine in mm.
    Raises:
        InputError: nothing that can be read, or more than one case (``input.several_cases``).
        UsageError: an unknown label scheme, or an argument of a wrong type.

    Examples:
        Read and look::

            case = metseg.load("patient_folder")
            case.modalities, case.images["t1c"].spacing_mm
            case.plot()
    """
    options: DataOptions = {
        "channels": require_texts("channels", channels),
        "labels": require_instance("labels", labels, str, expected="the name of a label scheme"),
    }
    return only_source(require_path("path", path), data_part(None, options), with_masks=True).load()


def load_all(
    root: str | Path,
    *,
    layout: str = "auto",
    channels: Sequence[str] = (),
    patient_pattern: str | None = None,
    patients: str | Path | None = None,
    labels: str = "binary",
) -> Cases:
    """Return the cases of a data set, with their truth. Images are read when a case is accessed.

    Args:
        root: the folder; ``IMAGES::MASKS`` where masks lie under a root of their own.
        layout: a name in `metseg.layouts`; "auto": detected automatically.
        channels: what the channels of pictures are, in file order.
        patient_pattern: regular expression with one group that matches the patient in a path; None: each folder is a
            patient.
        patients: table (CSV) with a row for each file and its patient, its fold, or both, instead of folders.
        labels: label scheme of the masks.
    Returns:
        a sequence that reads a case when it is accessed.
    Raises:
        InputError: no such folder, no known layout, or files that cannot be assigned to patients.
        UsageError: an unknown layout or label scheme, or an argument of a wrong type.

    Examples:
        Iterate over a data set::

            for case in metseg.load_all("data", labels="brats-met-2023"):
                print(case.case_id, case.labels.data.max())
    """
    table = optional_path("patients", patients)
    options: DataOptions = {
        "layout": require_instance("layout", layout, str, expected="the name of a layout"),
        "channels": require_texts("channels", channels),
        "labels": require_instance("labels", labels, str, expected="the name of a label scheme"),
        "patients": None if table is None else str(table),
        "patient_pattern": None
        if patient_pattern is None
        else require_instance("patient_pattern", patient_pattern, str, expected="a regular expression, or None"),
    }
    return Cases(find_cases(require_path("root", root), **options))


def only_source(path: Path, data: DataPart, *, with_masks: bool, grey: str | None = None) -> CaseSource:
    """Return the one case at a path.

    Args:
        path: a file or a folder.
        data: how it is read.
        with_masks: keep the masks of a folder as the truth.
        grey: the sequence that a single grey picture is read as, where the data have several; None: it is refused.
    Raises:
        InputError: nothing that can be read, or more than one case (``input.several_cases``).
    """
    rules = InputRules(one_per_folder=True, with_masks=with_masks, grey=GreyRule(grey))
    found = find_inputs(path, data, rules=rules)
    if len(found) > 1:
        raise InputError(
            "there is more than one case",
            where=path,
            expected="one study, a picture, or one folder of pictures of one size",
            got=f"{len(found)}, the first {found[0].case_id}",
            cure="load a data set with metseg.load_all",
            code="input.several_cases",
        )
    return found[0]
