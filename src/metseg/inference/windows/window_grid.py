"""Positions of the windows of a 3D network, and the weights of their voxels.

The network sees a volume window by window; where windows overlap, their probabilities are averaged with Gaussian
weights, since a voxel near a window's border is seen without its surroundings (Isensee et al. 2021, arXiv:1809.10486).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.measure import Box, bounding_box

#: Standard deviation of the weights, as a share of the window's side.
SIGMA_SHARE = 1 / 8
#: The least weight, as a share of the largest: a voxel that only a window's corner covers still counts.
LEAST_WEIGHT = 1e-3


def starts_along(low: int, high: int, *, size: int, window: int, overlap: float) -> list[int]:
    """Return where windows along one axis begin so that they cover ``low`` to ``high``, evenly spread.

    Args:
        low, high: the stretch to cover; a window that is longer is centred on it, within the axis.
        size: length of the axis; not less than the window.
        window: length of a window.
        overlap: neighbouring windows share at least this much of their length.

    >>> starts_along(0, 10, size=10, window=4, overlap=0.5)
    [0, 2, 4, 6]
    >>> starts_along(3, 5, size=10, window=4, overlap=0.5)
    [2]
    """
    if high - low <= window:
        centred = low - (window - (high - low)) // 2
        return [min(max(centred, 0), size - window)]
    step = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((high - low - window) / step) + 1
    return [low + round(place * (high - low - window) / (count - 1)) for place in range(count)]


def place_windows(mask: npt.NDArray[np.bool_], window: Sequence[int], overlap: float) -> Iterator[Box]:
    """Yield the windows that are needed, in order of the first axis: over the mask's box, empty ones left out.

    Args:
        mask: (X, Y, Z) bool; where something can be found.
        window: (3,) sides; not longer than those of the mask.
        overlap: see `starts_along`.
    """
    box = bounding_box(mask)
    if box is None:
        return
    along = [
        starts_along(side.start, side.stop, size=size, window=length, overlap=overlap)
        for side, size, length in zip(box, mask.shape, window, strict=True)
    ]
    for corner in itertools.product(*along):
        place = tuple(slice(start, start + length) for start, length in zip(corner, window, strict=True))
        if mask[place].any():
            yield place


@lru_cache(maxsize=8)
def gaussian_weights(window: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the weights of a window's voxels, (X, Y, Z) float32, 1 at its centre; kept for the next volume.

    >>> float(gaussian_weights((3, 3, 3), torch.device("cpu"))[1, 1, 1])
    1.0
    """
    total = torch.ones(window, dtype=torch.float32)
    for axis, side in enumerate(window):
        offset = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        weights = torch.exp(-0.5 * (offset / (SIGMA_SHARE * side)) ** 2)
        total *= weights.reshape([-1 if other == axis else 1 for other in range(len(window))])
    return total.clamp_min(LEAST_WEIGHT * float(total.max())).to(device)
