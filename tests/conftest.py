"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from metseg.recipe import Recipe, parse_recipe

REAL_DATA = Path(os.environ.get("METSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data, or skip: it is licensed for use beside the project only."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data are absent: no folder {REAL_DATA.name} beside the checkout (set METSEG_TEST_DATA)")
    return REAL_DATA


@pytest.fixture(scope="session")
def oracles(real_data: Path) -> Path:
    """Return the folder of reference values made by other people's programs, or skip."""
    folder = real_data.parent / "oracles"
    if not folder.is_dir():
        pytest.skip("the oracles are absent")
    return folder


@pytest.fixture(scope="session")
def tiny_slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of 8 patients, 4 slices of 24 x 24 colour pixels each, with a bright square as the lesion."""
    root = tmp_path_factory.mktemp("tiny_slices")
    rng = np.random.default_rng(0)
    for patient in range(8):
        folder = root / f"P{patient}"
        folder.mkdir()
        for z in range(4):
            picture = rng.integers(40, 80, (24, 24, 3), dtype=np.uint8)
            mask = np.zeros((24, 24), dtype=np.uint8)
            if z:  # the first slice has no lesion
                row, column = rng.integers(2, 14, 2)
                mask[row : row + 8, column : column + 8] = 255
                picture[mask > 0] += 120
            Image.fromarray(picture).save(folder / f"P{patient}_{z}.png")
            Image.fromarray(mask).save(folder / f"P{patient}_{z}_mask.png")
    return root


TINY_RECIPE = """
name = "tiny"
data = { channels = ["t1n", "t2f", "t1c"] }
preprocess = [{ name = "rescale" }]
split = { test = 0.4, validation = 0.2 }
model = { name = "unet", channels = [4, 8], blocks = [1, 1] }
loss = { name = "dice_bce" }

[train]
batch_size = 4
steps_per_epoch = 4
max_steps = 8
learning_rate = 1e-2
workers = 0
precision = "float32"
"""


@pytest.fixture(scope="session")
def make_tiny_recipe() -> Callable[..., Recipe]:
    """Return a function that makes a recipe for `tiny_slices` that trains in a second, with ``key=value`` changes."""
    return lambda *changes: parse_recipe(TINY_RECIPE, where="tiny", changes=changes)


class Answer(NamedTuple):
    """What a command line run ended with."""

    status: int
    out: str
    err: str


@pytest.fixture
def run_metseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that runs a command line in this process, the way the installed program does."""
    from metseg.cli import main

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["metseg", *map(str, arguments)])
        # What a program sets for its whole process ends with the test.
        monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
        monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
        umask = os.umask(0o022)
        os.umask(umask)
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            os.umask(umask)
        written = capsys.readouterr()
        return Answer(int(end.value.code or 0), written.out, written.err)

    return run


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the prepared cases of `tiny_slices`, so that they are prepared once."""
    return tmp_path_factory.mktemp("tiny_cache")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, make_tiny_recipe: Callable[..., Recipe]) -> Path:
    """Return a bundle for three-channel pictures with an untrained network."""
    import torch

    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    recipe = make_tiny_recipe()
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="tiny", metrics={})
