"""Studies made of pictures: one slice at a time, as PNG files of the service."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from metseg.schemas import Study
from metseg.ui.api_client import Unexpected
from metseg.ui.viewer.scene import Mask, stored_threshold


@dataclass(frozen=True)
class Slice:
    """One picture and what was found in it.

    Args:
        picture: (rows, columns, 3) as people saw it.
        labels: (rows, columns); not 0 is lesion.
        probability: (rows, columns) 0 to 65535.
        instances: (rows, columns) id of the lesion at each pixel; 0: background.
    """

    picture: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    probability: npt.NDArray[np.uint16]
    instances: npt.NDArray[np.uint16]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.labels.shape
        return rows, columns

    def lesion_at(self, row: int, column: int) -> int | None:
        """Return the id of the lesion at a pixel; None: there is none."""
        return int(self.instances[row, column]) or None

    def mask(self, threshold: float | None) -> Mask:
        """Return where lesion is: at a threshold of the probability, or, with None, as the service decided."""
        if threshold is None:
            return np.asarray(self.labels > 0)
        return np.asarray(self.probability >= stored_threshold(threshold))


def make_slice(picture: bytes, labels: bytes, probability: bytes, instances: bytes | None) -> Slice:
    """Return a slice from the PNG files that the service gives of it.

    Args:
        picture, labels, probability: as `slice_names` has them.
        instances: the id of the lesion at each pixel; None: a study of 0.1.0, of which this is not known.
    Raises:
        Unexpected: one of them is no PNG, or of another size.
    """
    seen = np.asarray(_opened(picture).convert("RGB"), dtype=np.uint8)
    ids, chances = np.asarray(_opened(labels)), np.asarray(_opened(probability))
    lesions = np.zeros_like(ids) if instances is None else np.asarray(_opened(instances))
    if not seen.shape[:2] == ids.shape[:2] == chances.shape[:2] == lesions.shape[:2]:
        raise Unexpected("the pictures of a slice are of several sizes")
    return Slice(seen, ids, chances.astype(np.uint16), lesions.astype(np.uint16))


def slice_names(number: int) -> tuple[str, str, str]:
    """Return the names of the files of a slice that every study has, from 1.

    >>> slice_names(3)
    ('image-3.png', 'mask-3.png', 'probability-3.png')
    """
    return f"image-{number}.png", f"mask-{number}.png", f"probability-{number}.png"


def instances_name(number: int) -> str:
    """Return the name of the instance map of a slice, from 1; studies of 0.1.0 have none.

    >>> instances_name(3)
    'lesions-3.png'
    """
    return f"lesions-{number}.png"


def first_slice(study: Study) -> int:
    """Return the slice to begin with: that of the largest lesion, else the one in the middle; from 0."""
    if study.lesions and study.lesions[0].slice_index is not None:
        return study.lesions[0].slice_index
    return max(study.facts.slices - 1, 0) // 2


def _opened(content: bytes) -> Any:
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, UnidentifiedImageError, SyntaxError):
        raise Unexpected("a result is not a picture") from None
    return picture
