"""Evaluation: overlap, surfaces, lesions, intervals and paired tests. Every number metseg prints comes from here.

Usable alone and without torch::

    from metseg.evaluate import evaluate_case

    scores = evaluate_case(truth, prediction, spacing_mm=(1, 1, 1))
    scores["lesion"]["dice"]
"""

from metseg.evaluate.calibration import Calibration, ReliabilityBin
from metseg.evaluate.case import evaluate_case, evaluate_masks
from metseg.evaluate.comparison import FigureComparison, compare_sets
from metseg.evaluate.detection import Detection, Froc, FrocPoint, SizeClass
from metseg.evaluate.folders import Evaluated, evaluate_folders, evaluate_pairs
from metseg.evaluate.intervals import Interval, bootstrap_intervals, bootstrap_mean, patient_means
from metseg.evaluate.manner import Manner
from metseg.evaluate.masks import MaskPair
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
from metseg.evaluate.paired import PairedComparison, better_of, compare_models, holm, wilcoxon_p
from metseg.evaluate.protocols import PROTOCOLS
from metseg.evaluate.readers import Readers, beside_readers
from metseg.evaluate.scores import CaseScores, RegionScores
from metseg.evaluate.sections import Probabilities
from metseg.evaluate.several import Evaluation, Sets, evaluate_sets
from metseg.evaluate.summary import RegionSummary, Summary, summarise
from metseg.evaluate.volumes import BlandAltman, VolumeAgreement, Volumes

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "SLICE_METRICS",
    "BlandAltman",
    "Calibration",
    "CaseScores",
    "Confusion",
    "Detection",
    "Evaluated",
    "Evaluation",
    "FigureComparison",
    "Froc",
    "FrocPoint",
    "Interval",
    "Manner",
    "MaskPair",
    "PairedComparison",
    "Probabilities",
    "Readers",
    "RegionScores",
    "RegionSummary",
    "ReliabilityBin",
    "Sets",
    "SizeClass",
    "Summary",
    "VolumeAgreement",
    "Volumes",
    "accuracy",
    "beside_readers",
    "better_of",
    "bootstrap_intervals",
    "bootstrap_mean",
    "compare_models",
    "compare_sets",
    "confusion",
    "dice",
    "evaluate_case",
    "evaluate_folders",
    "evaluate_masks",
    "evaluate_pairs",
    "evaluate_sets",
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
    "wilcoxon_p",
]
