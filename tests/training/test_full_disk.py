"""A disk that is really full, or a limit that is really reached, while a training writes: one line, exit status 5."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from metseg.errors import ResourceError
from metseg.recipe import Recipe
from metseg.training.loop.checkpoint import AtomicCheckpointIO, read_checkpoint

LIMITED = """
import resource, sys
from metseg.cli import main

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return an empty file system of 1 MB, or skip where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_checkpoint_that_does_not_fit_on_the_disk(tiny_disk: Path) -> None:
    good = tiny_disk / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(1000)}, good)
    with pytest.raises(ResourceError, match="the disk is full") as raised:
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(1_000_000)}, tiny_disk / "next.ckpt")
    assert (raised.value.code, raised.value.exit_status) == ("resources.disk", 5)
    assert [path.name for path in tiny_disk.iterdir()] == ["last.ckpt"]
    assert read_checkpoint(good)["weights"].shape == (1000,)


def test_a_training_whose_checkpoints_do_not_fit(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path
) -> None:
    """No file may be larger than 60 kB: pictures and tables of the run are smaller, its checkpoints are not."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_tiny_recipe("model.channels=[16, 32]").to_toml(), "utf-8")
    command = ["train", str(recipe), "--data", str(tiny_slices), "--out", str(tmp_path / "run"), "--device", "cpu"]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, "60000", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 5, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "the file is larger than this disk or a limit of this process allows" in last
    assert "--resume" in last
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))
