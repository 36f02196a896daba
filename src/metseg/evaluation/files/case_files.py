"""Find the files of a case by name: the case of a file, and the probability map beside a mask."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from metseg.io.file_index import PICTURE_ENDINGS
from metseg.io.mask_names import case_of
from metseg.io.volumes.nifti import NIFTI_ENDINGS
from metseg.labels import NamedLabels
from metseg.message_text import examples_text, pluralize

#: Endings of an instance map and of the mask beside it, as written by prediction.
INSTANCE_ENDINGS = {"-lesions.nii.gz": "-seg.nii.gz", "_lesions.png": "_mask.png"}

#: Endings after the case id in the name of a probability map, as written by prediction.
PROBABILITY_ENDINGS = ("-probability", "_probability")

#: The same for a picture with the prediction drawn on it.
OVERLAY_ENDINGS = ("-overlay", "_overlay")


@dataclass(frozen=True)
class CasePair:
    """The files of one case.

    Args:
        case: its id.
        patient: who it is.
        truth: one volume, or the slices in numeric order.
        prediction: as many; None if there is none.
        is_slices: pictures, not a volume.
        probability: the probability maps beside the predictions, as many; empty where there are none.
        truth_labels, prediction_labels: names of the values from a ``dataset.json`` or a document of `metseg predict`,
            or None.
    """

    case: str
    patient: str
    truth: tuple[Path, ...]
    prediction: tuple[Path | None, ...]
    is_slices: bool
    probability: tuple[Path, ...] = ()
    truth_labels: NamedLabels | None = None
    prediction_labels: NamedLabels | None = None


@dataclass(frozen=True)
class Pairs:
    """All cases of two folders, and warnings on files that were left out."""

    cases: tuple[CasePair, ...]
    warnings: tuple[str, ...] = ()


def case_id(name: str) -> str:
    """Return the case id in a file name: without its ending and without the affixes of masks and predictions.

    >>> case_id("BraTS-MET-00001-000-seg.nii.gz"), case_id("TCGA_4_mask.png"), case_id("GOLD_STANDARD_P1.nii")
    ('BraTS-MET-00001-000', 'TCGA_4', 'P1')
    """
    stem = stem_of(name)
    return case_of(stem) or stem


def stem_of(name: str) -> str:
    """Return a file name without the ending of a volume or a picture.

    >>> stem_of("a.b.nii.gz"), stem_of("s1.PNG")
    ('a.b', 's1')
    """
    ending = next((end for end in (*NIFTI_ENDINGS, *PICTURE_ENDINGS) if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def with_probabilities(pairs: Pairs) -> Pairs:
    """Add the probability maps beside the predictions to the cases."""
    maps_in: dict[Path, Mapping[str, Path]] = {}  # each folder is read once
    cases, partly = [], []
    for pair in pairs.cases:
        found = tuple(filter(None, (_map_beside(prediction, maps_in) for prediction in pair.prediction)))
        complete = len(found) == len(pair.prediction)
        cases.append(replace(pair, probability=found if complete else ()))
        if found and not complete:
            partly.append(pair.case)
    if not partly:
        return Pairs(tuple(cases), pairs.warnings)
    cases_without = pluralize(len(partly), "case")
    warning = f"{cases_without} scored without probabilities, which some slices lack: {examples_text(partly)}"
    return Pairs(tuple(cases), (*pairs.warnings, warning))


def _map_beside(prediction: Path | None, maps_in: dict[Path, Mapping[str, Path]]) -> Path | None:
    """Return the probability map beside a prediction, and cache the listing of its folder."""
    if prediction is None:
        return None
    folder = prediction.parent
    if folder not in maps_in:
        maps_in[folder] = {_mapped_case(path): path for path in sorted(folder.iterdir()) if is_map(path)}
    return maps_in[folder].get(case_id(prediction.name))


def is_overlay(path: PurePath) -> bool:
    """Return whether a file name is that of an overlay, a picture with the prediction drawn on it."""
    return stem_of(path.name).lower().endswith(OVERLAY_ENDINGS) and path.name.lower().endswith(PICTURE_ENDINGS)


def is_map(path: PurePath) -> bool:
    """Return whether a file name is that of a probability map."""
    is_image = path.name.lower().endswith((*NIFTI_ENDINGS, *PICTURE_ENDINGS))
    return is_image and stem_of(path.name).lower().endswith(PROBABILITY_ENDINGS)


def is_instance_map(path: PurePath, names: Collection[str]) -> bool:
    """Return whether a file name is that of an instance map, as prediction writes it beside its mask.

    A truth may have a name such as ``P1-lesions.nii.gz`` too, so the mask must exist beside it.

    Args:
        path: of the file.
        names: of all files in its folder.

    >>> is_instance_map(PurePath("P1-lesions.nii.gz"), {"P1-lesions.nii.gz", "P1-seg.nii.gz"})
    True
    >>> is_instance_map(PurePath("P1-lesions.nii.gz"), {"P1-lesions.nii.gz", "P2-seg.nii.gz"})
    False
    """
    return any(
        path.name.endswith(ending) and f"{path.name.removesuffix(ending)}{mask}" in names
        for ending, mask in INSTANCE_ENDINGS.items()
    )


def _mapped_case(path: Path) -> str:
    """Return the name of the case of a probability map; both endings have the same length."""
    return stem_of(path.name)[: -len(PROBABILITY_ENDINGS[0])]
