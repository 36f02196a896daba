"""Conversion to and from SimpleITK's images, which have axes (z, y, x) in memory and coordinates in LPS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from metseg.errors import GeometryError
from metseg.geometry import Affine, directions, is_sheared, shear_degrees, spacing_mm
from metseg.volume import Volume

#: From RAS to LPS, and back.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_simpleitk(volume: Volume) -> Any:
    """Return a `SimpleITK.Image` of the same voxels at the same place.

    Raises:
        GeometryError: the axes are sheared, which such images cannot be.
    """
    import SimpleITK as sitk

    assert volume.affine is not None
    if is_sheared(volume.affine):
        raise GeometryError(
            "the axes of the image are not at right angles",
            expected=90,
            got=f"{90 - shear_degrees(volume.affine):.1f} degrees",
            cure='set method = "resample" for the step align, or resample the image with the program that made it',
        )
    affine = RAS_LPS @ volume.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetSpacing(spacing_mm(affine))
    image.SetDirection(directions(affine).ravel().tolist())
    return image


def rigid_matrix(transform: Any) -> Affine:
    """Return the (4, 4) matrix, mm in RAS, of a transform with a centre, such as `SimpleITK.Euler3DTransform`."""
    turn = np.asarray(transform.GetMatrix()).reshape(3, 3)
    centre = np.asarray(transform.GetCenter())
    lps = np.eye(4)
    lps[:3, :3] = turn
    lps[:3, 3] = centre + np.asarray(transform.GetTranslation()) - turn @ centre
    return np.asarray(RAS_LPS @ lps @ RAS_LPS, dtype=np.float64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let SimpleITK work in one thread: sums over several come out differently on another number of processors."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
