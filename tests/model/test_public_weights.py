"""Public weights: fetched from a server on loopback or a file, checked, and named by a recipe."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from metseg.errors import BundleError, UsageError
from metseg.model import build_model, releases
from metseg.model.networks.inception_v3 import InceptionV3
from metseg.model.public_weights import fetch_weights, installed_weights
from metseg.model.releases import PublicWeights
from metseg.recipe import load_recipe
from metseg.training.model_card import about_model

Run = Callable[..., tuple[int, str, str]]
CONTENT = b"weights of others" * 1000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def address(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a server that has one file, named in the table by the first digits of its checksum."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/others-1.pth"
    known = PublicWeights(url, "sha256", hashlib.sha256(CONTENT).hexdigest()[:8], None, "made up")
    monkeypatch.setattr(releases, "PUBLIC_WEIGHTS", {"others": known})
    yield url
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_checked_and_found_by_name(address: str, home: Path, run_metseg: Run) -> None:
    assert installed_weights("others") is None
    ran = run_metseg("models", "fetch", "others", "--json")
    document = json.loads(ran[1])
    assert document == {"name": "others", "file": str(home / "weights" / "others-1.pth"), "licence": "made up"}
    assert installed_weights("others") == home / "weights" / "others-1.pth"
    assert (home / "weights" / "others-1.pth").read_bytes() == CONTENT
    assert not list((home / "weights").glob("*.part"))


def test_a_file_is_taken_offline_and_a_wrong_one_refused(address: str, home: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT + b"!")
    with pytest.raises(BundleError, match="not the released one") as caught:
        fetch_weights("others", file=bad)
    assert caught.value.code == "model.checksum"
    assert installed_weights("others") is None
    with pytest.raises(BundleError, match="no such file"):
        fetch_weights("others", file=tmp_path / "none.pth")
    assert fetch_weights("others", file=good).read_bytes() == CONTENT
    with pytest.raises(UsageError, match="others"):
        fetch_weights("othres")


def test_the_published_files_are_in_the_table() -> None:
    torchs, keras = (releases.PUBLIC_WEIGHTS[name] for name in ("inception-v3", "inception-v3-keras"))
    assert torchs.digest in torchs.file == "inception_v3_google-0cc3c7bd.pth"  # the zoo's own convention
    assert (keras.algorithm, len(keras.digest)) == ("md5", 32)
    assert keras.file.endswith("_notop.h5")


def test_a_recipe_names_fetched_weights(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = InceptionV3(3).state_dict()
    path = tmp_path / "x.pth"
    torch.save(encoder, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = PublicWeights("http://nowhere/x.pth", "sha256", digest, path.stat().st_size, "made up")
    monkeypatch.setattr(releases, "PUBLIC_WEIGHTS", {"inception-v3": known})
    options = {"encoder_weights": "inception-v3", "skips": False, "decoder_channels": (4, 4, 4)}
    with pytest.raises(BundleError, match="encoder weights does not exist"):
        build_model("inception_unet", options, in_channels=3, out_channels=1)
    fetch_weights("inception-v3", file=path)
    network = build_model("inception_unet", options, in_channels=3, out_channels=1)
    name = "Conv2d_1a_3x3.conv.weight"
    assert torch.equal(network.body.encoder.state_dict()[name], encoder[name])


def test_cards_say_where_an_encoder_began() -> None:
    recipe = load_recipe("framework-inception")
    assert "encoder from random weights" in "\n".join(about_model(recipe, parameters=1))
    begun = load_recipe("framework-inception", ["model.encoder_weights=inception-v3"])
    assert "encoder from weights of inception-v3" in "\n".join(about_model(begun, parameters=1))
    assert "encoder" not in "\n".join(about_model(load_recipe("framework-attention-unet"), parameters=1))
