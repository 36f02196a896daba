"""Determine the names and the number of channels of the 2D images of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metseg.errors import InputError, UsageError
from metseg.io.images.images_2d import channels_equal, luminance
from metseg.volume import Array, canonical_modality

#: Name of a single channel without a given name.
SINGLE_CHANNEL = "image"

#: Notes on images that may not be what a model was trained on. Reports search documents on disk for these words, so
#: they must not change.
EQUAL_CHANNELS = "all channels are equal: they show one sequence only"
MEANINGLESS_OTHERWISE = "of any other sequence the result is meaningless"


@dataclass(frozen=True)
class GreyRule:
    """How to treat a single grey image where several channels are expected; three equal channels count as grey too.

    Args:
        sequence: the sequence that it is taken for, because the model was trained with that one in place of the
            others; None: the image is refused.
        from_colours: whether the image was converted from colour, for example from a palette or with transparency.
    """

    sequence: str | None = None
    from_colours: bool = False


def channel_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return channel names in metseg's naming.

    Raises:
        UsageError: two are the same.

    >>> channel_names(["T1", "FLAIR"])
    ('t1n', 't2f')
    """
    names = tuple(canonical_modality(name) for name in channels)
    if len(set(names)) < len(names):
        raise UsageError(
            "two channels have the same name",
            where="channels",
            got=", ".join(channels),
            cure="give each channel a different name; t1 and t1n are the same name",
        )
    return names


def name_channels(
    pictures: Sequence[Array], channels: tuple[str, ...], *, where: object, grey: GreyRule | None = None
) -> tuple[tuple[str, ...], list[Array], tuple[str, ...]]:
    """Return names, pictures with exactly those channels, and notes.

    Without names a grey picture is ``image`` and a colour one ``ch0``, ``ch1``, ``ch2``. With one name a colour
    picture becomes grey: its channel where all three are equal in every slice of the case, else its luminance.

    Args:
        pictures: each (rows, cols, channels), the slices of one case.
        channels: names in file order, or empty.
        where: the case, for messages.
        grey: what a grey picture is where there are several names, and that equal channels are one; None: pictures of
            a data set, in which a sequence that was not acquired may be a copy of another.
    Raises:
        InputError: ``input.missing_sequence``, several names for a grey picture that is taken for none of them;
            ``input.channels``, any other number of channels than names, or slices that differ in their number.
    """
    counts = sorted({picture.shape[-1] for picture in pictures})
    if len(channels) == 1:
        plain, notes = _one_channel(pictures)
        return channels, plain, notes
    if len(counts) > 1 and not channels:
        raise InputError(
            "some slices are greyscale and others are in colour",
            where=where,
            cure="give one channel name to read all of them as greyscale",
            code="input.channels",
        )
    count = counts[0]
    if not channels:
        return _default_names(count), list(pictures), ()
    is_one = all(channels_equal(picture) for picture in pictures)
    if is_one and grey is not None:
        return _grey(pictures, channels, grey, where)
    if count != len(channels):
        raise _wrong_count(count, channels, where)
    notes = (EQUAL_CHANNELS,) if is_one else ()
    return channels, list(pictures), notes


def _grey(
    pictures: Sequence[Array], channels: tuple[str, ...], grey: GreyRule, where: object
) -> tuple[tuple[str, ...], list[Array], tuple[str, ...]]:
    """Return grey images as channels of the sequence that they are taken for."""
    if grey.sequence is None:
        raise _wrong_count(1, channels, where, from_colours=grey.from_colours)
    note = f"the picture is grey and shows one sequence, which was taken for {grey.sequence}; {MEANINGLESS_OTHERWISE}"
    return (grey.sequence,), [picture[..., :1] for picture in pictures], (note,)


def _default_names(count: int) -> tuple[str, ...]:
    return (SINGLE_CHANNEL,) if count == 1 else tuple(f"ch{index}" for index in range(count))


def _one_channel(pictures: Sequence[Array]) -> tuple[list[Array], tuple[str, ...]]:
    if all(picture.shape[-1] == 1 for picture in pictures):
        return list(pictures), ()
    if all(channels_equal(picture) for picture in pictures):
        return [picture[..., :1] for picture in pictures], ("equal colour channels were read as one",)
    grey = [picture if picture.shape[-1] == 1 else luminance(picture)[..., None] for picture in pictures]
    return grey, ("colour channels that differ were converted to grey (luminance)",)


def _wrong_count(count: int, channels: tuple[str, ...], where: object, *, from_colours: bool = False) -> InputError:
    made_grey = "the picture's colours were converted to grey, for it has a palette or transparency; "
    made_grey = made_grey if from_colours else ""
    if count == 1:
        return InputError(
            f"{made_grey}one grey channel cannot hold {len(channels)} sequences; missing are {len(channels) - 1} of "
            f"{', '.join(channels)}",
            where=where,
            expected=f"{len(channels)} channels",
            got="1",
            cure="save the picture as plain RGB"
            if from_colours
            else "give images with all of them, or use a model that needs one",
            code="input.missing_sequence",
        )
    return InputError(
        "the number of channel names does not match the images",
        where=where,
        expected=f"{len(channels)} ({', '.join(channels)})",
        got=f"{count} channels",
        cure="name every channel in file order",
        code="input.channels",
    )
