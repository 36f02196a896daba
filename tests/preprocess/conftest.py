"""Small cases and sources that the tests of preprocessing share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.recipe import DataPart, Named, Recipe
from metseg.volume import Case, Volume


@dataclass(frozen=True)
class ArraySource(CaseSource):
    """A case in two files: image.npy (C, X, Y, Z) and labels.npy (X, Y, Z)."""

    has_truth: bool = True

    @property
    def files(self) -> tuple[Path, ...]:
        folder = self.root / self.case_id
        return (folder / "image.npy", folder / "labels.npy") if self.has_truth else (folder / "image.npy",)

    def load(self) -> Case:
        try:
            image = np.load(self.files[0])
        except ValueError:
            raise InputError("not an array", where=self.files[0], code="input.truncated") from None
        labels = Volume(np.load(self.files[1])) if self.has_truth else None
        names = tuple(f"{self.case_id}/{z}" for z in range(image.shape[-1]))
        images = {name: Volume(image[c]) for c, name in enumerate(("t1n", "t2f", "t1c")[: len(image)])}
        return Case(self.case_id, self.patient, images, labels, slice_names=names)


SourceMaker = Callable[..., ArraySource]


@pytest.fixture
def make_source(tmp_path: Path) -> SourceMaker:
    """Return a function that writes a case of noise with one lesion and returns its source."""

    def make(
        case_id: str, *, seed: int = 0, shape: tuple[int, ...] = (2, 20, 24, 4), has_truth: bool = True
    ) -> ArraySource:
        folder = tmp_path / "data" / case_id
        folder.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)
        labels = np.zeros(shape[1:], dtype=np.uint8)
        labels[5:9, 6:10, shape[3] // 2] = 255
        np.save(folder / "image.npy", image)
        np.save(folder / "labels.npy", labels)
        return ArraySource(case_id, f"patient of {case_id}", tmp_path / "data", has_truth=has_truth)

    return make


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """Return a function that makes a recipe of which only data and preprocessing matter."""

    def make(*steps: dict[str, object], **data: object) -> Recipe:
        named = tuple(Named.model_validate(step) for step in steps)
        return Recipe(name="test", data=DataPart.model_validate(data), preprocess=named, model=Named(name="unet"))

    return make


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Case]:
    """Return a function that makes a case of one (X, Y, Z) image or of several (C, X, Y, Z)."""

    def make(image: np.ndarray, labels: np.ndarray | None = None, affine: np.ndarray | None = None) -> Case:
        images = image if image.ndim == 4 else image[None]
        names = ("t1n", "t2f", "t1c", "t2w")[: len(images)]
        volumes = {name: Volume(each, affine) for name, each in zip(names, images, strict=True)}
        return Case("case", "patient", volumes, None if labels is None else Volume(labels, affine))

    return make
