"""Write predictions on volumes: NIfTI on the reference image's own grid, and a picture."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from metseg.class_styles import class_styles
from metseg.errors import GeometryError
from metseg.geometry import AxisTurn, spacing_mm, turn_to_ras
from metseg.inference.lesion_table import InstanceMap
from metseg.inference.prediction_data import PredictionData, brain_of
from metseg.lesion import Lesion
from metseg.plot.images.planes import Caption, Cut, cut_through, draw_planes
from metseg.runtime.atomic_io import atomic_file
from metseg.volume import Array, Volume

#: Lesions shown in the overlay, the largest first; the others are in the JSON document and in the mask.
SHOWN_LESIONS = 4

#: A probability of 1 in ``<case>-probability.nii.gz``; the header's slope makes it 1 again for every reader.
PROBABILITY_SCALE = 65535

#: Masks are nearly empty: more effort makes them no smaller.
GZIP_LEVEL = 6


def write_mask(prediction: PredictionData, out: Path) -> None:
    """Write ``<case>-seg.nii.gz``: class ids, uint8."""
    write_nifti(prediction.labels, affine_of(prediction), out / f"{prediction.case.case_id}-seg.nii.gz")


def write_probability(prediction: PredictionData, out: Path) -> None:
    """Write ``<case>-probability.nii.gz``: the probability of lesion, 16 bits with a slope."""
    write_probability_nifti(
        prediction.probability, affine_of(prediction), out / f"{prediction.case.case_id}-probability.nii.gz"
    )


def write_uncertainty(prediction: PredictionData, out: Path) -> None:
    """Write ``<case>-uncertainty.nii.gz``: standard deviation of the probability of lesion, 16 bits with a slope."""
    assert prediction.uncertainty is not None  # `find_formats` has checked that
    write_probability_nifti(
        prediction.uncertainty, affine_of(prediction), out / f"{prediction.case.case_id}-uncertainty.nii.gz"
    )


def write_brain_mask(prediction: PredictionData, out: Path) -> None:
    """Write ``<case>-brain_mask.nii.gz``: 1 in the brain that the model was shown, uint8.

    A mask of the case is written on the grid of the image that it came with or was made from.
    """
    brain = brain_of(prediction)
    write_nifti(brain.data, brain.affine, out / f"{prediction.case.case_id}-brain_mask.nii.gz")


def write_overlay(prediction: PredictionData, out: Path) -> None:
    """Write ``<case>-overlay.png``: the largest lesions in three planes each."""
    image = Volume(prediction.reference_image.data, affine_of(prediction))
    path = out / f"{prediction.case.case_id}-overlay.png"
    draw_overlay(image, prediction.labels, prediction.lesions, path, caption=caption_of(prediction))


def caption_of(prediction: PredictionData) -> Caption:
    """Return the caption of pictures of a prediction."""
    return Caption(prediction.case.case_id, class_styles(prediction.scheme))


def draw_overlay(
    image: Volume, labels: npt.NDArray[np.uint8], lesions: Sequence[Lesion], path: Path, *, caption: Caption
) -> None:
    """Write a picture of the largest lesions in three planes each.

    Args:
        image: with an affine.
        labels: (X, Y, Z) class ids on its grid.
        lesions: of the mask, the largest first.
        path: the PNG file.
        caption: name of the case and styles of the classes.
    """
    assert image.affine is not None
    turn = turn_to_ras(image.affine)
    draw_planes(
        turn(image.data),
        turn(labels),
        path,
        spacing_mm=spacing_mm(turn.affine(image.affine, labels.shape)),
        cuts=lesion_cuts(lesions, labels.shape, turn),
        caption=caption,
    )


def lesion_cuts(
    lesions: Sequence[Lesion], shape: tuple[int, ...], turn: AxisTurn, count: int = SHOWN_LESIONS
) -> list[Cut]:
    """Return the cuts through the largest lesions at their typical voxels, or through the middle where none was found.

    Args:
        lesions: of a volume, the largest first.
        shape: of its mask.
        turn: brings the axes of the mask to RAS+.
        count: how many lesions are cut at most.
    """
    turned = turn.shape(shape)
    shown = lesions[:count]
    if not shown:
        return [cut_through(turned, [size / 2 for size in turned], "no lesion found")]
    return [
        cut_through(
            turned,
            _turned(lesion.shown_voxel, shape, turn),
            f"lesion {lesion.id}, {_two_digits(lesion.volume_ml or 0.0)} mL",
        )
        for lesion in shown
    ]


def _two_digits(volume_ml: float) -> str:
    """Return a volume with two digits that count.

    >>> _two_digits(104.2), _two_digits(0.0123)
    ('100', '0.012')
    """
    return f"{float(f'{volume_ml:.2g}'):g}"


def _turned(point: Sequence[float], shape: Sequence[int], turn: AxisTurn) -> tuple[float, float, float]:
    """Return where a point of an array of ``shape`` lies after turning."""
    x, y, z = (shape[axis] - 1 - point[axis] if flip else point[axis] for axis, flip in turn.pairs())
    return x, y, z


def affine_of(prediction: PredictionData) -> npt.NDArray[np.float64]:
    """Return the affine of the reference image, which the result shares.

    Raises:
        GeometryError: it has none; NIfTI would claim a false position in space.
    """
    affine = prediction.reference_image.affine
    if affine is None:
        raise GeometryError(
            "the images have no affine, so the result cannot be saved as NIfTI",
            where=prediction.case.case_id,
            cure="give NIfTI or DICOM images, or choose masks as pictures",
        )
    return affine


#: nibabel's classes have no types.
_nifti_image: Any = nibabel.nifti1.Nifti1Image


def write_probability_nifti(
    probability: npt.NDArray[np.float32], affine: npt.NDArray[np.float64] | None, path: Path
) -> None:
    """Write a probability, 0 to 1, with 16 bits and a slope."""
    stored = np.rint(np.clip(probability, 0, 1) * PROBABILITY_SCALE).astype(np.uint16)
    write_nifti(stored, affine, path, slope=1 / PROBABILITY_SCALE)


def write_instances(ids: InstanceMap, affine: npt.NDArray[np.float64] | None, path: Path) -> None:
    """Write lesion ids, (X, Y, Z), with 16 bits, or with 32 where there are more than 65535 lesions."""
    is_small = int(ids.max(initial=0)) <= np.iinfo(np.uint16).max
    write_nifti(ids.astype(np.uint16 if is_small else np.uint32), affine, path)


def write_nifti(
    data: Array,
    affine: npt.NDArray[np.float64] | None,
    path: Path,
    *,
    slope: float | None = None,
    compression: int = GZIP_LEVEL,
) -> None:
    """Write a ``.nii.gz`` file, whole or not at all, with nothing in its header but where it lies.

    Args:
        data: (X, Y, Z).
        affine: (4, 4) voxel-to-RAS, mm; None: the file says that it has no place in space, nor a size.
        path: the file.
        slope: what readers multiply the values with; None: nothing.
        compression: 1 (fast) to 9 (small).
    """
    image: Any = _nifti_image(data, affine)
    if affine is not None:
        _set_place(image, affine)
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=compression, mtime=0))


def _set_place(image: Any, affine: npt.NDArray[np.float64]) -> None:
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    # Readers that prefer the qform must see the same place; a sheared affine has none.
    image.set_qform(affine, code="scanner")
    if not np.allclose(image.get_qform(), affine, atol=1e-3):
        image.set_qform(None, code="unknown")
