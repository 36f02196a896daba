"""The plain network, FCN-8s and the U-Net with dropout have the properties their papers give them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metseg.model import build_model
from metseg.model.networks.fcn import _bilinear_doubling
from metseg.model.networks.gated_unet import AttentionGate


def test_the_plain_network_sees_one_pixel_further_per_convolution() -> None:
    torch.manual_seed(0)
    network = build_model("cnn", {"channels": (4, 4, 4)}, in_channels=1, out_channels=1).eval()
    images = torch.randn(1, 1, 21, 21)
    poked = images.clone()
    poked[0, 0, 10, 10] += 10
    with torch.inference_mode():
        changed = (network(poked) != network(images))[0, 0].nonzero()
    assert changed.min(dim=0).values.tolist() == [7, 7]
    assert changed.max(dim=0).values.tolist() == [13, 13]


def test_unet_dropout_is_convolution_relu_normalisation_twice_per_level_and_four_levels_deep() -> None:
    body = build_model("unet_dropout", {"channels": (2, 4, 4, 4, 8)}, in_channels=1, out_channels=1).body
    assert len(body.down) == len(body.up) + 1 == 5
    for block in [*body.down, *body.up]:
        kinds = [nn.Conv2d, nn.ReLU, nn.BatchNorm2d] * 2
        assert all(isinstance(layer, kind) for layer, kind in zip(block, kinds, strict=True))
    assert [type(layer) for layer in body.pool] == [nn.MaxPool2d, nn.Dropout2d]


def test_unet_dropout_drops_in_training_only() -> None:
    torch.manual_seed(0)
    network = build_model("unet_dropout", {"channels": (4, 8, 8), "dropout": 0.5}, in_channels=1, out_channels=1)
    images = torch.randn(2, 1, 16, 16)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))


def test_fcn_doubling_begins_as_bilinear_interpolation() -> None:
    coarse = torch.randn(1, 2, 6, 7, generator=torch.Generator().manual_seed(0))
    reference = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    # The border differs: a transposed convolution sees zeros beyond it.
    torch.testing.assert_close(_bilinear_doubling(2)(coarse)[..., 1:-1, 1:-1], reference[..., 1:-1, 1:-1])


def test_fcn_begins_with_the_coarsest_answer_and_has_vgg16s_convolutions() -> None:
    torch.manual_seed(0)
    network = build_model("fcn", {"width": 4, "classifier_channels": 8}, in_channels=3, out_channels=2).eval()
    body = network.body
    convolutions = [[m for m in stage.modules() if isinstance(m, nn.Conv2d)] for stage in body.stages]
    assert [len(stage) for stage in convolutions] == [2, 2, 3, 3, 3]
    assert [stage[-1].out_channels for stage in convolutions] == [4, 8, 16, 32, 32]
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        features = images
        for stage in body.stages:
            features = stage(features)
        coarse = body.double_16(body.double_32(body.classifier(features)))
        expected = nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(images), expected)
        nn.init.ones_(body.score_8.weight)
        assert not torch.allclose(network(images), expected)


def test_the_printed_unet_drops_after_each_pooling_only_and_skips_what_enters_a_level() -> None:
    options = {"channels": (2, 4, 6, 8, 10), "form": "printed", "dropout": 0.5}
    network = build_model("unet_dropout", options, in_channels=3, out_channels=1)
    # Level l joins the doubled features of level l + 1 with its own input: D(l-1), of level 1 the image.
    assert [block[0].in_channels for block in network.body.up] == [10 + 6, 8 + 4, 6 + 2, 4 + 3]
    assert [block[0].out_channels for block in network.body.up] == [8, 6, 4, 2]
    dropped: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.register_forward_hook(lambda _, inputs, output: dropped.append(output.shape[-1]))
    network.train()(torch.randn(2, 3, 64, 64))
    assert dropped == [32, 16, 8, 4]


def test_the_gated_unet_is_the_table_of_the_notebook() -> None:
    """3 blocks of convolutions and max-pooling 32, 64, 128; bottom of two with 256; gates of 128, 64, 32; no norm."""
    body = build_model("gated_unet", {}, in_channels=2, out_channels=4).body
    widths = [[layer.out_channels for layer in block if isinstance(layer, nn.Conv2d)] for block in body.down]
    assert widths == [[32, 32], [64, 64], [128, 128], [256, 256]]
    assert [gate.of_skip.out_channels for gate in body.gates] == [128, 64, 32]
    assert [[layer.out_channels for layer in block if isinstance(layer, nn.Conv2d)] for block in body.up] == [
        [128, 128],
        [64, 64],
        [32, 32],
    ]
    leaves = [module for module in body.modules() if not list(module.children())]
    assert all(isinstance(leaf, nn.Conv2d | nn.ReLU | nn.MaxPool2d) for leaf in leaves)
    single = build_model("gated_unet", {"convolutions": 1, "norm": "batch"}, in_channels=2, out_channels=4).body
    assert [len([layer for layer in block if isinstance(layer, nn.Conv2d)]) for block in single.down] == [1, 1, 1, 2]
    assert any(isinstance(module, nn.BatchNorm2d) for module in single.modules())


def test_a_gate_weighs_the_skip_between_0_and_1() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(4, 8, dimensions=2)
    skip, below = torch.randn(2, 4, 6, 6), torch.randn(2, 8, 3, 3)
    weights = gate(skip, below)
    assert weights.shape == (2, 1, 6, 6)
    assert 0 < weights.min() < weights.max() < 1
    assert not torch.equal(weights, gate(skip, -below))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_gated_unet_computes_what_its_table_says(dimensions: int, norm: str) -> None:
    """Outputs and gradients equal those of features that are doubled, gated, joined and convolved one by one."""
    torch.manual_seed(0)
    network = build_model(
        "gated_unet", {"channels": (3, 4, 5, 6), "norm": norm}, in_channels=2, out_channels=1, dimensions=dimensions
    ).train()
    images = torch.randn(2, 2, *[32] * dimensions)
    weights = torch.randn(2, 1, *[32] * dimensions)
    body = network.body
    expected = _step_by_step(body, images)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), tuple(body.parameters()))
    answer = network(images)
    gradients = torch.autograd.grad((answer * weights).sum(), tuple(body.parameters()))
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)
    for (name, _), ours, theirs in zip(body.named_parameters(), gradients, expected_gradients, strict=True):
        # Sums over all voxels: relative to the largest gradient of the parameter.
        assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, float(theirs.abs().max())), name


def _step_by_step(body: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits of a gated U-Net by torch's functions, from the weights of its modules."""

    def convolved(features: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        operator = nn.functional.conv2d if images.ndim == 4 else nn.functional.conv3d
        return operator(features, layer.weight, layer.bias, padding=layer.padding)

    def block(features: torch.Tensor, layers: nn.Module) -> torch.Tensor:
        for layer in layers:
            features = convolved(features, layer) if hasattr(layer, "kernel_size") else layer(features)
        return features

    features, skips = block(images, body.down[0]), []
    for layers in list(body.down)[1:]:
        skips.append(features)
        features = block(body.pool(features), layers)
    for gate, layers in zip(body.gates, body.up, strict=True):
        skip = skips.pop()
        features = nn.functional.interpolate(features, scale_factor=2, mode="nearest")
        joined = torch.relu(convolved(skip, gate.of_skip) + convolved(features, gate.of_below))
        share = torch.sigmoid(convolved(joined, gate.psi))
        features = block(torch.cat([features, skip * share], dim=1), layers)
    return convolved(features, body.head)
