"""Read volumes from NIfTI files and check that they are usable.

Each repair is reported in a note; a fault that cannot be repaired without guessing raises an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metseg.errors import GeometryError, InputError
from metseg.geometry import Affine
from metseg.io.finite_values import replace_not_finite
from metseg.io.volumes.nifti_affine import affine_of, geometry_notes
from metseg.io.volumes.nifti_file import MAX_BYTES, NIFTI_ENDINGS, read_nifti, read_nifti_header
from metseg.volume import Array, Volume

__all__ = ["MAX_BYTES", "NIFTI_ENDINGS", "check_nifti_header", "read_channels", "read_mask_nifti", "read_volume"]

FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_volume(path: Path, *, channel: int | None = None) -> tuple[Volume, tuple[str, ...]]:
    """Return one image and notes on reading it.

    A few voxels may be NaN or infinite: they become 0, with a note (`metseg.io.finite_values`).

    Args:
        path: ``.nii`` or ``.nii.gz``.
        channel: which index of the fourth axis, from 0; None: the file holds one image only.
    Returns:
        (X, Y, Z) in the file's axis order and integer type, or float32 if the file has floating-point
        values or a scaling; and the notes, one sentence each.
    Raises:
        InputError: see `metseg.io.volumes.nifti_file.read_nifti`; also ``input.scaling``, ``input.not_finite``.
        GeometryError: ``input.axes``, more than three axes, or no such channel; ``input.geometry``, an affine that is
            singular or not finite.
    """
    ((volume, notes),) = read_channels(path, (channel,))
    return volume, notes


def read_channels(path: Path, channels: Sequence[int | None]) -> list[tuple[Volume, tuple[str, ...]]]:
    """Return several images of one file, which is read once; see `read_volume`."""
    file = read_nifti(path)
    affine = affine_of(file.header, file.samples.shape, path)
    volumes = []
    for channel in channels:
        data = _scaled(_channel(file.samples, channel, path), file.header, path)
        data, notes = replace_not_finite(data, things="voxels", where=path)
        volume = _volume(data, affine, path)
        volumes.append((volume, (*notes, *geometry_notes(file.header, volume))))
    return volumes


def check_nifti_header(path: Path) -> None:
    """Refuse what a file's header tells already: its kind, its size, its scaling and its place; no voxel is read.

    Several images in one file are let pass: which of them are meant, only the model says that they are given to.

    Raises:
        InputError, GeometryError: as `read_volume`, but for what only the voxels tell.
    """
    header, shape = read_nifti_header(path)
    if not 2 <= len(shape) <= 4:
        _require_axes(len(shape), shape, path)
    _scaling(header, path)
    _volume(np.zeros((1, 1, 1), dtype=np.uint8), affine_of(header, shape, path), path)


def read_mask_nifti(path: Path) -> Volume:
    """Return the values of a mask as they are stored, and its affine.

    Args:
        path: ``.nii`` or ``.nii.gz``.
    Returns:
        (X, Y, Z) of the file's own integer type or float32, in the file's own axis order; a fourth axis of length 1 is
        squeezed. NaN is left for the check of the labels to refuse.
    Raises:
        InputError, GeometryError: as `read_volume`.
    """
    file = read_nifti(path)
    data = _scaled(_channel(file.samples, None, path), file.header, path)
    return _volume(data, affine_of(file.header, file.samples.shape, path), path)


def _channel(samples: Array, channel: int | None, path: Path) -> Array:
    """Return the three axes that are meant."""
    if samples.ndim == 2:
        samples = samples[..., np.newaxis]
    count = samples.shape[3] if samples.ndim == 4 else 1
    _require_axes(samples.ndim, samples.shape, path)
    if count > 1 and channel is None:
        raise GeometryError(
            f"the file contains {count} images instead of one with three axes",
            where=path,
            expected="(X, Y, Z)",
            got=samples.shape,
            cure="select a channel, or give the channels in file order",
            code="input.axes",
        )
    if channel is not None and not 0 <= channel < count:
        raise GeometryError(
            f"the file has no channel {channel}",
            where=path,
            expected=f"0 to {count - 1}",
            got=channel,
            cure="give as many sequences as the file has channels",
            code="input.axes",
        )
    return samples[..., channel or 0] if samples.ndim == 4 else samples


def _require_axes(count: int, shape: Sequence[int], path: Path) -> None:
    if count not in (3, 4):
        raise GeometryError(
            "an image has three axes, or four with channels",
            where=path,
            got=tuple(shape),
            cure="save one time point or channel",
            code="input.axes",
        )


def _scaling(header: Any, path: Path) -> tuple[float, float]:
    """Return slope and intercept."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0:  # NIfTI-1 standard: the scaling is to be ignored
        return 1.0, 0.0
    if not np.isfinite([slope, inter]).all():
        raise _bad_scaling(path, f"slope {slope} and intercept {inter}")
    return slope, inter


def _scaled(stored: Array, header: Any, path: Path) -> Array:
    """Return ``slope * stored + inter`` as float32; integers without scaling and float32 stay as they are."""
    slope, inter = _scaling(header, path)
    if (slope, inter) == (1.0, 0.0) and (stored.dtype.kind in "iu" or stored.dtype == np.float32):
        return stored
    result = np.empty(stored.shape, dtype=np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        for z in range(stored.shape[2]):  # slice by slice, so that nothing is held in double precision
            exact = stored[..., z].astype(np.float64) * slope + inter
            if (np.isfinite(stored[..., z]) & ~(np.abs(exact) <= FLOAT32_MAX)).any():
                raise _bad_scaling(path, f"values beyond {FLOAT32_MAX:.3g}")
            result[..., z] = exact
    return result


def _bad_scaling(path: Path, got: str) -> InputError:
    return InputError(
        "invalid scaling of the values",
        where=path,
        expected="finite numbers",
        got=got,
        cure="export the file again",
        code="input.scaling",
    )


def _volume(data: Array, affine: Affine, path: Path) -> Volume:
    try:
        return Volume(data, affine)
    except GeometryError as error:
        cure = "correct the header's sform or qform"
        raise GeometryError(error.what, where=path, got=error.got, cure=cure, code=error.code) from None
