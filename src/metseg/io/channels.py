"""What the channels of the pictures of one case are called, and how many of them are needed."""

from __future__ import annotations

from collections.abc import Sequence

from metseg.errors import InputError, UsageError
from metseg.io.pictures import channels_equal, luminance
from metseg.volume import Array, canonical_modality

#: The name of the only channel where nobody named it.
SINGLE_CHANNEL = "image"


def channel_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return names of channels as metseg's.

    Raises:
        UsageError: two are the same.

    >>> channel_names(["T1", "FLAIR"])
    ('t1n', 't2f')
    """
    names = tuple(canonical_modality(name) for name in channels)
    if len(set(names)) < len(names):
        raise UsageError(
            "two channels have one name",
            where="channels",
            got=", ".join(channels),
            cure="name each channel once; t1 and t1n are one name",
        )
    return names


def name_channels(
    pictures: Sequence[Array], channels: tuple[str, ...], *, where: object
) -> tuple[tuple[str, ...], list[Array], tuple[str, ...]]:
    """Return names, pictures with exactly those channels, and notes.

    Without names a grey picture is ``image`` and a colour one ``ch0``, ``ch1``, ``ch2``. With one name a colour
    picture becomes grey: its channel where all three are equal in every slice of the case, else its luminance.

    Args:
        pictures: each (rows, cols, channels), the slices of one case.
        channels: names in file order, or empty.
        where: the case, for messages.
    Raises:
        InputError: ``input.missing_sequence``, several names for a grey picture; ``input.channels``, any other number
            of channels than names, or slices that differ in their number.
    """
    counts = sorted({picture.shape[-1] for picture in pictures})
    if len(channels) == 1:
        grey, notes = _one_channel(pictures)
        return channels, grey, notes
    if len(counts) > 1 and not channels:
        raise InputError(
            "some slices are grey and others in colour",
            where=where,
            cure="name one channel to read all of them as grey",
            code="input.channels",
        )
    count = counts[0]
    if not channels:
        return _default_names(count), list(pictures), ()
    if count != len(channels):
        raise _wrong_count(count, channels, where)
    return channels, list(pictures), ()


def _default_names(count: int) -> tuple[str, ...]:
    return (SINGLE_CHANNEL,) if count == 1 else tuple(f"ch{index}" for index in range(count))


def _one_channel(pictures: Sequence[Array]) -> tuple[list[Array], tuple[str, ...]]:
    if all(picture.shape[-1] == 1 for picture in pictures):
        return list(pictures), ()
    if all(channels_equal(picture) for picture in pictures):
        return [picture[..., :1] for picture in pictures], ("equal colour channels were read as one",)
    grey = [picture if picture.shape[-1] == 1 else luminance(picture)[..., None] for picture in pictures]
    return grey, ("colour channels that differ were converted to grey (luminance)",)


def _wrong_count(count: int, channels: tuple[str, ...], where: object) -> InputError:
    if count == 1:
        return InputError(
            f"one grey channel cannot hold {len(channels)} sequences; missing are {len(channels) - 1} of "
            f"{', '.join(channels)}",
            where=where,
            expected=f"{len(channels)} channels",
            got="1",
            cure="give pictures with all of them, or a model that needs one",
            code="input.missing_sequence",
        )
    return InputError(
        "the channel names do not fit the pictures",
        where=where,
        expected=f"{len(channels)} ({', '.join(channels)})",
        got=f"{count} channels",
        cure="name every channel in file order",
        code="input.channels",
    )
