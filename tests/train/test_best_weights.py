"""The best weights survive whatever a resumed training does: worse ones never take their place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from metseg.train.callbacks import Best, BestWeights


def validate(callback: BestWeights, epoch: int, dice: float) -> None:
    """Let the callback see a validation of weights that are all ``dice``."""
    trainer = SimpleNamespace(
        callback_metrics={"val_dice": torch.tensor(dice), "val_loss": torch.tensor(1 - dice)}, current_epoch=epoch
    )
    task = SimpleNamespace(state_dict=lambda: {"network.weight": torch.full((3,), dice), "loss.other": torch.ones(1)})
    callback.on_validation_end(trainer, task)


def kept(path: Path) -> float:
    (weights,) = load_file(path).values()
    return round(float(weights[0]), 4)


def rounded(best: Best) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in best)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best.safetensors"


def killed_before_the_checkpoint(path: Path) -> BestWeights:
    """Return the callback of a resumed run: epoch 1 (0.8) was validated, the checkpoint is that of epoch 0 (0.7)."""
    callback = BestWeights(path, None)
    validate(callback, 0, 0.7)
    checkpoint = callback.state_dict()
    validate(callback, 1, 0.8)
    resumed = BestWeights(path, None)
    resumed.load_state_dict(checkpoint)
    return resumed


def test_a_repeated_epoch_that_comes_out_worse_overwrites_nothing(path: Path) -> None:
    resumed = killed_before_the_checkpoint(path)
    validate(resumed, 1, 0.75)  # a budget in minutes: the repeated epoch had another learning rate
    assert kept(path) == 0.8
    assert rounded(resumed.best) == (0.8, 1, 0.2)


def test_a_better_one_does(path: Path) -> None:
    resumed = killed_before_the_checkpoint(path)
    validate(resumed, 2, 0.85)
    assert kept(path) == 0.85
    assert rounded(resumed.best) == (0.85, 2, 0.15)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"half a fi")])
def test_weights_that_are_gone_or_damaged_say_nothing(path: Path, damage: object) -> None:
    callback = BestWeights(path, None)
    validate(callback, 3, 0.7)
    damage(path)  # type: ignore[operator]
    resumed = BestWeights(path, None)
    resumed.load_state_dict(callback.state_dict())
    assert rounded(resumed.best) == (0.7, 3, 0.3)


def test_weights_of_the_checkpoint_itself_are_known_by_it(path: Path) -> None:
    callback = BestWeights(path, None)
    validate(callback, 4, 0.7)
    resumed = BestWeights(path, None)
    resumed.load_state_dict(callback.state_dict())
    assert resumed.state_dict() == callback.state_dict()
