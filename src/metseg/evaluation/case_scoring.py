"""Score one case: compute every metric of a protocol from two masks, with numpy and scipy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metseg.argument_checks import require_instance, wrong_type
from metseg.errors import GeometryError, InputError
from metseg.evaluation.lesions.lesion_matching import common_box
from metseg.evaluation.lesions.threshold_sweep import SweepRule
from metseg.evaluation.mask_arguments import MaskSource, mask_pair
from metseg.evaluation.mask_pair import Array, MaskPair
from metseg.evaluation.metrics.overlap import require_same_shape
from metseg.evaluation.metrics.surface_distance import Spacing, check_spacing
from metseg.evaluation.protocols import Protocol
from metseg.evaluation.region_scoring import ComparedMasks, region_scores
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.scoring_config import VOXELWISE, ScoringConfig
from metseg.evaluation.statistics.probability_stats import ProbabilityStats, checked_probability, probability_stats
from metseg.labels import LabelScheme, check_labels
from metseg.measure import voxel_volume_mm3
from metseg.message_text import pluralize

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def evaluate_case(
    truth: MaskSource,
    prediction: MaskSource,
    spacing_mm: Sequence[float] | None = None,
    *,
    affine: npt.ArrayLike | None = None,
    protocol: str = "voxel",
    scheme: str | LabelScheme | None = None,
) -> CaseScores:
    """Score one prediction against the ground truth.

    Args:
        truth: class ids of ``scheme``: an array (X, Y, Z), or (X, Y) for one slice; a nibabel image; or the path of a
            NIfTI file or a picture.
        prediction: the same. Two images are compared on the truth's grid: axes are flipped or reordered if needed, and
            nothing is resampled. An array is assumed to be on the grid of the image that it is compared with.
        spacing_mm: voxel size along the three axes, for arrays and pictures; without it every metric in mm is None.
        affine: (4, 4) voxel-to-RAS matrix, mm, in place of the spacing; axial diameters then follow head-foot.
        protocol: a name in `metseg.evaluation.PROTOCOLS`.
        scheme: a name in `metseg.labels.LABEL_SCHEMES`, or a scheme of your own; None: the protocol's (``binary`` for
            ``voxel``).
    Returns:
        the metrics of every region, as ``scores[region][metric]``; `metseg.metrics` lists them. Each is a finite
        number, or None where it is not defined.
    Raises:
        GeometryError: shapes or grids differ, or a spacing is wrong or missing where the protocol needs one.
        InputError: a file that cannot be read, or a value that is not of the scheme.
        UsageError: an unknown protocol or scheme, one that does not fit the other, a spacing or affine for an image
            that has its own, or an argument of a wrong type.

    Examples:
        >>> truth = np.zeros((4, 4, 4), np.uint8); truth[1:3, 1:3, 1:3] = 1
        >>> scores = evaluate_case(truth, np.roll(truth, 1, axis=0), (1, 1, 1))
        >>> scores["lesion"]["dice"]
        0.5

        Files and nibabel images bring their own spacing::

            evaluate_case("truth.nii.gz", "prediction.nii.gz", scheme="brats-met-2023")["WT"]["hd95_mm"]

    For stacks of pictures and cases with a name, use `metseg.evaluation.evaluate_masks`.
    """
    require_instance("protocol", protocol, str, expected="the name of a protocol")
    if scheme is not None and not isinstance(scheme, str | LabelScheme):
        raise wrong_type("scheme", scheme, expected="the name of a label scheme, a LabelScheme, or None")
    manner = ScoringConfig(protocol, scheme)
    return evaluate_masks(mask_pair(truth, prediction, manner, spacing_mm=spacing_mm, affine=affine), manner)


def evaluate_masks(masks: MaskPair, manner: ScoringConfig = VOXELWISE) -> CaseScores:
    """Score the two masks of a case. For plain arrays use `evaluate_case`.

    Args:
        masks: truth and prediction, with case, patient and grid.
        manner: protocol and label scheme.
    Returns:
        the figures of every region; each float is finite, None where it is not defined.
    Raises:
        GeometryError: the shapes differ, or an affine is wrong or missing where the protocol needs one.
        InputError: a value that is not in the scheme, or values that are not probabilities.
    """
    warnings = list(masks.warnings)
    comparison = _compared(masks, manner, warnings)
    names = comparison.protocol.regions or tuple(comparison.scheme.regions)
    return CaseScores(
        case=masks.case,
        patient=masks.patient or masks.case,
        protocol=manner.protocol,
        regions={name: region_scores(comparison, name) for name in names},
        joint=comparison.joint,
        warnings=tuple(warnings),
        chances=_chances(comparison),
    )


def _compared(masks: MaskPair, manner: ScoringConfig, warnings: list[str]) -> ComparedMasks:
    """Check and crop the masks, and add to the warnings."""
    protocol = manner.rules
    if masks.stack_of_slices:
        protocol = replace(protocol, rule=replace(protocol.rule, across_slices=False))
    require_same_shape(masks.truth, masks.prediction)
    truth, prediction = _with_three_axes(masks.truth), _with_three_axes(masks.prediction)
    affine, spacing = _space(masks.affine, needed_by=manner.protocol if protocol.needs_spacing else None)
    box = common_box(truth != 0, prediction != 0, protocol.rule.dilations)
    cut_truth, of_truth = _checked_labels(truth[box], manner, where=f"{masks.case} (truth)")
    cut_prediction, of_prediction = _checked_labels(prediction[box], manner, where=f"{masks.case} (prediction)")
    warnings += [*of_truth, *of_prediction]
    return ComparedMasks(
        truth=cut_truth,
        prediction=cut_prediction,
        box=box,
        shape=truth.shape,
        affine=affine,
        spacing_mm=spacing,
        scheme=manner.labels,
        protocol=protocol,
        stack_of_slices=masks.stack_of_slices,
        probability=_probability(masks),
    )


def _probability(masks: MaskPair) -> npt.NDArray[np.floating] | None:
    if masks.probability is None:
        return None
    return checked_probability(
        _with_three_axes(masks.probability), _with_three_axes(masks.truth).shape, where=masks.case
    )


def _chances(comparison: ComparedMasks) -> ProbabilityStats | None:
    """Return the statistics of the whole probability map, which may extend beyond both masks."""
    if comparison.probability is None:
        return None
    truth = np.zeros(comparison.shape, dtype=bool)
    truth[comparison.box] = comparison.truth != 0
    return probability_stats(comparison.probability, truth, sweep_rule(comparison.protocol, comparison.affine))


@dataclass(frozen=True)
class LesionProbabilities:
    """Probabilities and binary truth of a case, for threshold sweeps.

    Args:
        probability: (X, Y, Z) of lesion of any class, 0..1.
        truth: (X, Y, Z) lesion of any class, or of one region.
        rule: how lesions are made and matched.
    """

    probability: npt.NDArray[np.floating]
    truth: Mask
    rule: SweepRule


def lesion_probabilities(masks: MaskPair, manner: ScoringConfig, *, region: str | None = None) -> LesionProbabilities:
    """Return the input for threshold sweeps of a case with a probability map; its predicted mask is ignored.

    Args:
        masks: the case.
        manner: protocol and label scheme.
        region: region of the scheme that is the lesion; None: all labels.
    Raises:
        InputError: no probability map, values that are not probabilities, or a label that is not in the scheme.
        GeometryError: the shapes differ, or the protocol needs a voxel size.
    """
    probability = _probability(masks)
    if probability is None:
        raise InputError(
            "the case has no probability map",
            where=masks.case,
            cure="predict again: metseg predict --format mask --format probability",
            code="input.no_probability",
        )
    # The prediction is not used. With the truth in its place, the checks see one mask only.
    comparison = _compared(replace(masks, prediction=masks.truth), manner, [])
    truth = np.zeros(comparison.shape, dtype=bool)
    labels = comparison.truth
    truth[comparison.box] = labels != 0 if region is None else comparison.scheme.region_mask(labels, region)
    return LesionProbabilities(probability, truth, sweep_rule(comparison.protocol, comparison.affine))


def sweep_rule(protocol: Protocol, affine: npt.NDArray[np.float64] | None) -> SweepRule:
    """Return the rule of a protocol for threshold sweeps.

    Args:
        protocol: the protocol.
        affine: (4, 4) voxel-to-RAS, mm; None: sizes are counted in voxels.
    """
    if affine is None:
        return SweepRule(protocol.rule, spacing_known=False)
    return SweepRule(protocol.rule, voxel_size=voxel_volume_mm3(affine))


def _with_three_axes(array: Array) -> Array:
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    if array.ndim != 3:
        raise GeometryError("the case is neither a volume nor a slice", expected="(X, Y, Z) or (X, Y)", got=array.shape)
    return array


def _space(
    affine: npt.NDArray[np.float64] | None, *, needed_by: str | None
) -> tuple[npt.NDArray[np.float64] | None, Spacing | None]:
    if affine is not None:
        affine = np.asarray(affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError("the affine is not a 4x4 matrix", got=affine.shape)
        return affine, check_spacing(tuple(np.linalg.norm(affine[:3, :3], axis=0)), 3)
    if needed_by is not None:
        raise GeometryError(
            f"the protocol '{needed_by}' needs the voxel size",
            cure="give spacing_mm; data without a spacing can be scored with the protocol 'voxel'",
            code="input.spacing",
        )
    return None, None


def _checked_labels(array: Array, manner: ScoringConfig, *, where: str) -> tuple[Labels, list[str]]:
    """Return class ids. Classes that the protocol does not score become background, with a warning and a count."""
    warnings = []
    for label in manner.rules.ignored_labels:
        if label in manner.labels.values:
            continue
        found = int(np.count_nonzero(array == label))
        if found:
            warnings.append(
                f"{where}: label {label} is not scored by this protocol; {pluralize(found, 'voxel')} ignored"
            )
            array = np.where(array == label, np.zeros((), array.dtype), array)
    return check_labels(array, manner.labels, where=where), warnings
