"""Generators without chance, and small cases in a real cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from metseg.io.case_source import CaseSource
from metseg.preprocess.cache import Cache, build_cache
from metseg.recipe import DataPart, Named, Recipe
from metseg.volume import Case, Volume


class AtHigh:
    """A generator whose every draw is the upper bound, so that a test knows the angle, the factor, the offset."""

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float, size: int | None = None):
        return high if size is None else np.full(size, high)


class AtLow(AtHigh):
    """The same for the lower bound."""

    def uniform(self, low: float, high: float, size: int | None = None):
        return low if size is None else np.full(size, low)


@pytest.fixture
def at_high() -> AtHigh:
    return AtHigh()


@pytest.fixture
def at_low() -> AtLow:
    return AtLow()


@dataclass(frozen=True)
class ArraySource(CaseSource):
    """A case of one sequence and its mask in two .npy files."""

    @property
    def files(self) -> tuple[Path, ...]:
        return self.root / f"{self.case_id}.npy", self.root / f"{self.case_id}_mask.npy"

    def load(self) -> Case:
        image, labels = (np.load(path) for path in self.files)
        names = tuple(f"{self.case_id}/{z}" for z in range(image.shape[2]))
        return Case(self.case_id, self.patient, {"t2f": Volume(image)}, Volume(labels), slice_names=names)


CacheMaker = Callable[..., Cache]


@pytest.fixture
def make_cache(tmp_path: Path) -> CacheMaker:
    """Return a function that caches cases given as (X, Y, Z) image and labels, unprocessed.

    Further arguments are the recipe's data part: ``dimensions=3`` lays the files out for patches.
    """

    def make(cases: dict[str, tuple[np.ndarray, np.ndarray]], **data: object) -> Cache:
        sources = []
        for case_id, (image, mask) in cases.items():
            source = ArraySource(case_id, f"patient of {case_id}", tmp_path)
            np.save(source.files[0], image)
            np.save(source.files[1], mask)
            sources.append(source)
        part = DataPart.model_validate({"channels": ("t2f",), **data})
        recipe = Recipe(name="test", data=part, model=Named(name="unet"))
        return build_cache(sources, recipe, tmp_path / "cache", workers=0, quiet=True)

    return make
