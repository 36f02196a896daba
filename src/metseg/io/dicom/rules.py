"""The rules by which a sequence is recognised, as tables; `metseg.io.dicom.recognise` applies them.

They are conservative: what is not clearly one of T1, T1 with contrast agent, T2 and FLAIR of a whole brain is none.
Patterns are searched in lower case with everything but letters, digits, "*" and "+" turned into spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Weighting = Literal["t1", "t2", "flair"]


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

#: What the words of a description or a protocol say against a plain T1, T2 or FLAIR of a whole brain.
EXCLUDED_TEXT: Mapping[str, str] = {
    r"\b(loc|locali[sz]\w*|scouts?|survey|aa ?(head|scout)|smart ?brain|(3|three) ?planes?|3pl|planning)\b": _LOCALISER,
    r"\b(dwi|dw|diff\w*|dti|e?adc|tracew?|tensor|ivim|hardi|noddi|resolve|b ?\d{2,4}|b ?0)\b": _DIFFUSION,
    r"\bep2d\w*|\bepi\b": "an echo-planar image",
    r"\b(swi|swan|swip|venobold|suscept\w*|qsm|ha?emo\w*)\b": _SUSCEPTIBILITY,
    r"\b(phase|pha)\b(?! ?enc)": _PHASE,
    r"\bt2 ?(\*|star|stern)|\bt2 ?(fl2d|fl3d|gre|ffe)\b|\bgre t2\b|\bmerge\b|\bmedic\b": "a T2* image",
    r"\b(perf\w*|pwi|dsc|dce|asl|p?casl|pasl|r?cbf|r?cbv|mtt|ttp|tmax|ktrans|twist|tricks|dyn\w*|permeab\w*)\b": (
        _PERFUSION
    ),
    r"\b(bold|fmri|rs ?fmri|resting)\b": _FUNCTIONAL,
    r"\b(tof|mra|mrv|angio\w*|venog\w*|pca|pc ?3d|2d ?pc|3d ?pc|time of flight|inhance)\b": "an angiography",
    r"\b(mrs|spectro\w*|svs|csi|press|steam)\b": "a spectroscopy",
    r"\bsubs?\b(?! ?\d)|\bsubtr\w*": _SUBTRACTION,
    r"\b(mip|minip|mnip)s?\b": _PROJECTION,
    r"\b((t[12] ?)?maps?|mapping|mapit|relaxom\w*|uni|inv ?[12]|synth\w*|magic|quant\w*)\b": _MAP,
    r"\b(calib\w*|asset|ref ?scan|pre ?scan|shim\w*|field ?map\w*|sensitivity)\b": "a calibration",
    r"\b(ciss|fiesta|drive|true ?fisp|trufi|b ?ssfp|b ?ffe|cistern\w*)\b": "a steady-state image of the cisterns",
    r"\b(pd|pdw|proton|dual echo|double echo)\b": "weighted by proton density, or of two echoes",
    r"\b(stir|dir|double inversion|psir|wmn|fgatir)\b": "an inversion recovery of another kind",
    r"\b(mt|mtc|mtr|magneti[sz]ation transfer)\b": "weighted by magnetisation transfer",
    r"\b(in ?phase|out ?phase|opp\w*|fat only|fat image)\b": _DIXON,
    r"\b(spine|cervical|thoracic|lumbar|[ctl] ?spine|neck|orbits?|pituitary|sella\w*|iac)\b": (
        "a picture of a part of the head or of another part of the body"
    ),
    r"\b(screen\w*|capture|report|fusion|fused|overlay|segment\w*|colou?r|rgb|key ?images?)\b": _SCREEN,
}

#: What the words say for a weighting.
WEIGHTING_TEXT: Mapping[Weighting, str] = {
    "flair": r"flair|dark ?fluid|\btirm\b|\btir2d\w*",
    "t1": r"\bt1|mp ?rage|\bf?spgr|\bbravo\b|\btfl ?3d|\bvibe\b|\btfe\b",
    "t2": r"\bt2",
}

WEIGHTING_NAMES: Mapping[Weighting, str] = {"t1": "T1", "t2": "T2", "flair": "FLAIR"}

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

#: Words that leave open whether the picture was taken before or after contrast agent; they are taken out first.
BOTH_TEXT = r"\b(w ?wo|w w ?o|with (and|or) without|pre (and )?post|wo w|w ?o w)\b( (contrast|gado?\w*|gd|con|km))?"

#: Words for a picture without contrast agent; they are taken out before those for one with it are looked for.
PRE_TEXT = (
    r"\b((without|w ?o|no|non|ohne|sans|senza|sin|pre|before|avant|vor)"
    r" ?(iv )?(contrast\w*|con|gado?\w*|gd|ce|km|kontrast\w*|enhanced)"
    r"|without|w ?o|pre|before|nativ\w*|plain|unenhanced|ohne|t1n|t1pre)\b"
)

#: Words for a picture after contrast agent.
POST_TEXT = (
    r"\b(post\w*|gd|gad|gado\w*|ce|contrast\w*|w(ith)? ?con|kontrast\w*|km|inj\w*|enhanced|t1ce|t1c|t1gd|t1post|"
    r"dotarem|prohance|magnevist|multihance|gadavist|omniscan|clariscan|elucirem|vueway)\b"
    r"|\+ ?(c|gd|gad\w*|km|contrast)\b|\bc\+"
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
