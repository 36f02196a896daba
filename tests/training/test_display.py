"""What a person sees while a network trains: a line per epoch when piped, a live bar on a terminal."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from metseg.training.loop.display import TrainingDisplay


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def budget() -> SimpleNamespace:
    """Return the budget of a run that was resumed after ten steps and a minute."""
    return SimpleNamespace(steps=10, elapsed_s=60.0, progress=0.25)


def train_a_little(display: TrainingDisplay, budget: SimpleNamespace, **metrics: float) -> None:
    """Take twenty steps in ten seconds, which is half of the budget; the loss falls from 1 to 0 at the second one."""
    # The second batch is three times as large as the first, so that the epoch's loss is 0.25.
    trainer = SimpleNamespace(current_epoch=3, callback_metrics={"train_loss_epoch": 0.25, **metrics})
    display.on_train_start(trainer, None)
    budget.steps, budget.elapsed_s, budget.progress = 30, 70.0, 0.5
    for number, loss in enumerate((1.0, 0.0)):
        display.on_train_batch_end(trainer, None, {"loss": loss}, None, number)
    display.on_train_epoch_end(trainer, None)


def test_a_line_per_epoch_when_piped(budget: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    display = TrainingDisplay(budget, "lgg")
    train_a_little(display, budget, val_dice=0.7)
    # Steps per second since the resumption; 70 s for the first half leave 70 s for the second.
    wanted = "lgg: epoch 3, loss 0.2500, validation Dice 0.700, 2.00 steps/s, 1.2 min left\n"
    assert capsys.readouterr() == ("", wanted)
    display.teardown(None, None, "fit")
    assert capsys.readouterr() == ("", "")


def test_every_epoch_has_a_loss_of_its_own(budget: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    display = TrainingDisplay(budget, "lgg")
    train_a_little(display, budget)
    trainer = SimpleNamespace(current_epoch=4, callback_metrics={"train_loss_epoch": 0.125})
    display.on_train_batch_end(trainer, None, {"loss": 0.125}, None, 0)
    display.on_train_epoch_end(trainer, None)
    assert "epoch 4, loss 0.1250" in capsys.readouterr().err


def test_without_a_validation_no_dice_is_shown(budget: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    train_a_little(TrainingDisplay(budget, "lgg"), budget)
    assert capsys.readouterr().err == "lgg: epoch 3, loss 0.2500, 2.00 steps/s, 1.2 min left\n"


def test_a_live_bar_on_a_terminal(budget: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(sys, "stderr", Terminal())
    display = TrainingDisplay(budget, "lgg")
    train_a_little(display, budget, val_dice=0.7)
    display.teardown(None, None, "fit")
    last = [line for line in sys.stderr.getvalue().splitlines() if "epoch" in line][-1]  # type: ignore[attr-defined]
    assert "lgg  epoch 3, loss 0.5000, 2.00 steps/s, 1.2 min left" in last
    assert "50%" in last
    display.teardown(None, None, "fit")  # Lightning may call it again after an error
