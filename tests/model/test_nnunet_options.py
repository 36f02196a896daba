"""Networks whose levels differ by axis, for volumes of thick slices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metseg.errors import UsageError
from metseg.model import build_model

PLANNED = pytest.mark.parametrize(
    ("name", "more"), [("dynunet", {}), ("dynunet", {"residual": True}), ("resenc_unet", {"blocks": (1, 1, 1)})]
)
CHANNELS = (8, 16, 16)
STRIDES = ((1, 1, 1), (2, 2, 1), (2, 2, 2))
KERNELS = ((3, 3, 1), (3, 3, 3), (3, 3, 3))


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


def build(name: str, **options: Any) -> Any:
    return build_model(name, {"channels": CHANNELS, **options}, in_channels=2, out_channels=3, dimensions=3)


@PLANNED
def test_strides_and_kernels_by_axis(name: str, more: dict[str, Any]) -> None:
    network = build(name, strides=STRIDES, kernels=KERNELS, **more)
    assert network.divisor == (4, 4, 2)
    outputs = network.train()(torch.randn(1, 2, 9, 10, 3))
    finest = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    assert finest.shape == (1, 3, 9, 10, 3)
    first = next(value for value in network.parameters() if value.ndim == 5)
    assert first.shape == (8, 2, 3, 3, 1)


@PLANNED
def test_slices_that_no_kernel_and_no_stride_joins_are_seen_one_by_one(name: str, more: dict[str, Any]) -> None:
    flat = {"strides": ((1, 1, 1), (2, 2, 1), (2, 2, 1)), "kernels": ((3, 3, 1),) * 3, "norm": "batch"}
    network = build(name, **flat, **more).eval()
    assert network.divisor == (4, 4, 1)
    volume = torch.randn(1, 2, 8, 8, 3)
    changed = volume.clone()
    changed[..., 0] += 1
    with torch.inference_mode():
        before, after = network(volume), network(changed)
    assert not torch.allclose(before[..., 0], after[..., 0])
    torch.testing.assert_close(after[..., 1:], before[..., 1:])


@PLANNED
def test_halving_everywhere_is_what_the_strides_say_by_default(name: str, more: dict[str, Any]) -> None:
    network = build(name, strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)), kernels=((3, 3, 3),) * 3, **more).eval()
    plain = build(name, **more).eval()
    assert (network.divisor, plain.divisor) == ((4, 4, 4), (4, 4, 4))
    plain.load_state_dict(network.state_dict())
    volume = torch.randn(1, 2, 8, 9, 6)
    with torch.inference_mode():
        torch.testing.assert_close(plain(volume), network(volume))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": STRIDES[:2]}, "2 strides for 3 levels"),
        ({"kernels": (*KERNELS, (3, 3, 3))}, "4 kernels for 3 levels"),
        ({"strides": ((2, 1, 1), (2, 2, 1), (2, 2, 2))}, "the strides of the finest level must be 1"),
        ({"strides": ((1, 1), (2, 2, 1), (2, 2, 2))}, "entries of strides must all have the same number of axes"),
        ({"kernels": ((2, 3, 3),) * 3}, "kernels"),
        ({"strides": ((1, 1), (2, 2), (2, 2))}, "strides and data have different numbers of axes"),
    ],
)
def test_plans_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build("dynunet", **options)
