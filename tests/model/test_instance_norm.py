"""Instance normalisation in predictions: torch's own numbers, in the layout that came in."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from metseg.model.instance_norm import instance_norm, with_quick_instance_norm

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def features(dimensions: int, samples: int) -> torch.Tensor:
    sides = (6, 7, 5)[:dimensions]
    return 3 + 2 * torch.randn(samples, 4, *sides, generator=torch.Generator().manual_seed(0))


def norm(dimensions: int, *, affine: bool) -> nn.Module:
    made = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dimensions](4, affine=affine)
    if affine:
        made.weight.data.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        made.bias.data.copy_(torch.arange(4.0))
    return with_quick_instance_norm(made)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_predictions_have_torchs_numbers_in_their_own_layout(
    dimensions: int, samples: int, affine: bool, last: bool
) -> None:
    quick = norm(dimensions, affine=affine)
    layout = LAYOUTS[dimensions] if last else torch.contiguous_format
    volume = features(dimensions, samples).contiguous(memory_format=layout)
    weight, bias = (quick.weight.double(), quick.bias.double()) if affine else (None, None)
    expected = functional.instance_norm(volume.double(), weight=weight, bias=bias)
    with torch.inference_mode():
        answer = quick(volume)
    torch.testing.assert_close(answer.double(), expected, rtol=1e-5, atol=1e-5)
    assert answer.is_contiguous(memory_format=layout)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        torch.testing.assert_close(quick(volume.bfloat16()).double(), expected, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_window_that_is_mostly_air_loses_no_digits(last: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    volume = torch.full((1, 4, 48, 48, 48), 7.3)
    volume[:, :, :3] += torch.randn(1, 4, 3, 48, 48, generator=generator)
    volume = volume.to(dtype).contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)
    expected = functional.instance_norm(volume.double())
    quick = with_quick_instance_norm(nn.InstanceNorm3d(4))
    with torch.inference_mode():
        answer = quick(volume).double()
    atol = {torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(answer, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("numbers", [1, 200, 2**19])
def test_slabs_of_any_thickness_have_the_same_sums(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metseg.model.instance_norm.SLAB_NUMBERS", numbers)
    volume = features(3, 2)
    torch.testing.assert_close(instance_norm(volume, None, None, 1e-5), functional.instance_norm(volume))


def test_training_is_torchs_own() -> None:
    plain = nn.InstanceNorm3d(4, affine=True)
    quick = with_quick_instance_norm(copy.deepcopy(plain))
    volume = features(3, 2)
    torch.testing.assert_close(quick(volume), plain(volume), rtol=0, atol=0)


def test_running_statistics_are_still_used() -> None:
    plain = nn.InstanceNorm2d(4, track_running_stats=True)
    plain(features(2, 3))
    quick = with_quick_instance_norm(copy.deepcopy(plain)).eval()
    with torch.inference_mode():
        torch.testing.assert_close(quick(features(2, 1)), plain.eval()(features(2, 1)), rtol=0, atol=0)


def test_a_changed_network_can_be_copied_and_sent() -> None:
    network = with_quick_instance_norm(nn.Sequential(nn.InstanceNorm3d(4, affine=True)))
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert type(twin[0]) is type(network[0]) is not nn.InstanceNorm3d
        assert twin.state_dict().keys() == network.state_dict().keys()
