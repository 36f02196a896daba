"""Small trees of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes an array as a picture below the test's folder."""

    def save_picture(name: str, pixels: npt.ArrayLike, **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(path, **options)
        return path

    return save_picture


@pytest.fixture
def two_patients(save: Save, tmp_path: Path) -> Path:
    """Return a root with patients a (slices 4 and 15) and b (slice 1); every pixel of slice n of a is n, of b 100."""
    for patient, number, value in (("a", 4, 4), ("a", 15, 15), ("b", 1, 100)):
        picture = np.full((5, 7), value, dtype=np.uint8)
        picture[0, 0] = 255  # not constant
        mask = np.zeros((5, 7), dtype=np.uint8)
        mask[1, 2] = 255 if number == 15 else 0
        save(f"{patient}/{patient}_{number}.png", picture)
        save(f"{patient}/{patient}_{number}_mask.png", mask)
    return tmp_path
