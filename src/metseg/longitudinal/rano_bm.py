"""RANO-BM: response of brain metastases by the sum of the longest diameters of up to five target lesions.

Source: Lin et al. 2015, Lancet Oncology 16:e270-e278, doi:10.1016/S1470-2045(15)70057-4. The measures are computed
in `response_measures`; every limit is in the tables here. Two rules need a reader's judgement in the paper and have an
operational definition here, which their texts name: unequivocal growth of a non-target lesion, and whether a new
lesion is equivocal.
"""

from __future__ import annotations

from dataclasses import dataclass

from metseg.follow_up_document import ClinicalStatus, Steroids
from metseg.longitudinal.response_rules import Condition, Rule

STEROIDS: tuple[Steroids, ...] = ("none", "decreased", "stable", "increased")
CLINICAL_STATUS: tuple[ClinicalStatus, ...] = ("improved", "stable", "worse")

SOURCE = "RANO-BM (Lin et al. 2015, doi:10.1016/S1470-2045(15)70057-4)"


@dataclass(frozen=True)
class TargetCriteria:
    """Which lesions of the baseline are targets.

    Args:
        most: number of targets; the longest are chosen.
        longest_mm: least longest axial diameter.
        perpendicular_mm: least extent across it.
        slices: least number of axial slices that show the lesion.
        slice_mm: greatest distance of the axial slices.
    """

    most: int = 5
    longest_mm: float = 10.0
    perpendicular_mm: float = 5.0
    slices: int = 2
    slice_mm: float = 5.0


TARGET_CRITERIA = TargetCriteria()

#: A lesion without a history counts as new if it is at least two voxels long along this number of axes: "visible in at
#: least two projections". Smaller ones are listed as equivocal.
NEW_LESION_PLANES = 2

#: Growth of a non-target lesion that counts as unequivocal: that of the sum of targets.
NON_TARGET_PERCENT, NON_TARGET_MM = 20.0, 5.0

#: A response is confirmed at a later timepoint after at least this time.
CONFIRMATION_DAYS = 28

#: Category of progression.
PROGRESSION = "PD"

#: Categories that need a confirmation, to those that confirm them.
CONFIRMED_BY = {"CR": ("CR",), "PR": ("PR", "CR")}

_NO_NEW = Condition("new_lesions", "==", 0)
_NO_GROWTH = Condition("grown_non_targets", "==", 0)
_TARGETS = Condition("targets", ">=", 1)
_LESIONS = Condition("baseline_lesions", ">=", 1)
_NO_STEROIDS = Condition("steroids", "in", ("none",))
_STEROIDS = Condition("steroids", "in", ("none", "decreased", "stable"))
_CLINICAL = Condition("clinical", "in", ("improved", "stable"))

#: Rules on new and non-target lesions that lead to progression, shared by both tables.
_PROGRESSION = (
    Rule("PD", (Condition("new_lesions", ">=", 1),), "a new lesion that is visible in two projections"),
    Rule(
        "PD",
        (Condition("grown_non_targets", ">=", 1),),
        "a non-target lesion grew by at least 20 % and 5 mm (operational definition of unequivocal growth)",
    ),
    Rule("PD", (Condition("returned_after_complete_response", ">=", 1),), "a lesion returned after complete response"),
    Rule("PD", (Condition("clinical", "in", ("worse",)),), "the clinical status is worse"),
)

#: What remains of a patient without targets, shared by both tables.
_WITHOUT_TARGETS = (
    Rule(
        "non-CR/non-PD",
        (_LESIONS, Condition("targets", "==", 0), _NO_NEW, _NO_GROWTH, _STEROIDS, _CLINICAL),
        "no lesion of the baseline is a target, and none progressed",
    ),
    Rule(
        "no lesion",
        (Condition("baseline_lesions", "==", 0), Condition("lesions_left", "==", 0), _CLINICAL),
        "no lesion at the baseline and none now",
    ),
)

_COMPLETE_RESPONSE = Rule(
    "CR",
    (_LESIONS, Condition("lesions_left", "==", 0), _NO_NEW, _NO_STEROIDS, _CLINICAL),
    "all lesions have disappeared",
)
_STABLE_DISEASE = Rule("SD", (_TARGETS, _NO_NEW, _NO_GROWTH, _STEROIDS, _CLINICAL), "neither response nor progression")

#: In order: the first rule that applies gives the category.
RANO_BM: tuple[Rule, ...] = (
    Rule(
        "PD",
        (
            Condition("diameters_from_nadir_percent", ">=", 20),
            Condition("largest_target_increase_mm", ">=", 5),
        ),
        "the sum of diameters increased by at least 20 % from its smallest value, and one target by at least 5 mm",
    ),
    *_PROGRESSION,
    _COMPLETE_RESPONSE,
    Rule(
        "PR",
        (
            _TARGETS,
            Condition("diameters_from_baseline_percent", "<=", -30),
            *(_NO_NEW, _NO_GROWTH, _STEROIDS, _CLINICAL),
        ),
        "the sum of diameters decreased by at least 30 % from the baseline",
    ),
    _STABLE_DISEASE,
    *_WITHOUT_TARGETS,
)

VOLUMETRIC_SOURCE = (
    "exploratory limits of -65 % and +40 % from the modified RANO criteria (Ellingson et al. 2017, "
    "doi:10.1007/s13311-016-0507-6), proposed for glioblastoma; for a sphere, RANO-BM's -30 % and +20 % of the "
    "diameter are -66 % and +73 % of the volume"
)

#: Exploratory: the same targets by the sum of their volumes.
VOLUMETRIC: tuple[Rule, ...] = (
    Rule(
        "PD",
        (
            Condition("volumes_from_nadir_percent", ">=", 40),
            Condition("volume_increase_exceeds_error", "==", 1),
        ),
        "the sum of volumes increased by at least 40 % from its smallest value, and by more than the error",
    ),
    *_PROGRESSION,
    _COMPLETE_RESPONSE,
    Rule(
        "PR",
        (_TARGETS, Condition("volumes_from_baseline_percent", "<=", -65), _NO_NEW, _NO_GROWTH, _STEROIDS, _CLINICAL),
        "the sum of volumes decreased by at least 65 % from the baseline",
    ),
    _STABLE_DISEASE,
    *_WITHOUT_TARGETS,
)
