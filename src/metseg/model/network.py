"""`SegmentationNetwork`: wraps any architecture; takes inputs of any size and returns logits of the same size."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from metseg.errors import InputError
from metseg.model.instance_norm import with_quick_instance_norm
from metseg.model.onednn_workarounds import use_safe_convolutions

Logits = torch.Tensor | list[torch.Tensor]

_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class SegmentationNetwork(nn.Module):
    """Pad the input to a size that the architecture can halve often enough, run it, crop the answer.

    The padding repeats the border. Zeros would draw an edge around every picture with a non-zero background (after
    z-scoring it is never zero), and mirroring needs a picture larger than the padding; repeating avoids both. Padding
    is added at the far end of each axis, so that pixel (0, 0) stays on the coarsest grid and cropping costs nothing.

    Args:
        body: the architecture; see `metseg.model.model_spec.ModelSpec`.
        in_channels: C, the number of sequences that the network sees.
        out_channels: K; 1 for one class (sigmoid), else classes + 1 (softmax).
        dimensions: 2 for (N, C, X, Y), 3 for (N, C, X, Y, Z).
        divisor: the number that every side of the body's input must be a multiple of, or one number per axis.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        in_channels: int,
        out_channels: int,
        dimensions: int = 2,
        divisor: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        self.body = with_quick_instance_norm(use_safe_convolutions(body))
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.dimensions = dimensions
        self.divisor = _per_axis(divisor, dimensions)

    def forward(self, images: torch.Tensor) -> Logits:
        """Return logits (N, K, X, Y[, Z]) for images (N, C, X, Y[, Z]) of any size.

        In training, an architecture with deep supervision gives a list instead: the full-resolution logits first, then
        coarser and coarser (or shallower) ones, every one brought to the input's size, so that one truth serves all.

        Raises:
            InputError: another number of channels or axes than the network was built for, or an empty axis.
        """
        self._check(images)
        sizes = images.shape[2:]
        padded = padded_sizes(sizes, self.divisor)
        answer = self.body(pad_far_end(images, padded))
        if isinstance(answer, torch.Tensor):
            return crop_far_end(answer, sizes)
        return [crop_far_end(self._at_full_resolution(logits, padded), sizes) for logits in answer]

    def folded(self) -> SegmentationNetwork:
        """Return a network with the same outputs, for predictions only, with its own weights.

        Where the architecture has no such form, return this network.
        """
        fold: Any = getattr(self.body, "folded", None)
        body = self.body if fold is None else fold()
        if body is self.body:
            return self
        twin = copy.copy(self)
        twin._modules = {**self._modules, "body": body}
        return twin.eval()

    def in_image_axes(self, features: torch.Tensor, images: int) -> torch.Tensor:
        """Return the features of a module below ``body`` with the axes of the images, (N, C, X, Y[, Z]).

        Some architectures compute with other axes than those of the images; see
        `metseg.model.networks.layers.UprightSlices`.

        Args:
            features: output of the module.
            images: N, the number of images.
        """
        convert: Any = getattr(self.body, "in_image_axes", None)
        return features if convert is None else convert(features, images)

    def parameter_count(self, *, trainable_only: bool = False) -> int:
        """Return how many numbers the network holds in its parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not trainable_only)

    def _at_full_resolution(self, logits: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        if tuple(logits.shape[2:]) == tuple(sizes):
            return logits
        mode = _INTERPOLATION[self.dimensions]
        return functional.interpolate(logits, size=tuple(sizes), mode=mode, align_corners=False)

    def _check(self, images: torch.Tensor) -> None:
        letters = "(N, C, X, Y)" if self.dimensions == 2 else "(N, C, X, Y, Z)"
        if images.ndim != self.dimensions + 2 or 0 in images.shape[2:]:
            raise InputError(
                f"wrong array shape for a {self.dimensions}D network",
                expected=letters,
                got=tuple(images.shape),
                cure="give single slices to 2D networks and volumes to 3D networks, without empty axes",
                code="input.shape",
            )
        if images.shape[1] != self.in_channels:
            raise InputError(
                "wrong number of channels",
                expected=self.in_channels,
                got=images.shape[1],
                cure="give the sequences that the model was trained on (data.modalities of its recipe), in that order",
                code="input.channels",
            )


def padded_sizes(sizes: Sequence[int], divisor: int | Sequence[int]) -> tuple[int, ...]:
    """Return the smallest multiples of ``divisor`` that hold ``sizes`` and leave two positions on the coarsest grid.

    With a single position there, normalisation would divide zero by zero (instance) or be refused (batch).

    >>> padded_sizes((97, 131), 16)
    (112, 144)
    >>> padded_sizes((16, 9), 16)
    (32, 16)
    >>> padded_sizes((30, 30, 3), (16, 16, 4))
    (32, 32, 4)
    """
    divisors = _per_axis(divisor, len(sizes))
    padded = [-(-size // multiple) * multiple for size, multiple in zip(sizes, divisors, strict=True)]
    if all(size == multiple for size, multiple in zip(padded, divisors, strict=True)):
        padded[divisors.index(min(divisors))] *= 2  # the axis where it costs least
    return tuple(padded)


def _per_axis(divisor: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (divisor,) * axes if isinstance(divisor, int) else tuple(divisor)


def pad_far_end(images: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return images (N, C, ...) grown to ``sizes`` by repeating the last row, column and plane."""
    missing = [wanted - size for wanted, size in zip(sizes, images.shape[2:], strict=True)]
    if not any(missing):
        return images
    # torch counts the axes of a padding from the last one, each with (before, after).
    return functional.pad(images, [side for after in reversed(missing) for side in (0, after)], mode="replicate")


def crop_far_end(logits: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return logits (N, K, ...) without what `pad_far_end` added to images of ``sizes``."""
    for axis, size in enumerate(sizes, start=2):
        logits = logits.narrow(axis, 0, size)
    return logits
