"""Which sequence a file shows, or that it is a mask, by the words in its name; where the name is not plain, nothing.

Layouts with a naming of their own do not ask here.
"""

from __future__ import annotations

import re

#: Words that tell a sequence. A word may carry digits or "w" behind it: t2w, t1ce.
T1_WORDS = frozenset(("t1", "t1w", "t1n", "mprage", "mp2rage", "spgr", "fspgr", "bravo", "tfl3d", "t1tse", "t1se"))
T2_WORDS = frozenset(("t2", "t2w", "t2tse", "t2fse"))
FLAIR_WORDS = frozenset(("flair", "fla", "t2f", "t2flair", "tirm", "darkfluid"))
#: Words that say both T1 and contrast agent, or T1 and none.
T1_CONTRAST_WORDS = frozenset(("t1c", "t1ce", "t1gd", "t1post", "t1wce", "t1contrast", "t1km", "t1gad"))
T1_NATIVE_WORDS = frozenset(("t1n", "t1pre", "t1native"))
CONTRAST_WORDS = frozenset(
    ("c", "ce", "gd", "gad", "gado", "gadolinium", "post", "postcontrast", "contrast", "km", "enhanced")
)
NATIVE_WORDS = frozenset(("pre", "precontrast", "native", "nativ", "noncontrast", "nongad", "plain"))

#: Words that say nothing but which sequence it is.
SEQUENCE_WORDS = T1_WORDS | T1_CONTRAST_WORDS | T1_NATIVE_WORDS | T2_WORDS | FLAIR_WORDS | CONTRAST_WORDS | NATIVE_WORDS

BRAIN_WORDS = frozenset(("brain", "brainmask", "bet"))
MASK_WORDS = frozenset(("mask", "brainmask", "seg", "segmentation", "label", "labels", "truth", "gt", "roi"))
LESION_WORDS = frozenset(("lesion", "lesions", "tumor", "tumour", "met", "mets", "metastasis", "metastases"))


def words(stem: str) -> list[str]:
    """Return the words of a name in lower case.

    >>> words("MRHR_T1_AX-POST.GAD+C")
    ['mrhr', 't1', 'ax', 'post', 'gad', 'c']
    """
    return [word for word in re.split(r"[^a-z0-9]+", stem.lower()) if word]


def sequence_of(stem: str) -> str | None:
    """Return the modality a file name tells, or None where it tells none or several.

    >>> [sequence_of(stem) for stem in ("t1c", "P7_T1_AX_POST_GAD", "sub_T2_FLAIR", "T1_pre_contrast", "scan")]
    ['t1c', 't1c', 't2f', 't1n', None]
    """
    found = set(words(stem))
    t1 = found & (T1_WORDS | T1_CONTRAST_WORDS | T1_NATIVE_WORDS)
    flair, t2 = found & FLAIR_WORDS, found & T2_WORDS
    if bool(t1) + bool(flair or t2) != 1:
        return None
    if t1:
        native = found & (NATIVE_WORDS | T1_NATIVE_WORDS)
        with_agent = found & (CONTRAST_WORDS | T1_CONTRAST_WORDS)
        return "t1n" if native or not with_agent else "t1c"
    return "t2f" if flair else "t2w"


def is_brain_mask(stem: str) -> bool:
    """Return whether a name is that of a brain mask.

    >>> is_brain_mask("t1c_brain_mask"), is_brain_mask("t1c_brain"), is_brain_mask("seg")
    (True, False, False)
    """
    found = set(words(stem))
    return "brainmask" in found or bool(found & BRAIN_WORDS and found & MASK_WORDS)


def is_lesion_mask(stem: str) -> bool:
    """Return whether a name is that of a mask of lesions; a patient may be called MET_7, and his image MET_7_T1.

    >>> is_lesion_mask("seg-reader2"), is_lesion_mask("brain_mask"), is_lesion_mask("MET_7_T1")
    (True, False, False)
    """
    found = set(words(stem))
    named = found & MASK_WORDS or (found & LESION_WORDS and sequence_of(stem) is None)
    return bool(named) and not is_brain_mask(stem)
