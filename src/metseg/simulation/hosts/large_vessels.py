"""Venous sinuses, large arteries and the falx of a label map: they enhance, and label maps show few of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.geometry import spacing_mm
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.anatomy.vessels import draw_tubes, smooth_path, uneven_radius
from metseg.simulation.heads.label_map_head import (
    BRAINSTEM,
    CEREBELLUM,
    CSF,
    FIRST_OUTSIDE,
    LATERAL_VENTRICLE,
    THIRD_VENTRICLE,
    VEIN,
    LabelMapHead,
)

Rng = np.random.Generator
Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int16]

#: Id of dura, which label maps do not have.
DURA = 600

#: Radii of the sinuses, of the basilar artery and of the internal cerebral veins, at least and at most, in mm.
SINUS_MM, ARTERY_MM, VEIN_MM = (1.5, 3.5), (1.0, 2.0), (0.6, 1.2)

#: Directions of the superior sagittal sinus from the middle of the brain, from the front over the top to the back.
SAGITTAL_DEGREES = np.arange(55.0, 206.0, 10.0)
#: Directions of the transverse sinus from straight behind to the side.
TRANSVERSE_DEGREES = np.arange(0.0, 71.0, 10.0)

#: The sagittal sinus is seen from a point this far above the centre of the brain, in mm.
VIEW_ABOVE_MM = 10.0
#: Fluid this close to the plane between the hemispheres may be falx, in mm.
FALX_MM = 0.6
#: Rows of the brain this wide show where its middle is: a share of the widest row.
WIDE_ROW = 0.5
#: Irregularity of the nodes of a path in mm.
SCATTER_MM = 0.6


class Midline:
    """The plane between the hemispheres: ``x = a + b y + c z`` in voxels, fitted to the middle of each row."""

    def __init__(self, brain: npt.NDArray[np.bool_]) -> None:
        width = brain.sum(axis=0)
        y, z = np.nonzero(width > WIDE_ROW * width.max())
        rows = brain[:, y, z]
        middle = (np.argmax(rows, axis=0) + len(rows) - 1 - np.argmax(rows[::-1], axis=0)) / 2
        design = np.stack([np.ones(len(y)), y, z], axis=1)
        self._plane = np.linalg.lstsq(design, middle, rcond=None)[0]

    def __call__(self, y: npt.ArrayLike, z: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return x of the plane at y and z, all in voxels."""
        return np.asarray(self._plane[0] + self._plane[1] * np.asarray(y) + self._plane[2] * np.asarray(z))


def with_large_vessels(head: LabelMapHead, rng: Rng) -> LabelMapHead:
    """Return a head with random sinuses, basilar artery, inner cerebral veins and falx among its labels.

    They take the place of fluid and of what lies outside the brain, never of brain tissue.

    Args:
        head: in cubic voxels; not changed.
        rng: where all random numbers come from.
    """
    labels, step = head.labels.copy(), float(spacing_mm(head.affine)[0])
    midline = Midline(head.brain)
    centre = np.argwhere(head.brain).mean(axis=0)
    y, z = np.arange(labels.shape[1])[:, None], np.arange(labels.shape[2])
    across = np.abs(np.arange(labels.shape[0])[:, None, None] - midline(y, z)) * step
    labels[(across < FALX_MM) & (labels == CSF) & (z > centre[2])] = DURA
    points, radii = [], []
    for nodes, (least, most) in _paths(head.labels, midline, centre, step):
        path = smooth_path(nodes * step + rng.normal(0, SCATTER_MM, nodes.shape)) / step
        points.append(path)
        radii.append(rng.uniform(least, most) * uneven_radius(len(path), rng))
    if points:
        grid = Grid(head.brain.shape, step, (0.0, 0.0, 0.0))
        tubes = draw_tubes(np.concatenate(points), np.concatenate(radii), grid=grid) > 0.5
        room = np.isin(head.labels, (CSF, LATERAL_VENTRICLE, THIRD_VENTRICLE)) | (head.labels >= FIRST_OUTSIDE)
        labels[tubes & room] = VEIN
    return replace(head, labels=labels)


def _paths(labels: Labels, midline: Midline, centre: Points, step: float) -> list[tuple[Points, tuple[float, float]]]:
    """Return the nodes (N, 3) of each path in voxels, and its range of radii in mm; what is not there is left out."""
    inner = (labels > 0) & (labels < FIRST_OUTSIDE)
    angles = np.radians(SAGITTAL_DEGREES)
    above = centre + np.array([0, 0, VIEW_ABOVE_MM / step])
    sagittal = _outermost(inner, above, np.stack([0 * angles, np.cos(angles), np.sin(angles)], axis=-1))
    sagittal[:, 0] = midline(sagittal[:, 1], sagittal[:, 2])
    paths = [(sagittal, SINUS_MM)]
    cerebellum = np.argwhere(np.isin(labels, CEREBELLUM))
    if len(cerebellum):
        paths += _around_the_cerebellum(labels, inner, cerebellum, midline, step)
    stem = np.argwhere(labels == BRAINSTEM)
    stem = stem[np.abs(stem[:, 0] - midline(stem[:, 1], stem[:, 2])) * step < 3]
    if len(stem):
        levels = np.arange(stem[:, 2].min(), stem[:, 2].max(), 6.0 / step).astype(int)
        front = [(z, stem[stem[:, 2] == z, 1].max() + 2 / step) for z in levels if (stem[:, 2] == z).any()]
        paths.append((np.array([(midline(y, z), y, z) for z, y in front]), ARTERY_MM))
    return [(nodes, radius) for nodes, radius in paths if len(nodes) > 1]


def _around_the_cerebellum(
    labels: Labels, inner: npt.NDArray[np.bool_], cerebellum: npt.NDArray[np.intp], midline: Midline, step: float
) -> list[tuple[Points, tuple[float, float]]]:
    """Return the transverse sinuses, the straight sinus and the veins from the third ventricle to it."""
    back = cerebellum[cerebellum[:, 1] <= np.quantile(cerebellum[:, 1], 1 / 3)]
    height, depth = np.quantile(back[:, 2], 0.75), np.quantile(cerebellum[:, 1], 0.6)
    turns = np.radians(TRANSVERSE_DEGREES)
    origin = np.array([float(midline(depth, height)), depth, height])
    sides = [
        _outermost(inner, origin, np.stack([side * np.sin(turns), -np.cos(turns), -0.12 * np.sin(turns)], axis=-1))
        for side in (-1, 1)
    ]
    paths = [(nodes, SINUS_MM) for nodes in sides]
    near = cerebellum[np.abs(cerebellum[:, 0] - midline(cerebellum[:, 1], cerebellum[:, 2])) * step < 4]
    if len(near) and len(sides[0]):
        culmen = near[near[:, 2].argmax()] + np.array([0, 5, 3]) / step
        culmen[0], confluence = midline(culmen[1], culmen[2]), sides[0][0]
        paths.append((np.stack([culmen, confluence]), SINUS_MM))
        third = np.argwhere(labels == THIRD_VENTRICLE)
        if len(third):
            roof = third.mean(axis=0) + np.array([0, 0, 6]) / step
            paths.append((np.stack([roof, culmen]), VEIN_MM))
    return paths


def _outermost(inner: npt.NDArray[np.bool_], origin: Points, directions: Points) -> Points:
    """Return (N, 3) the last voxel of a mask along each ray (N, 3); rays that meet none are left out."""
    lengths = np.arange(5.0, float(max(inner.shape)), 0.5)
    rays = origin + directions[:, None] * lengths[:, None]
    met = ndimage.map_coordinates(inner.astype(np.uint8), np.moveaxis(rays, -1, 0), order=0, mode="constant") > 0
    last = len(lengths) - 1 - np.argmax(met[:, ::-1], axis=1)
    return np.asarray(rays[np.arange(len(rays)), last][met.any(axis=1)])
