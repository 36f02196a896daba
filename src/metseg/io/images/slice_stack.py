"""Read a patient's 2D images as one `Case`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from metseg.errors import GeometryError, InputError, MetsegError
from metseg.io.case_source import CaseSource
from metseg.io.images.channel_names import GreyRule, name_channels
from metseg.io.images.images_2d import Mask, Picture, read_mask, read_picture
from metseg.io.label_map_detection import require_pictures
from metseg.io.volumes.image_files import CHANNELS_OF_RECIPE
from metseg.labels import LABEL_SCHEMES, convert_labels, label_map
from metseg.message_text import pluralize
from metseg.registry import lookup
from metseg.volume import Array, Case, SequenceRecord, Volume


@dataclass(frozen=True)
class SliceFile:
    """The location of one slice.

    Args:
        name: relative path of the picture without ending, "/" between folders.
        image: the picture.
        mask: its truth, or None.
        number: the last number in the file's stem, or None; orders the slices.
        page: which page of a multi-page TIFF, from 0.
        gap_before: whether slices are missing before this one, where that is known without numbers.
    """

    name: str
    image: Path
    mask: Path | None = None
    number: int | None = None
    page: int | None = None
    gap_before: bool = False


@dataclass(frozen=True)
class ReadSlice:
    """One slice read."""

    file: SliceFile
    picture: Picture
    mask: Mask | None


@dataclass(frozen=True)
class SliceStackSource(CaseSource):
    """The slices of one patient, all of one size.

    Args:
        slices: in order of z.
        channels: names of the channels in file order; empty: see `metseg.io.images.channel_names`.
        labels: name of the masks' label scheme.
        wanted: name of the case's label scheme; None: the masks'.
        region: region of the masks' scheme that is the lesion, where `wanted` is binary; None: every label above 0.
        patient_guessed: whether only the file names suggest that the slices belong to one patient.
        grey: what a grey picture is where there are several channels; None: refused, and equal channels are copies.
    """

    slices: tuple[SliceFile, ...] = ()
    channels: tuple[str, ...] = ()
    labels: str = "binary"
    wanted: str | None = None
    region: str | None = None
    patient_guessed: bool = False
    grey: GreyRule | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        pairs = ((piece.image, piece.mask) for piece in self.slices)
        return tuple(dict.fromkeys(path for pair in pairs for path in pair if path is not None))

    @property
    def slice_names(self) -> tuple[str, ...]:
        return tuple(piece.name for piece in self.slices)

    @property
    def has_labels(self) -> bool:
        """Return whether any slice has a mask."""
        return any(piece.mask is not None for piece in self.slices)

    def load(self) -> Case:
        """Read every slice; the arrays keep the files' type and hold each picture contiguously.

        Raises:
            InputError: the first slice that is damaged, lacks a mask while others have one, or differs from the
                others in shape, type or channels.
        """
        self._check_masks()
        return self._assemble([self.read(piece) for piece in self.slices])

    def load_readable(self) -> tuple[Case | None, tuple[MetsegError, ...]]:
        """Read all readable slices; a damaged image does not stop the others.

        Returns:
            The case of the good slices, or None without any, and the error of each bad one.
        """
        good: list[ReadSlice] = []
        errors: list[MetsegError] = []
        for piece in self.slices:
            try:
                item = self.read(piece)
                self._check_channels(item, good)
                if good:
                    _check_like(good[0], item)
            except MetsegError as error:
                errors.append(error)
            else:
                good.append(item)
        try:
            return (self._assemble(good) if good else None), tuple(errors)
        except MetsegError as error:
            return None, (*errors, error)

    def read(self, piece: SliceFile) -> ReadSlice:
        """Read one slice.

        Raises:
            InputError: the picture or its mask is damaged, or the mask is not of the picture's size.
        """
        picture = read_picture(piece.image, page=piece.page)
        if piece.mask is None:
            return ReadSlice(piece, picture, None)
        mask = read_mask(piece.mask, lookup("label scheme", LABEL_SCHEMES, self.labels), page=piece.page)
        if mask.labels.shape != picture.pixels.shape[:2]:
            raise GeometryError(
                "the mask and its image differ in size",
                where=piece.mask,
                expected=_size(picture.pixels),
                got=_size(mask.labels),
                cure="export the masks on the image's grid; masks are never resampled silently",
            )
        table = label_map(self.labels, self.wanted or self.labels, region=self.region)
        return ReadSlice(piece, picture, replace(mask, labels=convert_labels(mask.labels, table)))

    def _check_masks(self) -> None:
        without = [piece for piece in self.slices if piece.mask is None]
        if without and self.has_labels:
            raise InputError(
                f"no mask for {len(without)} of {pluralize(len(self.slices), 'slice')}",
                where=without[0].image,
                cure=f"add the masks, or move these images out of case {self.case_id}",
                code="input.orphan",
            )

    def _check_channels(self, item: ReadSlice, good: Sequence[ReadSlice]) -> None:
        """Check a slice's number of channels; with a single channel name, any number is valid."""
        if len(self.channels) != 1:
            alike = [*good[:1], item]
            name_channels(_pixels(alike), self.channels, where=item.file.image, grey=self._grey_of(alike))

    def _grey_of(self, items: Sequence[ReadSlice]) -> GreyRule | None:
        """Return what a grey picture is; one that was made of colours is taken for no sequence."""
        if self.grey is not None and any(item.picture.from_colours for item in items):
            return GreyRule(from_colours=True)
        return self.grey

    def _assemble(self, items: Sequence[ReadSlice]) -> Case:
        for item in items[1:]:
            _check_like(items[0], item)
        require_pictures(
            _pixels(items),
            where=[item.file.image for item in items],
            lossy=any(item.picture.lossy for item in items),
        )
        where = f"case {self.case_id}"
        names, pixels, notes = name_channels(_pixels(items), self.channels, where=where, grey=self._grey_of(items))
        masks = [item.mask.labels for item in items if item.mask is not None]
        images = {name: _stack([picture[..., c] for picture in pixels]) for c, name in enumerate(names)}
        return Case(
            case_id=self.case_id,
            patient=self.patient,
            images=images,
            labels=_stack(masks) if len(masks) == len(items) else None,
            timepoint=self.timepoint,
            slice_names=tuple(item.file.name for item in items),
            slice_gaps=_gaps_between([item.file for item in items]),
            attributes=self.attributes,
            warnings=(*_counted(_notes(items)), *notes),
            sequence_records=_channel_records(names, self.channels, self.grey),
        )


def _gaps_between(slices: Sequence[SliceFile]) -> tuple[bool, ...]:
    """Return `Case.slice_gaps` by the numbers of the slices, and by what else is known."""
    by_number = slice_gaps([piece.number for piece in slices]) or (False,) * len(slices)
    gaps = tuple(gap or piece.gap_before for gap, piece in zip(by_number, slices, strict=True))
    return gaps if any(gaps) else ()


def slice_gaps(numbers: Sequence[int | None]) -> tuple[bool, ...]:
    """Return `Case.slice_gaps` for slices with these numbers in their names.

    Slices follow one another where their numbers differ by 1, or by the commonest difference in the stack: a series may
    be exported with every fifth slice. A difference that is there once is no step. Numbers may fall as well as rise.
    Without a number, the order counts.

    >>> slice_gaps([3, 4, 9]), slice_gaps([0, 5, 10, 25]), slice_gaps([3, 9])
    ((False, False, True), (False, False, False, True), (False, True))
    >>> slice_gaps([10, 2, 1])
    (False, True, False)
    >>> slice_gaps([1, 2, 3]), slice_gaps([None, 7])
    ((), ())
    """
    steps = [0] + [1 if one is None or two is None else abs(two - one) for one, two in pairwise(numbers)]
    seen = Counter(steps[1:])
    common = max(seen, key=lambda step: (seen[step], -step), default=1)
    follow = {0, 1, common} if seen[common] > 1 else {0, 1}
    gaps = tuple(step not in follow for step in steps)
    return gaps if any(gaps) else ()


def _channel_records(
    names: Sequence[str], declared: Sequence[str], grey: GreyRule | None
) -> tuple[SequenceRecord, ...]:
    """Return which channel of the pictures is which sequence."""
    if tuple(names) == tuple(declared):
        reason = CHANNELS_OF_RECIPE
    elif grey is not None and tuple(names) == (grey.sequence,):
        called = "FLAIR" if names[0] == "t2f" else names[0]
        reason = f"the model takes a single grey picture for {called}"
    else:
        reason = "the sequence of the images is unknown"
    if len(names) == 1:
        return (SequenceRecord(names[0], "the pictures", reason),)
    return tuple(SequenceRecord(name, f"channel {place} of the pictures", reason) for place, name in enumerate(names))


def _pixels(items: Sequence[ReadSlice]) -> list[Array]:
    return [item.picture.pixels for item in items]


def _stack(pictures: Sequence[Array]) -> Volume:
    """Return pictures (rows, cols) as a volume (X=cols, Y=rows, Z), each still contiguous in memory."""
    return Volume(np.stack(pictures).transpose(2, 1, 0))


def _check_like(first: ReadSlice, item: ReadSlice) -> None:
    """Refuse a slice that differs from the first in shape or type."""
    expected, got = first.picture.pixels, item.picture.pixels
    if expected.shape[:2] != got.shape[:2]:
        what, values = "the slice's size differs from the first slice's", (_size(expected), _size(got))
    elif expected.dtype != got.dtype:
        what, values = "the slice's type differs from the first slice's", (str(expected.dtype), str(got.dtype))
    else:
        return
    raise InputError(
        what,
        where=item.file.image,
        expected=values[0],
        got=values[1],
        cure="export all slices of the patient in the same format, or separate them into two patients",
        code="input.mixed_slices",
    )


def _size(pixels: Array) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _notes(items: Iterable[ReadSlice]) -> Iterable[str]:
    for item in items:
        yield from item.picture.notes
        if item.mask is not None:
            yield from item.mask.notes


def _counted(notes: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{note} ({pluralize(count, 'slice')})" for note, count in Counter(notes).items())
