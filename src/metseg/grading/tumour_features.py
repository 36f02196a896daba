"""Features of a tumour, each with its formula and unit: the one table of what a grade can depend on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from metseg.grading.tumour import Mask, Tumour
from metseg.headline import CORE_TISSUES, ENHANCING
from metseg.measure import MM3_PER_ML

NOT_DEFINED: Final = math.nan

#: Tissues of a label scheme, by the names of `metseg.labels.TISSUES`.
NECROTIC: Final = ("NCR", "necrosis", "non-enhancing")
OEDEMA: Final = ("ED",)
#: Percentile of the reference above which T1c is called bright.
BRIGHT_PERCENTILE: Final = 95


@dataclass(frozen=True)
class Feature:
    """A number that describes a tumour.

    Args:
        compute: returns it; NaN if it is not defined for this tumour.
        formula: in words.
        unit: such as ``mL``; empty: a plain number.
    """

    compute: Callable[[Tumour], float]
    formula: str
    unit: str = ""


def tumour_values(tumour: Tumour) -> dict[str, float | None]:
    """Return feature -> value; None for those that are not defined, all of them if there is no tumour."""
    if tumour.voxels == 0:
        return dict.fromkeys(FEATURES)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {name: feature.compute(tumour) for name, feature in FEATURES.items()}
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}


def _volume_ml(tumour: Tumour, tissues: Sequence[str] | None = None) -> float:
    voxels = _voxels(tumour, tissues)
    return NOT_DEFINED if tumour.spacing_mm is None else voxels * math.prod(tumour.spacing_mm) / MM3_PER_ML


def _share(tumour: Tumour, tissues: Sequence[str]) -> float:
    return _voxels(tumour, tissues) / tumour.voxels


def _voxels(tumour: Tumour, tissues: Sequence[str] | None) -> float:
    """Return the voxels of some tissues; NaN if the label scheme does not tell any of them apart."""
    if tissues is None:
        return tumour.voxels
    return float(np.count_nonzero(tumour.part(tissues))) if tumour.known_tissues & set(tissues) else NOT_DEFINED


def _head_share(tumour: Tumour) -> float:
    return tumour.voxels / max(int(np.count_nonzero(tumour.head | tumour.mask)), 1)


def _median_ratio(tumour: Tumour, sequence: str) -> float:
    inside, outside = tumour.values(sequence), tumour.healthy_values(sequence)
    return float(np.median(inside) / np.median(outside)) if inside.size and outside.size else NOT_DEFINED


def _enhancement_to_t1n(tumour: Tumour) -> float:
    return float(np.float64(_median_ratio(tumour, "t1c")) / np.float64(_median_ratio(tumour, "t1n")))


def _bright_share(tumour: Tumour) -> float:
    inside, outside = tumour.values("t1c"), tumour.healthy_values("t1c")
    if not (inside.size and outside.size):
        return NOT_DEFINED
    return float(np.mean(inside > np.percentile(outside, BRIGHT_PERCENTILE)))


def _relative_mean(tumour: Tumour, sequence: str) -> float:
    inside, outside = tumour.values(sequence), tumour.healthy_values(sequence)
    return float(inside.mean() / np.median(outside)) if inside.size and outside.size else NOT_DEFINED


def _relative_spread(tumour: Tumour, sequence: str) -> float:
    inside, outside = tumour.values(sequence), tumour.healthy_values(sequence)
    return float(inside.std() / np.median(outside)) if inside.size and outside.size else NOT_DEFINED


def _volume_mm3(tumour: Tumour) -> float:
    assert tumour.spacing_mm is not None
    return tumour.voxels * math.prod(tumour.spacing_mm)


def _sphericity(tumour: Tumour) -> float:
    if tumour.spacing_mm is None:
        return NOT_DEFINED
    return float(math.pi ** (1 / 3) * (6 * _volume_mm3(tumour)) ** (2 / 3) / tumour.surface_mm2)


def _surface_to_volume(tumour: Tumour) -> float:
    return NOT_DEFINED if tumour.spacing_mm is None else tumour.surface_mm2 / _volume_mm3(tumour)


def _axis_ratio(tumour: Tumour, rank: int) -> float:
    lengths = tumour.axis_lengths
    return float(lengths[rank] / lengths[0]) if rank < len(lengths) else NOT_DEFINED


def _circularity(tumour: Tumour) -> float:
    if tumour.spacing_mm is not None:
        return NOT_DEFINED
    return 4 * math.pi * np.count_nonzero(tumour.largest_slice) / _perimeter(tumour.largest_slice) ** 2


def _perimeter(mask: Mask) -> float:
    """Return the length of the outline of (X, Y) in pixels, by marching squares with midpoints."""
    padded = np.pad(mask, 1)
    corners = padded[:-1, :-1], padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]
    filled = np.sum(corners, axis=0)
    diagonal = (filled == 2) & (corners[0] == corners[3])
    straight = (filled == 2) & ~diagonal
    cut = np.count_nonzero((filled == 1) | (filled == 3)) + 2 * np.count_nonzero(diagonal)
    return float(np.count_nonzero(straight) + cut * math.sqrt(0.5))


def _largest_share(tumour: Tumour) -> float:
    return float(tumour.component_voxels.max() / tumour.voxels)


def _right_offset(tumour: Tumour) -> float:
    """Return the offset of the centre from the middle of the head along the first axis, in half widths of the head."""
    columns = np.flatnonzero(tumour.head.any(axis=(1, 2)))
    if columns.size < 2:
        return NOT_DEFINED
    middle, half = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0]) / 2
    centre = np.average(np.arange(tumour.mask.shape[0]), weights=tumour.mask.sum(axis=(1, 2)))
    return float((centre - middle) / half)


def _slice_share(tumour: Tumour) -> float:
    shown = tumour.head.any(axis=(0, 1)) | tumour.mask.any(axis=(0, 1))
    return float(np.count_nonzero(tumour.mask.any(axis=(0, 1))) / np.count_nonzero(shown))


def _of_sequence(sequence: str) -> dict[str, Feature]:
    median = f"median of {sequence} in the reference"
    return {
        f"{sequence}_mean": Feature(
            partial(_relative_mean, sequence=sequence), f"mean of {sequence} in the tumour / {median}"
        ),
        f"{sequence}_spread": Feature(
            partial(_relative_spread, sequence=sequence), f"standard deviation of {sequence} in the tumour / {median}"
        ),
    }


#: Name to feature. The reference of intensities is the brain mask, or the head where there is none, without the tumour.
FEATURES: Mapping[str, Feature] = {
    "volume": Feature(_volume_ml, "voxels of the tumour × volume of a voxel", "mL"),
    "enhancing_volume": Feature(partial(_volume_ml, tissues=(ENHANCING,)), "the same of the enhancing part", "mL"),
    "core_volume": Feature(partial(_volume_ml, tissues=CORE_TISSUES), "the same of the tumour without oedema", "mL"),
    "oedema_volume": Feature(partial(_volume_ml, tissues=OEDEMA), "the same of the oedema", "mL"),
    "head_share": Feature(_head_share, "voxels of the tumour / voxels of brain mask or head"),
    "enhancing_share": Feature(partial(_share, tissues=(ENHANCING,)), "enhancing voxels / voxels of the tumour"),
    "necrotic_share": Feature(
        partial(_share, tissues=NECROTIC), "necrotic and non-enhancing voxels of the core / voxels of the tumour"
    ),
    "oedema_share": Feature(partial(_share, tissues=OEDEMA), "voxels of oedema / voxels of the tumour"),
    "enhancement_to_brain": Feature(
        partial(_median_ratio, sequence="t1c"), "median of t1c in the tumour / median of t1c in the reference"
    ),
    "enhancement_to_t1n": Feature(_enhancement_to_t1n, "enhancement_to_brain / the same ratio of t1n"),
    "bright_share": Feature(
        _bright_share,
        f"voxels with t1c above its {BRIGHT_PERCENTILE}th percentile in the reference / voxels of the tumour",
    ),
    **_of_sequence("t1n"),
    **_of_sequence("t1c"),
    **_of_sequence("t2w"),
    **_of_sequence("t2f"),
    "sphericity": Feature(_sphericity, "π^(1/3) (6 V)^(2/3) / A, volume V, surface A by marching cubes; volumes only"),
    "surface_to_volume": Feature(_surface_to_volume, "A / V; volumes only", "1/mm"),
    "elongation": Feature(
        partial(_axis_ratio, rank=1), "second / first standard deviation along the principal axes; 1: round"
    ),
    "flatness": Feature(partial(_axis_ratio, rank=2), "third / first standard deviation; volumes only"),
    "circularity": Feature(_circularity, "4 π area / perimeter² in the slice with most tumour; pictures only"),
    "components": Feature(lambda tumour: float(len(tumour.component_voxels)), "number of connected pieces"),
    "largest_share": Feature(_largest_share, "voxels of the largest piece / voxels of the tumour"),
    "right_offset": Feature(
        lambda tumour: NOT_DEFINED if tumour.spacing_mm is None else _right_offset(tumour),
        "(x of the centre - x of the middle of the head) / half its width; right: positive; volumes only",
    ),
    "midline_distance": Feature(
        lambda tumour: abs(_right_offset(tumour)),
        "absolute value of right_offset; in pictures along the rows, which assumes axial ones",
    ),
    "slice_share": Feature(_slice_share, "slices with tumour / slices with head"),
}
