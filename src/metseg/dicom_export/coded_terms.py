"""Codes of tissues, sites and measurements in DICOM objects.

SNOMED CT where DICOM uses it. For enhancing and non-enhancing lesions DICOM's own list (CID 7159) has codes of the NCI
Thesaurus and none of SNOMED CT; for a resection cavity it has none, so that code is private to metseg.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from metseg.labels import ANY_LESION

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

#: Coding scheme of codes that only metseg has.
PRIVATE_SCHEME: Final = "99METSEG"


@dataclass(frozen=True)
class Term:
    """A coded concept.

    Args:
        value: the code.
        scheme: designator of its coding scheme.
        meaning: in words.
    """

    value: str
    scheme: str
    meaning: str

    def code(self) -> Code:
        """Return it as pydicom's code."""
        from pydicom.sr.coding import Code

        return Code(self.value, self.scheme, self.meaning)


ABNORMAL: Final = Term("49755003", "SCT", "Morphologically Abnormal Structure")
BRAIN: Final = Term("12738006", "SCT", "Brain")
RIGHT: Final = Term("24028007", "SCT", "Right")
LEFT: Final = Term("7771000", "SCT", "Left")

METASTASIS: Final = Term("14799000", "SCT", "Neoplasm, Secondary")
NEOPLASM: Final = Term("108369006", "SCT", "Neoplasm")
ABSENT: Final = Term("2667000", "SCT", "Absent")
LESION: Final = Term("52988006", "SCT", "Lesion")

#: Tissue, by the names of `metseg.labels.TISSUES`, to its code.
TISSUE_TERMS: Final[Mapping[str, Term]] = {
    "ET": Term("C113842", "NCIt", "Enhancing Lesion"),
    "NCR": Term("6574001", "SCT", "Necrosis"),
    "necrosis": Term("6574001", "SCT", "Necrosis"),
    "non-enhancing": Term("C81175", "NCIt", "Non-Enhancing Lesion"),
    "ED": Term("79654002", "SCT", "Edema"),
    "RC": Term("RC", PRIVATE_SCHEME, "Resection cavity"),
    ANY_LESION: LESION,
}

VOLUME: Final = Term("118565006", "SCT", "Volume")
LONGEST_DIAMETER: Final = Term("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
LONGEST_AXIAL_DIAMETER: Final = Term("103339001", "SCT", "Long Axis")
CERTAINTY: Final = Term("111012", "DCM", "Certainty of Finding")
COMMENT: Final = Term("121106", "DCM", "Comment")
MR_OF_BRAIN: Final = Term("816077007", "SCT", "Magnetic resonance imaging of brain")
MILLILITRE: Final = Term("mL", "UCUM", "milliliter")
MILLIMETRE: Final = Term("mm", "UCUM", "millimeter")
PERCENT: Final = Term("%", "UCUM", "percent")


def lesion_term(scheme: str) -> Term:
    """Return the code of a lesion's core by what the label scheme is about.

    >>> lesion_term("brats-met-2023").meaning, lesion_term("brats-gli-2023").meaning, lesion_term("binary").meaning
    ('Neoplasm, Secondary', 'Neoplasm', 'Lesion')
    """
    if scheme.startswith("brats-met"):
        return METASTASIS
    return LESION if scheme == "binary" else NEOPLASM
