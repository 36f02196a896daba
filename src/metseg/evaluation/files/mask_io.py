"""Read the two masks of a case and check that they are on one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.evaluation.files.file_matching import CasePair
from metseg.evaluation.mask_pair import MaskPair
from metseg.evaluation.scoring_config import ScoringConfig
from metseg.geometry import Affine, turn_onto
from metseg.io.images.images_2d import UINT8_MAX, UINT16_MAX, read_mask, read_picture
from metseg.io.volumes.nifti import read_mask_nifti, read_volume
from metseg.labels import BINARY, LABEL_SCHEMES, LabelScheme, NamedLabels, check_labels, convert_labels
from metseg.volume import Array, Volume

Samples = TypeVar("Samples", bound=np.generic)

#: Two affines are the same if no corner of the image moves further than this share of the smallest voxel side:
#: formats store them as 32-bit floats or as quaternions, so they never agree to the last digit.
AFFINE_TOLERANCE = 0.01

_CURE = "resample the prediction to the truth's grid; metseg does not resample it"


def read_pair(pair: CasePair, manner: ScoringConfig) -> MaskPair:
    """Return both masks of a case, in the truth's axis order.

    If the axes of a volume have another order or direction than the truth's, they are reordered or flipped. Values do
    not change.

    Args:
        pair: its files.
        manner: label scheme, and those of the files.
    Raises:
        InputError: a file that cannot be read, or a label that is not in the scheme of its file.
        GeometryError: different shapes or affines; nothing is ever resampled.
    """
    return _read_slices(pair, manner) if pair.is_slices else _read_volumes(pair, manner)


def _read_volumes(pair: CasePair, manner: ScoringConfig) -> MaskPair:
    truth = read_mask_nifti(pair.truth[0])
    of_truth = FileLabels(manner.truth_labels, pair.truth_labels)
    of_prediction = FileLabels(manner.prediction_labels, pair.prediction_labels)
    true_labels = of_truth.as_scored(truth.data, manner, where=pair.truth[0])
    path = pair.prediction[0]
    guess: Array = np.zeros(truth.shape, dtype=np.uint8)
    warnings = [*of_truth.notes, *of_prediction.notes]
    if path is not None:
        prediction, noticed = on_truth_grid(truth, read_mask_nifti(path), manner, case=pair.case)
        warnings += noticed
        guess = of_prediction.as_scored(prediction.data, manner, where=path)
    probability, more = _probability_volume(pair, truth, manner)
    return MaskPair(
        true_labels,
        guess,
        truth.affine,
        case=pair.case,
        patient=pair.patient,
        warnings=(*warnings, *more),
        probability=probability,
    )


@dataclass(frozen=True)
class FileLabels:
    """Known labels in the files of one side.

    Args:
        declared: the label scheme that the user declared; None: not declared.
        named: names of the values from a ``dataset.json`` or a document of `metseg predict`; None: no such file.
    """

    declared: str | None
    named: NamedLabels | None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a note if the user and the table declare different labels."""
        return () if self.declared is None or self.named is None else self.named.contradiction(self.declared)

    def scheme(self, manner: ScoringConfig) -> LabelScheme:
        """Return the label scheme of the files."""
        if self.declared is not None:
            return LABEL_SCHEMES[self.declared]
        if self.named is None or _is_binary(self.named, manner.labels):
            return manner.labels
        return self.named.as_scheme()

    def table(self, manner: ScoringConfig) -> Mapping[int, int] | None:
        """Return the new value of each value of the files; None: values stay unchanged."""
        if self.declared is not None:
            return manner.map_of(self.declared)
        if self.named is None or _is_binary(self.named, manner.labels):
            return None
        return self.named.map_to(manner.labels)

    def as_scored(self, labels: Array, manner: ScoringConfig, *, where: Path) -> Array:
        """Convert the labels of a volume to the scored scheme.

        Raises:
            InputError: a value that is not in the files' scheme, or a table with other classes than the scored ones.
        """
        table = self.table(manner)
        if table is None:
            return labels
        return convert_labels(check_labels(labels, self.scheme(manner), where=where), table)


def _is_binary(named: NamedLabels, scored: LabelScheme) -> bool:
    """Return whether both are binary schemes: lesion may be stored as 1 or 255."""
    return named.schemes() == (BINARY,) and len(scored.classes) == 1


def _probability_volume(
    pair: CasePair, truth: Volume, manner: ScoringConfig
) -> tuple[npt.NDArray[np.floating] | None, list[str]]:
    if not pair.probability:
        return None, []
    stored, _ = read_volume(pair.probability[0])
    probability, warnings = on_truth_grid(truth, stored, manner, case=f"{pair.case} (probability)")
    return probability.data.astype(np.float32, copy=False), warnings


def on_truth_grid(truth: Volume, prediction: Volume, manner: ScoringConfig, *, case: str) -> tuple[Volume, list[str]]:
    """Align the axes of a prediction with those of the truth; return a warning if it is compared without alignment.

    Args:
        truth: with an affine.
        prediction: with an affine.
        manner: whether masks in different positions are compared anyway.
        case: its id, for messages.
    Raises:
        GeometryError: the grids differ.
    """
    turned = _turned(prediction, truth)
    near = turned if turned.shape == truth.shape else prediction
    if near.shape != truth.shape:
        raise GeometryError(
            "prediction and truth differ in shape",
            where=case,
            expected=truth.shape,
            got=prediction.shape,
            cure=_CURE,
            code="input.shape_mismatch",
        )
    apart_mm = _largest_shift_mm(_affine(truth), _affine(near), shape=truth.shape)
    if apart_mm <= AFFINE_TOLERANCE * min(truth.spacing_mm or (1.0,)):
        return near, []
    if not manner.allow_affine_mismatch or prediction.shape != truth.shape:
        raise GeometryError(
            "prediction and truth differ in position or orientation",
            where=case,
            expected=np.round(_affine(truth)[:3], 4).tolist(),
            got=np.round(_affine(prediction)[:3], 4).tolist(),
            cure=f"up to {apart_mm:.3g} mm apart: {_CURE}; if only a header is wrong and the voxels are "
            "in the truth's order, pass --allow-affine-mismatch",
            code="input.affine_mismatch",
        )
    noticed = f"{case}: prediction and truth are up to {apart_mm:.3g} mm apart by their headers"
    return prediction, [f"{noticed}; compared voxel by voxel as stored, as requested"]


def _turned(volume: Volume, truth: Volume) -> Volume:
    """Return a volume with its axes in the order and direction of the truth's, if they are parallel."""
    turn = turn_onto(_affine(volume), _affine(truth))
    return volume if turn.is_identity else Volume(turn(volume.data), turn.affine(_affine(volume), volume.shape))


def _affine(volume: Volume) -> Affine:
    assert volume.affine is not None  # volumes come from files with an affine
    return volume.affine


def _largest_shift_mm(one: Affine, other: Affine, *, shape: tuple[int, int, int]) -> float:
    """Return the largest distance between corners of the image under two affines; all other points are closer."""
    corners = np.array([[x, y, z, 1.0] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def _read_slices(pair: CasePair, manner: ScoringConfig) -> MaskPair:
    truths: list[npt.NDArray[np.uint8]] = []
    predictions: list[npt.NDArray[np.uint8]] = []
    of_truth = FileLabels(manner.truth_labels, pair.truth_labels)
    of_prediction = FileLabels(manner.prediction_labels, pair.prediction_labels)
    notes = [*of_truth.notes, *of_prediction.notes]
    for truth_path, path in zip(pair.truth, pair.prediction, strict=True):
        truth, noticed = _read_slice(truth_path, manner, of_truth)
        notes += noticed
        guess = np.zeros_like(truth)
        if path is not None:
            guess, noticed = _read_slice(path, manner, of_prediction)
            notes += noticed
        _require_same_size(truth, guess, where=path, expected_like="its truth")
        if truths:
            _require_same_size(truths[0], truth, where=truth_path, expected_like="the first slice of its case")
        truths.append(truth)
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


def _read_slice(path: Path, manner: ScoringConfig, files: FileLabels) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Return the labels (rows, columns) of a picture in the scored scheme, and notes."""
    mask, table = read_mask(path, files.scheme(manner)), files.table(manner)
    return mask.labels if table is None else convert_labels(mask.labels, table), mask.notes


#: Stored value of a probability of 1.
_ONE = {np.dtype(np.uint8): UINT8_MAX, np.dtype(np.uint16): UINT16_MAX}


def _probability_slice(path: Path, *, like: Array) -> npt.NDArray[np.float32]:
    """Return a probability map (rows, columns) stored as a picture: whole numbers up to the largest, or floats."""
    pixels = read_picture(path).pixels
    if pixels.shape[2] != 1:
        raise GeometryError(
            "the probability map has several channels",
            where=path,
            got=pixels.shape[2],
            cure="save it as a greyscale picture",
        )
    plane = pixels[..., 0]
    _require_same_size(like, plane, where=path, expected_like="its truth")
    return np.asarray(plane.astype(np.float32) / np.float32(_ONE.get(plane.dtype, 1)), dtype=np.float32)


def _require_same_size(expected: Array, got: Array, *, where: Path | None, expected_like: str) -> None:
    if expected.shape != got.shape:
        raise GeometryError(
            f"the mask differs in size from {expected_like}",
            where=where,
            expected=f"{expected.shape[1]} x {expected.shape[0]}",
            got=f"{got.shape[1]} x {got.shape[0]}",
            cure="make slices of different size separate cases; metseg does not resample them",
            code="input.shape_mismatch",
        )


def _stack(pictures: Sequence[npt.NDArray[Samples]]) -> npt.NDArray[Samples]:
    """Return pictures (rows, columns) as (X = columns, Y = rows, Z)."""
    return np.stack(pictures).transpose(2, 1, 0)
