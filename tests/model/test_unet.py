from __future__ import annotations

import pytest
import torch
from torch import nn

from metseg.errors import UsageError
from metseg.model import build_model


def test_the_default_has_four_million_parameters_and_a_thin_first_stage() -> None:
    network = build_model("unet", {}, in_channels=3, out_channels=1)
    assert 4.0e6 < network.parameter_count() < 4.6e6
    full_resolution = [module for module in network.body.levels[0].modules() if isinstance(module, nn.Conv2d)]
    assert {module.out_channels for module in full_resolution} == {16}


def test_deep_supervision_gives_every_decoder_level_in_training_only() -> None:
    options = {"channels": (4, 8, 8, 8), "blocks": (1, 1, 1, 1), "deep_supervision": True}
    network = build_model("unet", options, in_channels=1, out_channels=2)
    images = torch.randn(1, 1, 32, 32)
    assert [tuple(level.shape) for level in network.body.train()(images)] == [
        (1, 2, 32, 32),
        (1, 2, 16, 16),
        (1, 2, 8, 8),
    ]
    assert [tuple(level.shape) for level in network.train()(images)] == [(1, 2, 32, 32)] * 3
    assert network.eval()(images).shape == (1, 2, 32, 32)


def test_a_residual_block_with_silent_convolutions_passes_its_input() -> None:
    network = build_model("unet", {"channels": (4, 8), "blocks": (1, 1)}, in_channels=1, out_channels=1)
    block = network.body.levels[0][0].eval()
    nn.init.zeros_(block.second[0].weight)
    features = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(block(features), features)


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d), ("group", nn.GroupNorm)]
)
def test_the_normalisation_is_the_one_asked_for(norm: str, kind: type[nn.Module]) -> None:
    options = {"channels": (16, 24), "blocks": (1, 1), "norm": norm}
    network = build_model("unet", options, in_channels=1, out_channels=1)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm)]
    assert norms
    assert all(isinstance(module, kind) for module in norms)
    assert all(module.weight is not None for module in norms)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    options = {"channels": (4, 8), "blocks": (1, 1), "dropout": 0.5, "norm": "instance"}
    network = build_model("unet", options, in_channels=1, out_channels=1)
    images = torch.randn(1, 1, 16, 16)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))


def test_counts_of_blocks_must_match_levels() -> None:
    with pytest.raises(UsageError, match="2 block counts for 3 levels"):
        build_model("unet", {"channels": (4, 8, 16), "blocks": (1, 1)}, in_channels=1, out_channels=1)
