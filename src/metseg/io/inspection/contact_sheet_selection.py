"""Select the slices of a data set's contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metseg.errors import MetsegError
from metseg.io.case_source import CaseSource
from metseg.io.images.images_2d import luminance
from metseg.io.images.slice_stack import ReadSlice, SliceStackSource
from metseg.plot.images.contact_sheet import Tile, short_names
from metseg.volume import Array

#: Which of several named channels is shown: the one on which lesions are seen best.
SHOWN_MODALITIES = ("t2f", "t1c", "t2w")


def showcase(sources: Sequence[CaseSource], shown: Mapping[str, str]) -> list[Tile]:
    """Return a tile for each patient; a slice that cannot be read is left out.

    Args:
        sources: the data set.
        shown: patient to the name of its slice, as in `Inspection.largest_lesion`.
    """
    titles = dict(zip(shown, short_names(list(shown)), strict=True))
    tiles = []
    stacks = [source for source in sources if isinstance(source, SliceStackSource)]
    for source in stacks:
        for piece in source.slices:
            if shown.get(source.patient) != piece.name:
                continue
            try:
                item = source.read(piece)
            except MetsegError:
                continue  # the inspection names it
            labels = None if item.mask is None else item.mask.labels
            tiles.append(Tile(_shown(item, source.channels), labels, titles[source.patient]))
    return tiles


def _shown(item: ReadSlice, channels: tuple[str, ...]) -> Array:
    """Return (rows, cols) of the channel that shows lesions best, or grey where the channels have no names."""
    pixels = item.picture.pixels
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    if len(channels) == pixels.shape[2]:
        best = next((name for name in SHOWN_MODALITIES if name in channels), channels[0])
        return pixels[..., channels.index(best)]
    return luminance(pixels)
