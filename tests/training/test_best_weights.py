"""The best weights survive whatever a resumed training does: worse ones never take their place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from metseg.training.loop.callbacks import Best, BestWeights


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


def seen(callback: BestWeights, epoch: int, dice: float, loss: float) -> None:
    """Let the callback see a validation of weights that are all ``epoch``."""
    trainer = SimpleNamespace(
        callback_metrics={"val_dice": torch.tensor(dice), "val_loss": torch.tensor(loss)}, current_epoch=epoch
    )
    callback.on_validation_end(trainer, SimpleNamespace(state_dict=lambda: {"network.w": torch.full((1,), epoch)}))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("validations", "best"),
    [
        ([(0.5, 0.4), (0.5, 0.3), (0.5, 0.35)], 1),  # of equal Dice the lower loss
        ([(0.5, 0.4), (0.4, 0.1)], 0),  # a lower loss alone is not better
        ([(0.5, 0.4), (0.9, NAN)], 0),  # what is not finite decides nothing
        ([(0.5, 0.4), (0.9, INF)], 0),
        ([(0.9, NAN), (0.5, 0.4)], 1),
        ([(NAN, 0.4), (NAN, 0.3), (NAN, 0.5)], 1),  # no patient with a lesion: the loss alone
        ([(0.0, 0.9), (0.0, 0.8)], 1),
    ],
)
def test_which_weights_are_kept(path: Path, validations: list[tuple[float, float]], best: int) -> None:
    callback = BestWeights(path, None)
    for epoch, (dice, loss) in enumerate(validations):
        seen(callback, epoch, dice, loss)
    assert callback.best.epoch == best
    assert kept(path) == best


@pytest.mark.parametrize(("dices", "last"), [([0.9, 0.5, 0.4], 2), ([0.4, 0.9], 1)])
def test_the_last_weights_are_kept_on_request(path: Path, dices: list[float], last: int) -> None:
    callback = BestWeights(path, None, "last")
    for epoch, dice in enumerate(dices):
        seen(callback, epoch, dice, 0.3)
    seen(callback, len(dices), 0.9, NAN)  # what is not finite is never kept
    assert callback.best.epoch == last
    assert kept(path) == last
    resumed = BestWeights(path, None, "last")
    resumed.load_state_dict({**callback.state_dict(), "epoch": 0, "val_dice": 1.0})  # killed before the checkpoint
    assert resumed.best.epoch == last


def test_nothing_finite_keeps_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = BestWeights(path, None)
    seen(callback, 0, 0.9, NAN)
    assert not path.exists()
    assert "the validation loss of epoch 0 is nan: its weights are not kept" in capsys.readouterr().err
