from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from metseg.errors import BundleError, ResourceError, UsageError
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.model.bundle import find_bundle, list_bundles, load_bundle, save_bundle, verify_bundle
from metseg.recipe import DataPart, Named, Recipe

RECIPE = Recipe(
    name="tiny", data=DataPart(channels=("t2f",)), model=Named(name="attention_unet", options={"channels": [2, 4]})
)


def network(seed: int = 0, recipe: Recipe = RECIPE) -> SegmentationNetwork:
    torch.manual_seed(seed)
    return build_from_recipe(recipe)


def save(folder: Path, *networks: SegmentationNetwork, recipe: Recipe = RECIPE, **parts: Any) -> Path:
    metrics = parts.pop("metrics", {"dice": 0.5})
    return save_bundle(
        folder, networks=networks or [network(recipe=recipe)], recipe=recipe, card="# Tiny\n", metrics=metrics, **parts
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def renew_checksums(folder: Path) -> None:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents(folder).items() if name != "sha256"}
    (folder / "sha256").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))


class Trap:
    """A pickle that would leave a trace when opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_everything_comes_back(tmp_path: Path) -> None:
    split = {"train": ["p1", "p2"], "test": ["p3"]}
    folder = save(tmp_path / "tiny", network(1), metrics={"dice": np.float32(0.25), "n": np.int64(3)}, split=split)
    bundle = load_bundle(folder)
    assert bundle.name == "tiny"
    assert bundle.recipe == RECIPE
    assert bundle.card == "# Tiny\n"
    assert bundle.metrics == {"dice": 0.25, "n": 3}
    assert bundle.split == split
    assert not bundle.networks[0].training
    for key, value in network(1).state_dict().items():
        assert torch.equal(bundle.networks[0].state_dict()[key], value)


def test_the_files_are_the_ones_promised(tmp_path: Path) -> None:
    one = save(tmp_path / "one")
    files = {"model.safetensors", "recipe.toml", "card.md", "metrics.json", "reference.json", "sha256"}
    assert set(contents(one)) == files
    assert load_bundle(one).split is None
    folds = [network(seed) for seed in range(11)]
    many = save(tmp_path / "many", *folds)
    assert {f"model_{fold}.safetensors" for fold in range(11)} < set(contents(many))
    for loaded, original in zip(load_bundle(many).networks, folds, strict=True):  # 10 comes after 9, not after 1
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), original.parameters(), strict=True))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_agrees(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny", split={})
    result = subprocess.run(["sha256sum", "--check", "--strict", "sha256"], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": OK") == 6


def test_undefined_metrics_are_null(tmp_path: Path) -> None:
    metrics = {"hd95_mm": float("nan"), "folds": [1.0, float("inf")]}
    folder = save(tmp_path / "tiny", metrics=metrics)
    assert json.loads((folder / "metrics.json").read_text()) == {"hd95_mm": None, "folds": [1.0, None]}


def test_a_state_dict_will_do(tmp_path: Path) -> None:
    save_bundle(tmp_path / "a", networks=[network(3).state_dict()], recipe=RECIPE, card="", metrics={})
    save(tmp_path / "b", network(3))
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_weights_that_do_not_fit_the_recipe_are_not_saved(tmp_path: Path) -> None:
    other = RECIPE.model_copy(update={"model": Named(name="cnn", options={"channels": [2, 2]})})
    with pytest.raises(BundleError, match="the weights belong to another architecture"):
        save_bundle(tmp_path / "x", networks=[network(recipe=other)], recipe=RECIPE, card="", metrics={})
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one network"):
        save_bundle(tmp_path / "x", networks=[], recipe=RECIPE, card="", metrics={})


def test_a_bundle_is_replaced_but_nothing_else(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny", network(0), network(1))
    save(folder, network(2))
    assert len(load_bundle(folder).networks) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    holiday = tmp_path / "photos"
    holiday.mkdir()
    (holiday / "sea.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="is not a bundle, so it is not replaced"):
        save(holiday)
    assert set(contents(holiday)) == {"sea.jpg"}


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "tiny", network(0))
    before = contents(folder)
    written = 0

    def full_after_four(_: int) -> None:
        nonlocal written
        written += 1
        if written > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_after_four)
    with pytest.raises(ResourceError, match=r"tiny: the disk is full; existing files are unchanged") as caught:
        save(folder, network(1), network(2))
    assert (caught.value.code, caught.value.exit_status) == ("resources.disk", 5)
    monkeypatch.undo()
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    load_bundle(folder)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    (folder / "card.md").write_text("# Better\n")
    for check in (verify_bundle, load_bundle):
        with pytest.raises(BundleError, match=r"tiny: card\.md: checksum mismatch") as caught:
            check(folder)
        assert caught.value.code == "model.checksum"
    renew_checksums(folder)
    assert load_bundle(folder).card == "# Better\n"


def test_an_added_or_lost_file_is_noticed(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    (folder / "split.json").write_text("{}")
    (folder / "metrics.json").unlink()
    with pytest.raises(BundleError, match=r"metrics\.json, split\.json: checksum mismatch"):
        verify_bundle(folder)


def test_one_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.safetensors: checksum mismatch"):
        load_bundle(folder)


# Bad input 35
@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))], ids=["torch", "pickle"])
def test_a_pickle_in_place_of_the_weights_is_not_opened(tmp_path: Path, write: Any) -> None:
    folder, trace = save(tmp_path / "tiny"), tmp_path / "trace"
    write(Trap(trace), folder / "model.safetensors")
    with pytest.raises(BundleError, match=r"model\.safetensors: the file is a pickle.*it was not loaded") as caught:
        load_bundle(folder)
    assert (caught.value.code, caught.value.exit_status) == ("model.pickle", 4)
    assert not trace.exists()


def test_a_pickle_as_a_model_is_refused(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "model.pth"
    torch.save(Trap(trace), path)
    with pytest.raises(BundleError, match=r"model\.pth: not a model bundle.*metseg never opens pickles") as caught:
        load_bundle(path)
    assert (caught.value.code, caught.value.exit_status) == ("model.pickle", 4)
    folder = save(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    shutil.copy(path, folder / "model.pth")
    with pytest.raises(BundleError, match=r"the bundle has no weights \(expected model\.safetensors, got .*model\.pth"):
        load_bundle(folder)
    assert not trace.exists()


# Bad input 36
def test_weights_of_another_architecture_name_the_first_five_keys_that_differ(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    wider = RECIPE.model_copy(update={"model": Named(name="attention_unet", options={"channels": [3, 4]})})
    safetensors.torch.save_file(network(recipe=wider).state_dict(), folder / "model.safetensors")
    renew_checksums(folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert (caught.value.code, caught.value.exit_status) == ("model.architecture", 4)
    message = caught.value.one_line()
    assert (
        "model.safetensors: the weights belong to another architecture (expected attention_unet, got body.model.0"
        in message
    )
    assert message.count(" of shape ") == 5
    assert "body.model.0.conv.0.conv.weight of shape (3, 1, 3, 3) instead of (2, 1, 3, 3)" in message


# Bad input 37
def test_truncated_weights_are_called_truncated(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"model\.safetensors: the file is truncated") as caught:
        load_bundle(folder)
    assert (caught.value.code, caught.value.exit_status) == ("model.truncated", 4)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("recipe.toml", "name = ", "the bundle's recipe is damaged.*not valid TOML"),
        (
            "recipe.toml",
            'name = "a"\n[model]\nname = "vnet"\n[data]\nchannels = ["t2f"]',
            "cannot build the recipe's network 'vnet': Unknown",
        ),
        ("metrics.json", "{", r"metrics\.json: not valid JSON"),
        ("metrics.json", "[]", r"metrics\.json: not a JSON object"),
    ],
)
def test_damaged_texts_are_bundle_errors(tmp_path: Path, name: str, text: str, match: str) -> None:
    folder = save(tmp_path / "tiny")
    (folder / name).write_text(text)
    renew_checksums(folder)
    with pytest.raises(BundleError, match=match):
        load_bundle(folder)


def test_bundles_are_found_by_name_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path))
    save(tmp_path / "bundles" / "zebra-tiny")
    (tmp_path / "bundles" / "not-one").mkdir()
    assert find_bundle("zebra-tiny") == tmp_path / "bundles" / "zebra-tiny"
    assert list_bundles()["zebra-tiny"] == tmp_path / "bundles" / "zebra-tiny"
    assert "not-one" not in list_bundles()
    assert load_bundle("zebra-tiny").recipe == RECIPE
    with pytest.raises(UsageError, match=r"Unknown bundle 'zebra-tin'\. Did you mean 'zebra-tiny'\?"):
        find_bundle("zebra-tin")


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_path_that_holds_no_bundle_is_refused(tmp_path: Path, as_folder: bool) -> None:
    path = tmp_path / "thing"
    path.mkdir() if as_folder else path.write_text("")
    with pytest.raises(BundleError, match="not a model bundle"):
        find_bundle(path)
    with pytest.raises(BundleError, match="no such folder"):
        find_bundle(tmp_path / "nowhere" / "tiny")


def test_the_folder_of_a_training_stands_for_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = save(tmp_path / "runs" / "one" / "bundle")
    (tmp_path / "runs" / "one" / "recipe.toml").write_text("the recipe of the training")
    assert find_bundle(tmp_path / "runs" / "one") == bundle
    monkeypatch.chdir(tmp_path / "runs")
    assert load_bundle("one").recipe == RECIPE


def test_a_training_that_has_not_ended_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "run.json").write_text('{"state": "begun"}')
    with pytest.raises(BundleError, match=r"the training in this folder has not ended.*with --resume") as caught:
        find_bundle(tmp_path)
    assert caught.value.code == "model.unfinished"


@pytest.mark.parametrize("places", [("unet/run", "plus/run"), ("unet/fold0", "unet/fold1"), ("one", "two")])
def test_a_folder_of_several_trainings_is_refused_with_their_names(tmp_path: Path, places: tuple[str, ...]) -> None:
    for place in places:
        save(tmp_path / place / "bundle")
    with pytest.raises(BundleError, match="a folder of several trainings") as caught:
        find_bundle(tmp_path)
    assert caught.value.code == "model.several"
    assert all(str(tmp_path / place) in caught.value.one_line() for place in places)
