"""Preview of training slices: as read, preprocessed, and with several augmentations, with the mask outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.plot.images.contact_sheet import Tile, contact_sheet
from metseg.plot.images.overlay import window_of


class Shown(NamedTuple):
    """One grey picture (rows, cols) with its class ids (rows, cols), or None without a mask."""

    picture: npt.NDArray[np.generic]
    labels: npt.NDArray[np.integer] | None


@dataclass(frozen=True)
class PreviewRow:
    """One slice.

    Args:
        title: name of the slice.
        as_read: as stored in the file.
        prepared: after preprocessing.
        augmented: augmented versions, the same number in every row; none if the recipe has no augmentation.
    """

    title: str
    as_read: Shown
    prepared: Shown
    augmented: tuple[Shown, ...]


def augment_preview(rows: Sequence[PreviewRow], path: Path, *, heading: str = "") -> None:
    """Write a picture with one row per slice; the suffix of the path sets the format.

    All versions of a slice are shown with the grey values of the prepared one, so that brightness and contrast can be
    compared.
    """
    tiles = []
    for row in rows:
        window = window_of(row.prepared.picture)
        tiles.append(Tile(*row.as_read, row.title))
        tiles += [Tile(*shown, "", window) for shown in (row.prepared, *row.augmented)]
    count = len(rows[0].augmented)
    titles = ["as read", "prepared", *(f"augmented {number}" for number in range(1, count + 1))]
    contact_sheet(tiles, path, heading=heading, columns=len(titles), column_titles=titles)
