"""Insert simulated metastases into a real scan: shapes and oedema of the phantom, intensities on the scan's own scale.

The signal of each part of a lesion follows from its relaxation times (`metseg.simulation.anatomy.tissues`), and is
mapped to the scan by the three tissues that both have: a signal between grey and white matter in the model is between
them in the scan. A share of the lesions gets random intensities, so that a network learns more than one scanner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy import ndimage

from metseg.random_fields import smooth_field
from metseg.recipe import Frozen
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.anatomy.tissues import (
    SCANNERS,
    TISSUES,
    Sequence,
    Tissue,
    signal,
    vary_sequence,
    vary_tissue,
)
from metseg.simulation.hosts.host_scan import HOST_TISSUES, HostScan
from metseg.simulation.lesions.lesion_shapes import LesionMaps, add_core
from metseg.simulation.lesions.oedema import add_oedema
from metseg.simulation.options import PhantomOptions
from metseg.simulation.patient import (
    CYST_RIM_MM,
    CYST_RIM_SHARE,
    JUNCTION_SHARE,
    SimulatedLesion,
    draw_diameters,
    draw_lesion,
)
from metseg.volume import Volume

Rng = np.random.Generator
FloatArray = npt.NDArray[np.float32]

#: Kind of lesion -> how often it occurs: below 6 mm, and above.
KINDS: Mapping[str, tuple[float, float]] = {
    "solid": (0.75, 0.32),
    "ring": (0.0, 0.25),
    "cystic": (0.0, 0.12),
    "necrotic": (0.0, 0.13),
    "haemorrhagic": (0.1, 0.1),
    "weak": (0.15, 0.08),
}
SMALL_MM = 6.0

#: Blood of some days: bright in T1, its T2 between that of an early and a late bleeding.
BLOOD_T1_MS, BLOOD_T2_MS = (300.0, 700.0), (25.0, 250.0)

#: What a lesion may consist of.
LESION_TISSUES = ("tumour_strong", "tumour_weak", "necrosis", "cyst", "oedema", "blood")

#: Standard deviation of the logarithm of a random factor on each part of a lesion in each sequence.
RANDOM_CONTRAST = 0.35

#: Least distance of a lesion's centre from the surface of the brain, in mm, beside a share of its radius.
DEPTH_MM = 1.5

#: Blur of the shares that the border of grey and white matter is found in.
JUNCTION_BLUR_MM = 1.5

#: Gap between two lesions in mm.
GAP_MM = 5.0

#: Standard deviations of the blur of a lesion's border, in voxels.
BLUR_VOXELS = (0.3, 0.8)

#: Unevenness inside a lesion: standard deviation relative to white matter, and the distance of its nodes.
MOTTLE, MOTTLE_MM = 0.03, 2.0

#: From the median absolute deviation of normal values to their standard deviation.
MAD_TO_STD = 1.4826


class InsertionOptions(Frozen):
    """Which lesions are put into a scan; the only home of these defaults."""

    lesions_min: Annotated[int, Field(ge=0)] = 1
    lesions_max: Annotated[int, Field(ge=0, le=60)] = 12
    lesions_decay: Annotated[float, Field(gt=0, le=1)] = 0.82
    #: Diameters are log-normal, cut off at both ends.
    diameter_min_mm: Annotated[float, Field(ge=1)] = 2.0
    diameter_max_mm: Annotated[float, Field(le=45)] = 45.0
    diameter_median_mm: Annotated[float, Field(gt=0)] = 7.0
    diameter_log_std: Annotated[float, Field(ge=0)] = 0.75
    #: Share of lesions with random intensities of each part in each sequence.
    random_contrast: Annotated[float, Field(ge=0, le=1)] = 0.3

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _ = self.sizes  # its rules hold here too
        return self

    @property
    def sizes(self) -> PhantomOptions:
        """Return the options of the phantom with these numbers and diameters."""
        shared = set(PhantomOptions.model_fields) & set(type(self).model_fields)
        return PhantomOptions(**{name: getattr(self, name) for name in shared})


@dataclass(frozen=True)
class InsertedLesion:
    """One lesion as it was drawn.

    Args:
        lesion: shape and uptake; ``centre_mm`` in RAS.
        kind: a key of `KINDS`.
    """

    lesion: SimulatedLesion
    kind: str


@dataclass(frozen=True)
class HostWithLesions:
    """A real scan with simulated lesions. All arrays are (X, Y, Z), the box of the host.

    Args:
        images: sequence to image.
        labels: (X, Y, Z) NETC 1, SNFH 2, ET 3; they include the host's own tumour, if any.
        instances: the inserted lesion each voxel belongs to, 1..N; 0 for the host's own tumour.
        lesions: in the order of their numbers.
    """

    images: Mapping[str, FloatArray]
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint8]
    lesions: tuple[InsertedLesion, ...]


def insert_lesions(host: HostScan, rng: Rng, *, options: InsertionOptions | None = None) -> HostWithLesions:
    """Return the host with lesions at random places.

    Args:
        host: the scan; not changed.
        rng: where all random numbers come from.
        options: how many, how large; None: the defaults.
    """
    options = options or InsertionOptions()
    grid = Grid(Volume(host.brain).shape, host.spacing, (0.0, 0.0, 0.0))
    depth = np.asarray(ndimage.distance_transform_edt(host.brain), dtype=np.float32) * grid.spacing_mm
    # Negative inside, as the outline of the phantom; the host's own tumour is out of reach.
    hull = np.where(host.free, -depth, np.float32(1.0))
    sites = _HostSites(host, depth, rng)
    maps = LesionMaps.empty(grid.shape)
    inserted = []
    for number, diameter in enumerate(_diameters(rng, options), start=1):
        item = _drawn(rng, number, float(diameter), sites)
        if item is None:
            break
        add_core(maps, item.lesion, grid.to_voxel(item.lesion.centre_mm), grid=grid, hull_mm=hull, rng=rng)
        inserted.append(item)
    for item in inserted:
        add_oedema(maps, item.lesion, grid=grid, white=host.shares["white"], grey=host.shares["grey"], rng=rng)
    images = _painted(host, maps, inserted, rng, options)
    labels = maps.labels if host.labels is None else np.where(maps.labels > 0, maps.labels, host.labels)
    in_ras = [
        replace(item, lesion=replace(item.lesion, centre_mm=_ras(item.lesion.centre_mm, host))) for item in inserted
    ]
    return HostWithLesions(images, labels.astype(np.uint8), maps.instances, tuple(in_ras))


class _HostSites:
    """Where lesions may still lie in a host; a `metseg.simulation.patient.Sites` on the host's own tissue."""

    def __init__(self, host: HostScan, depth: FloatArray, rng: Rng) -> None:
        step = max(1, round(2.0 / host.spacing))
        thin = (slice(None, None, step),) * 3
        tissue = host.shares["white"] + host.shares["grey"]
        keep = host.free[thin] & (tissue[thin] > 0.7) & (depth[thin] > DEPTH_MM)
        self._rng = rng
        self._points = np.argwhere(keep) * step * host.spacing
        self._depth = depth[thin][keep]
        # Shares blurred over some mm: k-means knows no partial volume.
        white, grey = (
            ndimage.gaussian_filter(host.shares[name], JUNCTION_BLUR_MM / host.spacing)[thin]
            for name in ("white", "grey")
        )
        self._junction = (4 * white * grey)[keep] ** 2
        self._free = np.full(len(self._points), np.inf)
        self.full = False

    def take(self, radius_mm: float) -> tuple[float, float, float]:
        """Return a free site in mm from the first voxel; `full` where there is none."""
        weights = self._junction if self._rng.random() < JUNCTION_SHARE else np.ones(len(self._points))
        inside = self._depth > min(0.6 * radius_mm + DEPTH_MM, 12.0)
        allowed = weights * (inside & (self._free > radius_mm + GAP_MM))
        if not allowed.any():
            self.full = True
            return 0.0, 0.0, 0.0
        chosen = int(np.searchsorted(np.cumsum(allowed), self._rng.random() * allowed.sum(), side="right"))
        centre = self._points[min(chosen, len(self._points) - 1)] + self._rng.uniform(-1.0, 1.0, 3)
        self._free = np.minimum(self._free, np.linalg.norm(self._points - centre, axis=1) - radius_mm)
        x, y, z = (float(value) for value in centre)
        return x, y, z


def _ras(centre: tuple[float, float, float], host: HostScan) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in host.affine[:3, :3] @ (np.asarray(centre) / host.spacing) + host.affine[:3, 3])
    return x, y, z


def _diameters(rng: Rng, options: InsertionOptions) -> npt.NDArray[np.float64]:
    counts = np.arange(options.lesions_min, options.lesions_max + 1)
    weights = options.lesions_decay**counts
    return draw_diameters(rng, int(rng.choice(counts, p=weights / weights.sum())), options.sizes)


def _drawn(rng: Rng, number: int, diameter: float, sites: _HostSites) -> InsertedLesion | None:
    lesion = draw_lesion(rng, number, diameter, sites)
    if sites.full:
        return None
    weights = np.array([pair[diameter >= SMALL_MM] for pair in KINDS.values()])
    kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    return InsertedLesion(replace(lesion, **_KIND_CHANGES[kind](diameter, rng)), kind)


def _solid(_: float, rng: Rng) -> dict[str, Any]:
    return {"necrotic_share": 0.0, "fluidity": 0.0, "eccentricity": 0.0, "uptake": float(rng.uniform(0.3, 1.0))}


def _ring(_: float, rng: Rng) -> dict[str, Any]:
    return {
        "necrotic_share": float(rng.uniform(0.2, 0.6)),
        "fluidity": float(rng.uniform(0.0, 0.3)),
        "eccentricity": float(rng.uniform(0.0, 0.35)),
        "uptake": float(rng.uniform(0.35, 1.0)),
    }


def _cystic(diameter: float, rng: Rng) -> dict[str, Any]:
    rim = min(float(rng.uniform(*CYST_RIM_MM)), CYST_RIM_SHARE * diameter)
    share = (1 - 2 * rim / diameter) ** 3
    return _ring(diameter, rng) | {"necrotic_share": share, "fluidity": float(rng.uniform(0.6, 1.0))}


def _necrotic(diameter: float, rng: Rng) -> dict[str, Any]:
    return _ring(diameter, rng) | {
        "necrotic_share": float(rng.uniform(0.4, 0.75)),
        "irregularity": float(rng.uniform(0.12, 0.25)),
        "patchiness": float(rng.uniform(0.3, 0.6)),
    }


def _haemorrhagic(diameter: float, rng: Rng) -> dict[str, Any]:
    share, uptake = float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.2, 0.9))
    return _solid(diameter, rng) | {"necrotic_share": share, "uptake": uptake}


def _weak(diameter: float, rng: Rng) -> dict[str, Any]:
    return _solid(diameter, rng) | {"uptake": float(rng.uniform(0.0, 0.12))}


#: Kind of lesion -> what it changes of the lesion that the phantom would have drawn.
_KIND_CHANGES = {
    "solid": _solid,
    "ring": _ring,
    "cystic": _cystic,
    "necrotic": _necrotic,
    "haemorrhagic": _haemorrhagic,
    "weak": _weak,
}


def _painted(
    host: HostScan, maps: LesionMaps, inserted: list[InsertedLesion], rng: Rng, options: InsertionOptions
) -> dict[str, FloatArray]:
    """Return the images of the host with the lesions in them."""
    where = _touched(maps)
    nearest = _nearest_lesion(maps)[where]
    timings = _timings(tuple(host.images), rng)
    signals = _lesion_signals(host, inserted, timings, rng, options)
    parts = _parts(maps, where, nearest, inserted)
    weight = sum(parts.values())
    blur = float(rng.uniform(*BLUR_VOXELS))
    images = {}
    for name, image in host.images.items():
        change = np.zeros(image.shape, dtype=np.float32)
        target = sum(share * signals[name][part][nearest] for part, share in parts.items())
        change[where] = target - weight * image[where]
        smooth = ndimage.gaussian_filter(change, blur)
        grain = _grain(image, host, rng) * ndimage.gaussian_filter(maps.core, blur)
        smallest = np.float32(image[host.brain].min())
        images[name] = np.asarray(np.where(host.brain, np.maximum(image + smooth + grain, smallest), 0), np.float32)
    return images


def _touched(maps: LesionMaps) -> tuple[npt.NDArray[np.intp], ...]:
    return np.nonzero((maps.core > 0) | (maps.oedema > 0))


def _nearest_lesion(maps: LesionMaps) -> npt.NDArray[np.intp]:
    """Return (X, Y, Z) the number of the lesion that each voxel is nearest to, from 0."""
    if not maps.instances.any():
        return np.zeros(maps.instances.shape, dtype=np.intp)
    places = ndimage.distance_transform_edt(maps.instances == 0, return_distances=False, return_indices=True)
    return np.asarray(maps.instances[tuple(places)].astype(np.intp) - 1)


def _parts(
    maps: LesionMaps,
    where: tuple[npt.NDArray[np.intp], ...],
    nearest: npt.NDArray[np.intp],
    inserted: list[InsertedLesion],
) -> dict[str, FloatArray]:
    """Return the share of each tissue of the lesions in the touched voxels; the rest is the host's own tissue."""
    core, necrosis, fluidity, uptake, oedema = (
        image[where] for image in (maps.core, maps.necrosis, maps.fluidity, maps.uptake, maps.oedema)
    )
    bleeds = np.array([item.kind == "haemorrhagic" for item in inserted] or [False])[nearest]
    alive, dead = core * (1 - necrosis), core * necrosis
    return {
        "tumour_strong": alive * uptake,
        "tumour_weak": alive * (1 - uptake),
        "necrosis": dead * (1 - fluidity) * ~bleeds,
        "cyst": dead * fluidity * ~bleeds,
        "blood": dead * bleeds,
        "oedema": (1 - core) * oedema,
    }


def _timings(names: tuple[str, ...], rng: Rng) -> dict[str, Sequence]:
    """Return the timing of each sequence, by one protocol; of unknown sequences that of T1."""
    scanners = SCANNERS["many"]
    protocol = scanners.protocols[int(rng.integers(len(scanners.protocols)))]
    return {name: vary_sequence(protocol.get(name, protocol["t1n"]), rng, spread=scanners.spread) for name in names}


def _lesion_signals(
    host: HostScan,
    inserted: list[InsertedLesion],
    timings: Mapping[str, Sequence],
    rng: Rng,
    options: InsertionOptions,
) -> dict[str, dict[str, FloatArray]]:
    """Return for each sequence and tissue the intensity in each lesion, on the scale of the host."""
    found = {
        name: {part: np.zeros(max(1, len(inserted)), dtype=np.float32) for part in LESION_TISSUES} for name in timings
    }
    for place in range(len(inserted)):
        tissues = _lesion_tissues(rng)
        noisy = rng.random() < options.random_contrast
        for name, timing in timings.items():
            for part, tissue in tissues.items():
                value = on_host_scale(signal(tissue, timing), timing, host.levels[name])
                if noisy:
                    value *= float(np.exp(rng.normal(0, RANDOM_CONTRAST)))
                found[name][part][place] = value
    return found


def _lesion_tissues(rng: Rng) -> dict[str, Tissue]:
    spread = SCANNERS["many"].spread
    blood = replace(TISSUES["necrosis"], t1_ms=float(rng.uniform(*BLOOD_T1_MS)), t2_ms=float(rng.uniform(*BLOOD_T2_MS)))
    base = {part: TISSUES[part] for part in LESION_TISSUES if part != "blood"} | {"blood": blood}
    return {part: vary_tissue(tissue, rng, spread=spread) for part, tissue in base.items()}


def on_host_scale(value: float, timing: Sequence, levels: Mapping[str, float]) -> float:
    """Return a signal of the model as an intensity of the host: linear between the tissues that both have."""
    pairs = sorted((signal(TISSUES[name], timing), levels[name]) for name in HOST_TISSUES)
    model, scan = np.array(pairs).T
    scan = np.maximum.accumulate(scan)  # a host of odd contrast must not turn the order round
    if value <= model[-1]:
        return float(np.interp(value, np.concatenate([[0.0], model]), np.concatenate([[0.6 * scan[0]], scan])))
    # Above the brightest tissue, as far as the contrast between the brightest and the darkest carries.
    slope = (scan[-1] - scan[0]) / max(model[-1] - model[0], 1e-6)
    return float(scan[-1] + slope * (value - model[-1]))


def _grain(image: FloatArray, host: HostScan, rng: Rng) -> FloatArray:
    """Return noise and mottle of the strength that the host's white matter has."""
    white = host.free & (host.shares["white"] > 0.8)
    if not white.any():
        return np.zeros_like(image)
    fine = (image - ndimage.gaussian_filter(image, 1.0))[white]
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), 0.5)
    noise *= MAD_TO_STD * float(np.median(np.abs(fine))) / max(float(noise.std()), 1e-6)
    mottle = smooth_field(image.shape, scale_voxels=max(MOTTLE_MM / host.spacing, 1.0), rng=rng)
    return np.asarray(noise + MOTTLE * float(np.median(image[white])) * mottle, dtype=np.float32)
