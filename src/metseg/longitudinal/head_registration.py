"""Rigid registration of the later examinations of a patient to the first one, with its quality."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.geometry import Affine, Grid, corners_mm, voxel_map
from metseg.longitudinal.timepoint import Timepoint
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.interpolation import covered, onto_grid
from metseg.preprocess.registration import Side, register_rigid
from metseg.preprocess.registration_metrics import Fit, fit
from metseg.volume import Volume

Mask = npt.NDArray[np.bool_]

#: Values below which a registration is doubtful; those at which the preprocessing step ``align`` refuses an image.
LEAST_FIT = Fit(mutual_information=1.03, head_overlap=0.8, coverage=0.5)

#: Rotation between two examinations above which a registration is doubtful: a head lies face up in the coil.
LARGEST_ROTATION_DEGREES = 30.0

#: Images are thinned out to voxels of up to this size before they are registered: at 2 mm, simulated heads are found to
#: 0.1 mm, in a third of the time that 1 mm takes.
REGISTRATION_MM = 2.0

#: Voxel size of the images on which the fit is measured.
FIT_MM = 3.0

NO_IMAGE = "no image to register: positions are those of the headers"


@dataclass(frozen=True)
class HeadRegistration:
    """Where the head of the first examination is in a later one.

    Args:
        to_later_mm: (4, 4) from points of the first examination (mm, RAS) to the same tissue in the later one.
        fit: how well the images fit after registration; None: not registered.
        shift_mm: displacement of the middle of the first image.
        rotation_degrees: angle of the rotation.
        seconds: duration.
        doubts: reasons to doubt the registration, one clause each; empty: none.
    """

    to_later_mm: Affine
    fit: Fit | None = None
    shift_mm: float = 0.0
    rotation_degrees: float = 0.0
    seconds: float = 0.0
    doubts: tuple[str, ...] = ()

    @property
    def to_first_mm(self) -> Affine:
        return np.asarray(np.linalg.inv(self.to_later_mm), dtype=np.float64)


@dataclass(frozen=True)
class _Head:
    """An image, thinned out and turned to RAS, with the mask of its head."""

    volume: Volume
    mask: Mask

    @classmethod
    def of(cls, volume: Volume) -> _Head:
        thinned, _ = Side.of(volume, np.zeros(volume.shape, dtype=np.bool_)).coarse(REGISTRATION_MM)
        return cls(thinned, head_mask(thinned.data[None]))


def register_timepoints(timepoints: Sequence[Timepoint]) -> tuple[HeadRegistration, ...]:
    """Register every later examination to the first one.

    Args:
        timepoints: in order of time, at least one.
    Returns:
        one registration per examination; that of the first is the identity.
    """
    first = None if timepoints[0].image is None else _Head.of(timepoints[0].image)
    later = [_register(first, timepoint) for timepoint in timepoints[1:]]
    return (HeadRegistration(np.eye(4)), *later)


def _register(first: _Head | None, timepoint: Timepoint) -> HeadRegistration:
    """Return the registration of an examination to the first one; a failure leaves the positions of the headers."""
    started = time.perf_counter()
    if first is None or timepoint.image is None:
        return HeadRegistration(np.eye(4), doubts=(NO_IMAGE,))
    later = _Head.of(timepoint.image)
    try:
        world = register_rigid(first.volume, later.volume, fixed_head=first.mask, moving_head=later.mask)
    except InputError as error:
        doubt = f"registration failed ({error.got}): positions are those of the headers"
        return HeadRegistration(np.eye(4), seconds=time.perf_counter() - started, doubts=(doubt,))
    quality = _fit(first, later, world)
    shift, rotation = _motion(first.volume, world)
    return HeadRegistration(
        world, quality, shift, rotation, time.perf_counter() - started, doubts=_doubts(quality, rotation)
    )


def _fit(first: _Head, later: _Head, world: Affine) -> Fit:
    """Return how well two heads fit, measured on coarse images: enough for a judgement, and much faster."""
    reference, _ = Side.of(first.volume, first.mask).coarse(FIT_MM)
    assert reference.affine is not None
    assert later.volume.affine is not None
    grid = Grid(reference.shape, reference.affine)
    heads = tuple(_on_grid(head, grid, place) for head, place in ((first, np.eye(4)), (later, world)))
    there = covered(later.volume.shape, voxel_map(later.volume.affine, reference.affine, world), reference.shape)
    image = onto_grid(later.volume, grid, world=world)
    return fit(reference.data, image, heads=(heads[0], heads[1]), covered=there)


def _on_grid(head: _Head, grid: Grid, world: Affine) -> Mask:
    return np.asarray(onto_grid(Volume(head.mask, head.volume.affine), grid, world=world) >= 0.5)


def _motion(volume: Volume, world: Affine) -> tuple[float, float]:
    """Return by how much the middle of a volume moves, mm, and the angle of the rotation, degrees."""
    middle = np.append(corners_mm(volume.grid).mean(axis=0), 1.0)
    cosine = (np.trace(world[:3, :3]) - 1) / 2
    return float(np.linalg.norm((world @ middle - middle)[:3])), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _doubts(quality: Fit, rotation_degrees: float) -> tuple[str, ...]:
    """Return the reasons to doubt a registration."""
    names = ("mutual information of the images", "overlap of the heads", "share of the head shown")
    low = [
        f"{name} is {value:.2f} (at least {least:.2f})"
        for name, value, least in zip(names, quality, LEAST_FIT, strict=True)
        if value < least
    ]
    if rotation_degrees > LARGEST_ROTATION_DEGREES:
        low.append(f"the head is turned by {rotation_degrees:.0f} degrees (at most {LARGEST_ROTATION_DEGREES:.0f})")
    return tuple(low)
