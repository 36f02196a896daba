"""Heads of random contrast, synthesised from label maps of real people: training data of brain extraction.

Each tissue gets a random intensity, so that a network must learn shapes instead of one contrast. Sources of the
method: Hoopes et al. 2022, SynthStrip, arXiv:2203.09974; Billot et al. 2023, SynthSeg, arXiv:2107.09559. This module
reads the label maps of whole heads of the latter (Apache-2.0). Label ids are FreeSurfer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from metseg.errors import InputError
from metseg.geometry import Affine, spacing_mm, stepped_affine, turn_to_ras
from metseg.io.volumes.nifti import read_volume
from metseg.measure.boxes import bounding_box, grown
from metseg.random_fields import FloatArray, bias_field, elastic_displacement, rician_noise, smooth_field
from metseg.recipe import Frozen

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

#: FreeSurfer's id of the fluid around the brain; all other ids below `FIRST_OUTSIDE` belong to the brain.
CSF = 24
#: Ids of cerebellum (white matter, cortex) and brainstem.
CEREBELLUM, BRAINSTEM = (7, 8), 16
#: Ids of the ventricles.
LATERAL_VENTRICLE, THIRD_VENTRICLE = 4, 14
#: Ids of vessels: inside the brain, arteries and veins around it.
VESSEL, ARTERY, VEIN = 30, 502, 514
#: Ids from here on lie outside the dura: bone, muscles, fat, skin, eyes.
FIRST_OUTSIDE = 165
#: Id on the right side -> id of the same structure on the left, which shares its intensity.
RIGHT_TO_LEFT = {
    **{right: right - 39 for right in (41, 42, 43, 44, 49, 50, 51, 52)},
    **{46: 7, 47: 8, 53: 17, 54: 18, 57: 25, 58: 26, 60: 28, 62: 30, 63: 31, 137: 136, 164: 163},
}
WHITE_MATTER, GREY_MATTER, FLUID, BONE = (2, 7, 16), (3, 8, 10, 11, 12, 13, 17, 18, 26), (4, 5, 14, 15, CSF), (165, 515)

#: Sulci up to twice as wide belong to the brain mask, as in masks drawn by people.
CLOSING_MM = 8.0

#: Fluid this close to the brain belongs to the mask too: a mask must not cut into the cortex, where metastases are
#: frequent, and masks by people and HD-BET include it.
FLUID_MM = 2.0

#: Relative intensity of white matter, grey matter, fluid, soft tissue and bone in common sequences.
CONTRASTS: dict[str, tuple[float, float, float, float, float]] = {
    "t1": (1.0, 0.72, 0.3, 0.95, 0.2),
    "t2": (0.45, 0.6, 1.0, 0.45, 0.12),
    "flair": (0.6, 0.78, 0.15, 0.6, 0.15),
}


Share = Annotated[float, Field(ge=0, le=1)]


class DeformationOptions(Frozen):
    """How far the anatomy of a label map is changed; the only home of these defaults."""

    rotation_degrees: Annotated[float, Field(ge=0, le=45)] = 20.0
    #: Zoom per axis: at least, at most.
    zoom_min: Annotated[float, Field(gt=0)] = 0.85
    zoom_max: Annotated[float, Field(gt=0)] = 1.15
    #: Standard deviation of the smooth warp, at most, and the distance of its nodes.
    elastic_mm: Annotated[float, Field(ge=0)] = 3.0
    elastic_scale_mm: Annotated[float, Field(gt=0)] = 25.0


class HeadOptions(DeformationOptions):
    """How much random heads vary; the only home of these defaults."""

    #: Edge of the voxels that are written.
    spacing_mm: Annotated[float, Field(ge=1, le=5)] = 2.0
    #: Share of heads with the contrast of a common sequence; the others have a random intensity per tissue.
    realistic: Share = 0.5
    #: Share of heads with lesions in the brain, their largest number, and their radii.
    lesions: Share = 0.6
    most_lesions: Annotated[int, Field(ge=1)] = 3
    lesion_min_mm: Annotated[float, Field(gt=0)] = 3.0
    lesion_max_mm: Annotated[float, Field(gt=0)] = 32.0
    #: Standard deviation of the logarithm of the coil's intensity drift, at most, and the distance of its nodes.
    bias: Annotated[float, Field(ge=0, le=1)] = 0.35
    bias_min_mm: Annotated[float, Field(gt=0)] = 40.0
    bias_max_mm: Annotated[float, Field(gt=0)] = 120.0
    #: Standard deviation of the noise, at most, as a share of the brightest tissue.
    noise: Annotated[float, Field(ge=0)] = 0.08
    blur_mm: Annotated[float, Field(ge=0)] = 1.0
    #: Share of heads in thick slices, and how thick.
    thick: Share = 0.5
    thick_min_mm: Annotated[float, Field(gt=0)] = 2.0
    thick_max_mm: Annotated[float, Field(gt=0)] = 7.0
    #: Share of heads that the field of view cuts off, and by how much of each side at most.
    cropped: Share = 0.4
    crop_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.3
    #: Share of heads with air of exactly 0, as after de-facing or masking.
    clean_air: Share = 0.3


@dataclass(frozen=True)
class LabelMapHead:
    """A head as tissue labels.

    Args:
        labels: (X, Y, Z) int16 in RAS+, right structures under their left ids.
        brain: (X, Y, Z) bool: brain, ventricles, narrow sulci and a thin layer of the fluid around.
        affine: (4, 4) voxel-to-RAS, mm.
    """

    labels: npt.NDArray[np.int16]
    brain: Mask
    affine: Affine


@dataclass(frozen=True)
class RandomHead:
    """A head as a scanner of random contrast shows it.

    Args:
        image: (X, Y, Z) float32 in RAS+, not negative.
        brain: (X, Y, Z) bool, the exact truth.
        affine: (4, 4) voxel-to-RAS, mm.
    """

    image: FloatArray
    brain: Mask
    affine: Affine


def load_label_map(path: Path) -> LabelMapHead:
    """Read a label map of a whole head and derive its brain mask.

    Raises:
        InputError: ``input.labels``, the map does not show a brain with a head around it.
    """
    volume, _ = read_volume(path)
    affine = np.eye(4) if volume.affine is None else volume.affine
    turn = turn_to_ras(affine)
    labels = np.ascontiguousarray(turn(np.rint(volume.data).astype(np.int16)))
    affine = turn.affine(affine, volume.data.shape)
    table = np.arange(int(labels.max()) + 1, dtype=np.int16)
    for right, left in RIGHT_TO_LEFT.items():
        if right < len(table):
            table[right] = left
    labels = table[labels]
    head = bounding_box(labels > 0)
    if head is not None:
        box = grown(head, 4, labels.shape)
        labels = labels[box]
        affine = stepped_affine(affine, start=[part.start for part in box])
    tissue = (labels > 0) & (labels < FIRST_OUTSIDE) & (labels != CSF)
    if not tissue.any() or not (labels >= FIRST_OUTSIDE).any():
        raise InputError(
            "the label map does not show a brain with a head around it",
            where=path,
            expected=f"FreeSurfer's ids for the brain, ids from {FIRST_OUTSIDE} on around it",
            got=np.unique(labels)[:8].tolist(),
            code="input.labels",
        )
    return LabelMapHead(labels, _brain_mask(labels, tissue, affine), affine)


def _brain_mask(labels: npt.NDArray[np.int16], tissue: Mask, affine: Affine) -> Mask:
    """Return (X, Y, Z) bool: brain tissue with what it encloses, narrow sulci and a thin layer of the fluid around."""
    spacing = np.asarray(spacing_mm(affine))
    extent = bounding_box(tissue)
    assert extent is not None  # load_label_map has seen to it
    # The mask reaches no further than its fluid: distances over the whole head would take twice the time.
    box = grown(extent, int(np.ceil(FLUID_MM / spacing.min())) + 1, labels.shape)
    tissue, within = tissue[box], (labels[box] > 0) & (labels[box] < FIRST_OUTSIDE)
    brain = tissue | (_closed(tissue, CLOSING_MM / spacing) & within)
    near = ndimage.distance_transform_edt(~brain, sampling=spacing) <= FLUID_MM
    mask = np.zeros(labels.shape, dtype=bool)
    mask[box] = ndimage.binary_fill_holes(brain | (near & within))
    return mask


def random_head(head: LabelMapHead, rng: Rng, *, options: HeadOptions | None = None) -> RandomHead:
    """Return a head deformed at random, in random contrast, as a random scanner sees it.

    Args:
        head: provides the anatomy.
        rng: where all random numbers come from.
        options: how much varies; None: the defaults.
    """
    options = options or HeadOptions()
    spacing = options.spacing_mm
    labels, brain = deformed_labels(head, rng, options)
    step = np.asarray(spacing_mm(head.affine))
    image = _painted(labels, brain, step, rng, options)
    image *= bias_field(
        image.shape,
        strength=rng.uniform(0, options.bias),
        scale_voxels=(rng.uniform(options.bias_min_mm, options.bias_max_mm) / step).tolist(),
        rng=rng,
    )
    image = _scanned(image, step, rng, options)
    image = rician_noise(_averaged(image, step, spacing), rng.uniform(0, options.noise), rng)
    if rng.random() < options.clean_air:
        image[_averaged((labels > 0).astype(np.float32), step, spacing) < 0.05] = 0
    brain = _averaged(brain.astype(np.float32), step, spacing) >= 0.5
    factor = spacing / step
    affine = stepped_affine(head.affine, step=factor.tolist(), start=((factor - 1) / 2).tolist())
    if rng.random() < options.cropped:
        box = _field_of_view(brain, rng, options.crop_share)
        image, brain = image[box], brain[box]
        affine = stepped_affine(affine, start=[part.start for part in box])
    return RandomHead(np.ascontiguousarray(image), np.ascontiguousarray(brain), affine)


def _closed(mask: Mask, radius: npt.NDArray[np.float64]) -> Mask:
    """Return the closing of a mask by a ball of ``radius`` voxels, by distances: fast for any radius."""
    sampling = radius.min() / radius
    padded = np.pad(mask, int(np.ceil(radius.max())) + 1)
    grown = ndimage.distance_transform_edt(~padded, sampling=sampling) <= radius.min()
    closed = ndimage.distance_transform_edt(grown, sampling=sampling) > radius.min()
    inner = tuple(slice(int(np.ceil(radius.max())) + 1, -int(np.ceil(radius.max())) - 1) for _ in range(3))
    return np.asarray(closed[inner] | mask)


def deformed_labels(head: LabelMapHead, rng: Rng, options: DeformationOptions) -> tuple[npt.NDArray[np.int16], Mask]:
    """Return labels and brain mask, (X, Y, Z) each, after a random rotation, zoom, smooth warp and reflection."""
    step = np.asarray(spacing_mm(head.affine))
    shape = head.labels.shape
    angles = np.radians(rng.uniform(-options.rotation_degrees, options.rotation_degrees, 3))
    matrix = np.diag(1 / rng.uniform(options.zoom_min, options.zoom_max, 3))
    for axis, angle in enumerate(angles):
        a, b = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    centre = (np.asarray(shape) - 1) / 2
    warp = elastic_displacement(
        shape,
        amplitude_voxels=rng.uniform(0, options.elastic_mm) / float(step.min()),
        scale_voxels=options.elastic_scale_mm / float(step.min()),
        rng=rng,
    )
    grids = np.ogrid[tuple(slice(0, size) for size in shape)]
    for axis in range(3):
        warp[axis] += centre[axis] - matrix[axis] @ centre
        for other in range(3):
            warp[axis] += (matrix[axis, other] * grids[other]).astype(np.float32)
    both = np.where(head.brain, -head.labels, head.labels)  # one look-up for both
    moved = ndimage.map_coordinates(both, warp, order=0, mode="constant", cval=0)
    if rng.random() < 0.5:
        moved = moved[::-1]
    return np.abs(moved), np.asarray(moved < 0)


def _painted(
    labels: npt.NDArray[np.int16], brain: Mask, step: npt.NDArray[np.float64], rng: Rng, options: HeadOptions
) -> FloatArray:
    """Return intensities: each tissue its own, what lies outside the brain in several layers, lesions on top."""
    means = _tissue_means(int(labels.max()) + 1, rng, options)
    spread = rng.uniform(0, 0.06, len(means)).astype(np.float32)
    image = means[labels]
    texture = smooth_field(labels.shape, scale_voxels=(rng.uniform(1.5, 4) / step).tolist(), rng=rng)
    image += spread[labels] * texture
    outside = labels >= FIRST_OUTSIDE
    # Fat, muscle and skin share one label: a smooth field divides them.
    layers = smooth_field(labels.shape, scale_voxels=(rng.uniform(4, 15) / step).tolist(), rng=rng)
    image += np.where(outside & (layers > rng.uniform(0, 1)), np.float32(rng.uniform(-0.6, 0.6)), np.float32(0))
    if rng.random() < options.lesions:
        for _ in range(int(rng.integers(1, options.most_lesions + 1))):
            _add_lesion(image, brain, step, rng, options)
    return np.asarray(np.clip(image, 0, None), dtype=np.float32)


def _tissue_means(count: int, rng: Rng, options: HeadOptions) -> FloatArray:
    means = rng.uniform(0, 1, count).astype(np.float32)
    if rng.random() < options.realistic:
        white, grey, fluid, soft, bone = CONTRASTS[str(rng.choice(list(CONTRASTS)))]
        means[:] = grey
        means[FIRST_OUTSIDE:] = soft
        for ids, value in ((WHITE_MATTER, white), (GREY_MATTER, grey), (FLUID, fluid), (BONE, bone)):
            means[[i for i in ids if i < count]] = value
        means *= np.exp(rng.normal(0, 0.12, count)).astype(np.float32)
    means[0] = 0
    return means


def _add_lesion(image: FloatArray, brain: Mask, step: npt.NDArray[np.float64], rng: Rng, options: HeadOptions) -> None:
    """Paint one lesion with rim, core and oedema of random intensity, anywhere in the brain, its border included."""
    low, high = options.lesion_min_mm, options.lesion_max_mm
    radius = low * (high / low) ** rng.random()
    inside = np.argwhere(brain[::4, ::4, ::4]) * 4
    if not len(inside):
        return
    centre = inside[rng.integers(len(inside))]
    reach = np.ceil(2 * radius / step).astype(int)
    box = tuple(slice(max(0, c - r), c + r + 1) for c, r in zip(centre, reach, strict=True))
    axes = [
        ((np.arange(part.start, min(part.stop, size)) - c) * mm).astype(np.float32)
        for part, size, c, mm in zip(box, brain.shape, centre, step, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    squeeze = rng.uniform(0.7, 1.3, 3)
    distance = np.sqrt((x * squeeze[0]) ** 2 + (y * squeeze[1]) ** 2 + (z * squeeze[2]) ** 2)
    distance += (
        radius * 0.2 * smooth_field(distance.shape, scale_voxels=max(radius / 2 / float(step.min()), 1.5), rng=rng)
    )
    part, there = image[box], brain[box]
    rim = rng.uniform(0.55, 0.9)
    for reach_mm in (radius * rng.uniform(1.0, 1.8), radius, radius * rim):
        where = there & (distance < reach_mm)
        part[where] = np.float32(rng.uniform(0, 1.2)) + 0.1 * (part[where] - part[where].mean() if where.any() else 0)


def _scanned(image: FloatArray, step: npt.NDArray[np.float64], rng: Rng, options: HeadOptions) -> FloatArray:
    """Return the image blurred, and in some heads as thick slices interpolated again, at the same voxels."""
    image = ndimage.gaussian_filter(image, rng.uniform(0, options.blur_mm) / step)
    if rng.random() >= options.thick:
        return np.asarray(image, dtype=np.float32)
    axis = int(rng.integers(3))
    return thick_slices(image, axis, rng.uniform(options.thick_min_mm, options.thick_max_mm) / step[axis])


def thick_slices(image: FloatArray, axis: int, thickness: float) -> FloatArray:
    """Return an image as slices show it after interpolation: averaged along an axis, then linear between their centres.

    Args:
        image: (X, Y, Z).
        axis: across the slices.
        thickness: of a slice, in voxels.
    Returns:
        (X, Y, Z) float32, at the same voxels.
    """
    averaged = ndimage.uniform_filter1d(image, max(1, round(thickness)), axis=axis)
    places = np.arange(0, image.shape[axis], thickness)
    slices = np.take(averaged, np.rint(places).astype(int).clip(0, image.shape[axis] - 1), axis=axis)
    position = (np.arange(image.shape[axis]) / thickness).clip(0, len(places) - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(places) - 1)
    weight = (position - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(np.take(slices, low, axis) * (1 - weight) + np.take(slices, high, axis) * weight, np.float32)


def _averaged(image: FloatArray, step: npt.NDArray[np.float64], spacing: float) -> FloatArray:
    """Return an image (X, Y, Z) averaged over cubic voxels of ``spacing`` mm."""
    factor = spacing / step
    shape = np.maximum(1, np.floor(np.asarray(image.shape) / factor)).astype(int)
    widths = [max(1, round(float(width))) for width in factor]
    smooth = ndimage.uniform_filter(image, size=widths)
    places = []
    for width, wide, size, whole in zip(widths, factor, shape, image.shape, strict=True):
        centres = (wide - 1) / 2 + wide * np.arange(size)
        # The filter's window begins half its width, rounded down, before the voxel: of even widths it lies to the left.
        at = np.floor(centres + width // 2 - (width - 1) / 2 + 0.5).astype(int)
        places.append(at.clip(0, whole - 1))
    return np.asarray(smooth[np.ix_(*places)], dtype=np.float32)


def _field_of_view(brain: Mask, rng: Rng, share: float) -> tuple[slice, ...]:
    """Return a box that cuts the head off at some of its sides; most often below, as scans do."""
    box = []
    for axis, size in enumerate(brain.shape):
        low = rng.uniform(0, share) if rng.random() < (0.8 if axis == 2 else 0.3) else 0.0
        high = rng.uniform(0, share / 2) if rng.random() < 0.3 else 0.0
        box.append(slice(int(low * size), size - int(high * size)))
    return tuple(box) if brain[tuple(box)].any() else tuple(slice(None) for _ in brain.shape)
