"""Detection and FROC by hand, from tallies and from cases."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.evaluation import Interval, MaskPair, evaluate_masks, summarize
from metseg.evaluation.lesions.detection import detection_rates, froc_curve
from metseg.evaluation.lesions.lesion_counts import LesionCounts, add_counts
from metseg.evaluation.lesions.threshold_sweep import Grid, Sweep
from metseg.evaluation.statistics.volume_agreement import Moments

ANY = Interval(0.5, 0.0, 1.0, 2)


def tally(lesions: tuple[int, ...], found: tuple[int, ...], false: tuple[int, ...]) -> LesionCounts:
    return LesionCounts((*lesions, 0), (*found, 0), (*false, 0), Moments())


def test_shares_by_hand() -> None:
    first = tally((4, 2, 0, 1), (1, 2, 0, 1), (3, 0, 0, 0))
    second = tally((0, 2, 0, 1), (0, 1, 0, 1), (0, 0, 1, 0))
    found = detection_rates([first, second], ANY)
    assert (found.lesions, found.found, found.false_positives) == (10, 6, 4)
    assert found.sensitivity is not None
    assert found.precision is not None
    assert found.f1 is not None
    assert found.sensitivity.mean == pytest.approx(0.6)
    assert found.precision.mean == pytest.approx(0.6)
    assert found.f1.mean == pytest.approx(2 * 6 / (10 + 6 + 4))
    assert [one.diameter_mm for one in found.by_diameter] == ["[0,3)", "[3,5)", "[5,10)", "[10,inf)"]
    assert [(one.lesions, one.found, one.false_positives) for one in found.by_diameter] == [
        (4, 1, 3), (4, 3, 0), (0, 0, 1), (2, 2, 0)
    ]  # fmt: skip
    shares = [one.sensitivity for one in found.by_diameter]
    assert shares[2] is None  # no lesion of this size
    assert [share.mean for share in shares if share is not None] == pytest.approx([0.25, 0.75, 1.0])
    # the draws of the first patient alone and of the second alone are the ends
    assert (found.sensitivity.low, found.sensitivity.high) == (pytest.approx(4 / 7), pytest.approx(2 / 3))
    assert (found.sensitivity.patients, found.sensitivity.undefined) == (2, 0)
    # tiny lesions: one patient alone has any, so nothing is known of others
    assert shares[0] == Interval(0.25, None, None, patients=1, undefined=1)


def test_what_is_not_defined() -> None:
    nothing = detection_rates([tally((0,) * 4, (0,) * 4, (0,) * 4)], ANY)
    assert (nothing.sensitivity, nothing.precision, nothing.f1) == (None, None, None)
    silent = detection_rates([tally((1, 0, 0, 0), (0,) * 4, (0,) * 4)], ANY)
    assert silent.precision is None  # nothing was predicted
    assert silent.sensitivity is not None
    assert silent.sensitivity.mean == 0.0
    unknown = detection_rates([LesionCounts((0, 0, 0, 0, 2), (0, 0, 0, 0, 1), (0, 0, 0, 0, 0), Moments())], ANY)
    assert unknown.by_diameter == ()  # no spacing, no diameter
    assert unknown.sensitivity is not None
    assert unknown.sensitivity.mean == pytest.approx(0.5)


def test_tallies_add_up() -> None:
    one, two = tally((1, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)), tally((0, 3, 0, 0), (0, 2, 0, 0), (0, 1, 0, 2))
    assert add_counts([one, two]) == tally((1, 3, 0, 0), (1, 2, 0, 0), (0, 2, 0, 2))


def test_a_summary_has_the_lesions_of_its_cases() -> None:
    """Blocks of 2 and 6 mm sides (3.5 and 10.4 mm across); the small one is missed once."""
    truth = np.zeros((30, 12, 12), dtype=np.uint8)
    truth[2:4, 2:4, 2:4] = 1
    truth[12:18, 2:8, 2:8] = 1
    missed = truth.copy()
    missed[:10] = 0
    missed[25, 5, 5] = 1  # a false lesion of one voxel, 1.7 mm across
    cases = [
        evaluate_masks(MaskPair(truth, prediction, np.eye(4), case=name))
        for name, prediction in (("a", truth), ("b", missed))
    ]
    region = summarize(cases, resamples=50).regions["lesion"]
    assert region.detection is not None
    counts = [(one.lesions, one.found, one.false_positives) for one in region.detection.by_diameter]
    assert counts == [(0, 0, 1), (2, 1, 0), (0, 0, 0), (2, 2, 0)]
    assert region.detection.false_positives_per_patient.mean == pytest.approx(0.5)
    assert region.volume is not None
    assert region.volume.total.absolute.observations == 2
    assert region.volume.total.absolute.bias.mean == pytest.approx((0 + (1 - 8) / 1000) / 2)
    assert region.volume.lesions is not None
    assert region.volume.lesions.absolute.observations == 3  # found ones only
    assert region.volume.lesions.absolute.bias.mean == pytest.approx(0.0)
    assert region.confidence is None  # no probabilities


def test_without_spacing_there_are_no_volumes_and_no_bins() -> None:
    mask = np.ones((2, 2, 2), dtype=np.uint8)
    region = summarize([evaluate_masks(MaskPair(mask, mask))], resamples=20).regions["lesion"]
    assert region.volume is None
    assert region.detection is not None
    assert (region.detection.lesions, region.detection.by_diameter) == (1, ())


def swept(lesions: int, found: list[int], false: list[int]) -> Sweep:
    """Return a case on three thresholds."""
    column = [np.array(values, dtype=np.int64)[:, np.newaxis] for values in (found, false)]
    nothing = np.zeros((3, 1), dtype=np.int64)
    return Sweep(Grid((0.2, 0.5, 0.8)), lesions, column[0], column[1], nothing, nothing, 0)


def test_froc_by_hand() -> None:
    """Patient a was seen twice: the false lesions of both are averaged before the patients are."""
    of_a = [swept(2, [2, 2, 1], [8, 2, 0]), swept(1, [1, 0, 0], [4, 0, 0])]
    of_b = [swept(1, [1, 1, 0], [10, 1, 0])]
    froc = froc_curve([of_a, of_b])
    assert froc.lesions == 4
    assert [point.threshold for point in froc.points] == [0.2, 0.5, 0.8]
    assert [point.sensitivity.mean for point in froc.points if point.sensitivity] == pytest.approx([1.0, 0.75, 0.25])
    assert [point.false_positives_per_patient.mean for point in froc.points] == pytest.approx([8.0, 1.0, 0.0])
    assert froc.score is not None
    # at 1/8, 1/4, 1/2 the highest threshold; at 1, 2, 4 the middle one; at 8 the lowest
    assert froc.score.mean == pytest.approx((3 * 0.25 + 3 * 0.75 + 1.0) / 7)


def test_froc_without_lesions_has_rates_only() -> None:
    froc = froc_curve([[swept(0, [0, 0, 0], [3, 1, 0])], [swept(0, [0, 0, 0], [1, 1, 0])]])
    assert froc.score is None
    # nor with so many false lesions that no threshold keeps within the rates
    assert froc_curve([[swept(0, [0, 0, 0], [40, 30, 20])]]).score is None
    assert [point.sensitivity for point in froc.points] == [None] * 3
    assert froc.points[0].false_positives_per_patient.mean == pytest.approx(2.0)
