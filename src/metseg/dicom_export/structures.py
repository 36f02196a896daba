"""The structures of a result: the core of each lesion, and what surrounds lesions as one structure per tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from metseg.class_styles import class_styles
from metseg.dicom_export.coded_terms import TISSUE_TERMS, Term, lesion_term
from metseg.dicom_export.result_content import ResultContent
from metseg.headline import CORE_TISSUES
from metseg.labels import ANY_LESION, LABEL_SCHEMES, tissues_of
from metseg.lesion import Lesion
from metseg.picture_style import OTHER_COLOURS, Colour

#: Tissues of the core of a lesion. Oedema and resection cavities are no tumour: they are structures of their own.
_CORE: Final = (*CORE_TISSUES, ANY_LESION)


@dataclass(frozen=True)
class Structure:
    """One segment of a SEG, one region of interest of an RTSTRUCT.

    Args:
        number: from 1, without gaps; marks its voxels in the map of structures.
        label: name in words, such as "Lesion 1" or "oedema".
        term: code of what it is.
        colour: red, green and blue, 0 to 255.
        lesion: the lesion with this core; None: a tissue of the whole brain.
    """

    number: int
    label: str
    term: Term
    colour: Colour
    lesion: Lesion | None = None


@dataclass(frozen=True)
class StructureMap:
    """Structures and where they are.

    Args:
        structures: by number.
        numbers: (X, Y, Z) `Structure.number` at each voxel; 0: background.
    """

    structures: tuple[Structure, ...]
    numbers: npt.NDArray[np.uint16]

    def mask(self, structure: Structure) -> npt.NDArray[np.bool_]:
        """Return (X, Y, Z) the voxels of a structure."""
        return np.asarray(self.numbers == structure.number)


def lesion_structures(content: ResultContent) -> StructureMap:
    """Return the core of each lesion, then each tissue outside of cores. Together they are the whole mask.

    A lesion without core, such as a patch of oedema, is no structure of its own.
    """
    scheme = LABEL_SCHEMES[content.scheme]
    tissues = tissues_of(scheme)
    styles = class_styles(content.scheme)
    outside = [value for value, tissue in tissues.items() if tissue not in _CORE]
    core = (content.labels > 0) & ~np.isin(content.labels, outside)
    numbers = np.zeros(content.labels.shape, dtype=np.uint16)
    structures: list[Structure] = []
    cores = np.bincount(content.instances[core], minlength=len(content.lesions) + 1)
    renumbered = np.zeros(len(cores), dtype=np.uint16)
    for lesion in content.lesions:
        if not cores[lesion.id]:
            continue
        number = renumbered[lesion.id] = len(structures) + 1
        colour = OTHER_COLOURS[(lesion.id - 1) % len(OTHER_COLOURS)]
        structures.append(Structure(number, f"Lesion {lesion.id}", lesion_term(content.scheme), colour, lesion))
    numbers[core] = renumbered[content.instances[core]]
    for value in outside:
        inside = content.labels == value
        if inside.any():
            structures.append(
                Structure(len(structures) + 1, styles[value].title, TISSUE_TERMS[tissues[value]], styles[value].colour)
            )
            numbers[inside] = len(structures)
    return StructureMap(tuple(structures), numbers)


def class_structures(content: ResultContent) -> StructureMap:
    """Return one structure for each class that the mask holds."""
    tissues, styles = tissues_of(LABEL_SCHEMES[content.scheme]), class_styles(content.scheme)
    numbers = np.zeros(content.labels.shape, dtype=np.uint16)
    structures: list[Structure] = []
    for value, style in styles.items():
        inside = content.labels == value
        if inside.any():
            term = TISSUE_TERMS.get(tissues[value], TISSUE_TERMS[ANY_LESION])
            structures.append(Structure(len(structures) + 1, style.title, term, style.colour))
            numbers[inside] = len(structures)
    return StructureMap(tuple(structures), numbers)
