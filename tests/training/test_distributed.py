"""Several processes train one network as one process would with their batches together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from metseg.errors import UsageError
from metseg.recipe import Recipe
from metseg.training.loop.distributed import Ranks, find_ranks, require_devices
from metseg.training.run import Run, train_run

#: Nothing that looks at the batch as a whole: norm and loss are per picture, and there is no dropout.
CHANGES = (
    "model.norm=instance",
    "loss.batch=false",
    "train.max_steps=12",
    "train.ema_decay=0.9",
    "train.lesion_share=0.5",
    "train.optimizer=sgd",
    "train.learning_rate=0.05",
    "train.schedule=plateau",
    "train.plateau_patience=1",
    'augment=[{ name = "rotate" }, { name = "flip" }, { name = "noise", probability = 0.5 }]',
)

#: Sums over a batch are made in another order by two processes.
TOLERANCE = 1e-5

OF_CLUSTERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OF_CLUSTERS, *(name for name in os.environ if name.startswith("SLURM_"))):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_slices: Path,
    tiny_cache: Path,
    make_tiny_recipe: Callable[..., Recipe],
) -> Path:
    """Return the run of one process with batches of eight."""
    out = tmp_path_factory.mktemp("ranks") / "alone"
    train_run(make_tiny_recipe(*CHANGES, "train.batch_size=8"), Run(tiny_slices, out, cache=tiny_cache))
    return out


def assert_alike(run: Path, other: Path) -> None:
    ours, theirs = pd.read_csv(run / "epochs.csv"), pd.read_csv(other / "epochs.csv")
    columns = ["epoch", "step", "train_loss", "val_loss", "val_dice", "learning_rate"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns], rtol=0, atol=1e-4, check_exact=False)
    weights, expected = load_file(run / "best.safetensors"), load_file(other / "best.safetensors")
    for name, values in expected.items():
        torch.testing.assert_close(weights[name], values, rtol=0, atol=TOLERANCE)


def test_two_processes_equal_one_with_the_doubled_batch(
    tmp_path: Path, tiny_slices: Path, tiny_cache: Path, make_tiny_recipe: Callable[..., Recipe], alone: Path
) -> None:
    recipe = make_tiny_recipe(*CHANGES, "train.batch_size=4")
    bundle = train_run(recipe, Run(tiny_slices, tmp_path / "two", cache=tiny_cache, device="cpu", devices=2))
    assert (bundle / "recipe.toml").exists()
    assert_alike(tmp_path / "two", alone)


def test_a_process_by_itself_does_not_equal_them(
    tmp_path: Path, tiny_slices: Path, tiny_cache: Path, make_tiny_recipe: Callable[..., Recipe], alone: Path
) -> None:
    """The test above could not fail if the batch made no difference."""
    recipe = make_tiny_recipe(*CHANGES, "train.batch_size=4")
    train_run(recipe, Run(tiny_slices, tmp_path / "half", cache=tiny_cache))
    with pytest.raises(AssertionError):
        assert_alike(tmp_path / "half", alone)


def test_under_torchrun(
    tmp_path: Path, tiny_slices: Path, tiny_cache: Path, make_tiny_recipe: Callable[..., Recipe], alone: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_tiny_recipe(*CHANGES, "train.batch_size=4").to_toml(), "utf-8")
    command = [sys.executable, "-m", "metseg", "train", recipe, "--data", tiny_slices, "--out", tmp_path / "run"]
    command += ["--cache", tiny_cache, "--device", "cpu", "--devices", "2"]
    told = under_torchrun(command)
    assert f"bundle: {tmp_path / 'run' / 'bundle'}" in told[0].splitlines()
    assert told[1] == ""
    assert_alike(tmp_path / "run", alone)
    # Nobody waits for a leader who has nothing to do.
    assert under_torchrun([*command, "--resume"]) == told


def under_torchrun(command: Sequence[object]) -> list[str]:
    """Run two processes with the environment that torchrun gives them; return what each prints."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    given = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        subprocess.Popen(
            [*map(str, command)],
            env={**os.environ, **given, "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return told


def test_one_process_needs_nobody() -> None:
    assert find_ranks(1, 1) == Ranks()
    assert find_ranks(1, 1).leads


def test_torchrun_must_have_started_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "3", "RANK": "1", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="the number of processes") as caught:
        find_ranks(2, 1)
    assert caught.value.got == "3 processes"
    with pytest.raises(UsageError, match="the number of processes"):
        find_ranks(1, 1)  # else three trainings would write into one folder


def test_under_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {"NTASKS": "4", "PROCID": "3", "LOCALID": "1", "NODEID": "1", "NODELIST": "gpu[07-08]", "JOB_ID": "991234"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    ranks = find_ranks(2, 2)
    assert (ranks.rank, ranks.node, ranks.local, ranks.leads) == (3, 1, 1, False)
    assert (ranks.address, ranks.port, ranks.started_outside) == ("gpu07", 16234, True)
    assert find_ranks(1, 1) == Ranks()  # one process of its own, as in a job array


def test_machines_started_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="several machines"):
        find_ranks(2, 2)
    for name, value in {"NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4711"}.items():
        monkeypatch.setenv(name, value)
    assert find_ranks(2, 2) == Ranks(2, 2, rank=2, address="10.0.0.1", port=4711)


def test_devices_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="too many devices"):
        require_devices(torch.device("cpu"), 4096)
    with pytest.raises(UsageError, match="too many devices"):
        require_devices(torch.device("cuda", 1), 2)
    with pytest.raises(UsageError, match="no device to train on"):
        find_ranks(0, 1)
