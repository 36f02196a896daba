"""Response of lesions with sizes that are exactly at a limit, and of patients after progression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from metseg.follow_up_document import Event, RegistrationRecord, ResponseRecord, TimepointRecord
from metseg.longitudinal.correspondence import PlacedLesion
from metseg.longitudinal.lesion_tracks import LesionState, LesionTrack
from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.repeatability import GRID_ONLY
from metseg.longitudinal.response import assess_response
from metseg.longitudinal.response_measures import ResponseMeasures, is_measurable

#: What happened to a lesion at an examination: the event, its longest diameter (None: not there), a related lesion.
Step = tuple[Event, float | None] | tuple[Event, float | None, int]


def lesion(
    longest_mm: float, *, volume_ml: float | None = None, planes: int = 3, slice_mm: float = 1.0
) -> MeasuredLesion:
    volume = math.pi * longest_mm**3 / 6000 if volume_ml is None else volume_ml
    return MeasuredLesion(
        number=1,
        volume_ml=volume,
        volume_ml_by_label={},
        longest_axial_mm=longest_mm,
        perpendicular_axial_mm=longest_mm,
        axial_slices=5,
        planes_seen=planes,
        typical_voxel=(0, 0, 0),
        points_mm=np.zeros((8, 3)),
        spacing_mm=(1.0, 1.0, slice_mm),
    )


def track(identity: int, *steps: Step | MeasuredLesion, start: int = 0) -> LesionTrack:
    """Return a lesion with its states from an examination on; a lesion alone is one that is continued."""
    states = []
    for place, step in enumerate(steps, start=start):
        if isinstance(step, MeasuredLesion):
            event: Event = "continued" if place > start else "new" if start else "first"
            states.append(LesionState(place, event, step))
            continue
        event, size, *related = step
        found = None if size is None else lesion(size)
        states.append(LesionState(place, event, found, related[0] if related else None))
    seen = next(state.lesion for state in states if state.lesion is not None)
    return LesionTrack(identity, states, PlacedLesion.of(seen, np.eye(4)))


def measures_of(*tracks: LesionTrack) -> ResponseMeasures:
    return ResponseMeasures(tracks, GRID_ONLY)


def examinations(days: Sequence[int | None]) -> list[TimepointRecord]:
    registration = RegistrationRecord(
        to_later_mm=(), mutual_information=None, head_overlap=None, coverage=None,
        shift_mm=0.0, rotation_degrees=0.0, seconds=0.0,
    )  # fmt: skip
    return [
        TimepointRecord(
            name=f"t{place}", days=day, sequence="", spacing_mm=(1.0, 1.0, 1.0), model="", lesions=1, volume_ml=1.0,
            volume_ml_by_label={}, registration=registration,
        )
        for place, day in enumerate(days)
    ]  # fmt: skip


def response_of(
    *tracks: LesionTrack, days: Sequence[int | None], steroids: Sequence[str] = (), clinical: Sequence[str] = ()
) -> tuple[ResponseRecord, ...]:
    return assess_response(measures_of(*tracks), examinations(days), steroids, clinical)


def categories(records: Sequence[ResponseRecord]) -> list[str]:
    return [record.imaging.category for record in records]


@pytest.mark.parametrize("before", [25.0, 25.3, 27.1, 30.7, 41.9, 47.0])
def test_an_increase_of_exactly_20_percent_is_progression(before: float) -> None:
    records = response_of(track(1, lesion(before), lesion(before * 1.2)), days=[0, 60])
    assert categories(records) == ["PD"]
    just_below = response_of(track(1, lesion(before), lesion(before * 1.1999)), days=[0, 60])
    assert categories(just_below) == ["SD"]


@pytest.mark.parametrize("before", [10.0, 10.1, 12.7, 20.3, 33.3])
def test_a_decrease_of_exactly_30_percent_is_a_response(before: float) -> None:
    assert categories(response_of(track(1, lesion(before), lesion(before * 0.7)), days=[0, 60])) == ["PR"]
    assert categories(response_of(track(1, lesion(before), lesion(before * 0.7001)), days=[0, 60])) == ["SD"]


def test_two_targets_reach_20_percent_together() -> None:
    """The sum grows from 25 to 30 mm: 20 % and 5 mm, both exactly."""
    tracks = track(1, lesion(12.7), lesion(17.7)), track(2, lesion(12.3), lesion(12.3))
    assert categories(response_of(*tracks, days=[0, 60])) == ["PD"]


@pytest.mark.parametrize("before", [1.0, 1.1, 2.3, 3.7, 6.1])
def test_volumes_exactly_at_a_limit(before: float) -> None:
    def by_volume(factor: float) -> str:
        tracks = track(1, lesion(20.0, volume_ml=before), lesion(20.0, volume_ml=before * factor))
        return response_of(tracks, days=[0, 60])[0].volumetric.category

    assert [by_volume(factor) for factor in (1.4, 1.399, 0.35, 0.351)] == ["PD", "SD", "PR", "SD"]


def test_a_non_target_exactly_at_the_limit_of_5_mm() -> None:
    for before in (4.1, 4.2, 7.3, 8.3, 9.6):
        tracks = track(1, lesion(20.0), lesion(20.0)), track(2, lesion(before), lesion(before + 5))
        assert response_of(*tracks, days=[0, 60])[0].grown_non_targets == (2,), before


def test_non_targets_that_merge_have_not_grown() -> None:
    """Two of 6 mm become one of 12 mm, and the sum is what it was; one of 18 mm is 6 mm more than both were."""
    target, merged = track(1, lesion(20.0), lesion(20.0)), track(3, lesion(6.0), ("merged", None, 2))
    same = response_of(target, track(2, lesion(6.0), lesion(12.0)), merged, days=[0, 60])[0]
    assert (same.grown_non_targets, same.imaging.category) == ((), "SD")
    grown = response_of(target, track(2, lesion(6.0), lesion(18.0)), merged, days=[0, 60])[0]
    assert (grown.grown_non_targets, grown.imaging.category) == ((2,), "PD")


def test_pieces_of_a_non_target_count_together() -> None:
    target, piece = track(1, lesion(20.0), lesion(20.0)), track(3, ("split", 9.0, 2), start=1)
    grown = response_of(target, track(2, lesion(8.0), lesion(6.0)), piece, days=[0, 60])[0]
    assert grown.grown_non_targets == (2, 3)


def test_a_non_target_that_merges_with_a_target_counts_there() -> None:
    tracks = track(1, lesion(20.0), lesion(30.0)), track(2, lesion(6.0), ("merged", None, 1))
    assert response_of(*tracks, days=[0, 60])[0].grown_non_targets == ()


def test_a_lesion_exactly_at_the_limits_of_a_target() -> None:
    assert is_measurable(lesion(0.1 + 0.1 + 9.8 - 1e-12, slice_mm=5.0 + 1e-9))
    assert not is_measurable(lesion(9.99))
    assert not is_measurable(lesion(12.0, slice_mm=5.1))


def test_a_worse_clinical_status_alone_is_progression() -> None:
    stable = track(1, lesion(20.0), lesion(20.0))
    worse = response_of(stable, days=[0, 60], clinical=["worse"])[0]
    assert worse.complete is not None
    assert (worse.imaging.category, worse.complete.category) == ("SD", "PD")
    assert worse.complete.reason == "the clinical status is worse"
    assert response_of(stable, days=[0, 60], clinical=["stable"])[0].complete is None


def test_progression_ends_a_response_that_is_not_confirmed() -> None:
    records = response_of(track(1, *map(lesion, (20.0, 10.0, 20.0, 10.0))), days=[0, 60, 120, 180])
    assert categories(records) == ["PR", "PD", "PR"]
    assert [record.confirmed for record in records] == [False, None, None]
    confirmed = response_of(track(1, *map(lesion, (20.0, 10.0, 10.0, 20.0))), days=[0, 60, 120, 180])
    assert categories(confirmed) == ["PR", "PR", "PD"]
    assert [record.confirmed for record in confirmed] == [True, False, None]


def test_progression_by_clinical_status_ends_a_response() -> None:
    tracks = track(1, *map(lesion, (20.0, 10.0, 10.0, 10.0)))
    records = response_of(tracks, days=[0, 60, 80, 180], clinical=["stable", "worse", "stable"])
    assert categories(records) == ["PR", "PR", "PR"]
    assert [record.confirmed for record in records] == [False, None, None]


def test_an_equivocal_new_lesion_counts_when_it_is_large_enough() -> None:
    sizes = lesion(2.0, planes=1), lesion(2.0, planes=1), lesion(4.0, planes=3), lesion(4.0, planes=3)
    target = track(1, *map(lesion, [20.0] * 5))
    records = response_of(target, track(2, *sizes, start=1), days=[0, 60, 120, 180, 240])
    assert categories(records) == ["SD", "SD", "PD", "SD"]
    assert [record.equivocal_new_lesions for record in records] == [(2,), (), (), ()]
    assert [record.new_lesions for record in records] == [(), (), (2,), ()]


def test_merged_targets_have_one_diameter_for_the_5_mm() -> None:
    """14 and 12 mm become 29 mm together: 3 mm longer. Taken as two lesions, each would be at least 15 mm longer."""
    one = track(1, ("first", 14.0), ("continued", 14.0), ("continued", 29.0))
    other = track(2, ("first", 12.0), ("continued", 12.0), ("merged", None, 1))
    measures = measures_of(one, other)
    assert measures.values(2, after_complete_response=False)["largest_target_increase_mm"] == pytest.approx(3.0)
    assert measures.sum_mm(2) == 29.0


def test_targets_that_merge_with_little_growth_are_stable() -> None:
    """Sums of 24 mm become 28.9 and 29.2 mm: more than 20 %, so that the 5 mm decide."""
    other = track(2, ("first", 12.0), ("merged", None, 1))
    for merged_mm, category in ((28.9, "SD"), (29.2, "PD")):
        one = track(1, ("first", 12.0), ("continued", merged_mm))
        assert categories(response_of(one, other, days=[0, 60])) == [category]
