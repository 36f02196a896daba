"""`Patient`: one patient's head and lesions as a few numbers, before any voxel is computed.

A `Patient` is a pure function of (seed, index, options): it depends neither on the number of patients nor on the
voxel size, so that the same patient can be rendered coarse and fine.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metseg.simulation.anatomy.normal_anatomy import COARSE_MM, Anatomy, load_anatomy, signed_distance
from metseg.simulation.options import PhantomOptions

Point = tuple[float, float, float]

#: Smallest gap between two lesions as spheres. Dents, lobes and the deformation may bring them nearer to each other; a
#: voxel between their cores is left free in any case.
GAP_MM = 6.0

#: Share of the lesions that sit where grey meets white matter, where tumour cells get stuck in narrowing arteries.
JUNCTION_SHARE = 0.8

#: How much of a ring lesion's core is necrotic.
NECROTIC_SHARE = (0.2, 0.6)

#: How unevenly lesions take contrast agent up.
PATCHINESS = (0.15, 0.5)

#: How many lobes a large lesion may have besides its first.
MOST_LOBES = 2

#: Mean thickness of the rim of a cyst, in mm and at most so much of its diameter.
CYST_RIM_MM, CYST_RIM_SHARE = (1.2, 4.0), 0.2


@dataclass(frozen=True)
class SimulatedLesion:
    """One metastasis, all lengths in mm.

    Args:
        lesion_id: 1..N within the patient, largest first.
        centre_mm: where it sits in the average brain (MNI coordinates); the patient's own deformation moves it.
        diameter_mm: of the sphere with the volume of the core (enhancing and necrotic).
        necrotic_share: of the core's volume; 0 for a solid lesion.
        oedema_mm: how far oedema reaches along white matter; 0 for none.
        irregularity: standard deviation of the surface's distance from its lobes, as a share of the radius.
        uptake: how strongly it takes contrast agent up, 0 (weak) to 1 (strong).
        patchiness: standard deviation of the uptake within the lesion, as a share of its mean, before it is limited to
            0.05 to 1.
        lobes: further round parts that have grown out of the first one, each with its own centre.
        fluidity: of what is necrotic: 0 dead tissue, 1 a cyst as watery as cerebrospinal fluid.
        eccentricity: how much faster the depth falls off on one side of the middle than on the other, 0 for a
            necrosis in the middle: the larger, the thicker the rim on one side.
    """

    lesion_id: int
    centre_mm: Point
    diameter_mm: float
    necrotic_share: float
    oedema_mm: float
    irregularity: float
    uptake: float
    patchiness: float
    lobes: int
    fluidity: float
    eccentricity: float

    @property
    def is_ring(self) -> bool:
        return self.necrotic_share > 0

    @property
    def drawn_mm(self) -> float:
        """Return the diameter at which the lesion's dents were drawn: they keep their shape while it grows."""
        return self.diameter_mm

    @property
    def planned_core_mm3(self) -> float:
        """Return the volume of the core, by definition that of the sphere of its diameter."""
        return float(np.pi / 6 * self.diameter_mm**3)


@dataclass(frozen=True)
class Patient:
    """One simulated patient.

    Args:
        seed: of the data set.
        index: of the patient within it, from 0.
        size: of the head along x, y, z, relative to the average one.
        tilt_rad: rotation of the head about x, y, z.
        shift_mm: of the head in the field of view.
        ventricles: relative change of the ventricles' width.
        atrophy: 0 (young, narrow sulci) to 1.
        lesions: largest first; in later examinations by number, new ones last.
    """

    seed: int
    index: int
    size: Point
    tilt_rad: Point
    shift_mm: Point
    ventricles: float
    atrophy: float
    lesions: tuple[SimulatedLesion, ...]

    @property
    def name(self) -> str:
        return patient_name(self.index)

    def stream(self, purpose: str) -> np.random.Generator:
        """Return a separate generator for one purpose, so that a new purpose does not change the others."""
        return random_stream(self.seed, self.index, purpose)


def patient_name(index: int) -> str:
    """Return the name of a patient as BraTS-METS numbers them, from 1.

    >>> patient_name(0)
    'BraTS-MET-00001'
    """
    return f"BraTS-MET-{index + 1:05d}"


def random_stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Return the generator of (data set, patient, purpose)."""
    return np.random.default_rng(np.random.SeedSequence((seed, index, zlib.crc32(purpose.encode()))))


def describe_patient(seed: int, index: int, options: PhantomOptions) -> Patient:
    """Return the patient ``index`` of the data set ``seed``."""
    rng = random_stream(seed, index, "head")
    triple = rng.normal(0, 1, (3, 3))
    return Patient(
        seed=seed,
        index=index,
        size=_point(1 + np.clip(0.03 * triple[0], -0.06, 0.05)),
        tilt_rad=_point(np.radians(np.clip([3.5, 2.0, 3.0] * triple[1], -8, 8))),
        shift_mm=_point(np.clip([1.5, 1.5, 1.5] * triple[2], -3, 3)),
        ventricles=float(rng.uniform(-0.1, 0.3)),
        atrophy=float(rng.beta(2, 2)),
        lesions=_draw_lesions(random_stream(seed, index, "lesions"), options),
    )


def _point(values: npt.ArrayLike) -> Point:
    x, y, z = (float(value) for value in np.asarray(values))
    return x, y, z


def _draw_lesions(rng: np.random.Generator, options: PhantomOptions) -> tuple[SimulatedLesion, ...]:
    counts = np.arange(options.lesions_min, options.lesions_max + 1)
    weights = options.lesions_decay**counts
    diameters = draw_diameters(rng, int(rng.choice(counts, p=weights / weights.sum())), options)
    sites = Sites(rng)
    return tuple(draw_lesion(rng, number, float(wanted), sites) for number, wanted in enumerate(diameters, start=1))


def draw_diameters(rng: np.random.Generator, count: int, options: PhantomOptions) -> npt.NDArray[np.float64]:
    """Return diameters in mm, largest first: log-normal, redrawn where outside the bounds."""
    low, high = options.diameter_min_mm, options.diameter_max_mm
    if options.diameter_log_std == 0:
        return np.full(count, options.diameter_median_mm)
    found: list[float] = []
    while len(found) < count:
        drawn = options.diameter_median_mm * np.exp(options.diameter_log_std * rng.standard_normal(count))
        found.extend(drawn[(drawn >= low) & (drawn <= high)])
    return np.sort(found[:count])[::-1]


class TakesSite(Protocol):
    """Gives places to lesions, each away from the others."""

    def take(self, radius_mm: float) -> Point:
        """Return a free site for a lesion, in mm."""
        ...


def draw_lesion(rng: np.random.Generator, number: int, diameter: float, sites: TakesSite) -> SimulatedLesion:
    """Return a lesion of a diameter in mm at a free site, which it takes."""
    ring = rng.random() < np.clip((diameter - 7) / 10, 0, 0.85)
    has_oedema = rng.random() < np.clip(0.25 + 0.06 * diameter, 0, 0.95)
    cystic = ring and rng.random() < np.clip((diameter - 10) / 20, 0, 0.6)
    rim_mm = min(rng.uniform(*CYST_RIM_MM), CYST_RIM_SHARE * diameter)
    necrotic = _share_within(rim_mm, diameter) if cystic else rng.uniform(*NECROTIC_SHARE)
    reach = 2.5 + 0.55 * diameter * rng.lognormal(0, 0.45)
    return SimulatedLesion(
        lesion_id=number,
        centre_mm=sites.take(diameter / 2),
        diameter_mm=diameter,
        necrotic_share=float(necrotic) if ring else 0.0,
        oedema_mm=float(min(reach, 24.0)) if has_oedema else 0.0,
        irregularity=float(rng.uniform(0.05, 0.16)),
        uptake=float(rng.beta(2.0, 1.5)),
        patchiness=float(rng.uniform(*PATCHINESS)),
        lobes=int(rng.binomial(MOST_LOBES, np.clip((diameter - 8) / 25, 0, 0.5))),
        fluidity=float(rng.uniform(0, 1)) if cystic else 0.0,
        eccentricity=float(rng.uniform(0, 0.35)) if ring else 0.0,
    )


def _share_within(rim_mm: float, diameter_mm: float) -> float:
    """Return the share of a sphere's volume that its rim leaves.

    >>> round(_share_within(2, 20), 3)
    0.512
    """
    return (1 - 2 * rim_mm / diameter_mm) ** 3


class Sites:
    """Where lesions may still lie; each one taken closes its surroundings."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._points, self._depth, self._ventricle, self._junction, self._any = _candidates()
        self._free = np.full(len(self._points), np.inf)

    def take(self, radius_mm: float) -> Point:
        """Return a site for a lesion, in MNI coordinates.

        If no suitable site is free (as for many large lesions), the site farthest from the other lesions is used.
        """
        weights = self._junction if self._rng.random() < JUNCTION_SHARE else self._any
        inside = (self._depth > 0.55 * radius_mm + 1.5) & (self._ventricle > 0.8 * radius_mm)
        free = self._free > radius_mm + GAP_MM
        allowed = weights * (inside & free)
        if not allowed.any():
            allowed = (self._free == self._free.max()).astype(np.float64)
        chosen = int(np.searchsorted(np.cumsum(allowed), self._rng.random() * allowed.sum(), side="right"))
        centre = self._points[chosen] + self._rng.uniform(-0.5, 0.5, 3) * COARSE_MM
        self.close(centre, radius_mm)
        return _point(centre)

    def close(self, centre_mm: npt.ArrayLike, radius_mm: float) -> None:
        """Keep others away from a lesion that lies here."""
        away = np.linalg.norm(self._points - np.asarray(centre_mm), axis=1) - radius_mm
        self._free = np.minimum(self._free, away)


@lru_cache(maxsize=1)
def _candidates() -> tuple[npt.NDArray[np.float64], ...]:
    """Return (N, 3) points in mm, their depth under the outline, distance to the ventricles, and two weights."""
    anatomy = load_anatomy(COARSE_MM)
    junction = 4 * anatomy.grey * anatomy.white
    tissue = anatomy.grey + anatomy.white
    height = anatomy.grid.axes_mm()[2]
    # The lowest slices show the cut brain stem and hardly anything else.
    keep = (tissue > 0.8) & (anatomy.hull_mm < -2) & (height > -58)
    voxels = np.argwhere(keep)
    ventricle = signed_distance(ventricles(anatomy)) * COARSE_MM
    # Central grey matter mixes with white in the maps without being a junction: cortex is near the outline.
    cortical = np.clip(1.6 + anatomy.hull_mm / 25, 0.1, 1)
    points = voxels * COARSE_MM + np.asarray(anatomy.grid.origin_mm)
    return (
        points,
        -anatomy.hull_mm[keep].astype(np.float64),
        ventricle[keep].astype(np.float64),
        (junction**2 * cortical)[keep].astype(np.float64),
        np.ones(len(points)),
    )


def ventricles(anatomy: Anatomy) -> npt.NDArray[np.bool_]:
    """Return where fluid lies deep enough to be ventricle and not sulcus."""
    return np.asarray((anatomy.fluid > 0.5) & (anatomy.hull_mm < -22))
