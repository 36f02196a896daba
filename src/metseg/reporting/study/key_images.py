"""Key images of a volume: the largest lesions, each in three planes and magnified.

They follow the radiological convention: the patient's right is on the left; the nose is up, and on the left in sagittal
planes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.class_styles import legend_of
from metseg.errors import InputError
from metseg.geometry import AxisTurn, spacing_mm, turn_to_ras
from metseg.lesion import Lesion, Point
from metseg.measure import label_instances, lesion_centres, lesion_voxels
from metseg.picture_style import BRAIN_COLOUR, ClassStyle, Styles, class_colour
from metseg.plot.images.overlay import window_of
from metseg.plot.images.planes import LETTERS, PLANES, cut_through, shown_box
from metseg.reporting.study.image_panels import Outline, Panel, Strip, draw_row
from metseg.reporting.study.lesion_location import coordinates, letters_hold
from metseg.reporting.study.study_report import KeyImage
from metseg.sequence_titles import sequence_title

Labels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.generic]
Voxel = tuple[int, int, int]

#: Legend of the outline of the brain mask.
BRAIN_STYLE = ClassStyle("border of the brain mask", BRAIN_COLOUR)

#: Widths of the outlines of the lesion that is meant and of the others, in points.
FOCUS_WIDTH, OTHER_WIDTH = 1.1, 0.6

#: Minimum field of view of a magnified panel, absolute and as a multiple of the lesion.
LEAST_FIELD_MM, TIMES_LESION = 40.0, 2.2

#: Maximum distance between the centres of the same lesion in the table and in the mask, in voxels.
SAME_CENTRE = 0.01


@dataclass(frozen=True)
class VolumePixels:
    """Data for the key images of a volume.

    Args:
        labels: (X, Y, Z) class ids.
        affine: (4, 4) voxel-to-RAS, mm.
        image: (X, Y, Z) on the same grid; None: outlines on black.
        name: of the image, such as ``t1c``.
        brain: (X, Y, Z) bool, the brain mask made by metseg; None: there is none.
    """

    labels: Labels
    affine: npt.NDArray[np.float64]
    image: Array | None = None
    name: str = ""
    brain: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Shown:
    """What all key images of a report say of their study.

    Args:
        case: its name in the report.
        styles: of the classes, from `metseg.class_styles`.
    """

    case: str
    styles: Styles


def volume_key_images(
    pixels: VolumePixels, lesions: Sequence[Lesion], shown: Shown, *, most: int
) -> tuple[KeyImage, ...]:
    """Return a key image for each of the largest lesions; without lesions, one of the middle of the head.

    Args:
        pixels: of the study.
        lesions: of the table.
        shown: name of the study and styles of the classes.
        most: maximum number of images; 0: no key images.
    Raises:
        InputError: a lesion of the table is not in the mask.
    """
    if most == 0:
        return ()
    places = ((lesion.centre_mm, lesion.side) for lesion in lesions)
    view = _View(pixels, shown, letters_hold(pixels.affine, pixels.labels.shape, places))
    if not lesions:
        return (_overview(view),) if pixels.image is not None else ()
    return tuple(_of_lesion(view, lesion) for lesion in lesions[:most])


@dataclass(frozen=True)
class _View:
    """A volume in RAS orientation, with the settings that all its panels share."""

    pixels: VolumePixels
    shown: Shown
    lettered: bool

    @cached_property
    def turn(self) -> AxisTurn:
        return turn_to_ras(self.pixels.affine)

    @cached_property
    def labels(self) -> Labels:
        return self.turn(self.pixels.labels)

    @cached_property
    def image(self) -> Array:
        given = self.pixels.image
        return np.zeros(self.labels.shape, dtype=np.uint8) if given is None else self.turn(given)

    @cached_property
    def brain(self) -> npt.NDArray[np.bool_] | None:
        return None if self.pixels.brain is None else self.turn(self.pixels.brain)

    @cached_property
    def spacing_mm(self) -> Point:
        return spacing_mm(self.turn.affine(self.pixels.affine, self.pixels.labels.shape))

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """Return the visible part: without the air around the head, or the whole volume if there is no image."""
        whole = tuple(slice(0, size) for size in self.labels.shape)
        return shown_box(self.image) if self.pixels.image is not None else (whole[0], whole[1], whole[2])

    @cached_property
    def window(self) -> tuple[float, float]:
        return window_of(self.image[self.box])

    @cached_property
    def field_mm(self) -> float:
        """Return the side of the square that holds any of the planes."""
        return max(float(side.stop - side.start) * mm for side, mm in zip(self.box, self.spacing_mm, strict=True))

    @cached_property
    def strip(self) -> Strip:
        brain = () if self.brain is None else (BRAIN_STYLE,)
        classes = legend_of(self.shown.styles, np.unique(self.labels))
        return Strip(self.shown.case, (*classes, *brain))

    @cached_property
    def instances(self) -> npt.NDArray[np.uint32]:
        return label_instances(self.labels)[0]

    def voxel_of_file(self, point: Voxel) -> Voxel:
        """Convert a point of the turned volume to indices in the file."""
        place = {axis: (at, flip) for at, (axis, flip) in zip(point, self.turn.pairs(), strict=True)}
        sizes = self.pixels.labels.shape
        x, y, z = (sizes[axis] - 1 - place[axis][0] if place[axis][1] else place[axis][0] for axis in range(3))
        return x, y, z

    def turned(self, centre: Point) -> npt.NDArray[np.float64]:
        """Convert a point of the file to indices in the turned volume."""
        sizes = self.pixels.labels.shape
        return np.array([sizes[axis] - 1 - centre[axis] if flip else centre[axis] for axis, flip in self.turn.pairs()])


def _of_lesion(view: _View, lesion: Lesion) -> KeyImage:
    number = _instance_of(lesion, view)
    point = cut_through(view.labels.shape, view.turned(lesion.shown_voxel).tolist(), "").centre
    whole = [_plane(view, index, point, focus=number) for index in range(len(PLANES))]
    field = min(max(LEAST_FIELD_MM, TIMES_LESION * (lesion.longest_diameter_mm or 0)), view.field_mm)
    across = whole[0].cross
    assert across is not None
    magnified = replace(whole[0], name="magnified", centre=across, field=field, cross=None)
    png, size = draw_row([*whole, magnified], view.strip)
    where = _place_of_cut(view, point)
    return KeyImage(
        png,
        size,
        title=f"Lesion {lesion.id}",
        caption=where,
        alternative=f"Lesion {lesion.id} outlined in the axial, coronal and sagittal plane, and magnified. {where}",
    )


def _overview(view: _View) -> KeyImage:
    x, y, z = ((side.start + side.stop) // 2 for side in view.box)
    png, size = draw_row(
        [replace(_plane(view, index, (x, y, z)), cross=None) for index in range(len(PLANES))], view.strip
    )
    where = _place_of_cut(view, (x, y, z))
    return KeyImage(
        png,
        size,
        title="Middle of the head",
        caption=f"Nothing is outlined. {where}",
        alternative=f"The middle of the head in the axial, coronal and sagittal plane; nothing is outlined. {where}",
    )


def _place_of_cut(view: _View, point: Voxel) -> str:
    """Describe the point where the planes meet, so that readers can find it."""
    voxel = view.voxel_of_file(point)
    x, y, z = (float(mm) for mm in view.pixels.affine[:3, :3] @ voxel + view.pixels.affine[:3, 3])
    image = f"Image: {sequence_title(view.pixels.name)}. " if view.pixels.name and view.pixels.image is not None else ""
    place = coordinates((x, y, z), lettered=view.lettered)
    brain = "" if view.brain is None else " Green line: border of the brain mask."
    return f"{image}Planes meet at {place} mm; voxel {voxel[0]}, {voxel[1]}, {voxel[2]}.{brain}"


def _plane(view: _View, index: int, point: Voxel, *, focus: int = 0) -> Panel:
    """Return the panel of one of `PLANES` through a point, with a thicker outline for the lesion ``focus``."""
    name, across, right, up = PLANES[index]
    shape, step = view.labels.shape, view.spacing_mm

    def shown(volume: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        # Rotated by 180 degrees: the patient's right is on the left, superior is at the top.
        plane: npt.NDArray[np.generic] = np.take(volume, point[across], axis=across)
        return plane[::-1, ::-1].T

    labels = shown(view.labels)
    meant = shown(view.instances) == focus if focus else np.zeros(labels.shape, dtype=bool)
    middle = [(side.start + side.stop) / 2 for side in view.box]
    return Panel(
        name=name,
        picture=shown(view.image),
        window=view.window,
        size=(shape[right] * step[right], shape[up] * step[up]),
        centre=((shape[right] - middle[right]) * step[right], (shape[up] - middle[up]) * step[up]),
        field=view.field_mm,
        outlines=[*_brain_outline(view, shown), *outlines(labels, meant, view.shown.styles)],
        letters=LETTERS[index],
        has_bar=True,
        cross=((shape[right] - point[right] - 0.5) * step[right], (shape[up] - point[up] - 0.5) * step[up]),
    )


def _brain_outline(view: _View, shown: Callable[[Array], Array]) -> list[Outline]:
    """Return the outline of the brain mask in a plane, below all others; none without a brain mask."""
    if view.brain is None:
        return []
    return [Outline(np.asarray(shown(view.brain), dtype=np.bool_), BRAIN_COLOUR, OTHER_WIDTH)]


def outlines(labels: Array, meant: npt.NDArray[np.bool_], styles: Styles) -> list[Outline]:
    """Return the outlines of all classes, enclosed ones on top, and those of the lesion in focus thicker and on top.

    Args:
        labels: (rows, columns) class ids.
        meant: mask of the lesion in focus.
        styles: of the classes.
    """
    classes = _from_outside(labels)
    return [
        Outline((labels == value) & part, class_colour(value, styles), width)
        for part, width in ((~meant, OTHER_WIDTH), (meant, FOCUS_WIDTH))
        for value in classes
    ]


def _from_outside(labels: Array) -> list[int]:
    """Return the class ids of a plane, enclosing ones first: the line of what they enclose is then drawn on theirs."""
    values = [int(value) for value in np.unique(np.asarray(labels)) if value]
    # By bounding boxes, for a ring may be open.
    extents = {value: np.ptp(np.argwhere(labels == value), axis=0) + 1 for value in values}
    return sorted(values, key=lambda value: -int(extents[value].prod()))


def _instance_of(lesion: Lesion, view: _View) -> int:
    """Return the number of a table's lesion among the connected components of the mask."""
    near = np.abs(lesion_centres(view.instances) - view.turned(lesion.centre_voxel)).max(axis=1) <= SAME_CENTRE
    found = np.flatnonzero(near & (lesion_voxels(view.instances) == lesion.voxels))
    if found.size == 0:
        raise not_the_mask(lesion)
    return int(found[0]) + 1


def not_the_mask(lesion: Lesion) -> InputError:
    """Return the error for a lesion of the table that is not in the mask."""
    return InputError(
        f"lesion {lesion.id} of the table is not in the mask",
        expected=f"{lesion.voxels} voxels about {lesion.centre_voxel}",
        cure="give the document and the mask of the same prediction; after editing a mask, predict again",
        code="input.mask_mismatch",
    )
