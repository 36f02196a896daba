"""What becomes the JSON document of a case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg import __version__
from metseg.errors import MetsegError
from metseg.files import write_bytes
from metseg.notice import NOTICE
from metseg.predict.lesions import Lesion, joined, lesion_numbers
from metseg.predict.prediction import Prediction


@dataclass
class CaseReport:
    """What becomes the JSON document of a case, gathered from its parts.

    Args:
        case_id: names the document.
        model: name of the recipe that made the model.
        bundle: fingerprint of the bundle; empty where the networks came from elsewhere.
        slice_names: of the pictures predicted so far.
        plane: (X, Y).
        depth: slices predicted so far.
        affine: (4, 4) voxel-to-RAS of the mask, mm; None for pictures.
        lesions: as found, part by part.
        timings_s: seconds by phase.
        warnings: each once.
        failed: what could not be read.
        technique: what was read and how it was prepared; see `_technique`.
        sequences: which file or series was read as which sequence, and why.
    """

    case_id: str
    model: str
    bundle: str = ""
    slice_names: list[str] = field(default_factory=list)
    plane: list[int] = field(default_factory=list)
    depth: int = 0
    affine: list[list[float]] | None = None
    lesions: list[Lesion] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failed: list[MetsegError] = field(default_factory=list)
    technique: dict[str, Any] = field(default_factory=dict)
    sequences: list[dict[str, str]] = field(default_factory=list)
    #: (X, Y), in the last picture so far, which of `lesions` a pixel is of, from 1; None: there is none yet.
    _last: npt.NDArray[np.intp] | None = None

    def add(self, prediction: Prediction) -> None:
        """Take a part in; its slices follow those that are there."""
        moved = [_moved(lesion, self.depth) for lesion in prediction.lesions]
        if prediction.case.is_slice_stack:
            self._join(moved, lesion_numbers(prediction.labels))
        else:
            self.lesions += moved
        self.slice_names += prediction.case.slice_names
        *self.plane, depth = prediction.labels.shape
        self.depth += depth
        affine = prediction.reference_image.affine
        self.affine = None if affine is None else affine.tolist()
        # The parts of a case are prepared by the same steps; where these differ in a figure, the first part's stands.
        self.technique = self.technique or _technique(prediction)
        self.sequences = self.sequences or [asdict(record) for record in prediction.case.sequence_records]
        self.warnings += [text for text in prediction.warnings if text not in self.warnings]
        for phase, seconds in prediction.timings_s.items():
            self.timings_s[phase] = round(self.timings_s.get(phase, 0.0) + seconds, 4)

    def _join(self, lesions: Sequence[Lesion], numbers: npt.NDArray[np.intp]) -> None:
        """Take the lesions of a part of a stack in; one that goes on from the part before becomes one with it.

        Args:
            lesions: of the part, by their number.
            numbers: (X, Y, Z) of each pixel of the part; 0: background.
        """
        both, known = [*self.lesions, *lesions], len(self.lesions)
        first, last = numbers[:, :, 0], numbers[:, :, -1]
        group = list(range(len(both)))
        if self._last is not None and self._last.shape == first.shape:
            meeting = (self._last > 0) & (first > 0)
            pairs = {
                (int(one) - 1, known + int(two) - 1)
                for one, two in zip(self._last[meeting], first[meeting], strict=True)
            }
            for one, two in sorted(pairs):
                low, high = sorted((group[one], group[two]))
                group = [low if each == high else each for each in group]
        kept = sorted(set(group))
        self.lesions = [
            reduce(joined, [lesion for lesion, each in zip(both, group, strict=True) if each == one]) for one in kept
        ]
        place = np.array([0, *(kept.index(each) + 1 for each in group[known:])])
        self._last = place[last]

    def document(self) -> dict[str, Any]:
        """Return what ``<case>.json`` holds; lesions are numbered anew, largest first."""
        by_size = sorted(self.lesions, key=lambda lesion: -lesion.voxels)
        return {
            "case": self.case_id,
            "notice": NOTICE,
            "metseg": __version__,
            "model": self.model,
            "bundle": self.bundle,
            "shape": [*self.plane, self.depth],
            "affine": self.affine,
            "slices": self.slice_names,
            "sequences": self.sequences,
            "technique": self.technique,
            "lesions": [replace(lesion, id=number).to_json() for number, lesion in enumerate(by_size, start=1)],
            "timings_s": self.timings_s,
            "warnings": self.warnings,
            "failed": [{"code": error.code, "message": error.one_line()} for error in self.failed],
        }

    def write(self, path: Path) -> Path:
        """Write the document and return its path."""
        write_bytes(path, json.dumps(self.document(), indent=2).encode())
        return path


def _technique(prediction: Prediction) -> dict[str, Any]:
    """Return what a reader of the result has to know of how it came about, as JSON."""
    images, reference = prediction.case.images, prediction.reference or next(iter(prediction.case.images))
    return {
        "labels": prediction.scheme,
        "reference": reference,
        "images": {
            name: {"shape": list(image.shape), "spacing_mm": image.spacing_mm and list(image.spacing_mm)}
            for name, image in images.items()
        },
        "preprocess": [record.to_json() for record in prediction.records],
        "predict": None if prediction.part is None else prediction.part.model_dump(mode="json"),
    }


def _moved(lesion: Lesion, slices: int) -> Lesion:
    """Return a lesion of a part, told where it lies in the whole stack."""
    if lesion.slice_index is None or slices == 0:
        return lesion
    x, y, z = lesion.centre_voxel
    return replace(
        lesion,
        slice_index=lesion.slice_index + slices,
        slices=tuple(index + slices for index in lesion.slices),
        centre_voxel=(x, y, round(z + slices, 3)),
    )
