"""Resampling to a rotated and shifted grid, averaged over the slice thickness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Placement:
    """Where the voxels of a new image lie in an old one: voxel ``v`` has its centre at ``matrix @ v + offset``.

    Args:
        shape: of the new image; its last axis counts the slices.
        matrix: (3, 3).
        offset: (3,).
        steps: so many layers of a slice are averaged; 1 for voxels no thicker than the old ones.
    """

    shape: tuple[int, int, int]
    matrix: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    steps: int = 1

    @property
    def old_voxels(self) -> float:
        """Return how many old voxels have the volume of a new one."""
        return float(abs(np.linalg.det(self.matrix)))

    def within(self, box: Box) -> Placement:
        """Return the placement of a part of the new image."""
        start = np.array([side.start for side in box])
        x, y, z = (side.stop - side.start for side in box)
        return replace(self, shape=(x, y, z), offset=self.offset + self.matrix @ start)

    def out_of(self, box: Box) -> Placement:
        """Return the placement in a part of the old image."""
        return replace(self, offset=self.offset - [side.start for side in box])

    def seen_from(self, box: Box) -> Box:
        """Return the part of the new image that a part of the old one can reach into; empty if none."""
        corners = np.stack(np.meshgrid(*[(side.start - 1, side.stop) for side in box], indexing="ij"), axis=-1)
        found = (corners.reshape(-1, 3) - self.offset) @ np.linalg.inv(self.matrix).T
        low, high = np.floor(found.min(axis=0)).astype(int) - 1, np.ceil(found.max(axis=0)).astype(int) + 2
        x, y, z = (
            slice(int(np.clip(first, 0, size)), int(np.clip(last, 0, size)))
            for first, last, size in zip(low, high, self.shape, strict=True)
        )
        return x, y, z

    def image(self, old: FloatArray) -> FloatArray:
        """Return an image in the new voxels, float32; beyond its border it goes on as it ends.

        Voxels as fine as the old ones by a cubic spline, which keeps the sharpness; the layers of thick ones
        linearly, as their mean is smooth anyway.
        """
        if self.steps > 1:
            return self._mean(old, order=1, mode="nearest")
        coefficients = ndimage.spline_filter(old, order=3, output=np.float32, mode="nearest")
        return self._mean(coefficients, order=3, mode="nearest")

    def share(self, old: FloatArray) -> FloatArray:
        """Return the share of each new voxel, float32, that lies in something given as a share of the old ones."""
        return self._mean(old, order=1, mode="constant")

    def nearest(self, old: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the values of the old voxels in which the centres of the new ones lie; 0 outside."""
        return np.asarray(
            ndimage.affine_transform(old, self.matrix, self.offset, output_shape=self.shape, order=0), dtype=np.uint8
        )

    def _mean(self, old: FloatArray, *, order: Literal[1, 3], mode: Literal["nearest", "constant"]) -> FloatArray:
        total = np.zeros(self.shape, dtype=np.float32)
        for step in range(self.steps):
            depth = (step + 0.5) / self.steps - 0.5
            total += ndimage.affine_transform(
                old,
                self.matrix,
                self.offset + self.matrix[:, 2] * depth,
                output_shape=self.shape,
                output=np.float32,
                order=order,
                mode=mode,
                prefilter=False,
            )
        total /= np.float32(self.steps)
        return total
