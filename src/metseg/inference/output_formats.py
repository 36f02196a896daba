"""What ``metseg predict --format`` offers, for pictures and for volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metseg.inference import image_outputs, volume_outputs
from metseg.inference.prediction import Prediction
from metseg.io.case_source import CaseSource
from metseg.io.images.slice_stack import SliceStackSource

Writer = Callable[[Prediction, Path], None]


@dataclass(frozen=True)
class Format:
    """One kind of result.

    Args:
        picture: writes ``<name of the picture><picture_ending>`` for each picture of a case.
        volume: writes ``<case><volume_ending>``.
    """

    picture: Writer
    picture_ending: str
    volume: Writer
    volume_ending: str

    def write(self, prediction: Prediction, out: Path) -> None:
        """Write a prediction in the form that suits its case."""
        writer = self.picture if prediction.case.is_slice_stack else self.volume
        writer(prediction, out)


#: Of models with the step `brain_mask` only.
BRAIN = "brain-mask"

#: The JSON document of each case is written besides, whatever is chosen.
FORMATS: Mapping[str, Format] = {
    "mask": Format(image_outputs.write_mask, "_mask.png", volume_outputs.write_mask, "-seg.nii.gz"),
    "overlay": Format(image_outputs.write_overlay, "_overlay.png", volume_outputs.write_overlay, "-overlay.png"),
    "probability": Format(
        image_outputs.write_probability,
        "_probability.png",
        volume_outputs.write_probability,
        "-probability.nii.gz",
    ),
    BRAIN: Format(
        image_outputs.write_brain_mask, "_brain_mask.png", volume_outputs.write_brain_mask, "-brain_mask.nii.gz"
    ),
}


def document_path(out: Path, case_id: str) -> Path:
    """Return where the JSON document of a case lies; it is written when everything else is."""
    return out / f"{case_id}.json"


def targets(source: CaseSource, out: Path, formats: Sequence[Format]) -> Iterator[tuple[Path, Path]]:
    """Yield every file that will be written for a case, each with the file that it comes from."""
    names = source.slice_names
    # A study of which nothing is wanted, or nothing can be used, is refused when it is read, and by name.
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
