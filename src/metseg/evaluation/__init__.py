"""Evaluation: overlap, surface distances, lesion detection, confidence intervals and paired tests.

It can be used on its own, without torch::

    from metseg.evaluation import evaluate_case

    scores = evaluate_case(truth, prediction, spacing_mm=(1, 1, 1))
    scores["lesion"]["dice"]
"""

from metseg.evaluation.case_scoring import evaluate_case, evaluate_masks
from metseg.evaluation.files.folder_scoring import FolderScores, evaluate_folders, evaluate_pairs
from metseg.evaluation.files.multi_model import Evaluation, PredictionSets, evaluate_sets
from metseg.evaluation.lesions.detection import Detection, Froc, FrocPoint, SizeClass
from metseg.evaluation.mask_pair import MaskPair
from metseg.evaluation.metrics.metric_table import METRICS, SLICE_METRICS, Metric, metric_of_masks
from metseg.evaluation.metrics.overlap import (
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
from metseg.evaluation.protocols import PROTOCOLS
from metseg.evaluation.scores import CaseScores, RegionScores
from metseg.evaluation.scoring_config import ScoringConfig
from metseg.evaluation.statistics.calibration import Calibration, ReliabilityBin
from metseg.evaluation.statistics.confidence_intervals import (
    Interval,
    bootstrap_intervals,
    bootstrap_mean,
    patient_means,
)
from metseg.evaluation.statistics.inter_rater import Readers, compare_with_readers
from metseg.evaluation.statistics.model_comparison import FigureComparison, compare_sets
from metseg.evaluation.statistics.paired_tests import PairedComparison, better_model, compare_models, holm, wilcoxon_p
from metseg.evaluation.statistics.summary import RegionSummary, Summary, summarize
from metseg.evaluation.statistics.summary_sections import Probabilities
from metseg.evaluation.statistics.volume_agreement import BlandAltman, VolumeAgreement, Volumes

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "SLICE_METRICS",
    "BlandAltman",
    "Calibration",
    "CaseScores",
    "Confusion",
    "Detection",
    "Evaluation",
    "FigureComparison",
    "FolderScores",
    "Froc",
    "FrocPoint",
    "Interval",
    "MaskPair",
    "Metric",
    "PairedComparison",
    "PredictionSets",
    "Probabilities",
    "Readers",
    "RegionScores",
    "RegionSummary",
    "ReliabilityBin",
    "ScoringConfig",
    "SizeClass",
    "Summary",
    "VolumeAgreement",
    "Volumes",
    "accuracy",
    "better_model",
    "bootstrap_intervals",
    "bootstrap_mean",
    "compare_models",
    "compare_sets",
    "compare_with_readers",
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
    "metric_of_masks",
    "micro_averaged_with_background",
    "patient_means",
    "precision",
    "region_counts",
    "sensitivity",
    "specificity",
    "summarize",
    "wilcoxon_p",
]
