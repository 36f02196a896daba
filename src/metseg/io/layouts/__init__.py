"""LAYOUTS: the registry of folder layouts for images and masks. A new layout is a file and an entry here."""

from __future__ import annotations

from collections.abc import Mapping

from metseg.errors import InputError
from metseg.io.file_index import Tree
from metseg.io.layouts.bids import BIDS
from metseg.io.layouts.brats import BRATS_2015, BRATS_2018, BRATS_2021, BRATS_2023, BRATS_MIXED
from metseg.io.layouts.decathlon import DECATHLON
from metseg.io.layouts.dicom_layout import DICOM
from metseg.io.layouts.image_folders import IMAGES_MASKS, PATIENT_FOLDERS, SEPARATE_ROOTS
from metseg.io.layouts.layout import Findings, Layout
from metseg.io.layouts.nnunet import NNUNET
from metseg.io.layouts.slice_layout import SliceLayout
from metseg.io.layouts.study_folders import STUDY
from metseg.io.layouts.ucsf_bmsr import UCSF_BMSR
from metseg.io.layouts.volume_layout import VolumeLayout
from metseg.message_text import pluralize
from metseg.registry import Registry, lookup

__all__ = [
    "LAYOUTS",
    "Findings",
    "Layout",
    "SliceLayout",
    "VolumeLayout",
    "choose_layout",
    "slice_layouts",
    "study_layouts",
]

#: Tried in this order when the layout is detected; layouts with unambiguous names come first.
LAYOUTS: Registry[Layout] = Registry(
    "layout",
    "layouts",
    Layout,
    {
        "separate_roots": SEPARATE_ROOTS,
        "nnunet": NNUNET,
        "decathlon": DECATHLON,
        "bids": BIDS,
        "brats_mixed": BRATS_MIXED,
        "brats_2015": BRATS_2015,
        "brats_2018": BRATS_2018,
        "brats_2021": BRATS_2021,
        "brats_2023": BRATS_2023,
        "ucsf_bmsr": UCSF_BMSR,
        "dicom": DICOM,
        "study": STUDY,
        "images_masks": IMAGES_MASKS,
        "patient_folders": PATIENT_FOLDERS,
    },
)


def layouts_in_order() -> Mapping[str, Layout]:
    """Return every layout in the order in which they are tried.

    Layouts of other packages come first: metseg's last ones match almost any folder.
    """
    return {name: LAYOUTS[name] for name in (*LAYOUTS.added, *LAYOUTS.own)}


def slice_layouts() -> Mapping[str, SliceLayout]:
    """Return the layouts of pictures, in the order in which they are tried."""
    return {name: layout for name, layout in layouts_in_order().items() if isinstance(layout, SliceLayout)}


def study_layouts() -> Mapping[str, Layout]:
    """Return the layouts of everything but pictures, in the order in which they are tried."""
    return {name: layout for name, layout in layouts_in_order().items() if not isinstance(layout, SliceLayout)}


def choose_layout(tree: Tree, name: str = "auto", *, among: Mapping[str, Layout] | None = None) -> str:
    """Return the name of the layout of a tree.

    Args:
        tree: what lies there.
        name: a name in `among`, or "auto".
        among: the layouts that may be; None: all.
    Raises:
        UsageError: no layout is called so.
        InputError: ``input.layout``, the tree is not arranged so, or in no way known.
    """
    among = layouts_in_order() if among is None else among
    if name != "auto":
        layout = lookup(LAYOUTS.kind, {**among, "auto": None}, name, cure=LAYOUTS.cure)
        if layout is not None and layout.matches(tree):
            return name
        raise InputError(
            f"the folder does not match layout '{name}'",
            where=tree.root,
            expected=among[name].looks_like,
            cure="use layout auto, or give another layout",
            code="input.layout",
        )
    for candidate, layout in among.items():
        if layout.matches(tree):
            return candidate
    known = "; ".join(f"{key}: {layout.looks_like}" for key, layout in among.items())
    raise InputError(
        "no known layout matches the folder",
        where=tree.root,
        expected=known,
        got=", ".join(pluralize(count, f"{ending} file") for ending, count in tree.others.items()) or "an empty folder",
        cure="arrange the files in one of these ways, or name them with --modality",
        code="input.layout",
    )
