"""`SpatialMap`: the coordinate map that all spatial augmentations of an image add to, before interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

#: What every augmentation draws its random numbers from.
Rng = np.random.Generator


@dataclass
class SpatialMap:
    """From output to input voxels: ``x_in = matrix @ (x_out - centre) + centre + shift + displacement(x_out)``.

    Each further step is what happens to the result of the earlier ones, so it multiplies the matrix from the right.
    What is flipped is mirrored after all that.
    """

    shape: tuple[int, ...]
    matrix: npt.NDArray[np.float64] = field(init=False)
    shift_voxels: npt.NDArray[np.float64] = field(init=False)
    displacement: npt.NDArray[np.float32] | None = None
    flipped: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.matrix = np.eye(len(self.shape))
        self.shift_voxels = np.zeros(len(self.shape))

    @property
    def interpolates(self) -> bool:
        return (
            self.displacement is not None
            or bool(self.shift_voxels.any())
            or not np.array_equal(self.matrix, np.eye(len(self.shape)))
        )

    def reach(self) -> list[tuple[int, int]]:
        """Return the box of input voxels that the output is made of: first and one past last along each axis.

        It may begin below 0 and end above ``shape``: a turned patch needs what lies around it.
        """
        centre = (np.asarray(self.shape) - 1) / 2
        # The corners of a box go furthest along each axis where every term of the product has the same sign.
        span = np.abs(self.matrix) @ centre
        low, high = centre + self.shift_voxels - span, centre + self.shift_voxels + span
        if self.displacement is not None:
            flat = self.displacement.reshape(len(self.shape), -1)
            low, high = low + flat.min(axis=1), high + flat.max(axis=1)
        return [(math.floor(first), math.ceil(last) + 1) for first, last in zip(low, high, strict=True)]
