"""Formats and layouts in and out, and splits of patients."""

from metseg.io.cases import find_cases, find_pictures
from metseg.io.layouts import LAYOUTS
from metseg.io.pictures import Mask, Picture, read_mask, read_picture
from metseg.io.slices import SliceFile, SliceStackSource
from metseg.io.source import CaseSource
from metseg.io.splits import Chosen, Selection, Split, make_split
from metseg.io.strata import units_of

__all__ = [
    "LAYOUTS",
    "CaseSource",
    "Chosen",
    "Mask",
    "Picture",
    "Selection",
    "SliceFile",
    "SliceStackSource",
    "Split",
    "find_cases",
    "find_pictures",
    "make_split",
    "read_mask",
    "read_picture",
    "units_of",
]
