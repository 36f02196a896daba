"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from metseg.recipe import Recipe


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Keep the order of sums, and so every digit, the same as in the processes that the tests start."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe_file(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Callable[..., Path]:
    """Return a function that writes the tiny recipe with changes to a file."""

    def write(*changes: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(make_tiny_recipe(*changes).to_toml(), "utf-8")
        return path

    return write
