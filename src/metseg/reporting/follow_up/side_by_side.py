"""One lesion at two examinations, side by side on the same plane.

The plane is an axial one of the examination that is shown with its own grid: the later one, or the earlier one where
the lesion is gone. The other examination is resampled onto it after registration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metseg.class_styles import class_styles, legend_of
from metseg.geometry import Affine, AxisTurn, Grid, spacing_mm, stepped_affine, turn_to_ras
from metseg.longitudinal.follow_up import FollowUp
from metseg.longitudinal.lesion_tracks import LesionTrack, pieces_at
from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.timepoint import Timepoint
from metseg.plot.images.overlay import window_of
from metseg.plot.images.planes import LETTERS, shown_box
from metseg.preprocess.interpolation import labels_onto_grid, onto_grid
from metseg.reporting.study.image_panels import Panel, Strip, draw_row
from metseg.reporting.study.key_images import LEAST_FIELD_MM, TIMES_LESION, outlines
from metseg.reporting.study.study_report import KeyImage
from metseg.volume import Volume

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class _Plane:
    """An axial plane of an examination, in RAS orientation.

    Args:
        timepoint: position of the examination that it belongs to.
        grid: of one slice.
        point: column and row of the lesion in it, in voxels.
        extent_mm: of the lesion.
    """

    timepoint: int
    grid: Grid
    point: tuple[float, float]
    extent_mm: float


def side_by_side(follow_up: FollowUp, identity: int, before: int, after: int, *, title: str) -> KeyImage:
    """Return the picture of a lesion at two examinations.

    Args:
        follow_up: the patient.
        identity: of the lesion.
        before, after: positions of the examinations; the lesion, or a piece of it, is there at one of them.
        title: of the picture.
    """
    track = next(one for one in follow_up.tracks if one.identity == identity)
    own = after if track.lesion_at(after) is not None else before
    lesion = track.lesion_at(own)
    assert lesion is not None
    plane = _plane_of(follow_up.timepoints[own], lesion, own)
    whole = [_panel(follow_up, track, plane, at) for at in (before, after)]
    field = min(max(LEAST_FIELD_MM, TIMES_LESION * plane.extent_mm), whole[0].field)
    across = whole[0].cross
    assert across is not None
    magnified = [replace(panel, centre=across, field=field, cross=None, letters="") for panel in whole]
    styles = class_styles(follow_up.timepoints[0].scheme)
    shown = {value for panel in (before, after) for value in _labels(follow_up, plane, panel).ravel().tolist()}
    png, size = draw_row([*whole, *magnified], Strip(follow_up.document.patient, legend_of(styles, shown)))
    names = [follow_up.timepoints[at].name for at in (before, after)]
    other = names[0] if own == after else names[1]
    return KeyImage(
        png,
        size,
        title=title,
        caption=f"The same axial plane of {names[own == after]} at both examinations; {other} was resampled onto it.",
        alternative=f"Lesion {identity} in an axial plane at {names[0]} and at {names[1]}, whole and magnified.",
    )


def _plane_of(timepoint: Timepoint, lesion: MeasuredLesion, own: int) -> _Plane:
    """Return the axial plane through the typical voxel of a lesion, on the grid of its mask."""
    affine, shape = timepoint.labels.affine, timepoint.labels.shape
    assert affine is not None
    turn = turn_to_ras(affine)
    x, y, z = _turned(lesion.typical_voxel, turn, shape)
    turned = turn.shape(shape)
    grid = Grid((turned[0], turned[1], 1), stepped_affine(turn.affine(affine, shape), start=(0, 0, z)))
    return _Plane(own, grid, (x, y), lesion.longest_axial_mm)


def _turned(voxel: tuple[int, int, int], turn: AxisTurn, shape: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (shape[axis] - 1 - voxel[axis] if flip else voxel[axis] for axis, flip in turn.pairs())
    return x, y, z


def _world(follow_up: FollowUp, plane: _Plane, timepoint: int) -> Affine:
    """Return (4, 4) from points of the plane's examination to the same tissue in another one."""
    registrations = follow_up.registrations
    matrix = registrations[timepoint].to_later_mm @ registrations[plane.timepoint].to_first_mm
    return np.asarray(matrix, dtype=np.float64)


def _labels(follow_up: FollowUp, plane: _Plane, timepoint: int) -> npt.NDArray[np.uint8]:
    """Return the class ids of an examination in the plane, in display orientation."""
    labels = follow_up.timepoints[timepoint].labels
    found = labels_onto_grid(labels, plane.grid, world=_world(follow_up, plane, timepoint))
    return np.asarray(_shown(found), dtype=np.uint8)


def _shown(slab: Array) -> Array:
    """Return a slice (X, Y, 1) in RAS as it is displayed: the patient's right on the left, the nose up."""
    picture: Array = slab[::-1, ::-1, 0].T
    return picture


def _panel(follow_up: FollowUp, track: LesionTrack, plane: _Plane, timepoint: int) -> Panel:
    """Return the whole plane at one examination, with the lesion outlined thicker than the others."""
    one = follow_up.timepoints[timepoint]
    world = _world(follow_up, plane, timepoint)
    image = np.zeros(plane.grid.shape) if one.image is None else onto_grid(one.image, plane.grid, world=world)
    labels, meant = _labels(follow_up, plane, timepoint), _meant(follow_up, track, plane, timepoint)
    assert plane.grid.affine is not None
    step = spacing_mm(plane.grid.affine)
    columns, rows = plane.grid.shape[:2]
    box = _visible(follow_up, plane)
    middle = [(side.start + side.stop) / 2 for side in box]
    return Panel(
        name=one.name,
        picture=_shown(image),
        window=None if one.image is None else _window(one.image),
        size=(columns * step[0], rows * step[1]),
        centre=((columns - middle[0]) * step[0], (rows - middle[1]) * step[1]),
        field=max(float(side.stop - side.start) * mm for side, mm in zip(box, step, strict=False)),
        outlines=outlines(labels, meant & (labels > 0), class_styles(one.scheme)),
        letters=LETTERS[0],
        has_bar=True,
        cross=((columns - plane.point[0] - 0.5) * step[0], (rows - plane.point[1] - 0.5) * step[1]),
    )


def _visible(follow_up: FollowUp, plane: _Plane) -> tuple[slice, slice]:
    """Return the part of the plane that shows the head: columns and rows, in RAS."""
    image = follow_up.timepoints[plane.timepoint].image
    if image is None:
        return slice(0, plane.grid.shape[0]), slice(0, plane.grid.shape[1])
    box = shown_box(onto_grid(image, plane.grid))
    return box[0], box[1]


def _window(image: Volume) -> tuple[float, float]:
    return window_of(image.data)


def _meant(follow_up: FollowUp, track: LesionTrack, plane: _Plane, timepoint: int) -> npt.NDArray[np.bool_]:
    """Return where the lesion, or what it consists of, is in the plane, in display orientation."""
    labels = follow_up.timepoints[timepoint].labels
    assert labels.affine is not None
    mask = np.zeros(labels.shape, dtype=np.float32)
    identities = pieces_at(follow_up.tracks, track.identity, timepoint)
    for one in follow_up.tracks:
        lesion = one.lesion_at(timepoint) if one.identity in identities else None
        if lesion is not None:
            inverse = np.linalg.inv(labels.affine)
            voxels = np.rint(lesion.points_mm @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
            mask[tuple(voxels.T)] = 1
    found = onto_grid(Volume(mask, labels.affine), plane.grid, world=_world(follow_up, plane, timepoint))
    return np.asarray(np.greater_equal(_shown(found), 0.5), dtype=np.bool_)
