from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from metseg.errors import BundleError, UsageError
from metseg.model import build_model
from metseg.model.bundle import load_bundle, save_bundle
from metseg.model.networks.inception_v3 import FEATURE_CHANNELS, STEM_WEIGHT, InceptionV3, without_classifier
from metseg.model.pretrained_encoder import fit_channels
from metseg.recipe import DataPart, Named, Recipe

SCALES = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
THIN = {"decoder_channels": (8, 8, 8, 8, 8)}


@pytest.fixture(scope="module")
def oracle(oracles: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((oracles / "inception_v3.json").read_text())
    return content


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, torch.Tensor]:
    """Weights as the public file has them: with classifier heads and without counters of batches."""
    torch.manual_seed(1)
    weights = {k: v for k, v in InceptionV3(3).state_dict().items() if not k.endswith("num_batches_tracked")}
    return {**weights, "fc.weight": torch.zeros(1000, 2048), "AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1)}


def rule(key: str, shape: list[int]) -> torch.Tensor:
    """Return the weights that the oracle was made with; see its ``weights_rule``."""
    count = int(np.prod(shape, dtype=np.int64))
    i = np.arange(count, dtype=np.float64)
    if key.endswith("running_var"):
        values = 1 + 0.1 * np.cos(i)
    elif key.endswith("running_mean"):
        values = 0.01 * np.sin(i)
    elif key.endswith("bn.weight"):
        values = 1 + 0.05 * np.sin(i)
    elif key.endswith("bn.bias"):
        values = 0.01 * np.cos(i)
    else:
        values = np.sin(1.7 * i + 0.3) * np.sqrt(2 / (count / shape[0]))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


@pytest.mark.real
def test_keys_and_shapes_are_the_public_checkpoints(oracle: dict[str, Any]) -> None:
    ours = {key: list(value.shape) for key, value in InceptionV3(3).state_dict().items()}
    theirs = {k: s for k, s in oracle["state_dict_shapes"].items() if not k.startswith(("AuxLogits.", "fc."))}
    assert ours == theirs


@pytest.mark.real
def test_features_are_torchvisions(oracle: dict[str, Any]) -> None:
    shapes = {k: s for k, s in oracle["state_dict_shapes"].items() if not k.endswith("num_batches_tracked")}
    encoder = InceptionV3(3, padded=False).eval()
    encoder.load_state_dict(
        fit_channels(
            without_classifier({key: rule(key, shape) for key, shape in shapes.items()}), encoder, stem=STEM_WEIGHT
        )
    )
    i = np.arange(3 * 299 * 299, dtype=np.float64)
    images = torch.from_numpy(np.sin(0.01 * i).astype(np.float32).reshape(1, 3, 299, 299))
    with torch.inference_mode():
        features = dict(zip(SCALES, encoder(images), strict=True))
    for name, expected in oracle["features"].items():
        got = features[name]
        assert list(got.shape) == expected["shape"], name
        assert got.mean().item() == pytest.approx(expected["mean"], rel=1e-4)
        assert got.std().item() == pytest.approx(expected["std"], rel=1e-4)
        np.testing.assert_allclose(got.flatten()[:5].numpy(), expected["first"], atol=1e-6, rtol=1e-4)


def test_padded_features_halve_exactly() -> None:
    with torch.inference_mode():
        features = InceptionV3(1).eval()(torch.zeros(1, 1, 64, 96))
    assert [tuple(scale.shape) for scale in features] == [
        (1, width, 64 // 2**level, 96 // 2**level) for level, width in enumerate(FEATURE_CHANNELS, start=1)
    ]


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_grey_picture_in_any_number_of_channels_gives_the_features_of_the_colour_one(
    channels: int, checkpoint: dict[str, torch.Tensor]
) -> None:
    grey = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    colour, other = InceptionV3(3).eval(), InceptionV3(channels).eval()
    colour.load_state_dict(fit_channels(without_classifier(checkpoint), colour, stem=STEM_WEIGHT))
    other.load_state_dict(fit_channels(without_classifier(checkpoint), other, stem=STEM_WEIGHT))
    with torch.inference_mode():
        for mine, reference in zip(
            other(grey.expand(-1, channels, -1, -1)), colour(grey.expand(-1, 3, -1, -1)), strict=True
        ):
            torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_encoder_weights_are_read_from_disk(suffix: str, tmp_path: Path, checkpoint: dict[str, torch.Tensor]) -> None:
    path = tmp_path / f"inception{suffix}"
    safetensors.torch.save_file(checkpoint, path) if suffix == ".safetensors" else torch.save(checkpoint, path)
    network = build_model("inception_unet", {**THIN, "encoder_weights": str(path)}, in_channels=3, out_channels=1)
    for key, value in network.body.encoder.state_dict().items():
        assert torch.equal(value, checkpoint.get(key, torch.tensor(0))), key


def test_a_missing_file_says_where_the_checkpoint_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.pth"
    with pytest.raises(BundleError, match=r"nowhere\.pth: the file of encoder weights does not exist") as caught:
        build_model("inception_unet", {"encoder_weights": str(path)}, in_channels=3, out_channels=1)
    assert "metseg models fetch inception-v3" in (caught.value.cure or "")
    assert caught.value.code == "model.encoder_weights"


class Trap:
    """A pickle that would leave a trace when opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save], ids=["pickle", "torch"])
def test_encoder_weights_with_code_are_refused_unopened(write: Any, tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    write({"fc.weight": Trap(trace)}, path)
    with pytest.raises(BundleError, match="no code was run") as caught:
        build_model("inception_unet", {"encoder_weights": str(path)}, in_channels=3, out_channels=1)
    assert (caught.value.code, caught.value.exit_status) == ("model.pickle", 4)
    assert not trace.exists()


def test_encoder_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(BundleError, match=r"Conv2d_1a_3x3\.conv\.weight missing, .* more") as caught:
        build_model("inception_unet", {"encoder_weights": str(path)}, in_channels=3, out_channels=1)
    assert caught.value.code == "model.architecture"


def test_a_bundle_does_not_need_the_encoder_weights(tmp_path: Path, checkpoint: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "inception.safetensors"
    safetensors.torch.save_file(checkpoint, path)
    options = {**THIN, "encoder_weights": str(path)}
    recipe = Recipe(name="r", data=DataPart(channels=("t2f",)), model=Named(name="inception_unet", options=options))
    network = build_model("inception_unet", options, in_channels=1, out_channels=1)
    path.unlink()
    folder = save_bundle(tmp_path / "bundle", networks=[network], recipe=recipe, card="", metrics={})
    (loaded,) = load_bundle(folder).networks
    stem = "body.encoder.Conv2d_1a_3x3.conv.weight"
    assert torch.equal(loaded.state_dict()[stem][:, 0], checkpoint["Conv2d_1a_3x3.conv.weight"].sum(dim=1))


def test_skips_can_be_left_out() -> None:
    with_skips, plain = (
        build_model("inception_unet", {"skips": skips}, in_channels=1, out_channels=1) for skips in (True, False)
    )

    def decoder_inputs(network: nn.Module) -> list[int]:
        return [block[0][0].in_channels for block in network.get_submodule("body.decoder").children()]

    assert decoder_inputs(plain) == [2048, 256, 128, 64, 32]
    assert decoder_inputs(with_skips) == [2048 + 768, 256 + 288, 128 + 192, 64 + 64, 32]


def test_three_decoder_channels_are_the_plain_decoder_of_the_notebooks() -> None:
    """Convolution 256, up, convolution 128, up, convolution 64, 1x1; the answer is brought to the picture's size."""
    options = {"skips": False, "decoder_channels": (256, 128, 64)}
    network = build_model("inception_unet", options, in_channels=1, out_channels=1).eval()
    decoder = network.get_submodule("body.decoder")
    layers = list(decoder.children())
    assert all(isinstance(layer, nn.Conv2d) for layer in layers)
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(2048, 256), (256, 128), (128, 64)]
    sizes: list[int] = []
    for layer in decoder.children():
        layer.register_forward_hook(lambda _, inputs, output: sizes.append(output.shape[-1]))
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 70, 96)).shape == (1, 1, 70, 96)
    assert sizes == [96 // 32, 96 // 16, 96 // 8]


@pytest.mark.parametrize("changed", [{"decoder_channels": (256, 128, 64)}, {"decoder_channels": (4, 4, 4, 4)}])
def test_other_numbers_of_decoder_channels_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="five channels, or three with skips = false"):
        build_model("inception_unet", changed, in_channels=1, out_channels=1)


def test_the_encoder_sees_slices_upright() -> None:
    torch.manual_seed(0)
    network = build_model("inception_unet", THIN, in_channels=1, out_channels=1).eval()
    seen: list[torch.Tensor] = []
    network.body.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(1, 1, 32, 64)
    with torch.inference_mode():
        assert network(images).shape == images.shape
    assert torch.equal(seen[0][0, 0], images[0, 0].T)
