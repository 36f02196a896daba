"""The cache between processes: in parallel, at the same time, and killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import ResourceError
from metseg.io.case_discovery import find_cases
from metseg.preprocess.cache import build_cache

#: Runs in a fresh interpreter. DIE_AT: at which of the moves into place the process is killed.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from metseg.io.case_discovery import find_cases
from metseg.preprocess.cache import build_cache
from metseg.recipe import Recipe

moves, replace = [0], os.replace

def replace_or_die(source, target):
    moves[0] += 1
    if moves[0] == int(os.environ.get("DIE_AT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = replace_or_die
recipe = Recipe.model_validate_json(sys.argv[3])
build_cache(find_cases(sys.argv[1], channels=["t1n", "t2f", "t1c"]), recipe, Path(sys.argv[2]), workers=0)
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four patients of two slices, as colour pictures with masks beside them."""
    root = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for patient in "pqrs":
        (root / patient).mkdir(parents=True)
        for z in range(1, 3):
            Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(
                root / patient / f"{patient}_{z}.png"
            )
            mask = np.zeros((20, 24), np.uint8)
            mask[3:9, 4:8] = 255 * (z - 1)
            Image.fromarray(mask).save(root / patient / f"{patient}_{z}_mask.png")
    return root


@pytest.fixture
def recipe(make_recipe):
    return make_recipe({"name": "clahe"}, {"name": "zscore", "region": "all"}, channels=["t1n", "t2f", "t1c"])


def start(pictures: Path, folder: Path, recipe, **environment: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", SCRIPT, str(pictures), str(folder), recipe.model_dump_json()]
    return subprocess.Popen(arguments, env={**os.environ, **environment}, stderr=subprocess.PIPE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.b2nd")}


def test_parallel_is_the_same_as_alone(pictures, recipe, tmp_path):
    sources = find_cases(pictures, channels=recipe.data.channels)
    alone = build_cache(sources, recipe, tmp_path / "alone", workers=0, quiet=True)
    together = build_cache(sources, recipe, tmp_path / "together", workers=2, quiet=True)
    assert len(together) == 4
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert [e.label_counts for e in together.entries] == [e.label_counts for e in alone.entries]


def test_two_builds_at_once_and_one_killed_before(pictures, recipe, tmp_path):
    folder = tmp_path / "cache"
    killed = start(pictures, folder, recipe, DIE_AT="5")  # the second case's labels: its image is already there
    killed.communicate()
    assert killed.returncode == -9
    assert len(list(folder.glob("*.json"))) == 1
    assert [path for path in folder.iterdir() if path.name.startswith(".q-")], "the killed build left a temporary file"

    both = [start(pictures, folder, recipe) for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    build_cache(find_cases(pictures, channels=recipe.data.channels), recipe, tmp_path / "fresh", workers=0, quiet=True)
    assert contents(folder) == contents(tmp_path / "fresh")
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} <= {".lock"}


def test_a_worker_that_dies_is_lack_of_memory(pictures, recipe, tmp_path, monkeypatch):
    from metseg.preprocess.cache import cache_build

    monkeypatch.setattr(cache_build, "_one_thread", os.abort)
    sources = find_cases(pictures, channels=recipe.data.channels)
    with pytest.raises(ResourceError, match="a preprocessing process died") as caught:
        build_cache(sources, recipe, tmp_path / "cache", workers=2, quiet=True)
    assert caught.value.code == "resources.memory"
    assert len(build_cache(sources, recipe, tmp_path / "cache", workers=0, quiet=True)) == 4


def test_a_plain_script_is_not_run_again_by_every_process(pictures, tmp_path, recipe):
    """Spawned processes import the script that started them: without a guard in it, it would begin anew in each."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; print('begun', flush=True)\n"
        + SCRIPT.replace("workers=0", "workers=2").replace("os.replace = replace_or_die", ""),
        "utf-8",
    )
    arguments = [str(pictures), str(tmp_path / "cache"), recipe.model_dump_json()]
    run = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["begun"]
