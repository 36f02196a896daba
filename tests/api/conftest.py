"""A model for volumes and a case in memory for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from metseg.recipe import parse_recipe

VOLUME_RECIPE = """
name = "tiny-volumes"
data = { modalities = ["t1c", "t2f"], dimensions = 3 }
preprocess = [{ name = "zscore" }]
model = { name = "unet", channels = [4, 8], blocks = [1, 1] }
loss = { name = "dice_bce" }
train = { patch_size = [16, 16, 16] }
"""


def volume_model(folder: Path, *, sequences: str) -> Path:
    """Return the bundle of an untrained network for volumes of some sequences."""
    import torch

    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    recipe = parse_recipe(VOLUME_RECIPE, where="tiny-volumes", changes=[f"data.modalities={sequences}"])
    torch.manual_seed(0)
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="tiny", metrics={})


@pytest.fixture(scope="session")
def volume_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volume_model(tmp_path_factory.mktemp("volumes") / "two", sequences='["t1c", "t2f"]')


@pytest.fixture(scope="session")
def one_sequence_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volume_model(tmp_path_factory.mktemp("volumes") / "one", sequences='["t1c"]')


@pytest.fixture(scope="session")
def arrays() -> dict[str, npt.NDArray[np.float32]]:
    """Return two images of one head, (20, 18, 16)."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(100, 20, (20, 18, 16)).astype(np.float32) for name in ("t1c", "t2f")}
