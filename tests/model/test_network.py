from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metseg.errors import InputError
from metseg.model.network import SegmentationNetwork, pad_far_end, padded_sizes


class Recorder(nn.Module):
    """Returns what it is given, or a list of it at shrinking sizes, and remembers the shape."""

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        self.levels = levels
        self.seen: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        self.seen = images
        if not self.levels:
            return images
        return [images[:, :, :: 2**level, :: 2**level] for level in range(self.levels)]


@pytest.mark.parametrize("sizes", [(97, 131), (1, 1), (16, 16), (15, 33)])
def test_padding_and_cropping_cancel(sizes: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *sizes)
    network = SegmentationNetwork(Recorder(), in_channels=3, out_channels=3, divisor=16)
    assert torch.equal(network(images), images)
    seen = network.body.seen
    assert all(side % 16 == 0 for side in seen.shape[2:])


@pytest.mark.parametrize("sizes", [(5, 7), (1, 9), (3, 4, 2)])
def test_padding_repeats_the_border_as_numpy_does(sizes: tuple[int, ...]) -> None:
    images = torch.randn(1, 2, *sizes)
    wanted = tuple(side + extra for side, extra in zip(sizes, (3, 9, 4), strict=False))
    grown = [(0, 0), (0, 0), *((0, after - before) for before, after in zip(sizes, wanted, strict=True))]
    np.testing.assert_array_equal(pad_far_end(images, wanted).numpy(), np.pad(images.numpy(), grown, mode="edge"))


@pytest.mark.parametrize(
    ("sizes", "divisor", "expected"),
    [
        ((256, 256), 16, (256, 256)),
        ((257, 1), 16, (272, 16)),
        ((8, 8, 8), 16, (32, 16, 16)),
        ((3, 4), 1, (3, 4)),
        ((100, 97, 9), (16, 32, 4), (112, 128, 12)),
        ((16, 20, 3), (16, 32, 4), (16, 32, 8)),
    ],
)
def test_padded_sizes(sizes: tuple[int, ...], divisor: int | tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert padded_sizes(sizes, divisor) == expected


def test_each_axis_can_have_a_divisor_of_its_own() -> None:
    network = SegmentationNetwork(Recorder(), in_channels=1, out_channels=1, dimensions=3, divisor=(8, 4, 1))
    images = torch.randn(1, 1, 9, 9, 3)
    assert torch.equal(network(images), images)
    assert network.body.seen.shape[2:] == (16, 12, 3)


def test_supervised_levels_all_come_at_the_size_of_the_input() -> None:
    network = SegmentationNetwork(Recorder(levels=3), in_channels=1, out_channels=1, divisor=8)
    images = torch.full((1, 1, 13, 21), 2.5)
    outputs = network(images)
    assert [tuple(output.shape) for output in outputs] == [(1, 1, 13, 21)] * 3
    assert all(torch.equal(output, images) for output in outputs)


def test_counts_parameters() -> None:
    body = nn.Conv2d(3, 5, 3)
    network = SegmentationNetwork(body, in_channels=3, out_channels=5)
    assert network.parameter_count() == 3 * 5 * 9 + 5
    assert body.bias is not None
    body.bias.requires_grad_(False)
    assert network.parameter_count(trainable_only=True) == 3 * 5 * 9


def test_wrong_channels_are_named() -> None:
    network = SegmentationNetwork(Recorder(), in_channels=3, out_channels=1)
    with pytest.raises(InputError) as caught:
        network(torch.zeros(1, 1, 8, 8))
    assert caught.value.code == "input.channels"
    assert caught.value.one_line() == (
        "wrong number of channels (expected 3, got 1); give the sequences that the model was trained on "
        "(data.modalities of its recipe), in that order"
    )


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 8, 8, 8), (1, 3, 0, 8)])
def test_wrong_axes_are_named(shape: tuple[int, ...]) -> None:
    network = SegmentationNetwork(Recorder(), in_channels=3, out_channels=1)
    with pytest.raises(InputError, match=r"expected \(N, C, X, Y\)") as caught:
        network(torch.zeros(shape))
    assert caught.value.code == "input.shape"
