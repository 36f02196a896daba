"""The scores of each lesion: size, position, whether it was found, and the protocol's metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from metseg.evaluation.empty_masks import Emptiness, Kind, empty_mask_value
from metseg.evaluation.lesions.lesion_matching import Matching, MatchRule
from metseg.evaluation.metrics.component_surfaces import RegionSurfaces
from metseg.evaluation.metrics.surface_distance import Spacing, SurfaceDistances, surface_distances
from metseg.measure import Box, VoxelGroups, diameters_mm, voxel_volume_mm3

Mask = npt.NDArray[np.bool_]

#: Edges of the bins of the longest diameter, mm: [0, 3), [3, 5), [5, 10), [10, ∞).
DIAMETER_EDGES_MM = (3.0, 5.0, 10.0)
DIAMETER_BINS = ("[0,3)", "[3,5)", "[5,10)", "[10,inf)")


def diameter_bin(diameter_mm: float) -> str:
    """Return the size class of a lesion by its longest diameter.

    >>> diameter_bin(2.99), diameter_bin(3.0), diameter_bin(40)
    ('[0,3)', '[3,5)', '[10,inf)')
    """
    return DIAMETER_BINS[int(np.searchsorted(DIAMETER_EDGES_MM, diameter_mm, side="right"))]


@dataclass(frozen=True)
class LesionPair:
    """A true lesion and all predicted lesions that it touches, for computing its metrics.

    Args:
        truth: (X, Y, Z) the lesion, in a box around both.
        prediction: (X, Y, Z) the predicted lesions, not empty.
        spacing_mm: voxel size, or None.
        penalty: the protocol's distance for a missed lesion.
        known_distances: returns the distances between both surfaces, if those of the region are known.
    """

    truth: Mask
    prediction: Mask
    spacing_mm: Spacing | None
    penalty: float
    known_distances: Callable[[], SurfaceDistances] | None

    @property
    def distances(self) -> SurfaceDistances:
        """Return the distances between both surfaces; requires a spacing."""
        assert self.spacing_mm is not None
        if self.known_distances is not None:
            return self.known_distances()
        return surface_distances(self.truth, self.prediction, self.spacing_mm)


@dataclass(frozen=True)
class LesionMetric:
    """A metric per lesion: its kind defines the value of a missed lesion, ``compute`` that of a found one."""

    kind: Kind
    compute: Callable[[LesionPair], float]

    def when_missed(self, penalty: float) -> float:
        """Return the value of a missed or a false positive lesion."""
        value = empty_mask_value(self.kind, Emptiness.PREDICTION, penalty=penalty)
        assert value is not None
        return value


@dataclass(frozen=True)
class Size:
    """Size of a lesion; values that need a spacing are None without one."""

    voxels: int
    volume_mm3: float | None
    longest_diameter_mm: float | None
    longest_axial_diameter_mm: float | None


@dataclass(frozen=True)
class LesionScore:
    """A true lesion, or a false positive.

    Args:
        region: the region of the lesion.
        number: its id among the true lesions, or among the predicted ones.
        is_true: a true lesion; otherwise a false positive.
        scored: False for lesions that are too small for the protocol.
        detected: matched by the protocol's rule.
        joined: ids of the predicted lesions that are merged and compared with it.
        size: voxels, volume, diameters.
        centre_voxel: centre of mass in voxel indices of the image.
        figures: the protocol's metrics for it (Dice, HD95, ...).
        predicted_volume_mm3: total volume of the merged predicted lesions; for a false positive its own volume; None
            for a missed lesion and without a spacing.
        confidence: mean probability over the voxels of the predicted lesion, the highest of several merged ones; None
            for a missed lesion, and if no probabilities were given.
    """

    region: str
    number: int
    is_true: bool
    scored: bool
    detected: bool
    joined: tuple[int, ...]
    size: Size
    centre_voxel: tuple[float, float, float]
    figures: Mapping[str, float]
    predicted_volume_mm3: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class LesionTable:
    """The lesions of one region of one case.

    Args:
        lesions: the true lesions, in order, then the false positives.
        confidences: (P,) of all P predicted lesions; None if no probabilities were given.
        hits: (P,) whether each of them was matched to a lesion of the truth.
    """

    lesions: tuple[LesionScore, ...]
    confidences: npt.NDArray[np.float64] | None
    hits: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LesionContext:
    """Inputs for scoring the lesions of a region besides the matching.

    Args:
        region: its name.
        rule: the parameters of the protocol.
        figures: the protocol's metrics per lesion.
        affine: voxel-to-mm matrix, or None.
        spacing_mm: voxel size, or None.
        penalty: the protocol's distance for a missed lesion.
        probability: of any lesion, on the grid that contains the matching's box; None: not known.
        surfaces: of the matching's lesions, if they are known.
    """

    region: str
    rule: MatchRule
    figures: Mapping[str, LesionMetric]
    affine: npt.NDArray[np.float64] | None
    spacing_mm: Spacing | None
    penalty: float
    probability: npt.NDArray[np.floating] | None = None
    surfaces: RegionSurfaces | None = None


def scored_lesions(matching: Matching, context: LesionContext) -> LesionTable:
    """Return the true lesions, in order, then the false positives; and whether each predicted lesion is a hit."""
    confidences = _confidences(matching, context.probability)
    hits = np.ones(matching.prediction.count, dtype=bool)
    hits[[number - 1 for number in matching.false_positives]] = False
    return LesionTable(_lesions(matching, context, confidences), confidences, hits)


def _confidences(matching: Matching, probability: npt.NDArray[np.floating] | None) -> npt.NDArray[np.float64] | None:
    """Return the mean probability over the voxels of each predicted lesion, (P,)."""
    if probability is None:
        return None
    predicted = matching.prediction
    weights = probability[matching.box][predicted.voxels]
    sums = np.bincount(predicted.numbers, weights=weights, minlength=predicted.count + 1)
    return np.asarray(sums[1:] / predicted.groups.counts, dtype=np.float64)


def _lesions(
    matching: Matching, context: LesionContext, confidences: npt.NDArray[np.float64] | None
) -> tuple[LesionScore, ...]:
    truth, prediction = matching.truth.groups, matching.prediction.groups
    truth_sizes = _sizes(truth, context.affine)
    truth_centres = _centres(truth, origin=matching.box)
    predicted_sizes = _sizes(prediction, context.affine)
    predicted_centres = _centres(prediction, origin=matching.box)
    missed = {name: figure.when_missed(context.penalty) for name, figure in context.figures.items()}
    lesions: list[LesionScore] = []
    for index, joined in enumerate(matching.touching):
        lesions.append(
            LesionScore(
                region=context.region,
                number=index + 1,
                is_true=True,
                scored=_is_scored(truth_sizes[index], context.rule),
                detected=bool(joined),
                joined=joined,
                size=truth_sizes[index],
                centre_voxel=truth_centres[index],
                figures=_found(matching, context, number=index + 1) if joined else missed,
                predicted_volume_mm3=_volume_of(joined, predicted_sizes),
                confidence=_highest(joined, confidences),
            )
        )
    for number in matching.false_positives:
        lesions.append(
            LesionScore(
                region=context.region,
                number=number,
                is_true=False,
                scored=True,
                detected=False,
                joined=(),
                size=predicted_sizes[number - 1],
                centre_voxel=predicted_centres[number - 1],
                figures=missed,
                predicted_volume_mm3=predicted_sizes[number - 1].volume_mm3,
                confidence=_highest((number,), confidences),
            )
        )
    return tuple(lesions)


def _volume_of(joined: tuple[int, ...], sizes: list[Size]) -> float | None:
    volumes = [volume for number in joined if (volume := sizes[number - 1].volume_mm3) is not None]
    return sum(volumes) if volumes else None


def _highest(joined: tuple[int, ...], confidences: npt.NDArray[np.float64] | None) -> float | None:
    if confidences is None or not joined:
        return None
    return float(max(confidences[number - 1] for number in joined))


def _found(matching: Matching, context: LesionContext, *, number: int) -> dict[str, float]:
    """Return the metrics of a true lesion against all predicted ones that it touches, inside their common box."""
    truth, prediction, joined = matching.truth.groups, matching.prediction.groups, matching.touching[number - 1]
    box = _union([truth.boxes[number - 1], *(prediction.boxes[other - 1] for other in joined)])
    surfaces = context.surfaces
    pair = LesionPair(
        truth=truth.mask([number], box),
        prediction=prediction.mask(joined, box),
        spacing_mm=context.spacing_mm,
        penalty=context.penalty,
        known_distances=None if surfaces is None else partial(surfaces.between, number, joined),
    )
    return {name: figure.compute(pair) for name, figure in context.figures.items()}


def _is_scored(size: Size, rule: MatchRule) -> bool:
    if rule.drop_truth_up_to_mm3 is None or size.volume_mm3 is None:
        return True
    return size.volume_mm3 > rule.drop_truth_up_to_mm3


def _sizes(lesions: VoxelGroups, affine: npt.NDArray[np.float64] | None) -> list[Size]:
    voxels = lesions.counts.tolist()
    if affine is None:
        return [Size(count, None, None, None) for count in voxels]
    volume = voxel_volume_mm3(affine)
    return [
        Size(count, count * volume, float(longest), float(axial))
        for count, (longest, axial) in zip(voxels, diameters_mm(lesions.masks(), affine), strict=True)
    ]


def _centres(lesions: VoxelGroups, *, origin: Box) -> list[tuple[float, float, float]]:
    start = np.array([side.start for side in origin])
    return [(float(x), float(y), float(z)) for x, y, z in lesions.centres + start]


def _union(boxes: list[Box]) -> Box:
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
