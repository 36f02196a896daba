"""nnU-Net's rules: derive target spacing, patch, strides, kernels and batch size from voxel sizes and shapes.

Isensee et al. 2021, arXiv:1809.10486, Supplementary Note 2, in the numbers of nnU-Net 2 (github.com/MIC-DKFZ/nnUNet,
Apache-2.0; reimplemented here). In short: the target spacing is the median. The patch starts as large as the median
volume and shrinks, longest axis first, until the network's feature maps fit the memory. Each level halves the axes
with voxels within a factor of two of the smallest, down to four voxels; an axis is convolved from that level on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metseg.errors import ResourceError

Axes = tuple[int, ...]

#: An axis is the thick-slice axis if it is coarser than the others by this factor and has fewer voxels by it.
ANISOTROPY = 3.0
#: Percentile of the spacings of thick slices that they are resampled to: the median would blur the thinner ones.
THICK_PERCENTILE = 10
#: No axis is halved to fewer voxels than this.
LEAST_EDGE = 4
#: Number of voxels in the initial patch.
FIRST_PATCH = 256**3
#: Channels of the finest level, doubled on each further one up to the most.
BASE_CHANNELS, MOST_CHANNELS = 32, 320
#: Batch size of the reference values of `NETWORKS`, and the smallest batch size.
REFERENCE_BATCH = 2
#: Largest fraction of the data set's voxels in one batch.
MOST_OF_DATA_SET = 0.05
#: Memory of the reference values of `NETWORKS`.
REFERENCE_MEMORY_GB = 8.0


@dataclass(frozen=True)
class Levels:
    """The shape of a network: per level, the finest first, its channels, strides and kernels."""

    channels: Axes
    strides: tuple[Axes, ...]
    kernels: tuple[Axes, ...]

    @property
    def divisor(self) -> Axes:
        return tuple(math.prod(steps) for steps in zip(*self.strides, strict=True))


@dataclass(frozen=True)
class PlannedNetwork:
    """A network that can be planned.

    Args:
        feature_maps: from patch, levels and number of outputs to the values that its convolutions produce.
        reference: how many of these fit `REFERENCE_MEMORY_GB` at `REFERENCE_BATCH`.
        blocks: residual blocks per encoder level, of networks that have such.
    """

    feature_maps: Callable[[Axes, Levels, int], int]
    reference: float
    blocks: Axes = ()


@dataclass(frozen=True)
class Topology:
    """The planned topology. Axes are right, anterior, superior.

    Args:
        spacing_mm: target spacing of all volumes.
        median_shape: of the volumes after resampling.
        patch_size, batch_size: of training.
        levels: of the network.
        feature_maps: values that the convolutions produce for one patch.
    """

    spacing_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    patch_size: Axes
    batch_size: int
    levels: Levels
    feature_maps: int


def target_spacing(spacings_mm: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Return the voxel size (3,) to resample to, mm: the median, or finer where slices are thick.

    Args:
        spacings_mm: (N, 3) of the cases.
        shapes: (N, 3) of the cases, empty surroundings cut off.
    """
    spacings = np.asarray(spacings_mm, dtype=np.float64)
    target, shape = np.median(spacings, axis=0), np.median(np.asarray(shapes), axis=0)
    worst = int(target.argmax())
    others = [axis for axis in range(len(target)) if axis != worst]
    coarse = target[worst] > ANISOTROPY * target[others].max()
    few = shape[worst] * ANISOTROPY < shape[others].min()
    if coarse and few:
        finer = float(np.percentile(spacings[:, worst], THICK_PERCENTILE))
        target[worst] = max(finer, target[others].max())
    return tuple(float(value) for value in target)


def median_shape(
    spacings_mm: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]], target_mm: Sequence[float]
) -> tuple[float, ...]:
    """Return the median over cases of the shape after resampling; see `target_spacing`."""
    resampled = np.rint(np.asarray(spacings_mm) / np.asarray(target_mm) * np.asarray(shapes))
    return tuple(float(value) for value in np.median(resampled, axis=0))


def make_levels(spacing_mm: Sequence[float], patch: Sequence[float]) -> tuple[Levels, Axes]:
    """Return the levels for a patch, and the patch made divisible by their strides.

    >>> levels, patch = make_levels((1.0, 1.0, 5.0), (64, 64, 12))
    >>> levels.strides
    ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 1))
    >>> levels.kernels[:3], patch
    (((3, 3, 1), (3, 3, 1), (3, 3, 3)), (64, 64, 12))
    """
    axes = range(len(spacing_mm))
    spacing, size = list(spacing_mm), list(patch)
    kernel = [1] * len(spacing)
    strides: list[Axes] = [(1,) * len(spacing)]
    kernels: list[Axes] = []
    while halved := _halved_axes(spacing, size):
        finest = min(spacing)
        kernel = [3 if kernel[axis] == 3 or spacing[axis] < 2 * finest else 1 for axis in axes]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            spacing[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
    kernels.append((3,) * len(spacing))
    channels = tuple(min(BASE_CHANNELS * 2**level, MOST_CHANNELS) for level in range(len(strides)))
    levels = Levels(channels, tuple(strides), tuple(kernels))
    fitted = tuple(math.ceil(side / multiple) * multiple for side, multiple in zip(patch, levels.divisor, strict=True))
    return levels, fitted


def _halved_axes(spacing: Sequence[float], size: Sequence[float]) -> list[int]:
    """Return the axes that the next level halves; empty if this is the last level."""
    large = [axis for axis in range(len(size)) if size[axis] >= 2 * LEAST_EDGE]
    if not large:
        return []
    finest = min(spacing[axis] for axis in large)
    fine = [axis for axis in large if spacing[axis] < 2 * finest]
    return [] if len(fine) == 1 and size[fine[0]] < 3 * LEAST_EDGE else fine


def _plain_feature_maps(patch: Axes, levels: Levels, outputs: int) -> int:
    """Two convolutions per level down and up, and a transposed one before each level up."""
    voxels = _voxels_by_level(patch, levels)
    down = sum(2 * wide * count for wide, count in zip(levels.channels, voxels, strict=True))
    up = sum(3 * wide * count for wide, count in zip(levels.channels[:-1], voxels[:-1], strict=True))
    return down + up + outputs * voxels[0]


def _residual_feature_maps(patch: Axes, levels: Levels, outputs: int) -> int:
    """A stem, residual encoder blocks (the first of a level projects its shortcut), one convolution per level up."""
    voxels = _voxels_by_level(patch, levels)
    blocks = residual_blocks(len(voxels))
    down = sum(
        (2 * count + (level > 0)) * wide * size
        for level, (count, wide, size) in enumerate(zip(blocks, levels.channels, voxels, strict=True))
    )
    up = sum(2 * wide * count for wide, count in zip(levels.channels[:-1], voxels[:-1], strict=True))
    return levels.channels[0] * voxels[0] + down + up + outputs * voxels[0]


def residual_blocks(levels: int) -> Axes:
    """Return the residual blocks of each level in nnU-Net's residual-encoder networks."""
    return (1, 3, 4, *([6] * levels))[:levels]


def _voxels_by_level(patch: Axes, levels: Levels) -> list[int]:
    size, counts = list(patch), []
    for stride in levels.strides:
        size = [side // step for side, step in zip(size, stride, strict=True)]
        counts.append(math.prod(size))
    return counts


#: Networks by their name in `metseg.model.MODELS`.
NETWORKS: Mapping[str, PlannedNetwork] = {
    "dynunet": PlannedNetwork(_plain_feature_maps, reference=560e6),
    "resenc_unet": PlannedNetwork(_residual_feature_maps, reference=680e6),
}


def fit_patch(
    spacing_mm: Sequence[float], shape: Sequence[float], *, network: PlannedNetwork, memory_gb: float, outputs: int
) -> tuple[Levels, Axes, int]:
    """Return levels, patch and feature maps for the largest patch, proportional to the volumes, that fits the memory.

    Args:
        spacing_mm: of the volumes, mm.
        shape: the median shape; no patch is larger.
        network, memory_gb, outputs: entry of `NETWORKS`, memory limit, number of outputs.
    Raises:
        ResourceError: not even the smallest network fits.
    """
    budget = network.reference * memory_gb / REFERENCE_MEMORY_GB
    density = 1 / np.asarray(spacing_mm)
    first = np.rint(density * (FIRST_PATCH / density.prod()) ** (1 / 3))
    levels, patch = make_levels(spacing_mm, [min(float(a), b) for a, b in zip(first, shape, strict=True)])
    while (size := network.feature_maps(patch, levels, outputs)) > budget:
        longest = max(range(len(patch)), key=lambda axis: (patch[axis] / shape[axis], axis))
        # Less by one unit of the coarsest grid; a smaller patch may have fewer levels, and so a smaller unit.
        step = make_levels(spacing_mm, _less(patch, longest, levels.divisor[longest]))[0].divisor[longest]
        shorter = _less(patch, longest, step)
        if min(shorter) < LEAST_EDGE:
            raise ResourceError(
                f"{memory_gb:g} GB of GPU memory are too little for any network by nnU-Net's rules",
                cure="increase --memory, or configure a smaller network in a recipe",
                code="resources.memory",
            )
        levels, patch = make_levels(spacing_mm, shorter)
    return levels, patch, size


def _less(patch: Axes, axis: int, step: int) -> Axes:
    return tuple(side - step if place == axis else side for place, side in enumerate(patch))


def fit_batch(patch: Axes, feature_maps: int, *, network: PlannedNetwork, memory_gb: float, voxels: float) -> int:
    """Return the batch size that fits the memory: at most a twentieth of the data set's voxels, at least 2."""
    budget = network.reference * memory_gb / REFERENCE_MEMORY_GB
    fits = round(budget / feature_maps * REFERENCE_BATCH)
    return max(min(fits, round(voxels * MOST_OF_DATA_SET / math.prod(patch))), REFERENCE_BATCH)


def plan_topology(
    spacings_mm: Sequence[Sequence[float]],
    shapes: Sequence[Sequence[int]],
    *,
    network: PlannedNetwork,
    memory_gb: float = REFERENCE_MEMORY_GB,
    outputs: int = 2,
) -> Topology:
    """Return the topology for the spacings (N, 3) in mm and cropped shapes (N, 3) of N cases, axes in RAS.

    Raises:
        ResourceError: see `fit_patch`.
    """
    target = target_spacing(spacings_mm, shapes)
    median = median_shape(spacings_mm, shapes, target)
    # nnU-Net counts axes from the coarsest, then z, y, x; where two are alike, the order decides which is cut.
    order = sorted(range(3), key=lambda axis: (axis != int(np.argmax(target)), -axis))
    levels, patch, size = fit_patch(
        [target[axis] for axis in order],
        [median[axis] for axis in order],
        network=network,
        memory_gb=memory_gb,
        outputs=outputs,
    )
    voxels = math.prod(median) * len(shapes)
    batch = fit_batch(patch, size, network=network, memory_gb=memory_gb, voxels=voxels)

    def back(values: Axes) -> Axes:
        return tuple(values[order.index(axis)] for axis in range(3))

    levels = Levels(levels.channels, tuple(map(back, levels.strides)), tuple(map(back, levels.kernels)))
    return Topology(target, median, back(patch), batch, levels, size)
