"""Grow a region from a point in a probability map: the connected component above a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.measure.boxes import bounding_box
from metseg.measure.instances import label_instances

Mask = npt.NDArray[np.bool_]
Voxel = tuple[int, int, int]

#: Below this probability at the point there is nothing to grow: maps are stored in steps of 1/65535.
LEAST_PROBABILITY: Final = 0.01
#: The automatic threshold is at most this share of the probability at the point.
SEED_SHARE: Final = 0.5
#: Steps of the search for the lowest threshold with a region that is small enough; 1/4096 of the range is left.
_STEPS: Final = 12


@dataclass(frozen=True)
class Region:
    """A grown region.

    Args:
        mask: (X, Y, Z).
        threshold: least probability in it.
        probability: at the point.
    """

    mask: Mask
    threshold: float
    probability: float


def grow_region(
    probability: npt.NDArray[np.float32],
    voxel: Voxel,
    *,
    highest: float,
    most_voxels: int,
    threshold: float | None = None,
) -> Region:
    """Return the connected component of a probability map that contains a voxel.

    Without a threshold, it is half of the probability at the voxel, at most `highest`, and raised until the region has
    at most `most_voxels`.

    Args:
        probability: (X, Y, Z), 0 to 1.
        voxel: array indices, inside of the map.
        highest: upper limit of the automatic threshold: that of the model.
        most_voxels: largest region.
        threshold: least probability of the region; None: chosen automatically.
    Raises:
        InputError: ``input.no_probability``, the voxel has almost no probability, or less than the threshold;
            ``input.region_size``, the region is larger than `most_voxels`.
    """
    seed = float(probability[voxel])
    if seed < max(threshold or 0.0, LEAST_PROBABILITY):
        raise InputError(
            "the model sees no lesion at this point",
            where=f"voxel {voxel}",
            expected=f"a probability of at least {max(threshold or 0.0, LEAST_PROBABILITY):g}",
            got=f"{seed:.4f}",
            cure="choose a point inside the lesion, lower the threshold, or upload a corrected mask",
            code="input.no_probability",
        )
    low = min(highest, SEED_SHARE * seed) if threshold is None else threshold
    region = _component(probability, voxel, low)
    if np.count_nonzero(region) > most_voxels and threshold is None:
        low, region = _lowest_fitting(probability, voxel, low, region, most_voxels)
    size = int(np.count_nonzero(region))
    if size > most_voxels:
        raise InputError(
            "the region at this point is too large",
            where=f"voxel {voxel}",
            expected=f"at most {most_voxels} voxels",
            got=f"{size} voxels with a probability of at least {low:.3g}",
            cure="choose another point, raise the threshold or max_ml, or upload a corrected mask",
            code="input.region_size",
        )
    return Region(region, low, seed)


def _lowest_fitting(
    probability: npt.NDArray[np.float32], voxel: Voxel, low: float, region: Mask, most_voxels: int
) -> tuple[float, Mask]:
    """Return the lowest threshold with a region that fits, by bisection, and the region; else that of the seed.

    A region at a higher threshold lies within that at a lower one, so only its bounding box is searched.
    """
    high = float(probability[voxel])
    best = _component(probability, voxel, high, within=region)
    if np.count_nonzero(best) > most_voxels:
        return high, best
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = _component(probability, voxel, middle, within=region)
        if np.count_nonzero(found) > most_voxels:
            low, region = middle, found
        else:
            high, best = middle, found
    return high, best


def _component(
    probability: npt.NDArray[np.float32],
    voxel: Voxel,
    threshold: float,
    *,
    within: Mask | None = None,
) -> Mask:
    """Return (X, Y, Z) the component of the voxel at a threshold; ``within`` contains it."""
    box = None if within is None else bounding_box(within)
    part = probability if box is None else probability[box]
    start = (0, 0, 0) if box is None else tuple(side.start for side in box)
    seed = tuple(at - first for at, first in zip(voxel, start, strict=True))
    instances, _ = label_instances(np.asarray(part >= np.float32(threshold)))
    found = instances == instances[seed]
    if box is None:
        return np.asarray(found)
    whole: Mask = np.zeros(probability.shape, dtype=bool)
    whole[box] = found
    return whole
