"""Name a series in notes by the scanner's number and the technical words of its description."""

from __future__ import annotations

import re

#: Technical words of descriptions. Every other word may be a name and is removed.
_TECHNICAL_WORDS = """
t1 t1w t1+c t1w+c t1n t1c t1ce t1gd t1fs t2 t2w t2f t2fs t2star t2* t2*w pd pdw flair fla darkfluid tirm tir stir
dir mprage mp2rage rage mp spgr fspgr bravo vibe space cube vista brainview tfl tfe ffe gre fl2d fl3d flash se tse
fse ir irse epi ep2d dwi dw dti adc diff diffusion trace tracew b0 b1000 swi swan gradient spin echo fast turbo tof
mra mrv asl pwi dsc dce perfusion perf cbf cbv mtt ttp bold fmri mip minip sub subtraction map phase mag magnitude
3d 2d ax axial tra trans transversal transverse sag sagittal cor coronal obl oblique iso isotropic thin thick pre
post without with w wo no non native nativ plain contrast gd gad gado gadolinium km ce c +c c+ inj enhanced
unenhanced postcontrast precontrast ohne mit nach vor sans avec apres avant senza dopo sin con fs fatsat fat sat
supp water w/o dixon mpr recon reformat rpt repeat motion nd dis2d dis3d propeller blade radial anat localizer
localiser loc scout survey head brain skull kopf schaedel cerebrum stealth nav navi neuronav roi mask seg
segmentation label contour lesion tumor tumour
"""
TECHNICAL = frozenset(_TECHNICAL_WORDS.split())

#: Numbers of this many digits at most are no dates, and no patient's number.
_DIGITS = 2

#: Longer descriptions are cut.
_WORDS = 12

_LEFT_OUT = "…"


def technical_words(description: str) -> str:
    """Return a description without words that may be a person's name.

    >>> technical_words("AX T1 MPRAGE Mustermann 19500607 +C"), technical_words("")
    ('AX T1 MPRAGE … +C', '')
    """
    shown: list[str] = []
    for word in re.split(r"[\s_\-.,;:()\[\]/\\]+", description)[: _WORDS + 1]:
        known = word.lower() in TECHNICAL or (word.isdigit() and len(word) <= _DIGITS)
        if word and (known or shown[-1:] != [_LEFT_OUT]):
            shown.append(word if known else _LEFT_OUT)
    return " ".join(shown)
