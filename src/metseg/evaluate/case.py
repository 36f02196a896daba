"""Score one case: two arrays in, every figure of a protocol out. Needs numpy and scipy, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, UsageError
from metseg.evaluate.evidence import RegionEvidence
from metseg.evaluate.lesion import Lesion, LesionContext, scored_lesions
from metseg.evaluate.matching import Matching, match_lesions, matching_of, predicted_lesions, truth_lesions
from metseg.evaluate.metrics import METRICS
from metseg.evaluate.necrosis import joined_around
from metseg.evaluate.overlap import Confusion, joint_counts, region_counts, require_same_shape
from metseg.evaluate.protocols import PROTOCOLS, Protocol
from metseg.evaluate.slices import SliceScores, slice_scores
from metseg.evaluate.surface import Spacing, checked_spacing
from metseg.labels import LABEL_SCHEMES, LabelScheme, check_labels
from metseg.measure import Box, bounding_box, grown
from metseg.tables import lookup

Array = npt.NDArray[np.generic]
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
    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64] | None
    spacing_mm: Spacing | None
    scheme: LabelScheme
    protocol: Protocol
    warnings: list[str] = field(default_factory=list)

    @property
    def penalty(self) -> float:
        # Without a spacing no distance is computed, so nothing is ever charged.
        return 0.0 if self.spacing_mm is None else self.protocol.penalty(self.shape, self.spacing_mm)


def evaluate_case(
    truth: Array,
    prediction: Array,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    affine: npt.NDArray[np.float64] | None = None,
    protocol: str = "voxel",
    scheme: str | LabelScheme | None = None,
    case: str = "case",
    patient: str | None = None,
    stack_of_slices: bool = False,
    across_slices: bool = True,
) -> CaseScores:
    """Score one prediction against the truth.

    Args:
        truth: (X, Y, Z), or (X, Y) for one slice; class ids of ``scheme``.
        prediction: the same shape and scheme.
        spacing_mm: voxel size along the axes; without it every figure in mm is None.
        affine: (4, 4) voxel-to-RAS matrix, mm, instead of the spacing: then axial diameters follow head-foot.
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES` or a scheme of your own; None: the protocol's (``binary`` for ``voxel``).
        case: its id, for messages and tables.
        patient: who it is; None: the case is the patient.
        stack_of_slices: the last axis counts slices, and slice-wise figures are wanted beside the patient's.
        across_slices: whether a lesion goes on from slice to slice.
    Returns:
        the figures of every region; each float is finite, None where it is not defined.
    Raises:
        GeometryError: the shapes differ, or a spacing is wrong or missing where the protocol needs one.
        InputError: a value that is not of the scheme.
        UsageError: an unknown protocol or scheme, or one that does not fit the other.

    >>> truth = np.zeros((4, 4, 4), np.uint8); truth[1:3, 1:3, 1:3] = 1
    >>> evaluate_case(truth, np.roll(truth, 1, axis=0))["lesion"]["dice"]
    0.5
    """
    chosen = lookup("protocol", PROTOCOLS, protocol)
    if not across_slices:
        chosen = replace(chosen, rule=replace(chosen.rule, across_slices=False))
    known_scheme = scheme_for(chosen, scheme, protocol)
    require_same_shape(truth, prediction)
    truth, prediction = _with_three_axes(truth), _with_three_axes(prediction)
    affine, spacing = _space(spacing_mm, affine, truth.ndim, needed_by=protocol if chosen.needs_spacing else None)
    warnings: list[str] = []
    box = _occupied_box(truth, prediction, chosen.rule.dilations)
    cut_truth = _labels(truth[box], known_scheme, chosen, f"{case} (truth)", warnings)
    cut_prediction = _labels(prediction[box], known_scheme, chosen, f"{case} (prediction)", warnings)
    comparison = _Comparison(cut_truth, cut_prediction, truth.shape, affine, spacing, known_scheme, chosen, warnings)
    joint = joint_counts(cut_truth, cut_prediction, known_scheme)
    joint[0, 0] += truth.size - cut_truth.size
    names = chosen.regions or tuple(known_scheme.regions)
    regions = {name: _region_scores(comparison, joint, name, box, stack_of_slices) for name in names}
    return CaseScores(case, patient or case, protocol, regions, joint, tuple(warnings))


def scheme_for(protocol: Protocol, scheme: str | LabelScheme | None, name: str) -> LabelScheme:
    """Return the label scheme to read masks by.

    Raises:
        UsageError: an unknown scheme, or one that lacks a region of the protocol.
    """
    chosen = (
        scheme if isinstance(scheme, LabelScheme) else lookup("label scheme", LABEL_SCHEMES, scheme or protocol.scheme)
    )
    missing = [region for region in protocol.regions or () if region not in chosen.regions]
    if missing:
        raise UsageError(
            f"the label scheme has no region {missing[0]}, which the protocol '{name}' scores",
            where=scheme if isinstance(scheme, str) else None,
            expected=protocol.regions,
            got=tuple(chosen.regions),
            cure=f"use the scheme '{protocol.scheme}', or another protocol",
            code="usage.protocol_scheme",
        )
    return chosen


def _with_three_axes(array: Array) -> Array:
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    if array.ndim != 3:
        raise GeometryError("a case is a volume or a slice", expected="(X, Y, Z) or (X, Y)", got=array.shape)
    return array


def _space(
    spacing_mm: tuple[float, ...] | None, affine: npt.NDArray[np.float64] | None, axes: int, needed_by: str | None
) -> tuple[npt.NDArray[np.float64] | None, Spacing | None]:
    if affine is not None:
        affine = np.asarray(affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError("an affine is a 4x4 matrix", got=affine.shape)
        return affine, checked_spacing(tuple(np.linalg.norm(affine[:3, :3], axis=0)), axes)
    if spacing_mm is not None:
        spacing = checked_spacing(tuple(spacing_mm), axes)
        return np.diag([*spacing, 1.0]), spacing
    if needed_by is not None:
        raise GeometryError(
            f"the protocol '{needed_by}' needs the voxel size",
            cure="give spacing_mm; data without a spacing can be scored with the protocol 'voxel'",
            code="input.spacing",
        )
    return None, None


def _occupied_box(truth: Array, prediction: Array, margin: int) -> Box:
    """Return the box that holds anything, with room for dilations; one corner voxel if there is nothing."""
    return grown(bounding_box((truth != 0) | (prediction != 0)) or (slice(0, 1),) * 3, margin, truth.shape)


def _labels(array: Array, scheme: LabelScheme, protocol: Protocol, where: str, warnings: list[str]) -> Labels:
    """Return class ids; those the protocol knows and does not score become background, with a counted warning."""
    for label in protocol.ignored_labels:
        if label in scheme.values:
            continue
        found = int(np.count_nonzero(array == label))
        if found:
            warnings.append(f"{where}: label {label} is not scored by this protocol; {found} voxels ignored")
            array = np.where(array == label, np.zeros((), array.dtype), array)
    return check_labels(array, scheme, where=where)


def _region_scores(
    comparison: _Comparison, joint: npt.NDArray[np.int64], region: str, box: Box, stack_of_slices: bool
) -> RegionScores:
    scheme, protocol = comparison.scheme, comparison.protocol
    truth = scheme.region_mask(comparison.truth, region)
    prediction = scheme.region_mask(comparison.prediction, region)
    matching = _match(comparison, region, truth, prediction)
    context = LesionContext(
        region, protocol.rule, protocol.lesion_figures, comparison.affine, comparison.spacing_mm, comparison.penalty
    )
    lesions = tuple(_moved(lesion, box) for lesion in scored_lesions(matching, context))
    counts = region_counts(joint, scheme, region)
    evidence = RegionEvidence(
        truth, prediction, counts, lesions, comparison.spacing_mm, comparison.affine, comparison.penalty
    )
    values = {column: protocol.figures[column](evidence) if column in protocol.figures else None for column in METRICS}
    slices = slice_scores(truth, prediction, comparison.shape[2]) if stack_of_slices else None
    return RegionScores(values, counts, lesions, slices)


def _match(comparison: _Comparison, region: str, truth: Mask, prediction: Mask) -> Matching:
    rule = comparison.protocol.rule
    core = comparison.protocol.joined_by.get(region)
    if core is None:
        return match_lesions(truth, prediction, rule)
    # Cores may lie outside the region's own box, so the whole cut-out is searched.
    everywhere = tuple(slice(0, size) for size in truth.shape)
    truth_cores = truth_lesions(_class_mask(comparison, comparison.truth, core), rule)
    predicted_cores = predicted_lesions(_class_mask(comparison, comparison.prediction, core), rule)
    return matching_of(
        joined_around(truth_lesions(truth, rule), truth_cores),
        joined_around(predicted_lesions(prediction, rule), predicted_cores),
        everywhere,
    )


def _class_mask(comparison: _Comparison, labels: Labels, name: str) -> Mask:
    ids = [label for label, class_name in comparison.scheme.classes.items() if class_name == name]
    return np.isin(labels, ids)


def _moved(lesion: Lesion, box: Box) -> Lesion:
    """Return the lesion with its centre in voxel indices of the whole image instead of the cut-out."""
    x, y, z = (centre + side.start for centre, side in zip(lesion.centre_voxel, box, strict=True))
    return replace(lesion, centre_voxel=(x, y, z))
