"""Convolutions on this very processor, against torch's own in float64: rounded, and not wrong, both ways."""

from __future__ import annotations

import copy
import pickle
import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metseg.model import MODELS, build_model
from metseg.model import onednn_workarounds as careful
from metseg.model.networks import layers
from metseg.model.networks.layers import CONVOLUTION, UpsampledConv2d, UpsampledConv3d, double
from metseg.model.onednn_workarounds import use_safe_convolutions

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}

#: What came out wrong: the kind of convolution, its arguments, and the volume's sides.
FAULTS: list[tuple[type[nn.Module], tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    (nn.Conv3d, (8, 32, 3, 2), {}, (8, 10, 4)),  # AMX: one voxel wide in the end
    (nn.Conv3d, (16, 16, 3, 2, 1), {}, (6, 6, 2)),
    (nn.Conv3d, (3, 16, 3, 1, 1), {}, (1, 6, 6)),
    (nn.Conv2d, (16, 64, 3, 2, 1), {}, (5, 1)),
    (nn.Conv2d, (16, 32, 4, 4), {}, (16, 16)),  # AMX: large strides
    (nn.ConvTranspose3d, (32, 16, 4, 4), {}, (2, 2, 4)),
    (nn.Conv3d, (32, 32, 7, 1, 3), {"groups": 32}, (5, 5, 5)),  # grouped
    (nn.Conv3d, (16, 16, 3, 1, 1), {"groups": 16}, (32, 32, 32)),
    (nn.Conv3d, (1, 1, 3, (1, 1, 2), 1), {}, (3, 6, 1)),  # the kernel reaches beyond both ends
    (nn.Conv3d, (16, 16, 7, 2, 3), {"groups": 16}, (6, 3, 17)),
    (nn.ConvTranspose3d, (1, 16, 7, 2, 3), {}, (3, 1, 17)),
]


def answers(convolution: nn.Module, volume: Tensor, *, half: bool) -> list[Tensor]:
    """Return the answer and its gradients by volume and weights."""
    convolution.zero_grad()
    volume = volume.detach().clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        answer = convolution(volume)
    answer.float().square().sum().backward()
    weights: Any = convolution.weight
    return [tensor.float().clone() for tensor in (answer.detach(), volume.grad, weights.grad)]


def in_layout(convolution: nn.Module, volume: Tensor, *, last: bool) -> tuple[nn.Module, Tensor]:
    """Return both in the layout that convolutions like best, or as they are."""
    if not last:
        return convolution, volume
    layout = LAYOUTS[volume.ndim - 2]
    return convolution.to(memory_format=layout), volume.contiguous(memory_format=layout)  # type: ignore[call-overload]


def require_right(convolution: nn.Module, volume: Tensor, *, last: bool, half: bool) -> None:
    """See that answer and gradients are those of float64, but for the precision."""
    # Nothing below 0: sums that cancel out would be all rounding.
    for weight in convolution.parameters():
        weight.data.abs_()
    exact = answers(convolution.double(), volume.double(), half=False)
    convolution = use_safe_convolutions(convolution.float())
    convolution, volume = in_layout(convolution, volume, last=last)
    told = f"{convolution}, {tuple(volume.shape)}, {last=}, {half=}"
    for ours, theirs in zip(answers(convolution, volume, half=half), exact, strict=True):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm(), told


@pytest.mark.parametrize(
    ("arguments", "options", "size", "calls"),
    [
        ((128, 128, 3, 1, 1), {}, (10, 16, 10), 1),  # 20,480 numbers and the last axis
        ((128, 8, 3, 2, 1), {}, (10, 9, 7), 1),
        ((16, 32, 3, 1, 2), {"dilation": 2, "groups": 4}, (9, 8, 5), 1),
        ((16, 8, 3, 1, "same"), {}, (9, 8, 5), 0),
        ((16, 8, 3, 1, 1), {"padding_mode": "replicate"}, (9, 8, 5), 0),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_small_volumes_go_to_onednn_in_predictions(
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    size: tuple[int, ...],
    calls: int,
    last: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    convolution, volume = nn.Conv3d(*arguments, **options), torch.randn(1, arguments[0], *size)
    expected = convolution(volume)
    asked: list[object] = []
    real = torch.ops.aten.mkldnn_convolution
    monkeypatch.setattr(torch.ops.aten, "mkldnn_convolution", lambda *given: (asked.append(1), real(*given))[1])
    careful = use_safe_convolutions(convolution)
    if last:
        volume = volume.contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        torch.testing.assert_close(careful(volume), expected, rtol=1e-4, atol=1e-4)
    assert len(asked) == calls
    careful(volume)  # with gradients torch's own way
    assert len(asked) == calls


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(("kind", "arguments", "options", "size"), FAULTS)
def test_what_was_wrong_is_right(
    kind: type[nn.Module],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    size: tuple[int, ...],
    last: bool,
    half: bool,
) -> None:
    torch.manual_seed(0)
    require_right(kind(*arguments, **options), torch.rand(2, arguments[0], *size), last=last, half=half)


def drawn(rng: random.Random) -> tuple[nn.Module, tuple[int, ...]] | None:
    """Return any convolution, and the shape of what it is given; None for one that there cannot be."""
    dimensions, transposed, grouped = rng.choice((2, 3)), rng.random() < 0.3, rng.random() < 0.2
    inputs, kernel = rng.choice((1, 3, 4, 8, 16, 24, 32)), rng.choice((1, 2, 3, 3, 3, 5, 7))
    outputs = inputs if grouped else rng.choice((1, 3, 8, 16, 24, 32))
    uneven = tuple(rng.choice((1, 2)) for _ in range(dimensions))
    stride = uneven if rng.random() < 0.3 else rng.choice((1, 2, 2, 3, 4))
    padding, dilation = rng.choice((0, 1, kernel // 2)), rng.choice((1, 1, 1, 2))
    sides = tuple(rng.choice((1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 17)) for _ in range(dimensions))
    if padding >= kernel or (not transposed and min(sides) + 2 * padding < dilation * (kernel - 1) + 1):
        return None
    kinds = (nn.ConvTranspose2d, nn.ConvTranspose3d) if transposed else (nn.Conv2d, nn.Conv3d)
    groups = inputs if grouped else 1
    options = {"stride": stride, "padding": padding, "groups": groups, "dilation": dilation}
    return kinds[dimensions - 2](inputs, outputs, kernel, **options), (rng.choice((1, 2)), inputs, *sides)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_any_convolution_is_right(seed: int, half: bool) -> None:
    torch.manual_seed(seed)
    rng, done = random.Random(seed), 0
    while done < 60:
        found = drawn(rng)
        if found is None or (isinstance(found[0], nn.ConvTranspose2d | nn.ConvTranspose3d) and is_empty(*found)):
            continue
        require_right(found[0], torch.rand(found[1]), last=half, half=half)
        done += 1


def is_empty(convolution: nn.Module, shape: tuple[int, ...]) -> bool:
    """Return whether more is cut off than there is."""
    try:
        return convolution(torch.zeros(shape, device="meta")).numel() == 0
    except RuntimeError:
        return True


@pytest.mark.parametrize(
    ("sides", "precision"), [((8, 8, 5), torch.bfloat16), ((8, 8, 4), torch.float32), ((8, 8, 2), torch.float32)]
)
def test_only_what_is_narrow_gets_more_digits(sides: tuple[int, ...], precision: torch.dtype) -> None:
    convolution = use_safe_convolutions(nn.Conv3d(4, 8, 3, stride=2, padding=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolution(torch.randn(1, 4, *sides)).dtype == precision


def test_without_autocast_the_usual_is_the_same_to_the_bit() -> None:
    convolution, volume = nn.Conv3d(4, 8, 3, stride=2, padding=1), torch.randn(1, 4, 8, 8, 3)
    before = convolution(volume)
    assert torch.equal(use_safe_convolutions(convolution)(volume), before)


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_chosen_precision_is_kept(precision: torch.dtype) -> None:
    convolution = use_safe_convolutions(nn.Conv2d(1, 1, 3, padding=1)).to(precision)
    assert convolution(torch.zeros(1, 1, 2, 2, dtype=precision)).dtype == precision


def test_everything_else_is_as_torch_has_it() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.ConvTranspose2d(2, 1, 2, stride=2))
    names, volume = list(network.state_dict()), torch.rand(1, 1, 8, 8)
    careful = use_safe_convolutions(use_safe_convolutions(network))
    assert list(careful.state_dict()) == names
    for again in (copy.deepcopy(careful), pickle.loads(pickle.dumps(careful))):
        assert torch.equal(again(volume), careful(volume))
    assert careful[1](torch.rand(1, 2, 4, 4), output_size=[9, 9]).shape == (1, 1, 9, 9)
    assert careful[0](input=volume).shape == (1, 2, 8, 8)


@pytest.mark.parametrize("name", MODELS)
def test_every_convolution_of_every_network_is_careful(name: str) -> None:
    for dimensions in MODELS[name].dimensions:
        network = build_model(name, {}, in_channels=1, out_channels=1, dimensions=dimensions, initial_weights=False)
        kinds = {type(module) for module in network.modules() if {"dilation", "groups"} <= vars(module).keys()}
        assert {kind.__module__ for kind in kinds} == {"metseg.model.onednn_workarounds"}


@pytest.mark.parametrize(
    ("kind", "options", "size", "calls"),
    [
        (nn.Conv3d, {"padding": 1}, (20, 18, 17), 1),
        (nn.Conv3d, {"padding": 1, "stride": 2, "bias": False}, (20, 18, 17), 1),
        (nn.Conv2d, {"padding": 1}, (33, 40), 1),
        (nn.Conv3d, {"padding": 1}, (2, 18, 17), 0),  # the kernel reaches beyond both ends
        (nn.Conv3d, {"padding": "same"}, (20, 18, 17), 0),
        (nn.Conv3d, {"padding": 1, "padding_mode": "replicate"}, (20, 18, 17), 0),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("last", "there"), [(True, True), (False, True), (True, False)])
def test_adding_what_a_convolution_answers(
    kind: Any,
    options: dict[str, Any],
    size: tuple[int, ...],
    calls: int,
    batch: int,
    last: bool,
    there: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    convolution, volume = kind(16, 24, 3, **options), torch.randn(batch, 16, *size)
    answer = copy.deepcopy(convolution).double()(volume.double()).float().detach()
    before = torch.randn_like(answer)
    asked: list[object] = []
    real = careful._CONVOLVE_AND_ADD
    if there and real is None:
        pytest.skip("this torch has no convolution that adds")
    counting = SimpleNamespace(binary=lambda *given: (asked.append(1), real.binary(*given))[1])
    monkeypatch.setattr(careful, "_CONVOLVE_AND_ADD", counting if there else None)
    calls = calls if there and last else 0
    convolution = use_safe_convolutions(convolution)
    if last:
        volume, before = (tensor.contiguous(memory_format=LAYOUTS[len(size)]) for tensor in (volume, before))
    with torch.inference_mode():
        total = before.clone()
        added = careful.add_convolved(total, convolution, volume)
        assert added.data_ptr() == total.data_ptr()
        torch.testing.assert_close(added, before + answer, rtol=1e-4, atol=1e-4)
        assert len(asked) == calls
        with torch.autocast("cpu", dtype=torch.bfloat16):  # where it has faults of its own, it is not asked to add
            half = careful.add_convolved(before.clone(), convolution, volume)
        torch.testing.assert_close(half, before + answer, rtol=0.1, atol=0.1)
    with_gradients = careful.add_convolved(before.clone(), convolution, volume)
    assert with_gradients.requires_grad
    assert len(asked) == calls


@pytest.mark.parametrize("sides", [(6, 7), (5, 6, 7)])
@pytest.mark.parametrize("there", [True, False])
def test_biases_of_predictions_are_not_rounded(
    there: bool, sides: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In bfloat16 there is nothing between 256 and 258: with its bias rounded, the convolution answers 0.
    convolution = CONVOLUTION[len(sides)](1, 2, 3, padding=1)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[(slice(None), 0, *(1,) * len(sides))] = -1.0
        convolution.bias.copy_(torch.tensor([256.3, 256.6]))  # type: ignore[union-attr]
    if not there:
        monkeypatch.setattr(careful, "_CONVOLVE", None)
    elif careful._CONVOLVE is None or not careful._HAS_BFLOAT16():
        pytest.skip("oneDNN has no bfloat16 here")
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        answer = use_safe_convolutions(convolution)(torch.full((1, 1, *sides), 256.0))
    assert answer.dtype == torch.bfloat16
    expected = torch.tensor([0.3, 0.6] if there else [0.0, 0.0]).reshape(1, 2, *(1,) * len(sides)).expand_as(answer)
    torch.testing.assert_close(answer.float(), expected, rtol=0.0, atol=0.002)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({"padding": 1}, 1),
        ({"padding": (1, 0, 2), "stride": 2}, 1),
        ({"padding": 2, "dilation": 2}, 1),
        ({"padding": 1, "bias": False}, 0),
        ({"padding": "same"}, 0),
        ({"padding": 1, "padding_mode": "replicate"}, 0),
        ({"padding": 1, "groups": 4}, 0),  # which is wrong in bfloat16
    ],
)
def test_exact_biases_come_with_the_right_convolution(
    options: dict[str, Any], calls: int, batch: int, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if careful._CONVOLVE is None or not careful._HAS_BFLOAT16():
        pytest.skip("oneDNN has no bfloat16 here")
    torch.manual_seed(0)
    asked: list[object] = []
    real = careful._CONVOLVE
    monkeypatch.setattr(careful, "_CONVOLVE", lambda *given: (asked.append(1), real(*given))[1])
    convolution, volume = nn.Conv3d(16, 24, 3, **options), torch.randn(batch, 16, 11, 12, 13).bfloat16().float()
    convolution.weight.data = convolution.weight.data.bfloat16().float()
    exact = copy.deepcopy(convolution).double()(volume.double()).float().detach()
    convolution = use_safe_convolutions(convolution)
    convolution, volume = in_layout(convolution, volume, last=last)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        answer = convolution(volume)
    torch.testing.assert_close(answer.float(), exact, rtol=2**-8, atol=2**-8)
    assert len(asked) == calls
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolution(volume).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(convolution(volume), exact, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert convolution(volume[:0]).shape == (0, *exact.shape[1:])
    assert len(asked) == calls


def doubling(kind: Any, convolution: nn.Module, features: Tensor, skip: Tensor, *, half: bool) -> list[Tensor]:
    """Return the answer of a convolution of doubled features and a skip, and the gradients of inputs and weights."""
    twin = kind(convolution.in_channels, convolution.out_channels, 3, padding=1).to(features.dtype)
    twin.load_state_dict(convolution.state_dict())
    twin = use_safe_convolutions(twin) if features.dtype == torch.float32 else twin
    given = [tensor.detach().clone().requires_grad_() for tensor in (features, skip)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        answer = twin(*given)
    gradients = torch.autograd.grad(answer.float().square().sum(), [*given, *twin.parameters()])
    return [answer.detach().float(), *(gradient.float() for gradient in gradients)]


@pytest.mark.parametrize("kind", [UpsampledConv2d, UpsampledConv3d])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    ("sides", "merged"), [((3, 5, 4), True), ((9, 6, 7), True), ((4, 2, 2), False), ((4, 1, 1), False)]
)
@pytest.mark.parametrize("half", [True, False])
def test_doubled_features_need_not_be_made(
    kind: Any, last: bool, sides: tuple[int, ...], merged: bool, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    axes = 2 if kind is UpsampledConv2d else 3
    convolution = kind(12, 6, 3, padding=1).double()
    if half:  # Nothing below 0: sums that cancel out would be all rounding.
        for weight in convolution.parameters():
            weight.data.abs_()
    features = torch.randn(2, 8, *sides[:axes]).double()
    skip = torch.randn(2, 4, *(2 * side for side in sides[:axes])).double()
    if half:
        features, skip = features.abs(), skip.abs()
    exact = doubling(kind, convolution, features, skip, half=False)
    inputs = [tensor.float() for tensor in (features, skip)]
    if last:
        inputs = [tensor.contiguous(memory_format=LAYOUTS[axes]) for tensor in inputs]
    made: list[int] = []
    monkeypatch.setattr(layers, "double", lambda features: (made.append(1), double(features))[1])
    answered = doubling(kind, convolution.float(), *inputs, half=half)
    assert bool(made) is not merged
    for ours, theirs in zip(answered, exact, strict=True):
        error = (ours - theirs).abs().max() / theirs.abs().max()
        assert error <= (0.02 if half else 1e-5)


def test_other_convolutions_of_doubled_features_are_the_usual_ones() -> None:
    """A kernel that the merged form does not cover is computed as it is written."""
    torch.manual_seed(0)
    convolution = use_safe_convolutions(UpsampledConv2d(4, 4, 5, padding=2, groups=2))
    features, skip = torch.randn(1, 2, 6, 6), torch.randn(1, 2, 12, 12)
    joined = torch.cat([double(features), skip], dim=1)
    expected = nn.functional.conv2d(joined, convolution.weight, convolution.bias, padding=2, groups=2)
    torch.testing.assert_close(convolution(features, skip), expected)
