"""Evaluation: overlap, surfaces, lesions, intervals and paired tests. Every number metseg prints comes from here.

Usable alone and without torch::

    from metseg.evaluate import evaluate_case

    scores = evaluate_case(truth, prediction, spacing_mm=(1, 1, 1))
    scores["lesion"]["dice"]
"""

from metseg.evaluate.case import CaseScores, RegionScores, evaluate_case
from metseg.evaluate.folders import evaluate_folders
from metseg.evaluate.intervals import Interval, bootstrap_intervals, bootstrap_mean, patient_means
from metseg.evaluate.metrics import METRICS, SLICE_METRICS
from metseg.evaluate.overlap import (
    Confusion,
    accuracy,
    confusion,
    dice,
    iou,
    joint_counts,
    micro_averaged_with_background,
    precision,
    region_counts,
    sensitivity,
    specificity,
)
from metseg.evaluate.paired import PairedComparison, compare_models, holm, verdict, wilcoxon_p
from metseg.evaluate.protocols import PROTOCOLS
from metseg.evaluate.summary import RegionSummary, Summary, summarise

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "SLICE_METRICS",
    "CaseScores",
    "Confusion",
    "Interval",
    "PairedComparison",
    "RegionScores",
    "RegionSummary",
    "Summary",
    "accuracy",
    "bootstrap_intervals",
    "bootstrap_mean",
    "compare_models",
    "confusion",
    "dice",
    "evaluate_case",
    "evaluate_folders",
    "holm",
    "iou",
    "joint_counts",
    "micro_averaged_with_background",
    "patient_means",
    "precision",
    "region_counts",
    "sensitivity",
    "specificity",
    "summarise",
    "verdict",
    "wilcoxon_p",
]
