"""Depthwise convolutions: the same results and gradients as torch's own."""

from __future__ import annotations

import copy
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from metseg.model import depthwise_gradients
from metseg.model.onednn_workarounds import use_safe_convolutions

KERNELS_AND_STRIDES = ((3, 1), (3, 2), (5, 1), (5, 2))


def gradients(convolution: nn.Conv2d, images: torch.Tensor) -> list[torch.Tensor]:
    images = images.clone().requires_grad_()
    answer = convolution(images)
    weights_of_sum = torch.linspace(-1, 1, answer.numel()).reshape(answer.shape)
    (answer.float() * weights_of_sum).sum().backward()
    assert images.grad is not None
    assert convolution.weight.grad is not None
    return [answer.detach().float(), images.grad, convolution.weight.grad]


@pytest.mark.parametrize(("kernel", "stride"), KERNELS_AND_STRIDES)
@pytest.mark.parametrize("sides", [(12, 15), (13, 10), (7, 7)])
@pytest.mark.parametrize("bf16", [False, True])
def test_results_and_gradients_are_those_of_torch(
    kernel: int, stride: int, sides: tuple[int, int], bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    usual = nn.Conv2d(6, 6, kernel, stride=stride, groups=6, bias=False)
    quick = use_safe_convolutions(copy.deepcopy(usual))
    images = torch.randn(2, 6, *sides).contiguous(memory_format=torch.channels_last)
    ours = Mock(wraps=depthwise_gradients.convolve_depthwise)
    monkeypatch.setattr("metseg.model.onednn_workarounds.convolve_depthwise", ours)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        expected, got = gradients(usual, images), gradients(quick, images)
    assert ours.called == ((kernel, stride) != (3, 1)), "the slow ones only"
    tolerance = 2e-2 if bf16 else 1e-5
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * expected[-1].abs().max().item())


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(6, 6, 5, bias=False),
        nn.Conv2d(6, 12, 5, groups=6, bias=False),
        nn.Conv2d(6, 6, 5, groups=6),
        nn.Conv2d(6, 6, 5, groups=6, padding=2, bias=False),
        nn.Conv2d(6, 6, 5, groups=6, dilation=2, bias=False),
        nn.Conv2d(6, 6, (5, 3), groups=6, bias=False),
        nn.Conv2d(6, 6, 7, groups=6, stride=2, bias=False),
    ],
)
def test_other_convolutions_are_torchs(convolution: nn.Conv2d) -> None:
    assert not depthwise_gradients.has_quick_gradients(convolution, torch.zeros(1, 6, 20, 20))


def test_predictions_are_torchs() -> None:
    convolution = nn.Conv2d(6, 6, 5, groups=6, bias=False)
    with torch.no_grad():
        assert not depthwise_gradients.has_quick_gradients(convolution, torch.zeros(1, 6, 20, 20))
