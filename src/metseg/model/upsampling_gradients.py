"""Joining features, bilinearly doubled, with a skip on a CPU, with quick gradients.

torch's own gradients are slow in two places (`benchmarks/efficient_unet.py` measures a network with them):

- that of the upsampling takes 3 times as long as a depthwise convolution of stride 2, which gives the same
  where the border is repeated;
- that of the skip is a part of a larger tensor, and the layers before the skip read such a part slowly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: Sides of the features from which on oneDNN is correct in every precision.
_LEAST_SIDE = 3
#: Weights, times 4, with which a feature is in the four pixels along an axis that see it.
_WEIGHTS = (1.0, 3.0, 3.0, 1.0)


def has_quick_join(features: Tensor, skip: Tensor) -> bool:
    """Return whether `join_with_doubled` can join these, in a training on a CPU with channels last."""
    return (
        features.ndim == 4
        and features.device.type == skip.device.type == "cpu"
        and torch.is_grad_enabled()
        and (features.requires_grad or skip.requires_grad)  # an export of a network is no training
        and features.dtype == skip.dtype
        and min(features.shape[2:]) >= _LEAST_SIDE
        and skip.shape[2:] == tuple(2 * side for side in features.shape[2:])
        and skip.is_contiguous(memory_format=torch.channels_last)
    )


def join_with_doubled(features: Tensor, skip: Tensor) -> Tensor:
    """Return features at twice the size, interpolated bilinearly, before the channels of a skip.

    Args:
        features: (N, C, rows, columns).
        skip: (N, K, 2 rows, 2 columns), of the same precision.
    Returns:
        (N, C + K, 2 rows, 2 columns).
    """
    joined: Tensor = _Join.apply(features, skip)  # type: ignore[no-untyped-call]
    return joined


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, skip: Tensor) -> Tensor:
        ctx.width = features.shape[1]
        doubled = functional.interpolate(features, size=skip.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([doubled, skip], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        of_features, of_skip = ctx.needs_input_grad
        return (
            _gradient_of_features(gradient[:, : ctx.width]) if of_features else None,
            gradient[:, ctx.width :].contiguous(memory_format=torch.channels_last) if of_skip else None,
        )


def _gradient_of_features(gradient: Tensor) -> Tensor:
    along_axis = torch.tensor(_WEIGHTS, dtype=gradient.dtype) / 4
    channels = gradient.shape[1]
    kernel = torch.outer(along_axis, along_axis).expand(channels, 1, -1, -1)
    with torch.autocast("cpu", enabled=False):
        return functional.conv2d(_with_border_repeated(gradient), kernel, stride=2, groups=channels)


def _with_border_repeated(gradient: Tensor) -> Tensor:
    """Return a copy in channels-last layout with one more pixel on each side, like the nearest one.

    torch's own padding by repetition takes several times as long.
    """
    number, channels, rows, columns = gradient.shape
    padded = torch.empty(
        (number, channels, rows + 2, columns + 2), dtype=gradient.dtype, memory_format=torch.channels_last
    )
    padded[:, :, 1:-1, 1:-1] = gradient
    padded[:, :, 0, 1:-1], padded[:, :, -1, 1:-1] = gradient[:, :, 0], gradient[:, :, -1]
    padded[..., 0], padded[..., -1] = padded[..., 1], padded[..., -2]
    return padded
