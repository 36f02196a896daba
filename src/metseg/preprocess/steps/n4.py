"""Correct the bias field, the slow change of brightness across the head that the coil causes.

Source: Tustison et al. 2010, "N4ITK: improved N3 bias correction", doi:10.1109/TMI.2010.2046908; SimpleITK's filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from metseg.errors import InputError
from metseg.preprocess.normalization_scope import tissue
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.simpleitk import one_thread
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen
from metseg.volume import Array

Mask = npt.NDArray[np.bool_]
Count = Annotated[int, Field(gt=0)]

#: The field is a cubic spline: it takes four voxels along an axis to have one.
FEWEST_VOXELS = 4
#: An axis is not thinned out to fewer voxels than this.
FEWEST_LEFT = 24
#: Values are taken as logarithms: more of the head than this below 0, and the image is no raw one.
NEGATIVE_SHARE = 0.01


class Options(Frozen):
    #: The field is computed from every n-th voxel along each axis, and removed from all voxels; 1: from all.
    shrink: Count = 4
    #: Largest number of iterations on each level; the field becomes twice as fine from one level to the next.
    iterations: Annotated[tuple[Count, ...], Field(min_length=1)] = (50, 50, 30)
    #: Change of the field below which a level ends.
    convergence: Annotated[float, Field(gt=0)] = 1e-3


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Divide every image by the field of its head; for fewer than four slices, each slice by its own.

    An image that is constant within the head stays as it is and is warned of.

    Raises:
        InputError: values below 0 in the head: the images were normalised before (``input.value_range``).
    """
    head = tissue(prepared)
    image = prepared.image.astype(np.float32)
    flat = []
    for name, channel in zip(prepared.modalities, image, strict=True):
        parts = _parts(channel, head)
        found = [_divide(part, region, options, name=name) for part, region in parts]
        flat += [] if any(found) else [name]
    return prepared.after(
        Record("n4", options.model_dump(mode="json")),
        image=image,
        full_scale=None,
        warnings=[f"n4: {name} has no contrast within the head and was not changed" for name in flat],
    )


def _parts(channel: Array, head: Mask) -> list[tuple[Any, Mask]]:
    """Return views of the parts that are corrected separately, each with its part of the head."""
    if channel.shape[2] >= FEWEST_VOXELS:
        return [(channel, head)]
    return [(channel[:, :, z], head[:, :, z]) for z in range(channel.shape[2])]


def _divide(part: npt.NDArray[np.float32], head: Mask, options: Options, *, name: str) -> bool:
    """Take the field out of an image of two or three axes, in place; return False where there is none to find."""
    if min(part.shape) < FEWEST_VOXELS:
        return False
    dark = np.count_nonzero(part[head] < 0)  # zeros are what was erased around a brain, and are left out
    if dark > NEGATIVE_SHARE * np.count_nonzero(head):
        raise InputError(
            f"n4 needs the scanner's original intensities, but {name} has negative values within the head",
            expected="values of 0 or more",
            got=f"{dark} negative values, down to {part[head].min():g}",
            cure="put n4 before zscore, or leave it out for normalised images",
            code="input.value_range",
        )
    inside = head & (part > 0)
    if not inside.any() or part[inside].min() == part[inside].max():
        return False
    part /= np.exp(log_field(part, inside, options))
    return True


def log_field(part: npt.NDArray[np.float32], inside: Mask, options: Options) -> npt.NDArray[np.float32]:
    """Return the logarithm of the field on the image's own grid.

    The field is a spline over the image's extent, so that it is the same on the thinned and on the full image if both
    reach from the first voxel to the last; that is how the thinned one is chosen.
    """
    import SimpleITK as sitk

    picked = [_picked(extent, options.shrink) for extent in part.shape]
    spacings = [(extent - 1) / (len(chosen) - 1) for extent, chosen in zip(part.shape, picked, strict=True)]
    small, region = part[np.ix_(*picked)], inside[np.ix_(*picked)].astype(np.uint8)
    if small[region > 0].size == 0 or small[region > 0].min() == small[region > 0].max():
        return np.zeros(part.shape, dtype=np.float32)
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(options.iterations)
    corrector.SetConvergenceThreshold(options.convergence)
    with one_thread():
        corrector.Execute(_image(small, spacings), _image(region, spacings))
        full = sitk.Image(list(part.shape), sitk.sitkUInt8)
        field = sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(full))
    return np.asarray(field.T, dtype=np.float32)


def _picked(extent: int, shrink: int) -> npt.NDArray[np.intp]:
    """Return which voxels of an axis are kept: evenly spread, first and last among them."""
    count = max(-(-extent // shrink), min(extent, FEWEST_LEFT))
    return np.rint(np.linspace(0, extent - 1, count)).astype(np.intp)


def _image(array: Array, spacings: Sequence[float]) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(list(spacings))
    return image


def describe(record: Details) -> str:  # noqa: ARG001 (the same for all)
    """Return what the step did, in a sentence for the report of a study."""
    return "The bias field was removed (N4)."
