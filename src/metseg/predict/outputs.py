"""Write what was predicted: masks of the input's size, overlays, and one JSON document per case."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg import __version__
from metseg.errors import MetsegError
from metseg.files import atomic_file
from metseg.plot.overlay import draw_labels, grey
from metseg.predict.predictor import Prediction

NOTICE = "Research use only: not a medical device."


def write_masks(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_mask.png`` for each picture: 0/255 for one class, class ids for several."""
    labels = prediction.labels
    one_class = labels.max(initial=0) <= 1
    for z, name in enumerate(prediction.case.slice_names):
        plane = labels[:, :, z].T
        _write_png(out / f"{name}_mask.png", plane * np.uint8(255) if one_class else plane)


def write_overlays(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_overlay.png`` for each picture: lesion filled and outlined over the picture in grey."""
    picture = _background(prediction)
    for z, name in enumerate(prediction.case.slice_names):
        drawn = draw_labels(grey(picture[:, :, z]), prediction.labels[:, :, z])
        _write_png(out / f"{name}_overlay.png", drawn.transpose(1, 0, 2))


def write_probabilities(prediction: Prediction, out: Path) -> None:
    """Write ``<stem>_probability.png`` for each picture: probability of lesion, 0..1 as 0..65535."""
    for z, name in enumerate(prediction.case.slice_names):
        plane = prediction.probability[:, :, z].T
        _write_png(out / f"{name}_probability.png", np.rint(np.clip(plane, 0, 1) * 65535).astype(np.uint16))


#: What ``metseg predict --format`` offers; masks and the JSON document are always written.
FORMATS: Mapping[str, Callable[[Prediction, Path], None]] = {
    "mask": write_masks,
    "overlay": write_overlays,
    "probability": write_probabilities,
}


def prediction_document(prediction: Prediction, errors: Sequence[MetsegError] = ()) -> dict[str, Any]:
    """Return what ``<case>.json`` holds."""
    case = prediction.case
    return {
        "case": case.case_id,
        "notice": NOTICE,
        "metseg": __version__,
        "model": prediction.model,
        "shape": list(prediction.labels.shape),
        "slices": list(case.slice_names),
        "lesions": [lesion.to_json() for lesion in prediction.lesions],
        "timings_s": prediction.timings_s,
        "warnings": list(dict.fromkeys((*case.warnings, *prediction.warnings))),
        "failed": [{"code": error.code, "message": error.one_line()} for error in errors],
    }


def write_document(prediction: Prediction, out: Path, errors: Sequence[MetsegError] = ()) -> Path:
    """Write ``<case>.json`` and return its path."""
    path = out / f"{prediction.case.case_id}.json"
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(prediction_document(prediction, errors), indent=2), "utf-8")
    return path


def _background(prediction: Prediction) -> npt.NDArray[np.generic]:
    """Return the image to draw on: FLAIR where there is one, for lesions stand out there, else the first."""
    images = prediction.case.images
    chosen = images.get("t2f") or next(iter(images.values()))
    return chosen.data


def _write_png(path: Path, pixels: npt.NDArray[np.generic]) -> None:
    with atomic_file(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")
