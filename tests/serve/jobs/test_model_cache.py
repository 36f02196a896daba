"""Models in memory: loaded once, kept as far as number and memory allow, and loaded anew when their bundle changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from metseg.errors import BundleError, UsageError
from metseg.model.bundle import load_bundle, save_bundle
from metseg.serve.jobs.phases import model_cache as models_module
from metseg.serve.jobs.phases.model_cache import Models


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the bundles that are loaded, one for each time."""
    noted: list[str] = []

    def load(folder: Path) -> object:
        noted.append(folder.name)
        return load_bundle(folder)

    monkeypatch.setattr(models_module, "load_bundle", load)
    return noted


def test_a_model_is_loaded_once(home: Path, loads: list[str]) -> None:
    models = Models(kept=2, device="cpu")
    first = models.get("bright-two")
    assert models.get("bright-two") is first
    assert loads == ["bright-two"]
    assert first.name == "bright-two"
    # Convolutions 2 -> 1 and 1 -> 1 of 27 voxels, each with its normalisation of four numbers and a counter of 8 bytes,
    # and one 1 -> 1 of a single voxel with a bias.
    assert first.weights_bytes == 4 * (54 + 4 + 27 + 4 + 2) + 2 * 8


def test_the_one_used_longest_ago_goes(home: Path, loads: list[str]) -> None:
    models = Models(kept=2, device="cpu")
    for name in ("bright-two", "bright-t1c", "bright-two", "bright-pictures"):
        models.get(name)
    assert models.names == ("bright-two", "bright-pictures")
    models.get("bright-two")
    assert loads == ["bright-two", "bright-t1c", "bright-pictures"]


def test_memory_counts_too_and_the_last_one_stays(home: Path) -> None:
    models = Models(kept=5, limit_bytes=300, device="cpu")
    models.get("bright-t1c")  # 272 bytes
    models.get("bright-pictures")  # 128
    assert models.names == ("bright-pictures",)
    models.get("bright-two")  # 380: too many even alone
    assert models.names == ("bright-two",)


def test_a_bundle_that_was_replaced_is_loaded_anew(home: Path, loads: list[str]) -> None:
    models = Models(kept=2, device="cpu")
    before = models.get("bright-two")
    folder = home / "bundles" / "bright-two"
    bundle = load_bundle(folder)
    save_bundle(folder, networks=bundle.networks, recipe=bundle.recipe, card="another", metrics={})
    after = models.get("bright-two")
    assert after.predictor.fingerprint != before.predictor.fingerprint
    assert models.names == ("bright-two",)


def test_what_was_cleared_can_be_had_again(home: Path, loads: list[str]) -> None:
    models = Models(kept=2, device="cpu")
    models.get("bright-two")
    models.clear()
    assert models.names == ()
    models.get("bright-two")
    assert loads == ["bright-two"] * 2


def test_no_such_model_and_a_damaged_one(home: Path) -> None:
    models = Models(kept=2, device="cpu")
    with pytest.raises(UsageError, match="Did you mean 'bright-two'"):
        models.get("bright-tow")
    (home / "bundles" / "bright-two" / "model.safetensors").write_bytes(b"\x80\x04")
    with pytest.raises(BundleError):
        models.get("bright-two")
    assert models.names == ()
