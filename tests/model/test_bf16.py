"""Convolutions in bfloat16 on this very processor: rounded, and not wrong."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

SIZES = ((17, 20, 5), (8, 10, 4), (4, 4, 2))


@pytest.mark.parametrize("size", SIZES)
def test_strided_convolutions_of_small_volumes(size: tuple[int, int, int]) -> None:
    """With oneDNN's AMX kernels, 8 x 10 x 4 voxels and 32 outputs came out as 1e35 or not a number."""
    torch.manual_seed(0)
    for inputs, outputs, padding in product((1, 2, 4, 16, 32), (3, 16, 32), (0, 1)):
        if min(size) + 2 * padding < 3:
            continue
        convolution = nn.Conv3d(inputs, outputs, 3, stride=2, padding=padding).eval()
        volume = torch.randn(1, inputs, *size)
        with torch.inference_mode():
            plain = convolution(volume)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                half = convolution(volume).float()
        assert (half - plain).abs().max() < 0.05 * plain.abs().max()
