"""Host scan, a real scan that receives simulated metastases: its grid, brain mask, and the share of each tissue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.errors import InputError
from metseg.geometry import same_grid, spacing_mm, stepped_affine, turn_to_ras
from metseg.measure import LARGEST_BRAIN_ML, mask_volume_ml
from metseg.measure.boxes import bounding_box, grown
from metseg.volume import BRAIN_MASK, Case, Volume

Number = TypeVar("Number", bound=np.generic)
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

#: Tissues of a host, in the order of the last axis of centres.
HOST_TISSUES = ("fluid", "grey", "white")

#: Sequences that tell the tissues apart, the best first: the brightest tissue of T1 is white matter.
T1_SEQUENCES = ("t1n", "t1c")

#: Voxels that the tissue classes are estimated from; more change nothing.
SAMPLE_SIZE = 40_000

#: Rounds of k-means; it has converged long before.
ROUNDS = 25

#: How far voxels of one host may differ from cubes, in mm.
CUBE_TOLERANCE_MM = 0.05

#: Fluid is the brightest of the brain in T2, the darkest in other sequences; classes mix it with dura and vessels.
FLUID_PERCENTILE: Mapping[str, float] = {"t2w": 98.0}
DARK_PERCENTILE = 2.0

#: A voxel with this share of a tissue shows it alone; with fewer such voxels the whole brain stands in.
PURE_SHARE, FEW_VOXELS = 0.8, 100

#: Voxels this close to a tumour of the host belong to it: oedema ends without a sharp border.
TUMOUR_MARGIN_MM = 6.0

#: Width of the seam between a half brain and its mirror image, in voxels.
SEAM_VOXELS = 3.0

#: Largest distance of the plane of symmetry from the middle of the brain, in mm.
MIDLINE_SEARCH_MM = 6.0


@dataclass(frozen=True)
class Canvas:
    """The whole field of view of a scan; the simulation works on a box in it.

    Args:
        shape: of the whole.
        start: first voxel of the box along each axis.
        affine: (4, 4) voxel-to-RAS of the whole, mm.
    """

    shape: tuple[int, int, int]
    start: tuple[int, int, int]
    affine: npt.NDArray[np.float64]

    def paste(self, part: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the whole field of view with the box in its place, 0 elsewhere."""
        whole = np.zeros(self.shape, dtype=part.dtype)
        whole[tuple(slice(begin, begin + size) for begin, size in zip(self.start, part.shape, strict=True))] = part
        return whole


@dataclass(frozen=True)
class HostScan:
    """A real scan, ready for lesions. All arrays are (X, Y, Z) in RAS+, the box around the brain, in cubic voxels.

    Args:
        name: of the scan.
        canvas: where the box lies in the scan.
        images: sequence to image, positive in the brain and 0 outside; t1c is there.
        affine: (4, 4) voxel-to-RAS of the box, mm.
        brain: what lies inside the brain.
        free: where lesions may lie: brain without the host's own tumour.
        shares: tissue (`HOST_TISSUES`) to its share of each voxel, 0 outside the brain.
        levels: sequence to the typical intensity of each tissue.
        labels: of the host's own tumour, in the classes of BraTS-METS; None where it has none.
        has_mask: whether the scan came with a mask; without one, it counts as free of tumour.
    """

    name: str
    canvas: Canvas
    images: Mapping[str, FloatArray]
    affine: npt.NDArray[np.float64]
    brain: BoolArray
    free: BoolArray
    shares: Mapping[str, FloatArray]
    levels: Mapping[str, Mapping[str, float]]
    labels: npt.NDArray[np.uint8] | None = None
    has_mask: bool = True

    @property
    def spacing(self) -> float:
        """Return the edge of a voxel in mm."""
        return float(spacing_mm(self.affine)[0])


def host_scan(case: Case) -> HostScan:
    """Return a case as a host.

    Args:
        case: images on one grid of cubic voxels, t1c among them: skull-stripped, or with a brain mask on that grid;
            labels, if any, in the classes of BraTS-METS.
    Raises:
        InputError: ``input.missing_sequence``, ``input.geometry`` or ``input.brain_mask``: the case cannot be a host.
    """
    _require_cubes(case)
    stored = case.images["t1c"]
    turn = turn_to_ras(_affine(stored))
    affine = turn.affine(_affine(stored), stored.data.shape)
    images = {
        name: np.asarray(turn(image.data), dtype=np.float32)
        for name, image in case.images.items()
        if name != BRAIN_MASK
    }
    given = case.images.get(BRAIN_MASK)
    inside = _brain(images) if given is None else np.asarray(turn(given.data), dtype=np.float32) > 0.5
    _require_brain(inside, affine, case)
    extent = bounding_box(inside)
    assert extent is not None  # _require_brain has seen to it
    box = grown(extent, 2, inside.shape)
    canvas = Canvas(Volume(inside).shape, _start(box), affine)
    inside = inside[box]
    labels = None if case.labels is None else np.asarray(turn(case.labels.data), dtype=np.uint8)[box]
    tumour = np.zeros(inside.shape, dtype=bool) if labels is None else labels > 0
    affine = stepped_affine(affine, start=list(canvas.start))
    free = inside & ~_grown(tumour, TUMOUR_MARGIN_MM / float(spacing_mm(affine)[0]))
    if not free.any():
        raise InputError(
            "the scan has no healthy tissue for lesions",
            where=case.case_id,
            expected=f"brain more than {TUMOUR_MARGIN_MM:g} mm from the scan's own tumour",
            cure="check the scan's mask, or leave the scan out",
            code="input.mask_mismatch",
        )
    positive = {name: _positive(image[box], inside) for name, image in images.items()}
    shares = tissue_shares(positive, inside, free)
    levels = {name: _levels(name, image, shares, free) for name, image in positive.items()}
    own = labels if tumour.any() else None
    return HostScan(case.case_id, canvas, positive, affine, inside, free, shares, levels, own, case.labels is not None)


def mirrored(host: HostScan) -> HostScan | None:
    """Return the host with the half that holds its tumour replaced by the mirror image of the other half.

    Returns:
        A host without a tumour; None where the tumour reaches both halves.
    """
    if host.labels is None:
        return host
    double = _plane_of_symmetry(host)
    index = np.arange(host.brain.shape[0])
    across = double - index
    tumour = ~host.free & host.brain
    left, right = tumour[index < double / 2], tumour[index > double / 2]
    if left.any() and right.any():
        return None
    from_left = not left.any()
    # 1 where the healthy half is kept, 0 where its mirror image is taken.
    kept = np.clip(0.5 + (double / 2 - index) / SEAM_VOXELS * (1 if from_left else -1), 0, 1)
    weight = kept.astype(np.float32)[:, None, None]

    def blend(image: FloatArray) -> FloatArray:
        valid = (across >= 0) & (across < len(index))
        other = np.zeros_like(image)
        other[valid] = image[across[valid]]
        return np.asarray(weight * image + (1 - weight) * other, dtype=np.float32)

    brain = blend(host.brain.astype(np.float32)) > 0.5
    return replace(
        host,
        images={name: blend(image) * brain for name, image in host.images.items()},
        brain=brain,
        free=brain,
        shares={name: blend(share) * brain for name, share in host.shares.items()},
        labels=None,
    )


def tissue_shares(images: Mapping[str, FloatArray], brain: BoolArray, normal: BoolArray) -> dict[str, FloatArray]:
    """Return the share of fluid, grey and white matter of each voxel, by k-means over all sequences.

    Args:
        images: sequence to (X, Y, Z); a T1 image is among them.
        brain: (X, Y, Z) where shares are wanted.
        normal: (X, Y, Z) where tissue is normal; classes are estimated there.
    Returns:
        Tissue to (X, Y, Z) float32; they sum to 1 in the brain.
    """
    features = np.stack([_scaled(image, normal) for image in images.values()], axis=-1)
    known = features[normal]
    rng = np.random.default_rng(0)
    sample = known[rng.choice(len(known), min(SAMPLE_SIZE, len(known)), replace=False)]
    t1 = list(images).index(next(name for name in T1_SEQUENCES if name in images))
    centres = np.quantile(sample[:, t1], (0.08, 0.4, 0.8))
    order = np.abs(sample[:, t1, None] - centres).argmin(axis=1)
    means = np.stack([sample[order == k].mean(axis=0) for k in range(3)])
    for _ in range(ROUNDS):
        order = ((sample[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
        means = np.stack([sample[order == k].mean(axis=0) if (order == k).any() else means[k] for k in range(3)])
    means = means[np.argsort(means[:, t1])]
    inside = features[brain]
    distances = ((inside[:, None] - means) ** 2).sum(axis=-1)
    width = float(np.median(distances.min(axis=1))) + 1e-6
    weights = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / (2 * width))
    weights /= weights.sum(axis=1, keepdims=True)
    shares = {}
    for place, name in enumerate(HOST_TISSUES):
        shares[name] = np.zeros(brain.shape, dtype=np.float32)
        shares[name][brain] = weights[:, place]
    return shares


def _affine(volume: Volume) -> npt.NDArray[np.float64]:
    assert volume.affine is not None  # _require_cubes has seen to it
    return volume.affine


def _start(box: tuple[slice, ...]) -> tuple[int, int, int]:
    x, y, z = (int(side.start) for side in box)
    return x, y, z


def _brain(images: Mapping[str, FloatArray]) -> BoolArray:
    """Return what is background in none of the images, without specks and holes."""
    inside = ndimage.binary_opening(np.all([image != _background(image) for image in images.values()], axis=0))
    return np.asarray(ndimage.binary_fill_holes(inside))


def _background(image: FloatArray) -> np.float32:
    """Return the value of the corner: 0 in most skull-stripped images, another one after a z-score."""
    return np.float32(image[0, 0, 0])


def _positive(image: FloatArray, brain: BoolArray) -> FloatArray:
    """Return an image that is positive in the brain and 0 outside: z-scored images are moved, all else stays."""
    low, high = np.percentile(image[brain], (0.1, 99.9))
    moved = image if low >= 0 else image - np.float32(low - 0.05 * (high - low))
    smallest = np.float32(1e-4 * abs(high - low))
    return np.asarray(np.where(brain, np.maximum(moved, smallest), 0), dtype=np.float32)


def _require_cubes(case: Case) -> None:
    """Refuse a case without t1c, or with images or labels on another grid than one of cubic voxels."""
    first = case.images.get("t1c")
    if first is None:
        raise InputError(
            "the scan lacks t1c",
            where=case.case_id,
            expected="t1c among its images",
            got=", ".join(case.images),
            cure="add T1 with contrast agent, or leave the scan out",
            code="input.missing_sequence",
        )
    everything = {**case.images, **({} if case.labels is None else {"the mask": case.labels})}
    elsewhere = [name for name, image in everything.items() if not same_grid(image.grid, first.grid)]
    sides = first.spacing_mm
    if sides is None or elsewhere or np.ptp(sides) > CUBE_TOLERANCE_MM:
        size = "voxels of unknown size" if sides is None else f"voxels of {' x '.join(f'{s:.3g}' for s in sides)} mm"
        raise InputError(
            "the scan is not on one grid of cubic voxels",
            where=case.case_id,
            expected="all images and the mask on the grid of t1c, its voxels cubes",
            got=f"{', '.join(elsewhere)} on another grid" if elsewhere else size,
            cure="register the images and resample them to cubic voxels first, such as with ANTs or SPM",
            code="input.geometry",
        )


def _require_brain(inside: BoolArray, affine: npt.NDArray[np.float64], case: Case) -> None:
    """Refuse a head with skull: what is not background is larger than any brain."""
    volume_ml = mask_volume_ml(inside, affine)
    if inside.any() and (BRAIN_MASK in case.images or volume_ml <= LARGEST_BRAIN_ML):
        return
    raise InputError(
        "the scan is not skull-stripped" if inside.any() else "the scan shows no brain",
        where=case.case_id,
        expected=f"a background of 0 and at most {LARGEST_BRAIN_ML:.0f} mL of brain, or a brain mask",
        got=f"{volume_ml:.0f} mL",
        cure="make a brain mask with metseg extract-brain and put it beside the images as ..._brain_mask.nii.gz",
        code="input.brain_mask",
    )


def _scaled(image: FloatArray, normal: BoolArray) -> FloatArray:
    low, high = np.percentile(image[normal], (2, 98))
    return np.asarray(np.clip((image - low) / max(high - low, 1e-6), -0.2, 1.3), dtype=np.float32)


def _levels(name: str, image: FloatArray, shares: Mapping[str, FloatArray], free: BoolArray) -> dict[str, float]:
    """Return the intensity of each tissue: of fluid an extreme of the brain, of the others the median where pure."""
    levels = {"fluid": float(np.percentile(image[free], FLUID_PERCENTILE.get(name, DARK_PERCENTILE)))}
    for tissue in ("grey", "white"):
        pure = free & (shares[tissue] > PURE_SHARE)
        levels[tissue] = float(np.median(image[pure if pure.sum() > FEW_VOXELS else free]))
    return levels


def _grown(mask: BoolArray, voxels: float) -> BoolArray:
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= voxels)


def _plane_of_symmetry(host: HostScan) -> int:
    """Return twice the place along the first axis of the plane that mirrors the brain onto itself best."""
    middle = float(np.flatnonzero(host.brain.any(axis=(1, 2))).mean())
    reach = int(np.ceil(MIDLINE_SEARCH_MM / host.spacing))
    image = ndimage.gaussian_filter(host.images["t1c"], 1.0)[:, ::2, ::2]
    size = image.shape[0]
    best, found = -np.inf, round(2 * middle)
    for double in range(round(2 * middle) - 2 * reach, round(2 * middle) + 2 * reach + 1):
        low, high = max(0, double - size + 1), min(size - 1, double)
        one = image[low : high + 1]
        alike = float(np.corrcoef(one.ravel(), one[::-1].ravel())[0, 1])
        if alike > best:
            best, found = alike, double
    return found
