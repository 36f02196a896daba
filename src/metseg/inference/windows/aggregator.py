"""Aggregate a network's outputs for a case piece by piece, and resample them to the case's own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.model.activation import Outputs
from metseg.preprocess.pipeline import resamples, restore
from metseg.preprocess.prepared_case import Record

#: Planes of a volume that are decided on together: enough to be fast, few enough to take no memory.
PLANES_AT_ONCE = 32


class Aggregator:
    """Class indices and the probability of lesion on the prepared grid, or more where it will be resampled.

    Where the way back only moves voxels, the decision is made at once, and one byte and one number are kept for each
    voxel. Where it interpolates, every output's probability is kept, for it is probabilities that are interpolated.

    Args:
        grid: (X, Y, Z) of the prepared images.
        channels: K outputs of the network.
        outputs: what they mean.
        records: of the preparation.
        threshold: least probability of lesion; see `Outputs.class_indices`.
        dtype: of the probabilities that are kept.
    """

    def __init__(
        self,
        grid: Sequence[int],
        *,
        channels: int,
        outputs: Outputs,
        records: Sequence[Record],
        threshold: float,
        dtype: type[np.floating],
    ) -> None:
        self._outputs = outputs
        self._records = records
        self._threshold = threshold
        self._dtype = dtype
        self._chances = np.zeros((channels, *grid), dtype=dtype) if resamples(records) else None
        self._indices = np.zeros(grid if self._chances is None else (0, 0, 0), dtype=np.uint8)
        self._lesion = np.zeros(self._indices.shape, dtype=dtype)

    def put(self, chances: Tensor, *, axis: int, start: int) -> None:
        """Take in probabilities (K, x, y, z) that begin at ``start`` of one of the axes and fill the others."""
        place = [slice(None)] * 3
        place[axis] = slice(start, start + chances.shape[1 + axis])
        if self._chances is not None:
            _write(chances, self._chances[(slice(None), *place)])
            return
        indices, lesion = self._decide(chances)
        self._indices[tuple(place)] = indices
        _write(torch.from_numpy(lesion), self._lesion[tuple(place)])

    def restored(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return class indices and the probability of lesion, both (X, Y, Z) of the case as it was read."""
        if self._chances is None:
            indices = np.asarray(restore(self._indices, self._records), dtype=np.uint8)
            return indices, self._on_own_grid(self._lesion).astype(np.float32, copy=False)
        # One output at a time: interpolation works in more digits than are kept.
        chances = np.stack([self._on_own_grid(output).astype(self._dtype, copy=False) for output in self._chances])
        indices = np.empty(chances.shape[1:], dtype=np.uint8)
        lesion = np.empty(indices.shape, dtype=np.float32)
        for first in range(0, len(indices), PLANES_AT_ONCE):
            planes = slice(first, first + PLANES_AT_ONCE)
            piece = torch.from_numpy(chances[:, planes].astype(np.float32))
            indices[planes], lesion[planes] = self._decide(piece)
        return indices, lesion

    def _decide(self, chances: Tensor) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        indices = self._outputs.class_indices(chances[None], threshold=self._threshold)[0]
        return indices.cpu().numpy(), self._outputs.lesion_probability(chances[None])[0].cpu().numpy()

    def _on_own_grid(self, chances: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        return np.asarray(restore(chances[None].astype(np.float32, copy=False), self._records)[0])


def _write(values: Tensor, place: npt.NDArray[np.floating]) -> None:
    """Write into an array by torch: numpy takes many times as long to make half precision of numbers near zero."""
    torch.from_numpy(place).copy_(values)
