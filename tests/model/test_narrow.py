"""Convolutions in bfloat16 on this very processor: rounded, and not wrong, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from metseg.model.narrow import in_float32_where_narrow

#: The last axis is what matters: it ends one voxel wide in some, as kernel, stride and padding will have it.
SIZES = ((8, 10), (17, 5), (9, 3), (6, 2), (5, 1), (4, 4), (5, 7))

FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def convolutions(dimensions: int, size: tuple[int, ...]) -> Iterator[nn.Module]:
    down, up = (nn.Conv2d, nn.ConvTranspose2d) if dimensions == 2 else (nn.Conv3d, nn.ConvTranspose3d)
    for inputs, outputs, kernel, padding in product((1, 4, 16, 32), (1, 16, 64), (1, 3, 5), (0, 1)):
        if padding < kernel and min(size) + 2 * padding >= kernel:
            yield down(inputs, outputs, kernel, stride=2, padding=padding)
    for inputs, outputs, kernel in product((4, 32), (4, 32), (2, 3)):
        yield up(inputs, outputs, kernel, stride=2, padding=kernel // 3, output_padding=kernel // 3)


def answers(convolution: nn.Module, volume: Tensor, *, half: bool) -> list[Tensor]:
    """Return the answer and its gradients by volume and weights."""
    convolution.zero_grad()
    volume = volume.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        answer = convolution(volume)
    answer.float().square().sum().backward()
    found = [answer.detach(), volume.grad, convolution.weight.grad]
    return [tensor.float().clone() for tensor in found if tensor is not None]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_strided_convolutions_agree_with_float32(dimensions: int, size: tuple[int, ...]) -> None:
    """With AMX, what ends one voxel wide came out as 1e35, not a number, or simply wrong."""
    torch.manual_seed(0)
    size = size if dimensions == 2 else (6, *size)
    for convolution in convolutions(dimensions, size):
        # Nothing below 0: sums that cancel out would be all rounding.
        convolution.weight.data.abs_()
        volume = torch.rand(2, convolution.in_channels, *size)
        plain = answers(convolution, volume, half=False)
        careful = in_float32_where_narrow(convolution).to(memory_format=FORMATS[dimensions])
        half = answers(careful, volume.contiguous(memory_format=FORMATS[dimensions]), half=True)
        for ours, theirs in zip(half, plain, strict=True):
            assert (ours - theirs).norm() <= 0.05 * theirs.norm(), (convolution, volume.shape)


def test_only_what_is_narrow_is_computed_in_float32() -> None:
    convolution = in_float32_where_narrow(nn.Conv3d(4, 8, 3, stride=2, padding=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolution(torch.randn(1, 4, 8, 8, 3)).dtype == torch.bfloat16
        assert convolution(torch.randn(1, 4, 8, 8, 2)).dtype == torch.float32


def test_without_autocast_the_answer_is_the_same_to_the_bit() -> None:
    convolution, volume = nn.Conv3d(4, 8, 3, stride=2, padding=1), torch.randn(1, 4, 8, 8, 2)
    before = convolution(volume)
    assert torch.equal(in_float32_where_narrow(convolution)(volume), before)


def test_weights_keep_their_names() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ConvTranspose2d(2, 1, 2, stride=2))
    names = list(network.state_dict())
    assert list(in_float32_where_narrow(network).state_dict()) == names
