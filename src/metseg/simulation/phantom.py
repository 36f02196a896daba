"""Simulate one patient: from the description through tissue shares to four sequences and the exact ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.random_fields import smooth_field
from metseg.simulation.anatomy import head_anatomy, vessels
from metseg.simulation.anatomy.deformation import anatomy_coordinates, push_aside, to_patient
from metseg.simulation.anatomy.normal_anatomy import Anatomy, load_anatomy
from metseg.simulation.anatomy.tissues import SCANNERS
from metseg.simulation.lesions import lesion_shapes as lesions
from metseg.simulation.lesions import oedema
from metseg.simulation.lesions.lesion_truth import LesionTruth, lesion_truth
from metseg.simulation.lesions.progression import Examination
from metseg.simulation.options import PhantomOptions
from metseg.simulation.patient import Patient, describe_patient
from metseg.simulation.scanner.acquisition import Scan
from metseg.simulation.scanner.mri_signal import render_sequences
from metseg.volume import Case, Volume

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedPatient:
    """A patient with images and truth.

    Args:
        patient: the description everything follows from.
        case: t1n, t1c, t2w, t2f and the labels (NETC 1, SNFH 2, ET 3), RAS+; a challenge may turn the grids.
        instances: (X, Y, Z) uint8, the lesion each labelled voxel belongs to.
        brain: (X, Y, Z) bool, what a skull-stripping program would keep.
        lesions: what the voxels of each lesion measure.
        examination: number and history of this examination; None: a single examination.
        scans: how each sequence was measured; empty for a first examination on the phantom's own grid.
    """

    patient: Patient
    case: Case
    instances: npt.NDArray[np.uint8]
    brain: npt.NDArray[np.bool_]
    lesions: tuple[LesionTruth, ...]
    examination: Examination | None = None
    scans: Mapping[str, Scan] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """A patient's head in tissue shares, before any scanner sees it; all maps (X, Y, Z).

    Args:
        shares: tissue name (see `tissues.TISSUES`) to its share of each voxel.
        texture: factor on the signal of brain tissue, about 1.
        brain: what a skull-stripping program would keep.
        lesions: maps and labels of the lesions.
    """

    shares: dict[str, FloatArray]
    texture: FloatArray
    brain: npt.NDArray[np.bool_]
    lesions: lesions.LesionMaps


def simulate_patient(seed: int, index: int, options: PhantomOptions | None = None) -> SimulatedPatient:
    """Return patient ``index`` of the data set ``seed``: always the same, however many others there are.

    Raises:
        UsageError: nilearn, which provides the anatomy, is not installed.
    """
    options = options or PhantomOptions()
    patient = describe_patient(seed, index, options)
    grid = load_anatomy(options.resolution_mm).grid
    built = build_head(patient, options)
    images = render_sequences(patient, built.shares, texture=built.texture, brain=built.brain, options=options)
    case = Case(
        case_id=f"{patient.name}-000",
        patient=patient.name,
        images={name: Volume(data, grid.affine) for name, data in images.items()},
        labels=Volume(built.lesions.labels, grid.affine),
        timepoint="000",
    )
    truth = lesion_truth(built.lesions.labels, built.lesions.instances, grid.affine)
    return SimulatedPatient(patient, case, built.lesions.instances, built.brain, truth)


@dataclass(frozen=True)
class _Healthy:
    """A head without what lesions add, but with what they push aside: see `Head` and `head.Place`."""

    coordinates: FloatArray
    places: npt.NDArray[np.float64]
    hull: FloatArray
    shares: dict[str, FloatArray]
    texture: FloatArray


def build_head(patient: Patient, options: PhantomOptions, *, first: Patient | None = None) -> Head:
    """Return the patient's anatomy with lesions, in tissue shares.

    Args:
        patient: with the lesions of the day.
        options: resolution and skull.
        first: the patient at the first examination, if this is a later one: small vessels stay where they were then,
            while the walks that draw them would end elsewhere in a brain that is displaced a little differently.
    """
    anatomy = load_anatomy(options.resolution_mm)
    here = _healthy(patient, anatomy)
    before = here if first is None else _healthy(first, anatomy)
    shares, hull = here.shares, here.hull
    maps = _draw_lesions(patient, anatomy, here.places, shares=shares, hull=hull)
    rim_mm = float(patient.stream("strip").uniform(*SCANNERS[options.scanners].rim_mm))
    brain = head_anatomy.brain_mask(hull, shares["grey"] + shares["white"], anatomy.grid, rim_mm=rim_mm)
    brain |= maps.labels > 0
    flow = vessels.vessel_shares(
        patient, before.coordinates, fluid=before.shares["fluid"], hull_mm=before.hull, grid=anatomy.grid
    )
    place = head_anatomy.Place(anatomy.grid, here.coordinates, hull)
    dura = head_anatomy.dura_share(patient, place, fluid=shares["fluid"])
    inner = _compose(shares, maps, dura=dura, flow=flow)
    if not options.skull:
        return Head(inner, here.texture, brain, maps)
    outer = head_anatomy.outer_shares(
        patient, place, _sample(anatomy.head_mm, here.coordinates), vessel=inner["vessel"]
    )
    return Head(inner | outer, here.texture, brain, maps)


def _healthy(patient: Patient, anatomy: Anatomy) -> _Healthy:
    coordinates = anatomy_coordinates(patient, anatomy)
    centres = np.array([lesion.centre_mm for lesion in patient.lesions]).reshape(-1, 3)
    places = to_patient(anatomy.grid.to_voxel(centres), coordinates)
    for lesion, place in zip(patient.lesions, places, strict=True):
        push_aside(coordinates, place, lesion, anatomy.grid)
    hull = _sample(anatomy.hull_mm, coordinates)
    shares, texture = _brain_tissues(patient, anatomy, coordinates, hull)
    return _Healthy(coordinates, places, hull, shares, texture)


def _sample(image: FloatArray, coordinates: FloatArray) -> FloatArray:
    return np.asarray(ndimage.map_coordinates(image, coordinates, order=1, mode="nearest"), dtype=np.float32)


def _brain_tissues(
    patient: Patient, anatomy: Anatomy, coordinates: FloatArray, hull: FloatArray
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return the shares of white and grey matter and fluid, and the texture of the brain.

    One brain has sharper borders than the mean of 152, and its own sulci: the averaged shares become
    ``w p^2 / sum w p^2`` with random smooth weights ``w``.
    """
    inside = _bounding_box(hull < 4)
    shape = tuple(side.stop - side.start for side in inside)
    scale = 1 / anatomy.grid.spacing_mm
    local = coordinates[(slice(None), *inside)]
    grey, white = _sample(anatomy.grey, local), _sample(anatomy.white, local)
    edge = np.clip(0.5 + (np.float32(head_anatomy.subarachnoid_mm(patient)) - hull[inside]) * np.float32(scale), 0, 1)
    fluid = np.clip(edge - grey - white, 0, 1)
    rng = patient.stream("gyri")
    weights = [
        np.exp(np.float32(strength) * smooth_field(shape, scale_voxels=4.5 * scale, rng=rng) + np.float32(shift))
        for strength, shift in ((0.45, 0.0), (0.45, 0.0), (0.8, 0.2 + 0.9 * patient.atrophy))
    ]
    powers = [p * p * w for p, w in zip((grey, white, fluid), weights, strict=True)]
    factor = edge / (powers[0] + powers[1] + powers[2] + np.float32(1e-6))
    shares = {}
    for name, power in zip(("grey", "white", "fluid"), powers, strict=True):
        shares[name] = np.zeros(hull.shape, dtype=np.float32)
        # Tails below a ten-thousandth are nothing to see, but as denormal numbers they slow everything down.
        shares[name][inside] = np.where(power > 1e-4, power * factor, 0)
    texture = np.ones(hull.shape, dtype=np.float32)
    texture[inside] = _sample(anatomy.texture, local)
    texture[inside] *= 1 + np.float32(0.012) * smooth_field(shape, scale_voxels=2.5 * scale, rng=rng)
    return shares, texture


def _bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    x, y, z = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(int(z[0]), int(z[-1]) + 1)


def _draw_lesions(
    patient: Patient,
    anatomy: Anatomy,
    places: npt.NDArray[np.float64],
    *,
    shares: dict[str, FloatArray],
    hull: FloatArray,
) -> lesions.LesionMaps:
    maps = lesions.LesionMaps.empty(anatomy.grid.shape)
    for lesion, place in zip(patient.lesions, places, strict=True):
        rng = patient.stream(f"core {lesion.lesion_id}")
        lesions.add_core(maps, lesion, place, grid=anatomy.grid, hull_mm=hull, rng=rng)
    for lesion in patient.lesions:
        rng = patient.stream(f"oedema {lesion.lesion_id}")
        oedema.add_oedema(maps, lesion, grid=anatomy.grid, white=shares["white"], grey=shares["grey"], rng=rng)
    return maps


def _compose(
    normal: dict[str, FloatArray], maps: lesions.LesionMaps, *, dura: FloatArray, flow: dict[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the shares inside the skull with lesions, vessels and dura in their places: at most 1 in all.

    Only the few voxels that hold any of these are touched; the arrays handed in become part of the result.
    """
    where = np.flatnonzero(
        (maps.core > 0) | (maps.oedema > 0) | (dura > 0) | (flow["vessel"] > 0) | (flow["choroid"] > 0)
    )
    core, necrosis, fluidity, uptake, swollen = (
        image.ravel()[where] for image in (maps.core, maps.necrosis, maps.fluidity, maps.uptake, maps.oedema)
    )
    rest = 1 - core
    found = {name: share.ravel()[where] * rest for name, share in flow.items()}
    rest -= found["vessel"] + found["choroid"]
    found["dura"] = dura.ravel()[where] * rest
    rest -= found["dura"]
    white, grey, fluid = (normal[name].ravel()[where] for name in ("white", "grey", "fluid"))
    found["oedema"] = np.minimum(swollen, white + grey) * rest
    healthy = rest - found["oedema"] / np.maximum(white + grey, np.float32(1e-6))
    found |= {"white": white * healthy, "grey": grey * healthy, "fluid": fluid * rest}
    alive, dead = core * (1 - necrosis), core * necrosis
    found |= {"tumour_strong": alive * uptake, "tumour_weak": alive * (1 - uptake)}
    found |= {"necrosis": dead * (1 - fluidity), "cyst": dead * fluidity}
    shares = {name: normal.get(name, np.zeros(dura.shape, dtype=np.float32)) for name in found}
    for name, values in found.items():
        shares[name].ravel()[where] = values
    return shares
