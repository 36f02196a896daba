"""Checkpoints and cached cases of another version, or changed on the disk: an error with a cure, or made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metseg.training.loop.callbacks import Budget
from metseg.training.loop.checkpoint import VERSION, VERSION_KEY, read_checkpoint

Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(tmp_path: Path, recipe_file: Callable[..., Path], tiny_slices: Path, run_metseg: Train) -> Train:
    """Return a function that runs ``metseg train`` for two epochs into tmp_path / "run"."""

    def run(*more: object) -> tuple[int, str, str]:
        paths = ("--data", tiny_slices, "--out", tmp_path / "run", "--cache", tmp_path / "cache")
        return run_metseg("train", recipe_file(), *paths, *more)

    return run


@pytest.fixture
def unfinished(train: Train, tmp_path: Path) -> Path:
    """Return the folder of a run that ended without its bundle, with its newest checkpoint alone."""
    assert train()[0] == 0
    run = tmp_path / "run"
    rmtree(run / "bundle")
    (run / "checkpoints" / "previous.ckpt").unlink()
    return run


def change(path: Path, **changes: object) -> None:
    torch.save({**read_checkpoint(path), **changes}, path)


def without_budget(content: dict) -> dict:
    callbacks = dict(content["callbacks"])
    callbacks["Budget"] = {"older_name": 3}
    return {"callbacks": callbacks}


@pytest.mark.parametrize(
    "changes",
    [
        lambda content: {VERSION_KEY: VERSION + 1},
        lambda content: {"state_dict": {"network.other": torch.zeros(3)}},
        lambda content: {"optimizer_states": [{"state": {}}]},
        without_budget,
    ],
    ids=["version", "network", "optimiser", "callback"],
)
def test_a_checkpoint_of_another_version_is_refused_with_a_cure(
    unfinished: Path, train: Train, changes: Callable[[dict], dict]
) -> None:
    path = unfinished / "checkpoints" / "last.ckpt"
    content = read_checkpoint(path)
    change(path, **changes(content))
    status, _, err = train("--resume")
    assert status == 4, err
    assert "the checkpoint is of another version of metseg, or of another network" in err
    assert "start again in another folder with --out" in err
    assert "Traceback" not in err


def like_0_1_0(run: Path, *, dice: float) -> None:
    """Make checkpoint and best weights of a run such as 0.1.0 wrote them, with a Dice that today none can surpass."""
    path = run / "checkpoints" / "last.ckpt"
    content = read_checkpoint(path)
    del content[VERSION_KEY]
    content["callbacks"]["BestWeights"]["val_dice"] = dice
    content["callbacks"]["EarlyStop"] = {"best": dice, "since_epoch": 0, "epochs": 7}
    content["callbacks"]["Schedule"]["stagnation"] = {"best": dice, "since_epoch": 0, "epochs": 7}
    torch.save(content, path)
    with safe_open(run / "best.safetensors", "pt") as file:
        note = json.loads(file.metadata()["metseg_best"])
    old = {"val_dice": dice, "epoch": note["epoch"], "val_loss": note["val_loss"]}
    weights = load_file(run / "best.safetensors")
    save_file(weights, run / "best.safetensors", {"metseg_best": json.dumps(old)})


def test_a_finished_training_of_0_1_0_becomes_a_bundle(unfinished: Path, train: Train) -> None:
    like_0_1_0(unfinished, dice=1.5)
    status, _, err = train("--resume")
    assert (status, "also counted patients without a lesion" in err) == (0, True)
    assert (unfinished / "bundle").exists()


def test_the_dice_of_0_1_0_is_not_compared_with_that_of_today(unfinished: Path, train: Train) -> None:
    """The budget of two epochs is not spent: another one follows, and its validation decides."""
    like_0_1_0(unfinished, dice=1.5)
    path = unfinished / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["callbacks"]["Budget"]["steps"] = 4
    torch.save(content, path)
    before = (unfinished / "best.safetensors").read_bytes()
    status, _, err = train("--resume")
    assert (status, "also counted patients without a lesion" in err) == (0, True)
    assert json.loads((unfinished / "bundle" / "metrics.json").read_text())["best_epoch"] == 2
    assert (unfinished / "best.safetensors").read_bytes() != before
    callbacks = read_checkpoint(path)["callbacks"]
    assert 0 <= callbacks["BestWeights"]["val_dice"] <= 1


def test_what_counts_stagnation_begins_again_with_a_checkpoint_of_0_1_0(unfinished: Path) -> None:
    like_0_1_0(unfinished, dice=1.5)
    callbacks = read_checkpoint(unfinished / "checkpoints" / "last.ckpt")["callbacks"]
    again = {"best": float("-inf"), "since_epoch": 1, "epochs": 0}
    assert (callbacks["EarlyStop"], callbacks["Schedule"]["stagnation"]) == (again, again)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: no kernel"), ValueError("bad"), KeyError("ours")])
def test_an_error_after_the_checkpoint_was_restored_is_not_blamed_on_it(
    unfinished: Path, train: Train, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Budget, "on_train_start", fail)
    with pytest.raises(type(error)) as raised:
        train("--resume")
    assert raised.value is error


def image_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("*.image.b2nd"))


@pytest.mark.parametrize("place", [0.05, 0.5, 0.95])
def test_a_cached_case_with_changed_bytes_is_made_anew(
    unfinished: Path, train: Train, tmp_path: Path, place: float
) -> None:
    file = image_files(tmp_path)[0]
    before = file.read_bytes()
    content = bytearray(before)
    content[int(place * len(content))] ^= 0xFF
    file.write_bytes(content)
    assert train("--resume")[0] == 0
    assert file.stat().st_size == len(before)
    assert file.read_bytes() == before


def test_entries_of_an_older_version_are_made_anew(unfinished: Path, train: Train, tmp_path: Path) -> None:
    files = sorted((tmp_path / "cache").rglob("*.image.b2nd"))
    for file in files:
        entry = file.with_name(file.name.replace(".image.b2nd", ".json"))
        known = json.loads(entry.read_text())
        del known["checksums"], known["stored_ns"]
        entry.write_text(json.dumps(known))
    assert train("--resume")[0] == 0
    assert all("checksums" in path.read_text() for path in (tmp_path / "cache").glob("*/*.json"))
