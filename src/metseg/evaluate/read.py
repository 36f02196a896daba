"""Read the two masks of a case and make sure they lie on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.evaluate.masks import MaskPair
from metseg.evaluate.pairing import CasePair
from metseg.io.nifti import read_mask_nifti, read_volume
from metseg.io.pictures import UINT8_MAX, UINT16_MAX, read_mask, read_picture
from metseg.labels import LabelScheme
from metseg.volume import Array, Volume

Samples = TypeVar("Samples", bound=np.generic)

#: Two affines are the same if no corner of the image moves further than this share of the smallest voxel side:
#: formats store them as 32-bit floats or as quaternions, so they never agree to the last digit.
AFFINE_TOLERANCE = 0.01


def read_pair(pair: CasePair, scheme: LabelScheme) -> MaskPair:
    """Return both masks of a case.

    Args:
        pair: its files.
        scheme: of the masks.
    Raises:
        InputError: a file that cannot be read, named.
        GeometryError: shapes or affines that differ, named; nothing is ever resampled.
    """
    return _read_slices(pair, scheme) if pair.is_slices else _read_volumes(pair)


def _read_volumes(pair: CasePair) -> MaskPair:
    truth = read_mask_nifti(pair.truth[0])
    path = pair.prediction[0]
    guess: Array = np.zeros(truth.shape, dtype=np.uint8)
    if path is not None:
        prediction = read_mask_nifti(path)
        _require_same_grid(truth, prediction, case=pair.case)
        guess = prediction.data
    return MaskPair(
        truth.data,
        guess,
        truth.affine,
        case=pair.case,
        patient=pair.patient,
        probability=_probability_volume(pair, truth),
    )


def _probability_volume(pair: CasePair, truth: Volume) -> npt.NDArray[np.floating] | None:
    if not pair.probability:
        return None
    probability, _ = read_volume(pair.probability[0])
    _require_same_grid(truth, probability, case=f"{pair.case} (probability)")
    return probability.data.astype(np.float32, copy=False)


def _require_same_grid(truth: Volume, prediction: Volume, *, case: str) -> None:
    cure = "bring the prediction onto the truth's grid yourself; nothing is resampled here"
    if truth.shape != prediction.shape:
        raise GeometryError(
            "prediction and truth differ in shape",
            where=case,
            expected=truth.shape,
            got=prediction.shape,
            cure=cure,
            code="input.shape_mismatch",
        )
    assert truth.affine is not None
    assert prediction.affine is not None
    moved_mm = _largest_shift_mm(truth.affine, prediction.affine, shape=truth.shape)
    if moved_mm > AFFINE_TOLERANCE * min(truth.spacing_mm or (1.0,)):
        raise GeometryError(
            "prediction and truth lie differently in space",
            where=case,
            expected=np.round(truth.affine[:3], 4).tolist(),
            got=np.round(prediction.affine[:3], 4).tolist(),
            cure=f"up to {moved_mm:.3g} mm apart: {cure}",
            code="input.affine_mismatch",
        )


def _largest_shift_mm(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, shape: tuple[int, int, int]
) -> float:
    """Return how far apart two affines put a corner of the image at most; everything inside is nearer."""
    corners = np.array([[x, y, z, 1.0] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def _read_slices(pair: CasePair, scheme: LabelScheme) -> MaskPair:
    truths: list[npt.NDArray[np.uint8]] = []
    predictions: list[npt.NDArray[np.uint8]] = []
    notes: list[str] = []
    for truth_path, path in zip(pair.truth, pair.prediction, strict=True):
        truth = read_mask(truth_path, scheme)
        notes += truth.notes
        guess = np.zeros_like(truth.labels)
        if path is not None:
            prediction = read_mask(path, scheme)
            guess = prediction.labels
            notes += prediction.notes
        _require_same_size(truth.labels, guess, where=path, expected_like="its truth")
        if truths:
            _require_same_size(truths[0], truth.labels, where=truth_path, expected_like="the first slice of its case")
        truths.append(truth.labels)
        predictions.append(guess)
    probabilities = [_probability_slice(path, like=truths[0]) for path in pair.probability]
    warnings = tuple(f"{pair.case}: {note} ({notes.count(note)} slices)" for note in dict.fromkeys(notes))
    return MaskPair(
        _stack(truths),
        _stack(predictions),
        case=pair.case,
        patient=pair.patient,
        stack_of_slices=True,
        warnings=warnings,
        probability=_stack(probabilities) if probabilities else None,
    )


#: What a probability of 1 is stored as.
_ONE = {np.dtype(np.uint8): UINT8_MAX, np.dtype(np.uint16): UINT16_MAX}


def _probability_slice(path: Path, *, like: Array) -> npt.NDArray[np.float32]:
    """Return a probability map (rows, columns) stored as a picture: whole numbers up to the largest, or floats."""
    pixels = read_picture(path).pixels
    if pixels.shape[2] != 1:
        raise GeometryError(
            "a probability map has one channel", where=path, got=pixels.shape[2], cure="save it as a grey picture"
        )
    plane = pixels[..., 0]
    _require_same_size(like, plane, where=path, expected_like="its truth")
    return np.asarray(plane.astype(np.float32) / np.float32(_ONE.get(plane.dtype, 1)), dtype=np.float32)


def _require_same_size(expected: Array, got: Array, *, where: Path | None, expected_like: str) -> None:
    if expected.shape != got.shape:
        raise GeometryError(
            f"the mask is not of the size of {expected_like}",
            where=where,
            expected=f"{expected.shape[1]} x {expected.shape[0]}",
            got=f"{got.shape[1]} x {got.shape[0]}",
            cure="slices of different size are different cases; nothing is resampled here",
            code="input.shape_mismatch",
        )


def _stack(pictures: Sequence[npt.NDArray[Samples]]) -> npt.NDArray[Samples]:
    """Return pictures (rows, columns) as (X = columns, Y = rows, Z)."""
    return np.stack(pictures).transpose(2, 1, 0)
