"""The bundled sample: a simulated study with its truth, and slices; of no patient, so no data licence holds.

``sample-study`` was made by ``metseg simulate --patients 2 --seed 11 --no-skull --resolution-mm 1.5
--set diameter_median_mm=12 --set lesions_max=5``: the first patient, cropped to the head, in fewer grey values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: A study of four sequences, without the skull.
STUDY: Final = "sample-study"
#: Slices in colour, for models of pictures.
PICTURES: Final = "pictures"
#: Masks of the studies, as ``<study>-seg.nii.gz``, in the labels `TRUTH_LABELS`.
TRUTH: Final = "truth"
TRUTH_LABELS: Final = "brats-met-2023"


def sample_folder(name: str) -> Path:
    """Return the folder of a sample: `STUDY`, `PICTURES` or `TRUTH`."""
    return Path(__file__).parent / name
