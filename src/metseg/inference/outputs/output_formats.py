"""Output formats of ``metseg predict --format``, for pictures and for volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metseg.errors import UsageError
from metseg.inference.outputs import image_outputs, volume_outputs
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.prediction_data import PredictionData
from metseg.io.case_source import CaseSource
from metseg.io.images.slice_stack import SliceStackSource
from metseg.registry import lookup

#: Writes a prediction, of a case or of a part of one, into a folder.
PartWriter = Callable[[PredictionData, Path], None]
#: Writes what is known when a whole case was predicted into a folder.
CaseWriter = Callable[[CaseReport, Path], None]


@dataclass(frozen=True)
class Format:
    """One kind of result: ``<name of the picture><picture_ending>`` for each picture, or ``<case><volume_ending>``.

    Args:
        picture_ending, volume_ending: of the files' names.
        picture, volume: write a prediction of pictures, or of a volume; None: nothing is written part by part.
        case: writes a whole case of either kind; None: nothing is left to write then.
    """

    picture_ending: str
    volume_ending: str
    picture: PartWriter | None = None
    volume: PartWriter | None = None
    case: CaseWriter | None = None

    def write_part(self, prediction: PredictionData, out: Path) -> None:
        """Write a prediction in the form that suits its case."""
        writer = self.picture if prediction.case.is_slice_stack else self.volume
        if writer is not None:
            writer(prediction, out)

    def write_case(self, report: CaseReport, out: Path) -> None:
        """Write what needs all parts of a case."""
        if self.case is not None:
            self.case(report, out)


def write_instances(report: CaseReport, out: Path) -> None:
    """Write the instance map: ``<case>-lesions.nii.gz``, or ``<stem>_lesions.png`` for each picture.

    It is written when the whole case was predicted, for a stack of pictures is predicted in parts, and a lesion gets
    its number when all are known.
    """
    if report.slice_names:
        planes = (part[:, :, z] for part in report.instance_maps() for z in range(part.shape[2]))
        for name, plane in zip(report.slice_names, planes, strict=True):
            image_outputs.write_instances(plane, out / f"{name}{INSTANCE_ENDINGS[0]}")
        return
    for instances in report.instance_maps():
        affine = np.asarray(report.affine, dtype=np.float64)
        volume_outputs.write_instances(instances, affine, out / f"{report.case_id}{INSTANCE_ENDINGS[1]}")


#: Ends of the names of instance maps, of a picture and of a volume.
INSTANCE_ENDINGS = ("_lesions.png", "-lesions.nii.gz")

#: Of models with the step `brain_mask` only.
BRAIN = "brain-mask"

#: Of predictors that measure the uncertainty only.
UNCERTAINTY = "uncertainty"

#: The JSON document of each case is always written as well.
FORMATS: Mapping[str, Format] = {
    "mask": Format("_mask.png", "-seg.nii.gz", image_outputs.write_mask, volume_outputs.write_mask),
    "overlay": Format("_overlay.png", "-overlay.png", image_outputs.write_overlay, volume_outputs.write_overlay),
    "probability": Format(
        "_probability.png",
        "-probability.nii.gz",
        image_outputs.write_probability,
        volume_outputs.write_probability,
    ),
    "instances": Format(*INSTANCE_ENDINGS, case=write_instances),
    BRAIN: Format(
        "_brain_mask.png", "-brain_mask.nii.gz", image_outputs.write_brain_mask, volume_outputs.write_brain_mask
    ),
    UNCERTAINTY: Format(
        "_uncertainty.png",
        "-uncertainty.nii.gz",
        image_outputs.write_uncertainty,
        volume_outputs.write_uncertainty,
    ),
}


def find_formats(names: Sequence[str], *, uses_brain_mask: bool, measures_uncertainty: bool = False) -> list[Format]:
    """Return formats by name.

    Args:
        names: in `FORMATS`.
        uses_brain_mask: whether the model has the step `brain_mask`.
        measures_uncertainty: whether the predictions have it.
    Raises:
        UsageError: an unknown name, or ``usage.format``, a brain mask of a model that uses none, or an uncertainty that
            is not measured.
    """
    if UNCERTAINTY in names and not measures_uncertainty:
        raise UsageError(
            "the uncertainty was not measured",
            where=f"format {UNCERTAINTY}",
            cure="add --uncertainty (in Python: load_model(..., uncertainty=True))",
            code="usage.format",
        )
    if BRAIN in names and not uses_brain_mask:
        raise UsageError(
            "the model uses no brain mask; it processes whole images",
            where=f"format {BRAIN}",
            cure="leave the format out, or make a mask with metseg extract-brain",
            code="usage.format",
        )
    return [lookup("format", FORMATS, name) for name in names]


def need_instances(formats: Sequence[Format]) -> bool:
    """Return whether a `CaseReport` has to keep instance maps for these formats."""
    return any(form.case is not None for form in formats)


def document_path(out: Path, case_id: str) -> Path:
    """Return where the JSON document of a case lies; it is written when everything else is."""
    return out / f"{case_id}.json"


def targets(source: CaseSource, out: Path, formats: Sequence[Format]) -> Iterator[tuple[Path, Path]]:
    """Yield every file that will be written for a case, each with the file that it comes from."""
    names = source.slice_names
    # A study without wanted or usable images is rejected by name when it is read.
    files = source.files or (source.root,)
    yield document_path(out, source.case_id), files[0]
    pictures = [*(_pictures(source) if names else files[:1])] * len(formats)
    yield from zip(result_paths(source.case_id, names, out, formats), pictures, strict=True)


def result_paths(case_id: str, slice_names: Sequence[str], out: Path, formats: Sequence[Format]) -> list[Path]:
    """Return what is written for a case beside its document: a file in each format, of pictures one for each.

    Args:
        case_id: of the case.
        slice_names: of its pictures; none: a volume.
        out: the folder of the results.
        formats: the forms that are written.
    """
    if not slice_names:
        return [out / f"{case_id}{form.volume_ending}" for form in formats]
    return [out / f"{name}{form.picture_ending}" for form in formats for name in slice_names]


def _pictures(source: CaseSource) -> Sequence[Path]:
    """Return the picture of each slice; several slices may come from the pages of one file."""
    return [piece.image for piece in source.slices] if isinstance(source, SliceStackSource) else []
