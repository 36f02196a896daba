"""Pictures among the results of a study."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.runtime.atomic_io import write_bytes


def write_png(path: Path, pixels: npt.NDArray[np.generic]) -> None:
    """Write a picture (rows, columns) or (rows, columns, 3) atomically."""
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format="PNG")
    write_bytes(path, encoded.getvalue())
