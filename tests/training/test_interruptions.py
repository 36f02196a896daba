"""What ends a training early, and what it leaves: Ctrl-C, early stopping, budgets, another trainer."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from metseg.errors import LockedError
from metseg.recipe import Recipe
from metseg.training import run as run_module
from metseg.training.loop.logs import CsvLog
from metseg.training.run import Run, train_run
from metseg.training.run_folder import RunFolder


@pytest.fixture
def train(
    tmp_path: Path, recipe_file: Callable[..., Path], tiny_slices: Path, tiny_cache: Path, run_metseg: Callable
) -> Callable:
    """Return a function that runs ``metseg train`` with changes of the recipe; out is tmp_path / "run"."""

    def run(*changes: str, more: tuple[object, ...] = ()) -> tuple[int, str, str]:
        out = tmp_path / "run"
        paths = ("--data", tiny_slices, "--out", out, "--cache", tiny_cache)
        return run_metseg("train", recipe_file(*changes), *paths, *more)

    return run


def after_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Make something happen once a step has been logged."""
    original, calls = CsvLog.on_train_batch_end, []

    def wrapped(self: CsvLog, *arguments: object) -> None:
        original(self, *arguments)
        calls.append(1)
        if len(calls) == number:
            act()

    monkeypatch.setattr(CsvLog, "on_train_batch_end", wrapped)


def losses(run: Path) -> list[str]:
    return list(pd.read_csv(run / "steps.csv", dtype=str).drop_duplicates("step", keep="last")["loss"])


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Undo what nohup and background jobs do: they have processes ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_with_130_and_the_run_can_be_resumed(
    train: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tiny_recipe: Callable[..., Recipe],
    tiny_slices: Path, tiny_cache: Path,
) -> None:  # fmt: skip
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        after_step(patch, 6, lambda: signal.raise_signal(signal.SIGINT))
        status, out, err = train()
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "metseg: interrupted"
    assert signal.getsignal(signal.SIGINT) is handler  # a notebook can be interrupted again
    assert train(more=("--resume",))[0] == 0
    train_run(make_tiny_recipe(), Run(tiny_slices, tmp_path / "whole", cache=tiny_cache))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_early_stopping_still_holds_after_an_interruption(
    train: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("train.learning_rate=1e-12", "train.max_steps=80", "train.early_stopping=2")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finalize", interrupted)
        assert train(*changes)[0] == 130
    before = len(pd.read_csv(tmp_path / "run" / "steps.csv"))
    assert before < 80
    assert train(*changes, more=("--resume",))[0] == 0
    assert len(pd.read_csv(tmp_path / "run" / "steps.csv")) == before


@pytest.mark.parametrize(
    ("changes", "steps", "epochs"),
    [
        (("train.max_steps=6",), 6, 2),  # ends in the middle of the second epoch
        (("train.max_steps=100", "train.max_epochs=3"), 12, 3),
        (("train.max_steps=6", "train.validate_every=5"), 6, 2),  # the rhythm of validations is not reached
    ],
)
def test_budgets(train: Callable, tmp_path: Path, changes: tuple[str, ...], steps: int, epochs: int) -> None:
    assert train(*changes)[0] == 0
    run = tmp_path / "run"
    assert len(losses(run)) == steps
    validated = pd.read_csv(run / "epochs.csv")
    assert len(validated) == epochs
    assert validated["val_dice"].notna().iloc[-1]  # the last weights were looked at
    assert json.loads((run / "bundle" / "metrics.json").read_text())["steps"] == steps


def test_minutes_go_on_over_interruptions(train: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"s": 0.0}  # a minute takes as long as the test says
    # Not time.monotonic itself: the pipes of the standard library would wait for ever with a clock that stands still.
    monkeypatch.setattr("metseg.training.loop.callbacks.time", SimpleNamespace(monotonic=lambda: clock["s"]))
    original = CsvLog.on_train_batch_end

    def tick(self: CsvLog, *arguments: object) -> None:
        original(self, *arguments)
        clock["s"] += 30

    monkeypatch.setattr(CsvLog, "on_train_batch_end", tick)
    changes = ("train.max_steps=1000", "train.max_minutes=5")
    with monkeypatch.context() as patch:
        after_step(patch, 5, lambda: signal.raise_signal(signal.SIGINT))
        assert train(*changes)[0] == 130
    # Four steps (two minutes) are in the checkpoint; six more fill the five minutes.
    assert train(*changes, more=("--resume",))[0] == 0
    rows = pd.read_csv(tmp_path / "run" / "steps.csv").drop_duplicates("step", keep="last")
    assert len(rows) == 10 + 1  # the budget is looked at before the clock of the step itself is seen
    assert rows["elapsed_s"].tolist() == [30.0 * number for number in range(11)]


def test_the_holder_of_a_run_is_named(train: Callable, tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> None:
    with RunFolder(tmp_path / "run").locked():
        status, out, err = train()
    assert (status, out) == (6, "")
    assert err == (
        f"metseg: {tmp_path / 'run'}: another training is using this run folder (got process {os.getpid()} on "
        f"{socket.gethostname()} since {err.split('since ')[1].split(')')[0]}); wait for it, stop it, or choose "
        "another --out\n"
    )


def test_a_holder_that_died_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "holder.json").write_text('{"pid": 1')  # half a file, too
    with RunFolder(tmp_path).locked():
        assert json.loads((tmp_path / "holder.json").read_text())["pid"] == os.getpid()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), RunFolder(tmp_path).locked():
            pass
    assert not (tmp_path / "holder.json").exists()


def test_a_loss_that_is_no_number_ends_the_training(train: Callable) -> None:
    status, _, err = train("train.learning_rate=1e30", 'train.optimizer="sgd"')
    assert status == 2
    assert "training diverged: the training loss is not finite" in err
    assert "train.learning_rate" in err


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])  # torch cannot even express this step of Adam
def test_a_last_step_that_diverges_is_called_divergence(train: Callable, tmp_path: Path, optimizer: str) -> None:
    """The loss of the only step is a number; the step makes the weights something else."""
    status, _, err = train("train.learning_rate=1e38", f'train.optimizer="{optimizer}"', "train.max_steps=1")
    assert status == 2
    assert "training diverged" in err
    assert "train.learning_rate" in err
    assert not (tmp_path / "run" / "bundle").exists()
