"""Key images of plain pictures: each of the largest lesions on its picture, plain, outlined and magnified.

Pictures have no scale and no orientation, so no scale bar and no orientation letters are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metseg.class_styles import legend_of
from metseg.lesion import Lesion
from metseg.measure import label_instances, lesion_centres, lesion_voxels
from metseg.plot.images.overlay import window_of
from metseg.reporting.study.image_panels import Panel, Strip, draw_row
from metseg.reporting.study.key_images import SAME_CENTRE, TIMES_LESION, Array, Labels, Shown, not_the_mask, outlines
from metseg.reporting.study.number_format import picture_number
from metseg.reporting.study.study_report import KeyImage

#: Minimum field of view of a magnified panel.
LEAST_FIELD_PIXELS = 48.0


@dataclass(frozen=True)
class PicturePixels:
    """A picture with its predicted mask.

    Args:
        labels: (columns, rows) class ids.
        image: (columns, rows); None: outlines on black.
    """

    labels: Labels
    image: Array | None = None


def picture_key_images(
    pictures: Mapping[int, PicturePixels],
    lesions: Sequence[Lesion],
    shown: Shown,
    *,
    names: Sequence[str] = (),
    most: int,
) -> tuple[KeyImage, ...]:
    """Return a key image for each of the largest lesions; without lesions, one of the first picture.

    Args:
        pictures: number, from 1, to picture; at least those of the largest lesions.
        lesions: of the table.
        shown: name of the study and styles of the classes.
        names: of all pictures; empty: they are not named.
        most: maximum number of images; 0: no key images.
    Raises:
        InputError: a lesion of the table is not in the mask.
    """
    if most == 0:
        return ()
    if not lesions:
        read = sorted(number for number, pixels in pictures.items() if pixels.image is not None)
        return tuple(_whole_picture(pictures[number], number, names, shown) for number in read[:1])
    return tuple(_of_picture(pictures, lesion, names, shown) for lesion in lesions[:most])


def _of_picture(pictures: Mapping[int, PicturePixels], lesion: Lesion, names: Sequence[str], shown: Shown) -> KeyImage:
    pixels = pictures.get(picture_number(lesion))
    if pixels is None:
        raise not_the_mask(lesion)
    meant = _piece(pixels.labels, lesion)
    there = np.argwhere(meant)
    extent = float((there.max(axis=0) - there.min(axis=0) + 1).max())
    x, y = (float(at) for at in (there.max(axis=0) + there.min(axis=0) + 1) / 2)
    plain = _picture_panel(pixels, "picture")
    outlined = replace(plain, name="outlined", outlines=outlines(pixels.labels.T, meant.T, shown.styles))
    field = min(max(LEAST_FIELD_PIXELS, TIMES_LESION * extent), plain.field)
    rows = [(plain, "magnified"), (outlined, "magnified, outlined")]
    magnified = [replace(panel, name=name, centre=(x, y), field=field) for panel, name in rows]
    panels = [plain, outlined, *magnified] if pixels.image is not None else [outlined, magnified[1]]
    png, size = draw_row(panels, Strip(shown.case, legend_of(shown.styles, np.unique(pixels.labels))))
    where = _picture_name(picture_number(lesion), names)
    return KeyImage(
        png,
        size,
        title=f"Lesion {lesion.id}",
        caption=f"{where}. Without a scale: the picture does not say how large a pixel is.",
        alternative=f"Lesion {lesion.id} outlined on the picture and magnified. {where}.",
    )


def _piece(labels: Labels, lesion: Lesion) -> npt.NDArray[np.bool_]:
    """Return the mask of the largest region of a table's lesion on its picture."""
    instances = label_instances(labels[:, :, None], across_slices=False)[0]
    centre = lesion.slice_centre or lesion.centre_voxel[:2]
    voxels = lesion.slice_voxels or lesion.voxels
    near = np.abs(lesion_centres(instances)[:, :2] - centre).max(axis=1, initial=0) <= SAME_CENTRE
    found = np.flatnonzero(near & (lesion_voxels(instances) == voxels))
    if found.size == 0:
        raise not_the_mask(lesion)
    return np.asarray(instances[:, :, 0] == found[0] + 1)


def _whole_picture(pixels: PicturePixels, number: int, names: Sequence[str], shown: Shown) -> KeyImage:
    png, size = draw_row([_picture_panel(pixels, "picture")], Strip(shown.case))
    where = _picture_name(number, names)
    return KeyImage(
        png,
        size,
        title=f"Picture {number}",
        caption=f"{where}. Nothing is outlined.",
        alternative=f"{where}; nothing is outlined.",
    )


def _picture_panel(pixels: PicturePixels, name: str) -> Panel:
    columns, rows = pixels.labels.shape
    image = np.zeros((columns, rows), dtype=np.uint8) if pixels.image is None else pixels.image
    return Panel(
        name=name,
        picture=image.T,
        window=window_of(image),
        size=(columns, rows),
        centre=(columns / 2, rows / 2),
        field=float(max(columns, rows)),
    )


def _picture_name(number: int, names: Sequence[str]) -> str:
    return f"Picture {number} ({names[number - 1]})" if names else f"Picture {number}"


def shown_pictures(lesions: Iterable[Lesion], *, count: int) -> list[int]:
    """Return the numbers of the pictures with lesions, or of the middle one if there is no lesion."""
    return sorted(set(map(picture_number, lesions))) or [(count + 1) // 2]
