"""Studies made of pictures: one slice at a time, as PNG files of the service."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from metseg.schemas import Lesion, Study
from metseg.ui.api_client import Unexpected
from metseg.ui.viewer.components import Instances, number_instances
from metseg.ui.viewer.scene import Mask, stored_threshold


@dataclass(frozen=True)
class Slice:
    """One picture and what was found in it.

    Args:
        picture: (rows, columns, 3) as people saw it.
        labels: (rows, columns); not 0 is lesion.
        probability: (rows, columns) 0 to 65535.
        lesions: of this picture.
    """

    picture: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    probability: npt.NDArray[np.uint16]
    lesions: tuple[Lesion, ...]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.labels.shape
        return rows, columns

    @cached_property
    def instances(self) -> Instances:
        """Return which pixel belongs to which lesion."""
        centres = {lesion.number: (lesion.centre_voxel[1], lesion.centre_voxel[0]) for lesion in self.lesions}
        return number_instances(self.labels > 0, centres)

    def lesion_at(self, row: int, column: int) -> int | None:
        """Return the number of the lesion at a pixel."""
        return self.instances.at((row, column))

    def mask(self, threshold: float | None) -> Mask:
        """Return where lesion is: at a threshold of the probability, or, with None, as the service decided."""
        if threshold is None:
            return np.asarray(self.labels > 0)
        return np.asarray(self.probability >= stored_threshold(threshold))


def make_slice(picture: bytes, labels: bytes, probability: bytes, lesions: tuple[Lesion, ...]) -> Slice:
    """Return a slice from the three PNG files that the service gives of it.

    Raises:
        Unexpected: one of them is no PNG, or of another size.
    """
    seen = np.asarray(_opened(picture).convert("RGB"), dtype=np.uint8)
    ids, chances = np.asarray(_opened(labels)), np.asarray(_opened(probability))
    if not seen.shape[:2] == ids.shape[:2] == chances.shape[:2]:
        raise Unexpected("the pictures of a slice are of several sizes")
    return Slice(seen, ids, chances.astype(np.uint16), lesions)


def slice_names(number: int) -> tuple[str, str, str]:
    """Return the names of the three files of a slice, from 1.

    >>> slice_names(3)
    ('image-3.png', 'mask-3.png', 'probability-3.png')
    """
    return f"image-{number}.png", f"mask-{number}.png", f"probability-{number}.png"


def lesions_of_slice(study: Study, index: int) -> tuple[Lesion, ...]:
    """Return the lesions of a slice, counted from 0."""
    return tuple(lesion for lesion in study.lesions if index in (lesion.slices or (lesion.slice,)))


def first_slice(study: Study) -> int:
    """Return the slice to begin with: that of the largest lesion, else the one in the middle; from 0."""
    if study.lesions and study.lesions[0].slice is not None:
        return study.lesions[0].slice
    return max(study.facts.slices - 1, 0) // 2


def _opened(content: bytes) -> Any:
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, UnidentifiedImageError, SyntaxError):
        raise Unexpected("a result is not a picture") from None
    return picture
