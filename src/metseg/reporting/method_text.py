"""Describe the rules behind a report's values; all numbers come from the evaluator's own constants."""

from __future__ import annotations

from collections.abc import Mapping

from metseg.evaluation import ScoringConfig
from metseg.evaluation.empty_masks import EMPTY_VALUES, Kind
from metseg.evaluation.lesions.lesion_matching import MatchRule
from metseg.evaluation.statistics.confidence_intervals import LEVEL, RESAMPLES
from metseg.evaluation.statistics.paired_tests import NO_DIFFERENCE, SIGNIFICANCE
from metseg.message_text import pluralize

#: Names of the kinds of metrics in the rule for empty masks.
KINDS: Mapping[Kind, str] = {
    Kind.OVERLAP: "overlap (Dice, IoU)",
    Kind.SURFACE_OVERLAP: "surface overlap (NSD)",
    Kind.DISTANCE: "distances (HD95, ASD)",
}


def rules(manner: ScoringConfig) -> tuple[str, ...]:
    """Return the rules of a protocol, one or more sentences each."""
    protocol = manner.rules
    return (
        *_lesions(protocol.rule),
        *_ignored(manner),
        *_empty(protocol.penalty.text),
        "A figure that the data or the protocol do not define is left out of the mean; the number of "
        "patients in a mean is given beside it. Pictures without a voxel size have no figures in mm.",
        f"Means are over patients: several cases of one patient are averaged first. Intervals are {LEVEL:.0%} "
        f"percentile intervals of {RESAMPLES:,} bootstrap resamples of patients; a single patient has none.",
        "Models are compared on the same patients by Wilcoxon's signed-rank test, corrected by Holm's procedure within "
        f"each table, and by the interval of the mean difference. Where that includes 0, or the corrected "
        f"p-value is not below {SIGNIFICANCE}, there is {NO_DIFFERENCE}.",
    )


def _lesions(rule: MatchRule) -> list[str]:
    sentences = ["A lesion is a connected piece of the region, its voxels joined by faces, edges or corners."]
    if rule.dilations:
        sides = "truth and prediction alike" if rule.merge_predictions else "the truth"
        sentences.append(
            f"Pieces that touch after {pluralize(rule.dilations, 'dilation')} are one lesion, in {sides}; a lesion is "
            "found if a predicted lesion touches it after the same dilation."
        )
    else:
        sentences.append("A lesion is found if the prediction contains at least one of its voxels.")
    if rule.drop_truth_up_to_mm3 is not None:
        sentences.append(f"Lesions of the truth of at most {rule.drop_truth_up_to_mm3:g} mm³ are not scored.")
    if rule.delete_predicted_up_to_voxels:
        sentences.append(f"Predicted lesions of at most {rule.delete_predicted_up_to_voxels} voxels do not count.")
    return [" ".join(sentences)]


def _ignored(manner: ScoringConfig) -> list[str]:
    labels = [str(label) for label in manner.rules.ignored_labels if label not in manner.labels.values]
    return (
        [f"The label {' and '.join(labels)} is not scored by this protocol and counts as background."] if labels else []
    )


def _empty(penalty: str) -> list[str]:
    both, one = [], []
    for kind, (nothing_in_both, nothing_in_one) in EMPTY_VALUES.items():
        both.append(f"{KINDS[kind]} {nothing_in_both:g}")
        one.append(f"{KINDS[kind]} {penalty if nothing_in_one is None else format(nothing_in_one, 'g')}")
    return [
        f"Truth and prediction both empty: {', '.join(both)}.",
        f"One of the two empty: {', '.join(one)}. So a missed lesion never drops out of a mean.",
    ]
