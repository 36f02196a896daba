"""Run a 3D network over a volume of any size in bounded memory.

Windows are ordered along the first axis. A slab that no later window reaches is passed on and freed, so that memory
holds the probabilities of all classes at full resolution for one window length only, for volumes of any length.
For the same reason sums are kept in float32: half precision would save nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.inference.windows.window_grid import gaussian_weights, place_windows
from metseg.measure import Box

#: From images (1, C, X, Y, Z) to probabilities (1, K, X, Y, Z) float32.
Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Slab:
    """Finished probabilities: (K, n, Y, Z) float32 for ``start .. start + n`` of the first axis."""

    start: int
    chances: Tensor


def slide(
    network: Network,
    image: npt.NDArray[np.float32],
    inside: npt.NDArray[np.bool_],
    *,
    window: Sequence[int],
    overlap: float,
    device: torch.device,
    on_share: Callable[[float], None] | None = None,
) -> Iterator[Slab]:
    """Yield the probabilities of a volume, slab by slab; what no window covers is not yielded at all, or is 0.

    Args:
        network: the network under its precision and memory layout, mirror images included; it must
            not write into what it is given, which may be the volume itself.
        image: (C, X, Y, Z).
        inside: (X, Y, Z) bool; windows without any of it are skipped.
        window: sides of the windows; a volume that is thinner is seen whole along that axis.
        overlap: see `place_windows`.
        device: where the network is.
        on_share: told after each window which share of the windows is done.
    """
    sides = tuple(min(side, size) for side, size in zip(window, inside.shape, strict=True))
    weights = gaussian_weights(sides, device)
    rolling: _Rolling | None = None
    places = list(place_windows(inside, sides, overlap))
    for count, place in enumerate(places, start=1):
        patch = _seen(image[(slice(None), *place)])[None].to(device)
        chances = network(patch)[0]
        if rolling is None:
            rolling = _Rolling(chances.shape[0], sides[0], inside.shape[1:], start=place[0].start, device=device)
        yield from rolling.advance(place[0].start)
        rolling.add(chances, weights, place)
        if on_share is not None:
            on_share(count / len(places))
    if rolling is not None:
        yield from rolling.advance(rolling.start + sides[0])


def _seen(piece: npt.NDArray[np.float32]) -> Tensor:
    """Return a piece of a volume as a tensor; a view where torch takes one, as most layouts need a copy anyway."""
    return torch.from_numpy(piece if piece.flags.writeable and min(piece.strides) >= 0 else piece.copy())


class _Rolling:
    """Weighted sums over one window's length of the first axis."""

    def __init__(self, classes: int, length: int, plane: tuple[int, ...], *, start: int, device: torch.device) -> None:
        self.start = start
        self._sums = torch.zeros((classes, length, *plane), device=device)
        self._weights = torch.zeros((length, *plane), device=device)

    def add(self, chances: Tensor, weights: Tensor, place: Box) -> None:
        """Add a window that begins where the sums begin."""
        self._sums[(slice(None), slice(None), *place[1:])].addcmul_(chances, weights)
        self._weights[(slice(None), *place[1:])] += weights

    def advance(self, start: int) -> Iterator[Slab]:
        """Hand on what lies before ``start``, and go on from there."""
        length = self._sums.shape[1]
        done = min(start - self.start, length)
        if done <= 0:
            return
        yield Slab(self.start, self._sums[:, :done] / self._weights[:done].clamp_min(torch.finfo().tiny))
        for sums in (self._sums.movedim(1, 0), self._weights):
            kept = sums[done:].clone()
            sums[: length - done] = kept
            sums[length - done :] = 0
        self.start = start
