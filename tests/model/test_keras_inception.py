"""Keras' ``.h5`` of InceptionV3: the file and the answers are those that tf-keras recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metseg.errors import BundleError, UsageError
from metseg.model import build_model
from metseg.model.networks.inception_v3 import STEM_WEIGHT, InceptionV3, without_classifier
from metseg.model.networks.keras_inception import is_hdf5, read_keras_inception
from metseg.model.pretrained_encoder import fit_channels

h5py = pytest.importorskip("h5py")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "on_data"))
from keras_inception import picture, values  # noqa: E402 (the rule of the record)

#: Our scale that ends with each of the layers that the record compares.
SCALES = {"mixed2": 2, "mixed7": 3, "mixed10": 4}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "tests" / "fixtures" / "keras_inception_v3.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def file(recorded: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the layers, in the order and with the weights that tf-keras wrote."""
    path = tmp_path_factory.mktemp("keras") / "notop.h5"
    with h5py.File(path, "w") as made:
        made.attrs["layer_names"] = [name.encode() for name in recorded["layers"]]
        for name, weights in recorded["layers"].items():
            group = made.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, shape in weights.items():
                kind = weight.rpartition("/")[2].partition(":")[0]
                group.create_dataset(weight, data=values(name, kind, tuple(shape)))
    return path


def test_a_file_of_keras_gives_the_features_of_keras(file: Path, recorded: dict[str, Any]) -> None:
    encoder = InceptionV3(3, padded=False, keras_pooling=True).eval()
    encoder.load_state_dict(fit_channels(without_classifier(read_keras_inception(file)), encoder, stem=STEM_WEIGHT))
    with torch.inference_mode():
        scales = encoder(torch.from_numpy(picture()).permute(0, 3, 1, 2))
    for name, expected in recorded["features"].items():
        got = scales[SCALES[name]][0].permute(1, 2, 0).numpy()
        first = np.array(expected["first"])
        np.testing.assert_allclose(got[:, :, : first.shape[2]], first, atol=1e-4, rtol=1e-4)
        assert got.mean() == pytest.approx(expected["mean"], abs=1e-4)
        assert np.abs(first).max() > 0.1  # not all of it is nothing


def test_torchvisions_pooling_is_another_at_the_border(file: Path, recorded: dict[str, Any]) -> None:
    encoder = InceptionV3(3, padded=False).eval()
    encoder.load_state_dict(fit_channels(without_classifier(read_keras_inception(file)), encoder, stem=STEM_WEIGHT))
    with torch.inference_mode():
        got = encoder(torch.from_numpy(picture()).permute(0, 3, 1, 2))[4]
    assert got.mean().item() != pytest.approx(recorded["features"]["mixed10"]["mean"], abs=1e-4)


def test_a_recipe_names_the_file(file: Path) -> None:
    assert is_hdf5(file)
    options = {"encoder_weights": str(file), "skips": False, "decoder_channels": (8, 8, 8), "keras_pooling": True}
    network = build_model("inception_unet", options, in_channels=1, out_channels=1)
    stem = read_keras_inception(file)["Conv2d_1a_3x3.conv.weight"]
    assert torch.allclose(network.body.encoder.Conv2d_1a_3x3.conv.weight[:, 0], stem.sum(dim=1))


def test_other_files_are_refused(tmp_path: Path) -> None:
    empty, other = tmp_path / "plain.h5", tmp_path / "other.h5"
    h5py.File(empty, "w").close()
    with h5py.File(other, "w") as made:
        made.attrs["layer_names"] = [b"conv2d"]
        made.create_group("conv2d").attrs["weight_names"] = [b"conv2d/kernel:0"]
        made["conv2d"].create_dataset("conv2d/kernel:0", data=np.zeros((3, 3, 1, 4)))
    for path, code in ((empty, "model.invalid"), (other, "model.architecture")):
        with pytest.raises(BundleError) as caught:
            read_keras_inception(path)
        assert caught.value.code == code


def test_without_h5py_the_error_names_the_extra(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match="needs h5py") as caught:
        read_keras_inception(file)
    assert "metseg[keras]" in (caught.value.cure or "")
