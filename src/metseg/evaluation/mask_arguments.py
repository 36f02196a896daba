"""Convert the mask arguments of `evaluate_case` (arrays, nibabel images or paths) to a `MaskPair`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.argument_checks import affine_matrix, number_array, wrong_type
from metseg.errors import InputError, UsageError
from metseg.evaluation.files.mask_io import on_truth_grid
from metseg.evaluation.mask_pair import Array, MaskPair
from metseg.evaluation.metrics.surface_distance import check_spacing
from metseg.evaluation.scoring_config import ScoringConfig
from metseg.geometry import Affine
from metseg.io.images.images_2d import read_mask
from metseg.io.volumes.nifti import NIFTI_ENDINGS, read_mask_nifti
from metseg.volume import Volume, is_nibabel_image, nibabel_arrays

#: An array (X, Y, Z) or (X, Y), a nibabel image (which has no type of its own for type checkers), or a path.
MaskSource = npt.ArrayLike | Any

EXPECTED = "an array, a nibabel image, or the path of a mask"


class _Mask(NamedTuple):
    """A mask as read.

    Args:
        data: (X, Y, Z).
        affine: (4, 4) voxel-to-RAS matrix, mm; None: not known to the source.
    """

    data: Array
    affine: Affine | None
    notes: tuple[str, ...] = ()


def mask_pair(
    truth: MaskSource,
    prediction: MaskSource,
    manner: ScoringConfig,
    *,
    spacing_mm: Sequence[float] | None,
    affine: npt.ArrayLike | None,
) -> MaskPair:
    """Return two masks on one grid; see `metseg.evaluation.evaluate_case` for the arguments and the errors."""
    one, two = _read("truth", truth, manner), _read("prediction", prediction, manner)
    given = _given_affine(spacing_mm, affine)
    known = one.affine if one.affine is not None else two.affine
    if given is not None and known is not None:
        raise UsageError(
            "the images already have a voxel size",
            where="affine" if spacing_mm is None else "spacing_mm",
            cure="leave it out, or pass arrays",
            code="usage.spacing",
        )
    notes = (*one.notes, *two.notes)
    if one.affine is None or two.affine is None:
        return MaskPair(one.data, two.data, given if known is None else known, warnings=notes)
    moved, noticed = on_truth_grid(Volume(one.data, one.affine), Volume(two.data, two.affine), manner, case="case")
    return MaskPair(one.data, moved.data, one.affine, warnings=(*notes, *noticed))


def _read(name: str, value: object, manner: ScoringConfig) -> _Mask:
    if isinstance(value, str | Path):
        return _from_file(Path(value), manner)
    if is_nibabel_image(value):
        data, affine = nibabel_arrays(value, name)
        return _Mask(number_array(name, data), affine_matrix(name, affine))
    if hasattr(value, "labels") and hasattr(value, "case"):
        raise wrong_type(name, value, expected=EXPECTED, cure="pass its labels, or call metseg.score")
    return _Mask(number_array(name, value), None)


def _from_file(path: Path, manner: ScoringConfig) -> _Mask:
    if not path.is_file():
        raise InputError("no such file", where=path, cure="check the path", code="input.missing")
    if path.name.lower().endswith(NIFTI_ENDINGS):
        volume = read_mask_nifti(path)
        return _Mask(volume.data, volume.affine)
    mask = read_mask(path, manner.labels)
    return _Mask(mask.labels.T[:, :, np.newaxis], None, mask.notes)


def _given_affine(spacing_mm: Sequence[float] | None, affine: npt.ArrayLike | None) -> Affine | None:
    if affine is not None and spacing_mm is not None:
        raise UsageError("both a spacing and an affine were given", where="affine", cure="pass one of them")
    if affine is not None:
        return affine_matrix("affine", affine)
    if spacing_mm is None:
        return None
    try:
        sides = tuple(float(side) for side in spacing_mm)
    except (TypeError, ValueError):
        raise wrong_type("spacing_mm", spacing_mm, expected="three numbers, such as (1, 1, 3)") from None
    return np.diag([*check_spacing(sides, 3), 1.0])
