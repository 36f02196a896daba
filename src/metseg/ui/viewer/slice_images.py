"""Slices of studies made of pictures, read from PNG files of the service."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from metseg.client.service_errors import Unexpected
from metseg.schemas import Study
from metseg.ui.viewer.scene import Mask, stored_threshold


@dataclass(frozen=True)
class Slice:
    """One picture and its result.

    Args:
        picture: (rows, columns, 3) original picture.
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
        """Return the id of the lesion at a pixel; None if there is none."""
        return int(self.instances[row, column]) or None

    def mask(self, threshold: float | None) -> Mask:
        """Return the lesion mask at a probability threshold; None: the mask of the service."""
        if threshold is None:
            return np.asarray(self.labels > 0)
        return np.asarray(self.probability >= stored_threshold(threshold))


def make_slice(picture: bytes, labels: bytes, probability: bytes, instances: bytes | None) -> Slice:
    """Return a slice from its PNG files.

    Args:
        picture, labels, probability: contents of the files of `slice_names`.
        instances: content of the instance map; None for studies of 0.1.0, which have none.
    Raises:
        Unexpected: a file is not a PNG or has another size.
    """
    seen = np.asarray(_opened(picture).convert("RGB"), dtype=np.uint8)
    ids, chances = np.asarray(_opened(labels)), np.asarray(_opened(probability))
    lesions = np.zeros_like(ids) if instances is None else np.asarray(_opened(instances))
    if not seen.shape[:2] == ids.shape[:2] == chances.shape[:2] == lesions.shape[:2]:
        raise Unexpected("the pictures of a slice have different sizes")
    return Slice(seen, ids, chances.astype(np.uint16), lesions.astype(np.uint16))


def slice_names(number: int) -> tuple[str, str, str]:
    """Return the file names of image, mask and probability of a slice; ``number`` starts at 1.

    >>> slice_names(3)
    ('image-3.png', 'mask-3.png', 'probability-3.png')
    """
    return f"image-{number}.png", f"mask-{number}.png", f"probability-{number}.png"


def instances_name(number: int) -> str:
    """Return the file name of the instance map of a slice; ``number`` starts at 1. Studies of 0.1.0 have none.

    >>> instances_name(3)
    'lesions-3.png'
    """
    return f"lesions-{number}.png"


def first_slice(study: Study) -> int:
    """Return the index of the first slice to show, from 0: that of the largest lesion, else the middle."""
    if study.lesions and study.lesions[0].slice_index is not None:
        return study.lesions[0].slice_index
    return max(study.facts.slices - 1, 0) // 2


def stored_plane(content: bytes) -> npt.NDArray[np.uint16]:
    """Return the pixels of a 16-bit PNG of the service, (rows, columns).

    Raises:
        Unexpected: the content is not a PNG.
    """
    return np.asarray(_opened(content)).astype(np.uint16)


def _opened(content: bytes) -> Any:
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, UnidentifiedImageError, SyntaxError):
        raise Unexpected("a result is not a picture") from None
    return picture
