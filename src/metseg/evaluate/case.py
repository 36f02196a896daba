"""Score one case: two arrays in, every figure of a protocol out. Needs numpy and scipy, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.evaluate.evidence import RegionEvidence
from metseg.evaluate.lesion import Lesion, LesionContext, scored_lesions
from metseg.evaluate.manner import VOXELWISE, Manner
from metseg.evaluate.masks import Array, MaskPair
from metseg.evaluate.matching import (
    Matching,
    common_box,
    match_lesions,
    matching_of,
    predicted_lesions,
    truth_lesions,
)
from metseg.evaluate.metrics import METRICS
from metseg.evaluate.necrosis import joined_around
from metseg.evaluate.overlap import Confusion, joint_counts, region_counts, require_same_shape
from metseg.evaluate.protocols import Protocol
from metseg.evaluate.slices import SliceScores, slice_scores
from metseg.evaluate.surface import Spacing, checked_spacing
from metseg.labels import LabelScheme, check_labels
from metseg.measure import Box
from metseg.tables import lookup

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RegionScores:
    """The figures of one region of one case.

    Args:
        values: column of `METRICS` to figure; None where protocol or data do not define it.
        counts: confusion counts over all voxels, so that cases can be pooled.
        lesions: the lesions of the truth, then the false positives.
        slices: slice-wise Dice, for stacks of slices.
    """

    values: Mapping[str, float | None]
    counts: Confusion
    lesions: tuple[Lesion, ...]
    slices: SliceScores | None = None

    def __getitem__(self, column: str) -> float | None:
        return lookup("metric", self.values, column)


@dataclass(frozen=True)
class CaseScores:
    """The figures of one case under one protocol.

    Args:
        case: its id.
        patient: who it is; means, intervals and tests are over patients.
        protocol: the protocol's name; the same column can mean different things under another.
        regions: region name to figures.
        joint: (K, K) counts of true (rows) and predicted (columns) classes, background first.
        warnings: what was noticed, one sentence each.
    """

    case: str
    patient: str
    protocol: str
    regions: Mapping[str, RegionScores]
    joint: npt.NDArray[np.int64]
    warnings: tuple[str, ...] = ()

    def __getitem__(self, region: str) -> RegionScores:
        return lookup("region", self.regions, region)


@dataclass(frozen=True)
class _Comparison:
    """Truth and prediction on one grid, cut to the box that holds anything, and what is known of the grid."""

    truth: Labels
    prediction: Labels
    box: Box
    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64] | None
    spacing_mm: Spacing | None
    scheme: LabelScheme
    protocol: Protocol
    stack_of_slices: bool

    @property
    def penalty(self) -> float:
        # Without a spacing no distance is computed, so nothing is ever charged.
        return 0.0 if self.spacing_mm is None else self.protocol.penalty(self.shape, self.spacing_mm)

    @cached_property
    def joint(self) -> npt.NDArray[np.int64]:
        """Return the counts of `joint_counts` over the whole image: outside the box both are background."""
        joint = joint_counts(self.truth, self.prediction, self.scheme)
        joint[0, 0] += np.prod(self.shape) - self.truth.size
        return joint


def evaluate_case(
    truth: Array,
    prediction: Array,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    affine: npt.NDArray[np.float64] | None = None,
    protocol: str = "voxel",
    scheme: str | LabelScheme | None = None,
) -> CaseScores:
    """Score one prediction against the truth.

    Args:
        truth: (X, Y, Z), or (X, Y) for one slice; class ids of ``scheme``.
        prediction: the same shape and scheme.
        spacing_mm: voxel size along the axes; without it every figure in mm is None.
        affine: (4, 4) voxel-to-RAS matrix, mm, instead of the spacing: then axial diameters follow head-foot.
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES` or a scheme of your own; None: the protocol's (``binary`` for ``voxel``).
    Returns:
        the figures of every region; each float is finite, None where it is not defined.
    Raises:
        GeometryError: the shapes differ, or a spacing is wrong or missing where the protocol needs one.
        InputError: a value that is not of the scheme.
        UsageError: an unknown protocol or scheme, or one that does not fit the other.

    Stacks of pictures, and cases with a name: `evaluate_masks`.

    >>> truth = np.zeros((4, 4, 4), np.uint8); truth[1:3, 1:3, 1:3] = 1
    >>> evaluate_case(truth, np.roll(truth, 1, axis=0))["lesion"]["dice"]
    0.5
    """
    if affine is None and spacing_mm is not None:
        affine = np.diag([*checked_spacing(tuple(spacing_mm), 3), 1.0])
    return evaluate_masks(MaskPair(truth, prediction, affine), Manner(protocol, scheme))


def evaluate_masks(masks: MaskPair, manner: Manner = VOXELWISE) -> CaseScores:
    """Score the two masks of a case; for arrays alone there is `evaluate_case`.

    Args:
        masks: truth and prediction, whose they are, and what is known of their grid.
        manner: protocol and label scheme.
    Returns:
        the figures of every region; each float is finite, None where it is not defined.
    Raises:
        GeometryError: the shapes differ, or an affine is wrong or missing where the protocol needs one.
        InputError: a value that is not of the scheme.
    """
    warnings = list(masks.warnings)
    comparison = _compared(masks, manner, warnings)
    names = comparison.protocol.regions or tuple(comparison.scheme.regions)
    return CaseScores(
        case=masks.case,
        patient=masks.patient or masks.case,
        protocol=manner.protocol,
        regions={name: _region_scores(comparison, name) for name in names},
        joint=comparison.joint,
        warnings=tuple(warnings),
    )


def without_lesions(scores: CaseScores) -> CaseScores:
    """Return what summaries need: lesions are in tables by then, and thousands of cases have many."""
    return replace(scores, regions={name: replace(region, lesions=()) for name, region in scores.regions.items()})


def _compared(masks: MaskPair, manner: Manner, warnings: list[str]) -> _Comparison:
    """Return the masks checked and cut out, and add to the warnings what was noticed."""
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
    return _Comparison(
        truth=cut_truth,
        prediction=cut_prediction,
        box=box,
        shape=truth.shape,
        affine=affine,
        spacing_mm=spacing,
        scheme=manner.labels,
        protocol=protocol,
        stack_of_slices=masks.stack_of_slices,
    )


def _with_three_axes(array: Array) -> Array:
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    if array.ndim != 3:
        raise GeometryError("a case is a volume or a slice", expected="(X, Y, Z) or (X, Y)", got=array.shape)
    return array


def _space(
    affine: npt.NDArray[np.float64] | None, *, needed_by: str | None
) -> tuple[npt.NDArray[np.float64] | None, Spacing | None]:
    if affine is not None:
        affine = np.asarray(affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError("an affine is a 4x4 matrix", got=affine.shape)
        return affine, checked_spacing(tuple(np.linalg.norm(affine[:3, :3], axis=0)), 3)
    if needed_by is not None:
        raise GeometryError(
            f"the protocol '{needed_by}' needs the voxel size",
            cure="give spacing_mm; data without a spacing can be scored with the protocol 'voxel'",
            code="input.spacing",
        )
    return None, None


def _checked_labels(array: Array, manner: Manner, *, where: str) -> tuple[Labels, list[str]]:
    """Return class ids; those the protocol knows and does not score become background, each with a counted warning."""
    warnings = []
    for label in manner.rules.ignored_labels:
        if label in manner.labels.values:
            continue
        found = int(np.count_nonzero(array == label))
        if found:
            warnings.append(f"{where}: label {label} is not scored by this protocol; {found} voxels ignored")
            array = np.where(array == label, np.zeros((), array.dtype), array)
    return check_labels(array, manner.labels, where=where), warnings


def _region_scores(comparison: _Comparison, region: str) -> RegionScores:
    scheme, protocol = comparison.scheme, comparison.protocol
    truth = scheme.region_mask(comparison.truth, region)
    prediction = scheme.region_mask(comparison.prediction, region)
    context = LesionContext(
        region=region,
        rule=protocol.rule,
        figures=protocol.lesion_figures,
        affine=comparison.affine,
        spacing_mm=comparison.spacing_mm,
        penalty=comparison.penalty,
    )
    lesions = scored_lesions(_match(comparison, region, truth=truth, prediction=prediction), context)
    evidence = RegionEvidence(
        truth=truth,
        prediction=prediction,
        counts=region_counts(comparison.joint, scheme, region),
        lesions=tuple(_moved(lesion, comparison.box) for lesion in lesions),
        spacing_mm=comparison.spacing_mm,
        affine=comparison.affine,
        penalty=comparison.penalty,
    )
    return RegionScores(
        values={name: protocol.figures[name](evidence) if name in protocol.figures else None for name in METRICS},
        counts=evidence.counts,
        lesions=evidence.lesions,
        slices=slice_scores(truth, prediction, comparison.shape[2]) if comparison.stack_of_slices else None,
    )


def _match(comparison: _Comparison, region: str, *, truth: Mask, prediction: Mask) -> Matching:
    rule = comparison.protocol.rule
    core = comparison.protocol.joined_by.get(region)
    if core is None:
        return match_lesions(truth, prediction, rule)
    # Cores may lie outside the region's own box, so the whole cut-out is searched.
    everywhere = tuple(slice(0, size) for size in truth.shape)
    truth_cores = truth_lesions(_class_mask(comparison.truth, comparison.scheme, core), rule)
    predicted_cores = predicted_lesions(_class_mask(comparison.prediction, comparison.scheme, core), rule)
    return matching_of(
        joined_around(truth_lesions(truth, rule), truth_cores),
        joined_around(predicted_lesions(prediction, rule), predicted_cores),
        everywhere,
    )


def _class_mask(labels: Labels, scheme: LabelScheme, name: str) -> Mask:
    ids = [label for label, class_name in scheme.classes.items() if class_name == name]
    return np.isin(labels, ids)


def _moved(lesion: Lesion, box: Box) -> Lesion:
    """Return the lesion with its centre in voxel indices of the whole image instead of the cut-out."""
    x, y, z = (centre + side.start for centre, side in zip(lesion.centre_voxel, box, strict=True))
    return replace(lesion, centre_voxel=(x, y, z))
