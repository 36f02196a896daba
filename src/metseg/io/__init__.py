"""Formats and layouts in and out, and splits of patients."""

from metseg.io.cases import find_cases
from metseg.io.image_files import ImageFile
from metseg.io.inputs import InputRules, find_inputs
from metseg.io.layouts import LAYOUTS
from metseg.io.nifti import read_volume
from metseg.io.pictures import Mask, Picture, read_mask, read_picture
from metseg.io.slices import SliceFile, SliceStackSource
from metseg.io.source import CaseSource
from metseg.io.splits import Chosen, Selection, Split, make_split
from metseg.io.strata import units_of
from metseg.io.studies import study_from_files
from metseg.io.volumes import VolumeSource

__all__ = [
    "LAYOUTS",
    "CaseSource",
    "Chosen",
    "ImageFile",
    "InputRules",
    "Mask",
    "Picture",
    "Selection",
    "SliceFile",
    "SliceStackSource",
    "Split",
    "VolumeSource",
    "find_cases",
    "find_inputs",
    "make_split",
    "read_mask",
    "read_picture",
    "read_volume",
    "study_from_files",
    "units_of",
]
