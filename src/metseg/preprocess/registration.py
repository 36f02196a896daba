"""Rigid co-registration of two images of one head by mutual information.

Mattes' mutual information (Mattes et al. 2003, doi:10.1109/TMI.2003.809072), as SimpleITK has it, maximised over three
angles and three shifts by steps that become smaller, from coarse images to fine ones. Everything is done on axes turned
to RAS+, in one thread and with a fixed seed: the same images give the same result for any order of their axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.errors import InputError
from metseg.geometry import Affine, stepped_affine, turn_to_ras
from metseg.preprocess.simpleitk import RAS_LPS, one_thread, rigid_matrix, to_simpleitk
from metseg.volume import Volume

Mask = npt.NDArray[np.bool_]
#: From which position the search starts. header: where the scanner says the heads are; moments: the centres of the
#: heads on each other; geometry: the centres of the images on each other; best: the best of these.
Start = Literal["best", "header", "moments", "geometry"]

#: Voxel sizes of the coarse images, one after the other.
LEVELS_MM = (6.0, 3.0, 1.5)
BINS = 32
#: At most so many points are compared in one step of the search.
POINTS = 100_000
STEPS_PER_LEVEL = 100
SEED = 20
#: An axis is not made coarser than this many voxels.
FEWEST_VOXELS = 12
#: So much of the surroundings counts besides the head: its edge says a lot about where it is.
MARGIN_MM = 8.0


@dataclass(frozen=True)
class Side:
    """One of the two images, its axes turned to RAS+."""

    volume: Volume
    head: Mask

    @classmethod
    def of(cls, volume: Volume, head: Mask) -> Side:
        assert volume.affine is not None
        turn = turn_to_ras(volume.affine)
        data = np.ascontiguousarray(turn(volume.data), dtype=np.float32)
        return cls(Volume(data, turn.affine(volume.affine, volume.shape)), np.ascontiguousarray(turn(head)))

    def centres_mm(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the middle of the head and of the grid, RAS; without a head they are the same."""
        assert self.volume.affine is not None
        middle = (np.asarray(self.volume.shape, dtype=np.float64) - 1) / 2
        head = np.asarray(ndimage.center_of_mass(self.head)) if self.head.any() else middle
        return {
            name: (self.volume.affine @ [*voxel, 1])[:3] for name, voxel in (("moments", head), ("geometry", middle))
        }

    def coarse(self, size_mm: float) -> tuple[Volume, Mask]:
        """Return image and region to compare, blurred and thinned out to voxels of up to ``size_mm``."""
        assert self.volume.affine is not None
        assert self.volume.spacing_mm is not None
        data = np.asarray(self.volume.data, dtype=np.float32)
        axes = zip(self.volume.spacing_mm, self.volume.shape, strict=True)
        factors = [max(1, min(int(size_mm / spacing), extent // FEWEST_VOXELS)) for spacing, extent in axes]
        blurred = ndimage.gaussian_filter(data, [f / 2 if f > 1 else 0.0 for f in factors], mode="nearest")
        picked = tuple(slice(f // 2, None, f) for f in factors)
        affine = stepped_affine(self.volume.affine, step=factors, start=[f // 2 for f in factors])
        image = Volume(np.ascontiguousarray(blurred[picked]), affine)
        return image, _with_margin(self.head[picked], image)


def register_rigid(
    fixed: Volume,
    moving: Volume,
    *,
    fixed_head: Mask,
    moving_head: Mask,
    fixed_brain: Mask | None = None,
    start: Start = "best",
) -> Affine:
    """Return where the head of one image is in another.

    The whole head leads there, for its outline is seen from afar; the brain, if it is known, decides in the end, for
    skin and neck do not move quite with it.

    Args:
        fixed: with an affine; at least four slices.
        moving: likewise.
        fixed_head: (X, Y, Z) where ``fixed`` shows head; what lies close to it counts too.
        moving_head: likewise of ``moving``; used to find a start only.
        fixed_brain: where ``fixed`` shows brain.
        start: see `Start`.
    Returns:
        (4, 4) from points of ``fixed`` (mm, RAS) to the same tissue in ``moving``.
    Raises:
        InputError: nothing to go by: the images do not overlap, or are constant (``input.registration``).
        GeometryError: sheared axes.
    """
    sides = Side.of(fixed, fixed_head), Side.of(moving, moving_head)
    last = sides[0] if fixed_brain is None else Side.of(fixed, fixed_brain)
    try:
        with one_thread():
            transform = _from_afar(*sides, start=start)
            for size_mm in LEVELS_MM[1:-1]:
                _improve(transform, *sides, size_mm=size_mm)
            _improve(transform, last, sides[1], size_mm=LEVELS_MM[-1])
    except RuntimeError as error:
        raise InputError(
            "the images could not be registered",
            got=str(error).strip().splitlines()[-1],
            cure='check both images; if their coordinates are right, set method = "resample" for the step align',
            code="input.registration",
        ) from None
    return rigid_matrix(transform)


def _from_afar(fixed: Side, moving: Side, *, start: Start) -> Any:
    """Return an Euler transform about the middle of the fixed head, the best that coarse images lead to.

    Raises:
        RuntimeError: from no start do the images meet.
    """
    import SimpleITK as sitk

    centres = fixed.centres_mm(), moving.centres_mm()
    shifts = {"header": np.zeros(3)} | {name: centres[1][name] - centres[0][name] for name in centres[0]}
    ends: list[tuple[float, Any]] = []
    for name in shifts if start == "best" else [start]:
        guess = sitk.Euler3DTransform()
        guess.SetCenter((RAS_LPS[:3, :3] @ centres[0]["moments"]).tolist())
        guess.SetTranslation((RAS_LPS[:3, :3] @ shifts[name]).tolist())
        try:
            ends.append((_improve(guess, fixed, moving, size_mm=LEVELS_MM[0]), guess))
        except RuntimeError:
            if start != "best":
                raise
    if not ends:
        raise RuntimeError("the images do not overlap from any start")
    return min(ends, key=lambda end: end[0])[1]


def _improve(transform: Any, fixed: Side, moving: Side, *, size_mm: float) -> float:
    """Bring the transform to the best place near it, judged on images of one coarseness.

    Returns:
        the negative of Mattes' mutual information there.
    """
    images, method = _method(fixed, moving, size_mm=size_mm)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=size_mm / 2, minStep=size_mm / 400, numberOfIterations=STEPS_PER_LEVEL, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(*images)
    return float(method.GetMetricValue())


def _method(fixed: Side, moving: Side, *, size_mm: float) -> tuple[tuple[Any, Any], Any]:
    """Return the two images of one coarseness, and SimpleITK's method with its measure of how well they fit."""
    import SimpleITK as sitk

    image, region = fixed.coarse(size_mm)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetInterpolator(sitk.sitkLinear)
    if region.any():
        method.SetMetricFixedMask(to_simpleitk(Volume(region.astype(np.uint8), image.affine)))
    share = POINTS / max(1, int(np.count_nonzero(region)))
    if share < 1:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(share, SEED)
    return (to_simpleitk(image), to_simpleitk(moving.coarse(size_mm)[0])), method


def _with_margin(head: Mask, image: Volume) -> Mask:
    if not head.any():
        return head
    away_mm = ndimage.distance_transform_edt(~head, sampling=image.spacing_mm)
    return np.asarray(away_mm <= MARGIN_MM, dtype=np.bool_)
