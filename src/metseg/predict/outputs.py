"""Write what was predicted: masks of the input's size, overlays, and one JSON document per case."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg import __version__
from metseg.errors import MetsegError
from metseg.files import write_bytes
from metseg.labels import LABEL_SCHEMES
from metseg.plot.overlay import draw_labels, grey
from metseg.predict.lesions import Lesion
from metseg.predict.predictor import Prediction

NOTICE = "Research use only: not a medical device."


def write_masks(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_mask.png`` for each picture: 0/255 where the model knows one class, class ids for several."""
    labels = prediction.labels
    one_class = len(LABEL_SCHEMES[prediction.scheme].classes) == 1
    for z, name in enumerate(prediction.case.slice_names):
        plane = labels[:, :, z].T
        _write_png(out / f"{name}_mask.png", plane * np.uint8(255) if one_class else plane)


def write_overlays(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_overlay.png`` for each picture: lesion filled and outlined over the picture in grey."""
    picture = background(prediction)
    for z, name in enumerate(prediction.case.slice_names):
        drawn = draw_labels(grey(picture[:, :, z]), prediction.labels[:, :, z])
        _write_png(out / f"{name}_overlay.png", drawn.transpose(1, 0, 2))


def write_probabilities(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_probability.png`` for each picture: probability of lesion, 0..1 as 0..65535."""
    for z, name in enumerate(prediction.case.slice_names):
        plane = prediction.probability[:, :, z].T
        _write_png(out / f"{name}_probability.png", np.rint(np.clip(plane, 0, 1) * 65535).astype(np.uint16))


#: What ``metseg predict --format`` offers; the JSON document is always written.
FORMATS: Mapping[str, Callable[[Prediction, Path], None]] = {
    "mask": write_masks,
    "overlay": write_overlays,
    "probability": write_probabilities,
}


@dataclass
class CaseReport:
    """What becomes the JSON document of a case, gathered from its parts.

    Args:
        case_id: names the document.
        model: name of the recipe that made the model.
        slice_names: of the pictures predicted so far.
        plane: (X, Y).
        lesions: as found, part by part.
        timings_s: seconds by phase.
        warnings: each once.
        failed: what could not be read.
    """

    case_id: str
    model: str
    slice_names: list[str] = field(default_factory=list)
    plane: tuple[int, ...] = ()
    lesions: list[Lesion] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failed: list[MetsegError] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        """Take a part in; its slices follow those that are there."""
        above = len(self.slice_names)
        self.lesions += [_moved(lesion, above) for lesion in prediction.lesions]
        self.slice_names += prediction.case.slice_names
        self.plane = prediction.labels.shape[:2]
        self.warnings += [text for text in prediction.warnings if text not in self.warnings]
        for phase, seconds in prediction.timings_s.items():
            self.timings_s[phase] = round(self.timings_s.get(phase, 0.0) + seconds, 4)

    def document(self) -> dict[str, Any]:
        """Return what ``<case>.json`` holds; lesions are numbered anew, largest first."""
        by_size = sorted(self.lesions, key=lambda lesion: -lesion.voxels)
        return {
            "case": self.case_id,
            "notice": NOTICE,
            "metseg": __version__,
            "model": self.model,
            "shape": [*self.plane, len(self.slice_names)],
            "slices": self.slice_names,
            "lesions": [replace(lesion, id=number).to_json() for number, lesion in enumerate(by_size, start=1)],
            "timings_s": self.timings_s,
            "warnings": self.warnings,
            "failed": [{"code": error.code, "message": error.one_line()} for error in self.failed],
        }

    def write(self, out: Path) -> Path:
        """Write ``<case>.json`` and return its path."""
        path = out / f"{self.case_id}.json"
        write_bytes(path, json.dumps(self.document(), indent=2).encode())
        return path


def _moved(lesion: Lesion, slices: int) -> Lesion:
    """Return a lesion of a part, told where it lies in the whole stack."""
    if lesion.slice_index is None or slices == 0:
        return lesion
    x, y, z = lesion.centre_voxel
    return replace(lesion, slice_index=lesion.slice_index + slices, centre_voxel=(x, y, round(z + slices, 3)))


def background(prediction: Prediction) -> npt.NDArray[np.generic]:
    """Return the image to draw on: FLAIR where there is one, for lesions stand out there, else the first."""
    images = prediction.case.images
    chosen = images.get("t2f") or next(iter(images.values()))
    return chosen.data


def _write_png(path: Path, pixels: npt.NDArray[np.generic]) -> None:
    # Through memory: Pillow's own writing reports a full disk as an error of the encoder at times.
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format="PNG")
    write_bytes(path, encoded.getvalue())
