"""Read image formats and folder layouts, find cases, and split patients."""

from metseg.io.case_discovery import find_cases
from metseg.io.case_source import CaseSource
from metseg.io.images.images_2d import Mask, Picture, read_mask, read_picture
from metseg.io.images.slice_stack import SliceFile, SliceStackSource
from metseg.io.layouts import LAYOUTS
from metseg.io.prediction_inputs import InputRules, find_inputs
from metseg.io.splits import SelectedCases, Selection, Split, make_split
from metseg.io.stratified_sampling import units_of
from metseg.io.volumes.image_files import ImageFile
from metseg.io.volumes.nifti import read_volume
from metseg.io.volumes.study_source import study_from_files
from metseg.io.volumes.volume_case import VolumeSource

__all__ = [
    "LAYOUTS",
    "CaseSource",
    "ImageFile",
    "InputRules",
    "Mask",
    "Picture",
    "SelectedCases",
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
