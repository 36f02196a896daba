"""Brain extraction by deepbet (Fisch et al. 2024, MIT licence), where the extra ``metseg[deepbet]`` is installed.

It was trained on T1 images of healthy adults. Its wheel includes the weights; nothing is downloaded.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from metseg.errors import UsageError
from metseg.volume import Volume

#: What it can work on.
SEQUENCES = ("t1c", "t1n")


def installed_version() -> str:
    """Return the version of deepbet; empty where it is not installed."""
    try:
        return metadata.version("deepbet")
    except metadata.PackageNotFoundError:
        return ""


def run_deepbet(image: Volume, *, on_gpu: bool) -> npt.NDArray[np.bool_]:
    """Return (X, Y, Z) bool: the brain in a T1 image, with or without contrast agent.

    Args:
        image: with an affine.
        on_gpu: use a graphics card where there is one.
    Raises:
        UsageError: deepbet is not installed (``usage.missing_extra``).
    """
    nifti: Any = nibabel.nifti1.Nifti1Image
    try:
        _, mask, _ = _program(on_gpu).run(nifti(np.asarray(image.data, dtype=np.float32), image.affine))
    except (AssertionError, ValueError):  # what its steps raise where it saw no brain
        return np.zeros(image.shape, dtype=np.bool_)
    return np.asarray(mask.dataobj) > 0


@lru_cache(maxsize=1)
def _program(on_gpu: bool) -> Any:
    try:
        from deepbet import BrainExtraction
    except ImportError as error:
        raise UsageError(
            "deepbet is not installed",
            got=error,
            cure="pip install 'metseg[deepbet]', or use the network that comes with metseg",
            code="usage.missing_extra",
        ) from None
    return BrainExtraction(no_gpu=not on_gpu)
