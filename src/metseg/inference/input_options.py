"""Options for reading the inputs of a prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, UsageError
from metseg.io.case_source import CaseSource
from metseg.io.duplicate_images import equal_cases
from metseg.io.images.channel_names import GreyRule
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.prediction_inputs import InputRules, find_in_folders, find_inputs, study_of_named
from metseg.io.splits import PartOfSplit
from metseg.io.volumes.volume_case import VolumeSource
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart

#: Warning where the result for a picture depends on the other pictures of its patient, and only names group them.
GUESSED = (
    "{count} pictures were read as slices of one patient, because their names differ only in a number; if they belong"
    " to several patients, give each patient a folder, or name the patients with a pattern, such as"
    " --patient-pattern '^([^_]+)_', or a table, --patients FILE"
)


@dataclass(frozen=True)
class InputOptions:
    """How to read inputs, where the files alone do not determine it.

    Args:
        patient_pattern: regular expression, searched in the path; its group is the patient.
        stack: read TIFFs of several pages as stacks of slices; None: as the model's recipe says.
        allow_gaps: fill slices missing from a DICOM series; None: as the model's recipe says.
        named: modality to the file or DICOM series that it is, as for `find_inputs`.
        tell: told what of the inputs was left out, one sentence each; None: not called.
        part: predict only what belongs to this part of a split; None: everything.
        patients: path of a table of patients, in place of a pattern.
    Raises:
        UsageError: both a pattern and a table.
    """

    patient_pattern: str | None = None
    stack: bool | None = None
    allow_gaps: bool | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] | None = None
    part: PartOfSplit | None = None
    patients: str | None = None

    def __post_init__(self) -> None:
        if self.patient_pattern is not None and self.patients is not None:
            raise UsageError("a patient pattern and a patient table were both given", cure="give only one of them")

    def sources(
        self, inputs: Sequence[Path], trained_on: DataPart, out: Path, *, grey: str | None = None
    ) -> list[CaseSource]:
        """Return the cases under the inputs, without the results of an earlier run.

        Args:
            inputs: files and folders; none: the sequences named are one study.
            trained_on: what the model sees; how its training data lay says nothing of these files.
            out: the folder of the results.
            grey: the sequence that a single grey picture is taken for; see
                `metseg.preprocess.missing_sequences.grey_sequence`.
        Raises:
            UsageError: nothing is given.
            InputError: an input where nothing is found.
        """
        given = {"stack": self.stack, "allow_gaps": self.allow_gaps}
        changes = {key: value for key, value in given.items() if value is not None}
        # A split was made of the data set with the recipe's pattern or table; of other files they say nothing.
        as_trained = self.part is not None and self.patient_pattern is None and self.patients is None
        said = trained_on if as_trained else self
        whose = {"patient_pattern": said.patient_pattern, "patients": said.patients}
        data = trained_on.model_copy(update={**changes, "layout": "auto", **whose})
        if inputs:
            rules = InputRules(grey=GreyRule(grey), part=self.part, patients=said.patients)
            below = _places_of(inputs)
            found = find_in_folders(below, data, named=self.named, rules=rules, tell=self.tell)
            found += [
                (path, find_inputs(path, data, named=self.named, rules=rules, tell=self.tell))
                for path in inputs
                if path not in below
            ]
            sources = [source for path, sources in found for source in _without_results(path, sources, out)]
            self._tell_of_copies(sources)
            return sources if self.part is None else self._of_part(sources, self.part)
        if not self.named:
            raise UsageError(
                "nothing to predict on", where="INPUT", cure="give a file, a folder, or --modality t1c=FILE"
            )
        return [study_of_named(self.named, data, grey=GreyRule(grey))]

    def _tell_of_copies(self, sources: Sequence[CaseSource]) -> None:
        """Tell of examinations that are there twice, as DICOM and converted to NIfTI: both are predicted.

        The images are read for it, only where both formats were found.
        """
        formats = [isinstance(source, VolumeSource) for source in sources if not isinstance(source, SliceStackSource)]
        if self.tell is None or len(set(formats)) < 2:
            return
        for group in equal_cases(sources):
            self.tell(
                f"{' and '.join(group)} have equal images: they are one examination in two formats, predicted twice,"
                " and its lesions count twice; give only one of the two"
            )

    def _of_part(self, sources: list[CaseSource], part: PartOfSplit) -> list[CaseSource]:
        """Return the cases of a part of a split, told of what of it is not there.

        Raises:
            InputError: ``input.split``, nothing of it is there.
        """
        if not sources:
            raise InputError(
                f"the inputs hold no patient of the part '{part.name}'",
                where=part.path,
                expected=", ".join(sorted(part.units)[:3]),
                cure="give the folder that the split was made from, and identify patients as the split does "
                "(--patient-pattern or --patients)",
                code="input.split",
            )
        if self.tell is not None:
            self.tell(f"predicted on: {part.describe()}")
            absent = sorted(part.units - {source.patient for source in sources})
            if part.split.by == "patient" and absent:
                of_all = f"{len(absent)} of its {pluralize(len(part.units), 'patient')}"
                self.tell(f"not under the inputs: {of_all}: {examples_text(absent)}")
        return sources


def _places_of(inputs: Sequence[Path]) -> dict[Path, PurePosixPath]:
    """Return where each of several folders lies below the one that holds them all; nothing for a single input.

    Results for several folders of a data set then have the same names as results for the whole data set.
    """
    folders = [path for path in inputs if path.is_dir()]
    if len(inputs) < 2:
        return {}
    absolute = {path: path.resolve() for path in folders}
    try:
        root = Path(os.path.commonpath([*absolute.values()])) if len(folders) > 1 else None
    except ValueError:  # on different drives
        root = None
    if root is None:
        return {}
    return {path: PurePosixPath(place.relative_to(root).as_posix()) for path, place in absolute.items()}


def _without_results(path: Path, sources: Sequence[CaseSource], out: Path) -> list[CaseSource]:
    """Return the cases of an input, without the results of an earlier run in a folder below it."""
    results = out.resolve()
    if not path.is_dir() or path.resolve() not in results.parents:
        return list(sources)
    left = [kept for source in sources if (kept := _without(source, results)) is not None]
    if not left:
        raise InputError(
            "the folder holds no images, only the results of an earlier run",
            where=path,
            cure="give the folder of the images, or another --out",
            code="input.missing",
        )
    return left


def _without(source: CaseSource, folder: Path) -> CaseSource | None:
    """Return a case without the pictures that lie in a folder; None where nothing is left."""
    if isinstance(source, SliceStackSource):
        slices = tuple(piece for piece in source.slices if folder not in piece.image.resolve().parents)
        return replace(source, slices=slices) if slices else None
    return None if any(folder in file.resolve().parents for file in source.files) else source
