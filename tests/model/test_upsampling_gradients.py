"""Joins of doubled features and skips: the same results and gradients as torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from metseg.model.networks.layers import UpBlock
from metseg.model.upsampling_gradients import has_quick_join, join_with_doubled


def slices(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("sides", [(3, 3), (5, 8), (12, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_and_gradients_are_those_of_torch(sides: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    features, skip = slices(2, 6, *sides, dtype=dtype), slices(2, 5, *(2 * side for side in sides), dtype=dtype)
    assert has_quick_join(features, skip)
    doubled = functional.interpolate(features, size=skip.shape[2:], mode="bilinear", align_corners=False)
    expected, got = torch.cat([doubled, skip], dim=1), join_with_doubled(features, skip)
    assert torch.equal(got, expected)
    weights_of_sum = torch.linspace(-1, 1, got.numel()).reshape(got.shape)
    gradients = [torch.autograd.grad((joined * weights_of_sum).sum(), (features, skip)) for joined in (got, expected)]
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    for one, other in zip(*gradients, strict=True):
        assert one.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_skip_that_needs_no_gradient_gets_none() -> None:
    features, skip = slices(1, 4, 4, 4), slices(1, 4, 8, 8).detach()
    torch.autograd.backward(join_with_doubled(features, skip).sum())
    assert features.grad is not None
    torch.testing.assert_close(features.grad, torch.full((1, 4, 4, 4), 4.0))


@pytest.mark.parametrize(
    ("features", "skip"),
    [
        (slices(1, 4, 2, 4), slices(1, 4, 4, 8)),
        (slices(1, 4, 4, 4), slices(1, 4, 8, 7)),
        (slices(1, 4, 4, 4), slices(1, 4, 8, 8, dtype=torch.bfloat16)),
        (slices(1, 4, 4, 4), torch.zeros(1, 4, 8, 8)),  # not channels last
        (slices(1, 4, 4, 4).detach(), slices(1, 4, 8, 8).detach()),
        (torch.zeros(1, 4, 4, 4, 4).requires_grad_(), torch.zeros(1, 4, 8, 8, 8)),
    ],
)
def test_other_joins_are_torchs(features: torch.Tensor, skip: torch.Tensor) -> None:
    assert not has_quick_join(features, skip)


def test_a_prediction_and_a_training_agree() -> None:
    block = UpBlock(8, 4, 6, dimensions=2).eval()
    features, skip = slices(2, 8, 4, 6), slices(2, 4, 8, 12)
    trained = block(features, skip)
    assert "_JoinBackward" in names_of_graph(trained.grad_fn)
    with torch.inference_mode():
        torch.testing.assert_close(block(features, skip), trained.detach())


def names_of_graph(function: object) -> set[str]:
    found, waiting = set(), [function]
    while waiting:
        node = waiting.pop()
        if node is not None:
            found.add(type(node).__name__)
            waiting += [before for before, _ in node.next_functions]  # type: ignore[attr-defined]
    return found
