"""The one table of how classes of lesions are shown: on the page, in overlays and in reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from metseg.labels import ANY_LESION, LABEL_SCHEMES, tissues_of
from metseg.picture_style import (
    BLUE,
    ORANGE,
    OTHER_COLOURS,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    YELLOW,
    ClassStyle,
    Styles,
)

#: Tissue, by the names of `metseg.labels.TISSUES`, to its style.
TISSUE_STYLES: Final[Mapping[str, ClassStyle]] = {
    "ET": ClassStyle("enhancing tumour", VERMILION),
    "NCR": ClassStyle("non-enhancing core or necrosis", SKY_BLUE),
    "non-enhancing": ClassStyle("non-enhancing core", SKY_BLUE),
    "necrosis": ClassStyle("necrosis", BLUE),
    "ED": ClassStyle("oedema", YELLOW),
    "RC": ClassStyle("resection cavity", PURPLE),
    ANY_LESION: ClassStyle("lesion", ORANGE),
}

#: Class of the label schemes of BraTS to the few words that a table has room for.
SHORT_TITLES: Final[Mapping[str, str]] = {
    "NETC": "core",
    "NCR": "core",
    "SNFH": "oedema",
    "ED": "oedema",
    "ET": "enhancing",
    "RC": "cavity",
}


def class_styles(scheme: str | None) -> Styles:
    """Return the style of each class of a label scheme.

    Args:
        scheme: name of a label scheme; empty without one, and for a scheme that this version does not know.

    >>> [style.title for style in class_styles("brats-met-2023").values()]
    ['non-enhancing core or necrosis', 'oedema', 'enhancing tumour']
    """
    known = LABEL_SCHEMES.get(scheme or "")
    if known is None:
        return {}
    tissues = tissues_of(known)
    return {
        value: TISSUE_STYLES.get(tissues[value], ClassStyle(name, OTHER_COLOURS[place % len(OTHER_COLOURS)]))
        for place, (value, name) in enumerate(known.classes.items())
    }


def legend_of(styles: Styles, values: Iterable[int]) -> tuple[ClassStyle, ...]:
    """Return the styles of the class ids that are shown, in the order of the scheme.

    >>> [style.title for style in legend_of(class_styles("brats-met-2023"), [0, 3])]
    ['enhancing tumour']
    """
    shown = set(map(int, values))
    return tuple(style for value, style in styles.items() if value in shown)
