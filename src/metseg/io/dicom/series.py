"""Read one series as a `Volume`. All checks that need only headers run before pixels are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from metseg.errors import GeometryError, InputError, MetsegError
from metseg.io.dicom.dicom_files import DicomReader
from metseg.io.dicom.pixel_decoding import check_pixels, is_lossy, read_values, value_type
from metseg.io.dicom.series_scan import with_where
from metseg.io.dicom.series_splitting import Series, mixed
from metseg.io.dicom.slice_ordering import EVENNESS, MAX_FILLED, SAME_PLACE_MM, Arrangement, arrange
from metseg.message_text import pluralize
from metseg.volume import Array, Volume

#: Of so many pictures at one place, and no other, all may be copies of a single slice.
MAX_COPIES = 2


@dataclass(frozen=True)
class SeriesImage:
    """A series that was read.

    Args:
        volume: (X, Y, Z), x = column, y = row, z = slice along the normal; its affine is RAS.
        warnings: one sentence each.
    """

    volume: Volume
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesPlan:
    """The plan for reading a series, from its headers.

    Args:
        series: which.
        arrangement: where each picture goes.
        dtype: of the values.
        warnings: what the headers show.
    """

    series: Series
    arrangement: Arrangement
    dtype: np.dtype[np.generic]
    warnings: tuple[str, ...]


def plan_series(series: Series, *, allow_gaps: bool = False) -> SeriesPlan:
    """Return the plan for reading a series, or raise an error; only headers are used.

    Args:
        series: which.
        allow_gaps: interpolate missing and unevenly spaced slices linearly, with a warning.
    Raises:
        InputError: ``input.not_mr``, ``input.mixed_series``, ``input.format``, ``input.transfer_syntax``,
            ``input.too_large``, ``input.rescale``, ``input.missing_slices`` or ``input.uneven_slices``.
        GeometryError: ``input.no_geometry``, or ``input.geometry``, also for stacks of one kind that
            are tilted against one another.
    """
    with _named(series):
        if series.header.modality != "MR":
            raise InputError("not an MR series", cure="give MR images", code="input.not_mr")
        if len(series.references) > 1:
            raise mixed(series.name, f"{len(series.references)} frames of reference")
        if series.tilted:
            raise _tilted(series)
        check_pixels(series.frames)
        dtype = value_type(series.frames)
        arrangement = _arranged(series)
        warnings = [
            *_checked_gaps(arrangement, allow_gaps=allow_gaps),
            *_doubtful_step(arrangement, series.frames[0].thickness_mm),
            *_doubtful_numbers(series),
        ]
    if is_lossy(series.frames):
        warnings.append("it was compressed lossily")
    if len(arrangement.groups) == 1:
        warnings.append("it has only one slice")
    return SeriesPlan(series, arrangement, dtype, tuple(f"{series.name}: {warning}." for warning in warnings))


def load_series(series: Series, *, allow_gaps: bool = False) -> SeriesImage:
    """Read a series.

    Args:
        series: which.
        allow_gaps: see `plan_series`.
    Raises:
        InputError: as `plan_series`; also ``input.no_pixels``, ``input.truncated``, and ``input.duplicate_slice`` for
            two different pictures at one place.
    """
    plan = plan_series(series, allow_gaps=allow_gaps)
    with _named(series), DicomReader() as reader:
        placed, noticed = _placed(plan, reader)
        stack = _filled(plan.arrangement, placed)
    # Each picture stays contiguous: data[:, :, z].T is the picture as it lies in the file.
    volume = Volume(stack.transpose(2, 1, 0), plan.arrangement.affine)
    return SeriesImage(volume, (*plan.warnings, *(f"{series.name}: {notice}." for notice in noticed)))


def _arranged(series: Series) -> Arrangement:
    first, frames = series.frames[0], series.frames
    positions = [frame.position_mm for frame in frames if frame.position_mm is not None]
    if len(positions) < len(frames) or first.orientation is None or first.spacing_mm is None:
        raise GeometryError(
            "the images have no position",
            expected="position, orientation and pixel size of each image",
            got=f"{len(frames) - len(positions)} of {len(frames)} without a position"
            if len(positions) < len(frames)
            else "no orientation or pixel size",
            cure="export the original images; screenshots and results cannot be used",
            code="input.no_geometry",
        )
    places = np.asarray(positions, dtype=np.float64)
    if len(places) > MAX_COPIES and np.ptp(places, axis=0).max() <= SAME_PLACE_MM:
        raise GeometryError(
            "all slices have the same position",
            expected="a different position for each slice",
            got=f"{len(places)} slices at one place",
            cure="export the original series: de-identification has removed the positions (0020,0032) too",
            code="input.no_geometry",
        )
    return arrange(
        places,
        np.asarray(first.orientation, dtype=np.float64),
        spacing_mm=(first.spacing_mm[0], first.spacing_mm[1]),
        single_step_mm=first.thickness_mm,
    )


def _checked_gaps(arrangement: Arrangement, *, allow_gaps: bool) -> Iterator[str]:
    """Yield what is filled in where that is allowed, and refuse it where it is not."""
    found = len(arrangement.groups)
    low, high = arrangement.distances_mm
    may_fill = allow_gaps and arrangement.count <= MAX_FILLED * found
    if not arrangement.is_even:
        if not may_fill:
            raise _gaps(
                "the slices are not evenly spaced", "input.uneven_slices", f"distances of {low:.2f} to {high:.2f} mm"
            )
        yield (
            f"{found} slices at uneven distances of {low:.2f} to {high:.2f} mm were made into {arrangement.count}"
            f" slices every {arrangement.step_mm:.2f} mm by linear interpolation, because gaps were allowed"
        )
    elif arrangement.missing:
        missing = arrangement.missing
        if not may_fill:
            raise _gaps(
                pluralize(missing, "slice is missing", "slices are missing"),
                "input.missing_slices",
                f"{found} of {arrangement.count}",
            )
        yield (
            f"{missing} of {arrangement.count} slices are missing and were interpolated linearly between their"
            " neighbours, as gaps were allowed"
        )


def _doubtful_step(arrangement: Arrangement, stated_mm: float | None) -> Iterator[str]:
    """Yield a warning where slices lie apart by twice, three times, ... what the header says: others may be missing.

    This is no error, because some scanners store the gap between slices there.
    """
    if len(arrangement.groups) < 2 or stated_mm is None or stated_mm <= 0:
        return
    multiple = arrangement.step_mm / stated_mm
    if round(multiple) >= 2 and abs(multiple - round(multiple)) <= EVENNESS * multiple:
        yield (
            f"its slices are {arrangement.step_mm:.2f} mm apart and its header says {stated_mm:.2f} mm: one in "
            f"{round(multiple)} may be all that there is of them"
        )


def _doubtful_numbers(series: Series) -> Iterator[str]:
    """Yield a warning where the scanner's numbers of the pictures are all two, three, ... apart."""
    if series.number_step > 1:
        yield (
            f"the numbers of its pictures go in steps of {series.number_step}: one in {series.number_step} slices may"
            " be all that there is of them"
        )


def _tilted(series: Series) -> GeometryError:
    return GeometryError(
        "the series contains stacks of slices that are tilted relative to each other",
        expected="one stack of parallel slices",
        got=f"{series.tilted + 1} stacks",
        cure="export each stack as a separate series, or convert them to one NIfTI file; each shows only a part",
        code="input.geometry",
    )


def _gaps(what: str, code: str, got: str) -> InputError:
    return InputError(
        what,
        got=got,
        cure="export the whole series again, or allow gaps; every result then carries a warning",
        code=code,
    )


def _placed(plan: SeriesPlan, reader: DicomReader) -> tuple[Array, list[str]]:
    """Return (places, rows, columns), and what the pixels show."""
    groups, frames = plan.arrangement.groups, plan.series.frames
    place_of = {number: place for place, group in enumerate(groups) for number in group}
    stack = np.empty((len(groups), frames[0].pixels.rows, frames[0].pixels.columns), dtype=plan.dtype)
    seen: set[int] = set()
    with_unused_bits = 0
    for picture in read_values(frames, reader, plan.dtype):
        place, values = place_of[picture.number], picture.values
        if place in seen and not np.array_equal(stack[place], values):
            raise InputError(
                "different images at the same position",
                expected="one image per slice",
                got=f"{len(frames)} images for {len(groups)} slices",
                cure="give only one time point, echo or repetition",
                code="input.duplicate_slice",
            )
        stack[place] = values
        seen.add(place)
        with_unused_bits += picture.has_unused_bits
    return stack, [*_copies(len(frames) - len(groups)), *_unused_bits(with_unused_bits, frames[0].pixels.bits_stored)]


def _copies(count: int) -> Iterator[str]:
    if count:
        yield f"{pluralize(count, 'picture')} stored twice; one copy of each was kept"


def _unused_bits(count: int, bits: int) -> Iterator[str]:
    if count:
        yield f"more than the {bits} bits of the values in {pluralize(count, 'picture')}, as old overlays do: left out"


def _filled(arrangement: Arrangement, placed: Array) -> Array:
    """Return (slices, rows, columns); where the grid has no picture, linearly between its neighbours."""
    if arrangement.is_even and not arrangement.missing:
        return placed
    slots = np.asarray(arrangement.slots)
    stack = np.empty((arrangement.count, *placed.shape[1:]), dtype=placed.dtype)
    for z in range(arrangement.count):
        nearest = int(np.abs(slots - z).argmin())
        if abs(slots[nearest] - z) < 1e-6:
            stack[z] = placed[nearest]
            continue
        above = int(np.searchsorted(slots, z))
        weight = (z - slots[above - 1]) / (slots[above] - slots[above - 1])
        between = (1 - weight) * placed[above - 1].astype(np.float64) + weight * placed[above].astype(np.float64)
        stack[z] = np.round(between) if stack.dtype.kind in "iu" else between
    return stack


@contextmanager
def _named(series: Series) -> Iterator[None]:
    """Say in an error which series it is of."""
    try:
        yield
    except MetsegError as error:
        raise with_where(error, series.name) from None
