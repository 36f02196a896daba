"""Rule tables for recognising a sequence from a header; `metseg.io.dicom.sequence_recognition` applies them.

The rules are conservative: a series that is not clearly T1, T1 with contrast agent, T2 or FLAIR of a whole brain
is left unrecognised. The rules for words are in `metseg.io.sequence_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metseg.io.sequence_rules import Weighting


@dataclass(frozen=True)
class Limits:
    """What TR, TE and TI of a weighting can be, in ms; a time that is not given contradicts nothing."""

    tr_ms: tuple[float, float] = (0, float("inf"))
    te_ms: tuple[float, float] = (0, float("inf"))
    ti_ms: tuple[float, float] = (0, float("inf"))


@dataclass(frozen=True)
class Timing:
    """A weighting that TR, TE and TI alone make clear.

    Args:
        weighting: what it is.
        needs: what the scanning sequence must hold.
        forbids: what it must not hold.
        limits: all of its times must be given and lie within.
        with_ti: whether an inversion time must be given; without, none may be.
        name: how the reason calls it.
    """

    weighting: Weighting
    needs: frozenset[str]
    forbids: frozenset[str]
    limits: Limits
    with_ti: bool
    name: str


_DIFFUSION, _MAP, _PHASE = "a diffusion image or a map made from it", "a computed map", "a phase image"
_PERFUSION, _DIXON = "a perfusion image or a map made from it", "one of several Dixon images"
_PROJECTION, _SUBTRACTION, _LOCALISER = "a projection", "a subtraction", "a localiser"
_SUSCEPTIBILITY, _SCREEN = "a susceptibility-weighted image", "a picture of a screen or a result"
_FUNCTIONAL = "a functional series"

#: Words of ImageType that no plain T1, T2 or FLAIR carries.
EXCLUDED_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("ADC", "EADC", "FA", "TRACE", "TRACEW", "DIFFUSION", "TENSOR", "DIFFUSION_ANISO"), _DIFFUSION),
    **dict.fromkeys(("LOCALIZER", "LOCALISER", "SCOUT"), _LOCALISER),
    **dict.fromkeys(("MIP", "MINIP", "MNIP", "PROJECTION IMAGE", "MAX_IP", "MIN_IP"), _PROJECTION),
    **dict.fromkeys(("P", "PHASE", "PHASE MAP", "I", "IMAGINARY", "R", "REAL", "VELOCITY", "VELOCITY MAP"), _PHASE),
    **dict.fromkeys(("SUB", "SUBTRACT", "SUBTRACTION"), _SUBTRACTION),
    **dict.fromkeys(("T1 MAP", "T2 MAP", "T2_STAR MAP", "T2_STAR", "R2 MAP", "R2_STAR MAP", "B1 MAP"), _MAP),
    **dict.fromkeys(("FIELD_MAP", "FIELD MAP", "PROTON_DENSITY MAP"), _MAP),
    **dict.fromkeys(("CBF", "CBV", "MTT", "TTP", "TMAX", "RCBF", "RCBV", "RMTT", "PBP", "GBP", "ASL"), _PERFUSION),
    **dict.fromkeys(("PERFUSION", "DYNAMIC"), _PERFUSION),
    **dict.fromkeys(("FAT", "IN_PHASE", "OUT_PHASE", "OPP_PHASE", "OPPOSED_PHASE", "FAT_FRACTION"), _DIXON),
    **dict.fromkeys(("SWI", "SUSCEPTIBILITY", "QSM"), _SUSCEPTIBILITY),
    **dict.fromkeys(("FMRI", "BOLD"), _FUNCTIONAL),
    **dict.fromkeys(("SCREEN SAVE", "SCREENSHOT", "CSA RESULT", "CSA REPORT", "RESULT"), _SCREEN),
    "MOSAIC": "a mosaic of several slices in one picture",
}

#: Times that a weighting named in words must not contradict.
POSSIBLE: Mapping[Weighting, Limits] = {
    "t1": Limits(tr_ms=(0, 3500), te_ms=(0, 40), ti_ms=(0, 1500)),
    "t2": Limits(tr_ms=(1500, float("inf")), te_ms=(60, float("inf"))),
    "flair": Limits(tr_ms=(3500, float("inf")), te_ms=(60, float("inf")), ti_ms=(1500, 4000)),
}

#: An inversion time that only serves to hide water.
WATER_NULLING_MS = 1500.0

#: Where no words help. A spoiled gradient echo without inversion is not here: angiographies have the same times.
TIMINGS: tuple[Timing, ...] = (
    Timing(
        "flair",
        frozenset({"IR"}),
        frozenset({"EP", "GR"}),
        Limits((5000, 15000), (70, 500), (1700, 3500)),
        with_ti=True,
        name="inversion recovery with times of FLAIR",
    ),
    Timing(
        "t1",
        frozenset({"GR"}),
        frozenset({"EP", "SE"}),
        Limits((5, 3000), (0, 8), (500, 1400)),
        with_ti=True,
        name="a gradient echo prepared by inversion with times of T1",
    ),
    Timing(
        "t2",
        frozenset({"SE"}),
        frozenset({"EP", "GR", "IR"}),
        Limits((2000, 15000), (70, 500)),
        with_ti=False,
        name="a spin echo with times of T2",
    ),
    Timing(
        "t1",
        frozenset({"SE"}),
        frozenset({"EP", "GR", "IR"}),
        Limits((200, 1000), (0, 25)),
        with_ti=False,
        name="a spin echo with times of T1",
    ),
)

#: Kinds of object that a message may name; the field could hold anything.
OTHER_MODALITIES: Mapping[str, str] = {
    "CT": "CT",
    "PT": "PET",
    "NM": "nuclear medicine",
    "US": "ultrasound",
    "CR": "a radiograph",
    "DX": "a radiograph",
    "SC": "a secondary capture",
    "OT": "of another kind",
    "SEG": "a segmentation",
    "RTSTRUCT": "a set of contours",
    "RTDOSE": "a dose",
}
