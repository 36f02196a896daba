"""Depthwise convolutions of slices on a CPU with quick gradients.

oneDNN in torch 2.13 computes two of their gradients 5 to 50 times as slowly as the convolution itself: that of the
input where the stride is 2, and that of the weights of 5 x 5 kernels. Both follow from quick ones
(`benchmarks/depthwise_gradients.py` compares them):

- the gradient of the input is a convolution of stride 1, by the mirrored kernel, of the output's gradient with zeros
  between its pixels;
- the gradient of 5 x 5 weights consists of those of four 3 x 3 kernels, each beginning at another corner.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: Sides of the kernels for which this holds.
_SMALL, _LARGE = 3, 5


def has_quick_gradients(convolution: nn.Conv2d, images: Tensor) -> bool:
    """Return whether `convolve_depthwise` computes this convolution, with gradients that oneDNN computes slowly."""
    (kernel, other_kernel), (stride, other_stride) = convolution.kernel_size, convolution.stride
    return (
        images.device.type == "cpu"
        and torch.is_grad_enabled()
        and convolution.groups == convolution.in_channels == convolution.out_channels > 1
        and convolution.bias is None
        and kernel == other_kernel
        and stride == other_stride
        and (kernel, stride) in {(_SMALL, 2), (_LARGE, 1), (_LARGE, 2)}
        and convolution.padding in {(0, 0), "valid"}
        and convolution.dilation == (1, 1)
    )


def convolve_depthwise(images: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Return a depthwise convolution without padding, in the precision that autocast asks for.

    Args:
        images: (N, C, rows, columns), on the CPU.
        weights: (C, 1, k, k), k of 3 or 5.
        stride: 1 or 2, along both axes.
    """
    if torch.is_autocast_enabled("cpu"):
        precision = torch.get_autocast_dtype("cpu")
        images, weights = images.to(precision), weights.to(precision)
    convolved: Tensor = _Depthwise.apply(images, weights, stride)  # type: ignore[no-untyped-call]
    return convolved


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weights: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(images, weights)
        ctx.stride = stride
        return functional.conv2d(images, weights, stride=stride, groups=len(weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weights = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_images, of_weights, _ = ctx.needs_input_grad
        return (
            _gradient_of_images(gradient, images, weights, ctx.stride) if of_images else None,
            _gradient_of_weights(gradient, images, weights, ctx.stride) if of_weights else None,
            None,
        )


def _gradient_of_images(gradient: Tensor, images: Tensor, weights: Tensor, stride: int) -> Tensor:
    if stride == 1:
        of_images: Tensor = _by_onednn(gradient, images, weights, 1, (True, False))[0]
        return of_images
    number, channels, rows, columns = images.shape
    reach = weights.shape[-1] - 1
    spread = torch.empty(
        (number, channels, rows + reach, columns + reach), dtype=gradient.dtype, memory_format=torch.channels_last
    ).zero_()
    rows, columns = gradient.shape[2:]
    spread[:, :, reach : reach + stride * rows : stride, reach : reach + stride * columns : stride] = gradient
    return functional.conv2d(spread, weights.flip(2, 3), groups=channels)


def _gradient_of_weights(gradient: Tensor, images: Tensor, weights: Tensor, stride: int) -> Tensor:
    if weights.shape[-1] == _SMALL:
        of_weights: Tensor = _by_onednn(gradient, images, weights, stride, (False, True))[1]
        return of_weights
    whole = torch.empty_like(weights)
    rows, columns = (stride * (side - 1) + _SMALL for side in gradient.shape[2:])
    corners = (0, _LARGE - _SMALL)
    for row in corners:
        for column in corners:
            seen = images[:, :, row : row + rows, column : column + columns]
            seen = seen.contiguous(memory_format=torch.channels_last)
            small = weights[:, :, row : row + _SMALL, column : column + _SMALL].contiguous()
            part = _by_onednn(gradient, seen, small, stride, (False, True))[1]
            whole[:, :, row : row + _SMALL, column : column + _SMALL] = part
    return whole


def _by_onednn(gradient: Tensor, images: Tensor, weights: Tensor, stride: int, asked: tuple[bool, bool]) -> Any:
    return torch.ops.aten.convolution_backward(
        gradient,
        images,
        weights,
        None,
        [stride, stride],
        [0, 0],  # padding
        [1, 1],  # dilation
        False,  # not transposed
        [0, 0],
        len(weights),
        [*asked, False],
    )
