"""Naming of lesion masks: words in their names, the case of a mask name, and folders of masks."""

from __future__ import annotations

import re

#: Words that say mask wherever they stand in a name.
MASK_WORDS = frozenset(("mask", "brainmask", "seg", "segmentation", "label", "labels", "truth", "gt", "roi"))
#: Words that planning systems write into the descriptions of masks, beside `MASK_WORDS`.
PLANNING_WORDS = frozenset(("gtv", "ctv", "ptv", "contour"))
#: Words that say so only where a name says nothing of a sequence: a patient may be called MET_7.
LESION_WORDS = frozenset(("lesion", "lesions", "tumor", "tumour", "met", "mets", "metastasis", "metastases"))
#: Words for a truth that somebody drew, beside those for masks of any kind.
TRUTH_WORDS = frozenset(("gold", "goldstandard", "groundtruth", "manual", "annotation", "annotations"))

#: What a mask is called where it lies beside its image, before or behind the image's name.
_NAMES = (*sorted(MASK_WORDS - {"brainmask"}), *sorted(TRUTH_WORDS), "gold_standard", "ground_truth")
#: What the stem of a mask ends in where it lies beside its image, the longest first.
MASK_ENDINGS = tuple(sorted((sign + name for name in _NAMES for sign in "_-"), key=len, reverse=True))
#: What it begins with, the longest first.
MASK_BEGINNINGS = tuple(sorted((name + sign for name in _NAMES for sign in "_-"), key=len, reverse=True))

#: What UCSF-BMSR calls its masks of several classes, and what predictions end in.
_UCSF_ENDING, _PREDICTION_ENDINGS = "_brats-seg", ("-pred", "_pred")
#: What is stripped from a file's stem to give the case, the longest of several first.
CASE_ENDINGS = (_UCSF_ENDING, *MASK_ENDINGS, *_PREDICTION_ENDINGS)

#: Names of folders that hold masks alone, compared in lower case; one called "roi" may as well hold sections of images.
MASK_FOLDERS = tuple(sorted({*_NAMES, "masks", "segmentations"} - {"roi"}))


def says_mask(description: str) -> bool:
    """Return whether a DICOM description says that a series is a mask: one of its words, also numbered or in plural.

    >>> [says_mask(text) for text in ("t1_mprage_km_ROI", "GTV1 T1", "Contours", "t1_mprage_km", "segmented")]
    [True, True, True, False, False]
    """
    found = {re.sub(r"s?\d*$", "", word) for word in re.split(r"[^a-z0-9]+", description.lower())}
    return bool(found & (MASK_WORDS | PLANNING_WORDS))


def plain_stem(stem: str) -> str | None:
    """Return the stem of the image that a mask's stem names, or None where it is no mask's.

    >>> plain_stem("case_7_mask"), plain_stem("case_7"), plain_stem("GOLD_STANDARD_7")
    ('case_7', None, '7')
    """
    return _without(stem, MASK_ENDINGS)


def case_of(stem: str) -> str | None:
    """Return the case that the stem of a mask or a prediction stands for, or None where it is no mask's by its name.

    >>> case_of("GOLD_STANDARD_P1"), case_of("P1_BraTS-seg"), case_of("P1-pred"), case_of("P1")
    ('P1', 'P1', 'P1', None)
    """
    return _without(stem, CASE_ENDINGS)


def _without(stem: str, endings: tuple[str, ...]) -> str | None:
    small = stem.lower()
    for ending in endings:
        if small.endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    for beginning in MASK_BEGINNINGS:
        if small.startswith(beginning) and len(stem) > len(beginning):
            return stem[len(beginning) :]
    return None
