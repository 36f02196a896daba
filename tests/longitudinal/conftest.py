"""Examinations with spheres at known places, without images unless a test asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from metseg.longitudinal.timepoint import Timepoint
from metseg.volume import Volume

#: Centre in mm, and radius in mm.
Sphere = tuple[tuple[float, float, float], float]
Draw = Callable[..., Timepoint]

SHAPE = (80, 80, 60)
START = date(2024, 1, 10)


def spheres_mask(spheres: Sequence[Sphere], shape: tuple[int, int, int] = SHAPE, step: float = 1.0) -> np.ndarray:
    places = np.indices(shape) * step
    mask = np.zeros(shape, np.uint8)
    for centre, radius in spheres:
        mask |= sum((axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True)) <= radius**2
    return mask


@pytest.fixture
def draw() -> Draw:
    """Return a function that draws an examination of spheres, class id 1 of the scheme ``binary``."""

    def examination(*spheres: Sphere, name: str = "", days: int | None = None, step: float = 1.0) -> Timepoint:
        shape = tuple(round(size / step) for size in SHAPE)
        volume = Volume(spheres_mask(spheres, (shape[0], shape[1], shape[2]), step), np.diag([step, step, step, 1.0]))
        day = None if days is None else START + timedelta(days=days)
        return Timepoint(name or f"t{days}-{len(spheres)}-{id(volume)}", volume, "binary", day=day)

    return examination
