"""The families that stand on MONAI's blocks compute what MONAI's own networks compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNetPlusPlus, DynUNet, SwinUNETR
from torch import nn

from metseg.errors import UsageError
from metseg.model import build_model

PLUS = {"channels": (4, 4, 8, 8, 16)}


def images(*sizes: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(1, channels, *sizes, generator=torch.Generator().manual_seed(0))


def settle(network: nn.Module, batch: torch.Tensor) -> None:
    """Move the running statistics away from their first values, so that evaluation has something to get wrong."""
    network.train()
    with torch.no_grad():
        network(batch)
    network.eval()


def count_convolutions(network: nn.Module, batch: torch.Tensor) -> int:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [module.register_forward_hook(count) for module in convolutions]
    with torch.inference_mode():
        network(batch)
    for hook in hooks:
        hook.remove()
    return calls


def test_attention_unet_is_monais() -> None:
    ours = build_model("attention_unet", {"channels": (4, 8, 16), "merge": "instance"}, in_channels=2, out_channels=3)
    theirs = AttentionUnet(spatial_dims=2, in_channels=2, out_channels=3, channels=(4, 8, 16), strides=(2, 2))
    settle(ours, images(32, 32))
    theirs.load_state_dict(ours.body.state_dict())
    torch.testing.assert_close(ours(images(32, 32)), theirs.eval()(images(32, 32)))


def test_swin_unetr_is_monais() -> None:
    options = {"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}
    ours = build_model("swin_unetr", options, in_channels=2, out_channels=3).eval()
    theirs = SwinUNETR(2, 3, feature_size=12, depths=(1, 1, 1, 1), window_size=4, spatial_dims=2).eval()
    theirs.load_state_dict(ours.body.state_dict())
    torch.testing.assert_close(ours(images(64, 64)), theirs(images(64, 64)))


@pytest.mark.parametrize(("dimensions", "sizes"), [(2, (32, 48)), (3, (16, 16, 16))])
@pytest.mark.parametrize("residual", [False, True])
def test_dynunet_is_monais(dimensions: int, sizes: tuple[int, ...], residual: bool) -> None:
    options = {"channels": (8, 8, 16, 16), "residual": residual}
    ours = build_model("dynunet", options, in_channels=2, out_channels=3, dimensions=dimensions)
    theirs = DynUNet(
        dimensions,
        2,
        3,
        kernel_size=[3] * 4,
        strides=[1, 2, 2, 2],
        upsample_kernel_size=[2, 2, 2],
        filters=(8, 8, 16, 16),
        deep_supervision=True,
        deep_supr_num=2,
        res_block=residual,
    )
    loaded = theirs.load_state_dict(ours.body.state_dict(), strict=False)
    assert all(key.startswith("skip_layers.") for key in loaded.missing_keys)  # MONAI's second registration
    assert loaded.unexpected_keys == []
    batch = images(*sizes)
    torch.testing.assert_close(ours.eval()(batch), theirs.eval()(batch))
    # MONAI stacks the levels, each brought to full size by nearest neighbours; ours bring them there linearly.
    stacked = theirs.train()(batch).unbind(1)
    bare = ours.body.train()(batch)
    torch.testing.assert_close(bare[0], stacked[0])
    for level, theirs_level in zip(bare[1:], stacked[1:], strict=True):
        torch.testing.assert_close(nn.functional.interpolate(level, size=sizes), theirs_level)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "fixed"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    "more", [{"residual": True}, {"dropout": 0.3}, {"strides": ((1, 1, 1), (2, 2, 1), (2, 2, 2), (1, 2, 2))}]
)
def test_dynunet_predicts_what_it_would_say_if_it_joined_its_levels(
    norm: str, last: bool, more: dict[str, Any]
) -> None:
    options = {"channels": (8, 8, 16, 16), "norm": norm, **more}
    torch.manual_seed(0)  # bf16's bound is for these weights: others may sum up to more
    network = build_model("dynunet", options, in_channels=2, out_channels=3, dimensions=3)
    batch = images(19, 22, 9)
    settle(network, batch)
    expected = network(batch).detach()  # with gradients, as MONAI computes it
    if last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        batch = batch.contiguous(memory_format=torch.channels_last_3d)
    folded = network.folded()
    with torch.inference_mode():
        torch.testing.assert_close(network(batch), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(folded(batch), expected, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(network(batch).float(), expected, rtol=0.1, atol=0.1)
            torch.testing.assert_close(folded(batch).float(), expected, rtol=0.1, atol=0.1)


def test_folding_leaves_a_network_as_it_is() -> None:
    network = build_model("dynunet", {"channels": (8, 8, 16), "norm": "batch"}, in_channels=2, out_channels=3).train()
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    folded = network.folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not folded.training
    assert network.training
    assert network.body.training
    now = network.state_dict()
    assert now.keys() == kept.keys()
    assert all(torch.equal(now[key], kept[key]) for key in kept)
    assert not {id(weight) for weight in network.parameters()} & {id(weight) for weight in folded.parameters()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"channels": (4, 8), "blocks": (1, 1)}),
        ("dynunet", {"channels": (8, 8, 16)}),
        ("dynunet", {"channels": (8, 8, 16), "norm": "group"}),
    ],
)
def test_networks_without_anything_to_fold_predict_by_themselves(name: str, options: dict[str, Any]) -> None:
    network = build_model(name, options, in_channels=2, out_channels=3)
    assert network.folded() is network


def test_threads_may_share_a_dynunet() -> None:
    network = build_model("dynunet", {"channels": (8, 8, 16)}, in_channels=2, out_channels=3, dimensions=3).eval()
    batch = images(16, 16, 16)

    def predicted(_: int) -> torch.Tensor:
        with torch.inference_mode():
            return network(batch)

    expected = predicted(0)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(predicted, range(60)):
            torch.testing.assert_close(answer, expected)


def their_plus_plus() -> Any:
    return BasicUNetPlusPlus(
        2, 2, 3, features=(4, 4, 8, 8, 16, 4), deep_supervision=True, act=("relu", {"inplace": True}), norm="batch"
    )


def test_unet_plus_plus_has_monais_heads_the_deepest_first() -> None:
    ours = build_model("unet_plus_plus", PLUS, in_channels=2, out_channels=3)
    theirs = their_plus_plus()
    theirs.load_state_dict(ours.body.blocks.state_dict())
    batch = images(32, 48)
    for mine, reference in zip(ours.train()(batch), reversed(theirs.train()(batch)), strict=True):
        torch.testing.assert_close(mine, reference)


def test_pruned_unet_plus_plus_gives_the_shallower_head_and_computes_less() -> None:
    ours = build_model("unet_plus_plus", PLUS, in_channels=2, out_channels=3)
    batch = images(64, 96)  # at the bottom no side is shorter than a kernel: there ours has more digits than theirs
    settle(ours, batch)
    theirs = their_plus_plus().eval()
    theirs.load_state_dict(ours.body.blocks.state_dict())
    heads = theirs(batch)
    calls = []
    for depth in (1, 2, 3, 4):
        ours.body.inference_depth = depth
        torch.testing.assert_close(ours(batch), heads[depth - 1])
        calls.append(count_convolutions(ours, batch))
    # Depth d: d + 1 encoder nodes of 2 convolutions, d (d + 1) / 2 nested ones of 3 (one transposed), one head.
    assert calls == [2 * (d + 1) + 3 * d * (d + 1) // 2 + 1 for d in (1, 2, 3, 4)]


def test_pruning_can_be_an_option_and_leaves_training_whole() -> None:
    ours = build_model("unet_plus_plus", {**PLUS, "inference_depth": 2}, in_channels=2, out_channels=3)
    assert count_convolutions(ours.eval(), images(32, 32)) == 16
    assert len(ours.train()(images(32, 32))) == 4


def test_pruning_needs_trained_heads() -> None:
    with pytest.raises(UsageError, match="inference_depth below 4 needs deep_supervision"):
        build_model("unet_plus_plus", {"deep_supervision": False, "inference_depth": 2}, in_channels=1, out_channels=1)
    ours = build_model("unet_plus_plus", {**PLUS, "deep_supervision": False}, in_channels=2, out_channels=3)
    assert ours.train()(images(32, 32)).shape == (1, 3, 32, 32)


def test_attention_unet_merges_with_batch_norm_by_default() -> None:
    network = build_model("attention_unet", {"channels": (4, 8, 16)}, in_channels=2, out_channels=3)
    kinds = {type(module).__name__ for module in network.modules()}
    assert "BatchNorm2d" in kinds
    assert not kinds & {"InstanceNorm2d", "PReLU"}
