"""Vessels: sinuses, arteries and cortical veins, which enhance after contrast agent but are not metastases.

Large vessels follow fixed paths in the average head, moved by the patient's deformation; small vessels are random
walks that stay in the sulci, branch and become thinner. All are tubes made of spheres.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from metseg.simulation.anatomy.deformation import to_patient
from metseg.simulation.anatomy.normal_anatomy import COARSE_MM, Grid, load_anatomy
from metseg.simulation.patient import Patient

FloatArray = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Path = tuple[float, tuple[tuple[float, float, float], ...]]

#: Paths in MNI millimetres and their radius; those off the midline exist on both sides.
PATHS: tuple[Path, ...] = (
    (2.0, ((0, -30, 5), (0, -44, 3), (0, -65, -4), (0, -88, -12))),  # vein of Galen, straight sinus
    (3.0, ((58, -48, -30), (50, -42, -42), (42, -42, -56), (34, -40, -70))),  # sigmoid sinus
    (0.9, ((2.5, 0, 10), (3, -15, 11), (2, -28, 6))),  # internal cerebral vein
    (1.6, ((0, -30, -58), (0, -25, -42), (0, -19, -22))),  # basilar artery
    (1.1, ((2, -19, -20), (12, -22, -16), (22, -34, -8), (20, -55, 0))),  # posterior cerebral artery
    (2.0, ((16, -8, -36), (13, 0, -26), (11, 4, -20), (13, 3, -15))),  # internal carotid artery
    (1.4, ((13, 3, -15), (24, 4, -18), (36, 3, -16), (43, -2, -6), (46, -16, 4))),  # middle cerebral artery
    (1.0, ((36, 3, -16), (46, 8, -4), (48, 14, 8))),
    (0.9, ((46, -16, 4), (52, -30, 14), (55, -40, 22))),
    (1.1, ((12, 4, -15), (3, 18, -14), (2, 36, -2), (2, 36, 12), (2, 20, 28), (2, -5, 34))),  # anterior cerebral
)

#: The choroid plexus in the lateral ventricle, likewise, and its thick part where body and horns meet.
CHOROID: tuple[Path, ...] = (
    (1.5, ((6, 4, 13), (11, -16, 19), (18, -34, 18), (23, -41, 12), (27, -37, 0))),
    (3.2, ((20, -38, 16), (24, -42, 11), (26, -41, 5))),
)

#: Walkers along the sulci and into the white matter: how many, radius range and length range in mm.
CORTICAL = (260, (0.35, 1.2), (20.0, 80.0))
PENETRATING = (90, (0.2, 0.45), (10.0, 30.0))

STEP_MM = 0.6


def vessel_shares(
    patient: Patient, coordinates: FloatArray, *, fluid: FloatArray, hull_mm: FloatArray, grid: Grid
) -> dict[str, FloatArray]:
    """Return the shares of each voxel that are vessel and choroid plexus.

    Args:
        patient: has the vessels.
        coordinates: (3, X, Y, Z) the map from the patient to the average head, voxels.
        fluid: (X, Y, Z) share of cerebrospinal fluid, which small vessels and the plexus lie in.
        hull_mm: (X, Y, Z) signed distance from the brain's outline, which small vessels keep inside of.
        grid: of the patient.
    Returns:
        ``vessel`` and ``choroid``, each (X, Y, Z) float32 in 0..1.
    """
    rng = patient.stream("vessels")
    points, radii = _along(_named_paths(), 0.8, rng)
    large = draw_tubes(to_patient(grid.to_voxel(points), coordinates), radii, grid=grid)
    vessel = np.maximum(large, small_vessels(fluid, hull_mm, grid=grid, rng=rng))
    points, radii = _along(_both_sides(CHOROID), 1.2, rng)
    points = points + rng.normal(0, 0.9, points.shape)
    radii = radii * rng.uniform(0.3, 1.0, radii.shape)
    choroid = draw_tubes(to_patient(grid.to_voxel(points), coordinates), radii, grid=grid)
    return {"vessel": vessel, "choroid": choroid * np.clip(2 * fluid, 0, 1) * (1 - vessel)}


def small_vessels(fluid: FloatArray, hull_mm: FloatArray, *, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Return the share of each voxel in small vessels: random walks along the sulci, and into the white matter.

    Args:
        fluid: (X, Y, Z) share of cerebrospinal fluid; walks start where it lies 1.5 to 14 mm inside the outline.
        hull_mm: (X, Y, Z) signed distance from the brain's outline, negative inside.
        grid: of both.
        rng: where all random numbers come from.
    Returns:
        (X, Y, Z) float32 in 0..1.
    """
    around = _Surroundings(fluid, hull_mm, grid)
    if not len(around.starts):
        return np.zeros(grid.shape, dtype=np.float32)
    tubes = [
        _walk(around, CORTICAL, attraction=1.2, inward=0.02, rng=rng),
        _walk(around, PENETRATING, attraction=0.0, inward=0.35, rng=rng),
    ]
    return draw_tubes(np.concatenate([p for p, _ in tubes]), np.concatenate([r for _, r in tubes]), grid=grid)


def draw_tubes(points: Points, radii_mm: Points, *, grid: Grid) -> FloatArray:
    """Return the share of each voxel inside any of many spheres.

    Args:
        points: (N, 3) centres in voxels.
        radii_mm: (N,).
        grid: of the output.
    Returns:
        (X, Y, Z) float32: 1 within the radius, falling off over one voxel; thinner than a voxel, it stays below 1.

    >>> share = draw_tubes(np.array([[1.0, 1, 1]]), np.array([1.2]), grid=Grid((3, 3, 3), 1.0, (0, 0, 0)))
    >>> round(float(share[1, 1, 1]), 2), round(float(share[0, 1, 1]), 2), float(share[0, 0, 0])
    (1.0, 0.7, 0.0)
    """
    share = np.zeros(grid.shape, dtype=np.float32)
    radii = radii_mm / grid.spacing_mm
    # A tube thinner than a voxel fills the share of it that its cross-section does.
    strength = np.minimum(1.0, np.pi * radii**2)
    for reach in np.unique(np.ceil(radii + 0.5).astype(int)):
        group = np.ceil(radii + 0.5).astype(int) == reach
        offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        voxels = np.rint(points[group]).astype(int)[:, None] + offsets
        distance = np.linalg.norm(voxels - points[group][:, None], axis=-1)
        values = strength[group][:, None] * np.clip(radii[group][:, None] + 0.5 - distance, 0, 1)
        inside = (values > 0) & ((voxels >= 0) & (voxels < grid.shape)).all(axis=-1)
        np.maximum.at(share, tuple(voxels[inside].T), values[inside].astype(np.float32))
    return share


def _along(paths: Iterable[tuple[float, Points]], scatter_mm: float, rng: np.random.Generator) -> tuple[Points, Points]:
    """Return (N, 3) points in MNI mm and (N,) radii along paths, a little different in every patient."""
    points, radii = [], []
    for radius, nodes in paths:
        # What runs in the midline stays there: it lies in the fissure between the hemispheres.
        scatter = rng.normal(0, scatter_mm, nodes.shape) * [nodes[0, 0] != 0, 1, 1]
        path = smooth_path(nodes + scatter)
        points.append(path)
        radii.append(np.full(len(path), radius * rng.lognormal(0, 0.15)) * uneven_radius(len(path), rng))
    return np.concatenate(points), np.concatenate(radii)


def uneven_radius(count: int, rng: np.random.Generator) -> Points:
    """Return (N,) factors near 1 on the radius along a path: vessels are wider here and narrower there."""
    return np.asarray(1 + 0.12 * ndimage.gaussian_filter1d(rng.standard_normal(count), 4, mode="nearest") * 3)


def _both_sides(paths: Iterable[Path]) -> list[tuple[float, Points]]:
    """Return the paths and, for those off the midline, their mirror images."""
    right = [(radius, np.array(nodes, dtype=np.float64)) for radius, nodes in paths]
    return right + [(radius, nodes * [-1, 1, 1]) for radius, nodes in right if nodes[-1, 0] != 0]


@lru_cache(maxsize=1)
def _named_paths() -> tuple[tuple[float, Points], ...]:
    angles = np.radians(np.arange(55, 206, 10))
    sagittal = _on_outline((0, -20, 8), np.stack([0 * angles, np.cos(angles), np.sin(angles)], axis=-1))
    turns = np.radians(np.arange(0, 71, 10))
    lateral = _on_outline((0, -30, -17), np.stack([np.sin(turns), -np.cos(turns), -0.12 * np.sin(turns)], axis=-1))
    return (*_both_sides(PATHS), (3.2, sagittal), (3.0, lateral), (2.6, lateral * [-1, 1, 1]))


def _on_outline(origin: tuple[float, float, float], directions: Points) -> Points:
    """Return where rays from a point inside the brain come within a millimetre of its outline: there sinuses run."""
    anatomy = load_anatomy(COARSE_MM)
    lengths = np.arange(20.0, 130.0, 0.5)
    rays = np.asarray(origin) + directions[:, None] * lengths[:, None]
    voxels = anatomy.grid.to_voxel(rays)
    hull = ndimage.map_coordinates(anatomy.hull_mm, np.moveaxis(voxels, -1, 0), order=1, mode="nearest")
    return np.asarray(rays[np.arange(len(rays)), np.argmax(hull > -0.5, axis=1)])


def smooth_path(nodes: Points) -> Points:
    """Return (N, 3) points every half millimetre along a smooth curve through (M, 3) nodes in mm."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    return np.asarray(PchipInterpolator(along, nodes)(np.arange(0, along[-1], 0.5)))


class _Surroundings:
    """Field that guides the random walks: amount and direction of fluid, and the outward direction."""

    def __init__(self, fluid: FloatArray, hull_mm: FloatArray, grid: Grid) -> None:
        self.grid, self.hull_mm = grid, hull_mm
        # Every second voxel at 1 mm: sulci are wider than that, and blurring them makes them attract from afar.
        self._step = max(1, round(2.0 / grid.spacing_mm))
        self._fluid = ndimage.gaussian_filter(fluid[:: self._step, :: self._step, :: self._step], 0.7)
        self.starts = np.argwhere((fluid > 0.3) & (hull_mm < -1.5) & (hull_mm > -14))

    def hull(self, points: Points) -> Points:
        return np.asarray(ndimage.map_coordinates(self.hull_mm, points.T, order=1, mode="nearest"))

    def towards_fluid(self, points: Points) -> Points:
        """Return the (N, 3) unit vectors up the slope of the fluid."""
        return _unit(self._slope(self._fluid, points / self._step))

    def inward(self, points: Points) -> Points:
        """Return the (N, 3) unit vectors into the brain."""
        return -_unit(self._slope(self.hull_mm, points))

    @staticmethod
    def _slope(image: FloatArray, points: Points) -> Points:
        probes = points[:, None, None] + np.array([-1.0, 1.0])[:, None, None] * np.eye(3)
        seen = ndimage.map_coordinates(image, np.moveaxis(probes, -1, 0), order=1, mode="nearest")
        return np.asarray(seen[:, 1] - seen[:, 0])


def _unit(vectors: Points) -> Points:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))


def _walk(
    around: _Surroundings,
    kind: tuple[int, tuple[float, float], tuple[float, float]],
    *,
    attraction: float,
    inward: float,
    rng: np.random.Generator,
) -> tuple[Points, Points]:
    """Return the points and radii of random branching walks.

    Each walker keeps its direction, is drawn to fluid and inwards, and staggers; now and then it sends a thinner one
    off. All walk at once, one step of `STEP_MM` at a time.
    """
    count, radius_range, length_range = kind
    place = around.starts[rng.integers(len(around.starts), size=count)].astype(np.float64)
    heading = _unit(rng.standard_normal((count, 3)))
    radius = np.exp(rng.uniform(np.log(radius_range[0]), np.log(radius_range[1]), size=count))
    left = rng.uniform(*length_range, size=count) / STEP_MM
    points, radii = [place.copy()], [radius.copy()]
    while len(place):
        # At the surface of the brain a walker turns back.
        edge = np.clip((around.hull(place) + 3) / 2, 0, 1)[:, None]
        pull = attraction * around.towards_fluid(place) + (inward + 1.6 * edge) * around.inward(place)
        heading = _unit(heading + 0.35 * pull + rng.normal(0, 0.28, heading.shape))
        place = place + heading * (STEP_MM / around.grid.spacing_mm)
        radius, left = radius * 0.994, left - 1
        keep = (left > 0) & (around.hull(place) < -0.7) & (radius > 0.15)
        branches = keep & (rng.random(len(place)) < 0.02)
        turned = _unit(heading[branches] + rng.normal(0, 0.7, (int(branches.sum()), 3)))
        place = np.concatenate([place[keep], place[branches]])
        heading = np.concatenate([heading[keep], turned])
        radius = np.concatenate([radius[keep], 0.75 * radius[branches]])
        left = np.concatenate([left[keep], 0.6 * left[branches]])
        points.append(place)
        radii.append(radius)
    return np.concatenate(points), np.concatenate(radii)
