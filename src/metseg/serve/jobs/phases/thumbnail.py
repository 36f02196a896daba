"""The thumbnail of a study: its key image in a small square, for lists of studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.geometry import spacing_mm, turn_to_ras
from metseg.inference.outputs.volume_outputs import lesion_cuts
from metseg.lesion import Lesion
from metseg.picture_style import Styles
from metseg.plot.images.planes import plane_picture, shown_box
from metseg.volume import Volume

#: Side of a thumbnail in pixels.
SIDE: Final = 128
_AXIAL: Final = 2

Picture = npt.NDArray[np.uint8]


def volume_key_image(image: Volume, labels: Picture, lesions: Sequence[Lesion], styles: Styles) -> Picture:
    """Return the axial plane through the largest lesion, else through the middle, without the air around the head.

    Args:
        image: reference image of the case, with an affine.
        labels: (X, Y, Z) class ids on its grid.
        lesions: of the mask, the largest first.
        styles: of the classes.
    Returns:
        (rows, columns, 3), with square pixels; the patient's right is on the left.
    """
    assert image.affine is not None
    turn = turn_to_ras(image.affine)
    data, drawn = turn(image.data), turn(labels)
    z = lesion_cuts(lesions, labels.shape, turn, count=1)[0].centre[_AXIAL]
    x, y, _ = shown_box(data)
    picture = plane_picture(data[x, y], drawn[x, y], across=_AXIAL, index=z, styles=styles)
    width_mm, height_mm, _ = spacing_mm(turn.affine(image.affine, labels.shape))
    rows, columns = picture.shape[0] * height_mm, picture.shape[1] * width_mm
    scale = SIDE / max(rows, columns)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)


def fit_into_square(picture: Picture, side: int = SIDE) -> Picture:
    """Return a picture (rows, columns, 3) fitted into a black square."""
    small = Image.fromarray(picture)
    small.thumbnail((side, side))
    square = Image.new("RGB", (side, side))
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(square, dtype=np.uint8)
