"""Write predictions on pictures: one picture of the same size for each."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.class_styles import class_styles, legend_of
from metseg.inference.lesion_table import InstanceMap
from metseg.inference.prediction_data import PredictionData, brain_of
from metseg.labels import LABEL_SCHEMES
from metseg.plot.images.overlay import draw_labels, grey, with_caption
from metseg.runtime.atomic_io import write_bytes


def write_mask(prediction: PredictionData, out: Path) -> None:
    """Write ``<stem>_mask.png`` for each picture: 0/255 where the model knows one class, class ids for several."""
    labels = prediction.labels
    one_class = len(LABEL_SCHEMES[prediction.scheme].classes) == 1
    for z, name in enumerate(prediction.case.slice_names):
        plane = labels[:, :, z].T
        _write_png(out / f"{name}_mask.png", plane * np.uint8(255) if one_class else plane)


def write_overlay(prediction: PredictionData, out: Path) -> None:
    """Write ``<stem>_overlay.png`` for each picture: lesion filled and outlined over the picture in grey.

    Below the picture, which keeps its size, are a legend, its name and the disclaimer.
    """
    picture, styles = prediction.case.background.data, class_styles(prediction.scheme)
    for z, name in enumerate(prediction.case.slice_names):
        labels = prediction.labels[:, :, z]
        drawn = draw_labels(grey(picture[:, :, z]), labels, styles).transpose(1, 0, 2)
        legend = legend_of(styles, np.unique(labels))
        _write_png(out / f"{name}_overlay.png", with_caption(drawn, Path(name).name, legend))


def write_probability(prediction: PredictionData, out: Path) -> None:
    """Write ``<stem>_probability.png`` for each picture: probability of lesion, 0..1 as 0..65535."""
    for z, name in enumerate(prediction.case.slice_names):
        _write_png(out / f"{name}_probability.png", probability_pixels(prediction.probability[:, :, z]))


def write_uncertainty(prediction: PredictionData, out: Path) -> None:
    """Write ``<stem>_uncertainty.png`` for each picture: standard deviation of the probability, 0..1 as 0..65535."""
    assert prediction.uncertainty is not None  # `find_formats` has checked that
    for z, name in enumerate(prediction.case.slice_names):
        _write_png(out / f"{name}_uncertainty.png", probability_pixels(prediction.uncertainty[:, :, z]))


def probability_pixels(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the probability of a slice (X, Y) as the pixels of a picture (rows, columns), 0..1 as 0..65535."""
    return np.rint(np.clip(probability.T, 0, 1) * 65535).astype(np.uint16)


def write_instances(ids: InstanceMap, path: Path) -> None:
    """Write lesion ids of a picture as 16 bits.

    Args:
        ids: (X, Y), columns by rows. Lesions beyond number 65535, the smallest of all, are left out.
        path: the PNG file.
    """
    _write_png(path, small_ids(ids).T)


def small_ids(ids: InstanceMap) -> npt.NDArray[np.uint16]:
    """Return lesion ids as 16 bits, the most that a PNG holds; lesions beyond number 65535 become background."""
    return np.where(ids <= np.iinfo(np.uint16).max, ids, 0).astype(np.uint16)


def write_brain_mask(prediction: PredictionData, out: Path) -> None:
    """Write ``<stem>_brain_mask.png`` for each picture: 255 in the brain that the model was shown, else 0."""
    brain = brain_of(prediction).data
    for z, name in enumerate(prediction.case.slice_names):
        _write_png(out / f"{name}_brain_mask.png", brain[:, :, z].T.astype(np.uint8) * np.uint8(255))


def _write_png(path: Path, pixels: npt.NDArray[np.generic]) -> None:
    # Through memory: Pillow's own writing reports a full disk as an error of the encoder at times.
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format="PNG")
    write_bytes(path, encoded.getvalue())
