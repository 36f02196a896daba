"""NaN and infinite values of an image file: a few become 0 with a note, more are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metseg.errors import InputError
from metseg.volume import Array

#: Up to this share of NaN and infinite values becomes 0 with a note; more is refused.
MAX_NOT_FINITE = 0.01


def replace_not_finite(samples: Array, *, things: str, where: Path) -> tuple[Array, tuple[str, ...]]:
    """Return the values with 0 in place of NaN and infinity, and notes on it.

    Args:
        samples: any shape; whole numbers are returned unchanged.
        things: ``pixels`` or ``voxels``, for the messages.
        where: the file.
    Raises:
        InputError: ``input.not_finite``, more than `MAX_NOT_FINITE` of the values.
    """
    if samples.dtype.kind != "f":
        return samples, ()
    bad = ~np.isfinite(samples)
    count = int(np.count_nonzero(bad))
    if count == 0:
        return samples, ()
    if count > MAX_NOT_FINITE * samples.size:
        raise InputError(
            f"too many {things} are NaN or infinite",
            where=where,
            expected=f"at most {MAX_NOT_FINITE:.0%}",
            got=f"{count} of {samples.size}",
            cure="check the program that wrote the file",
            code="input.not_finite",
        )
    return np.where(bad, np.float32(0), samples), (f"{count} NaN or infinite {things} of {samples.size} were set to 0",)
