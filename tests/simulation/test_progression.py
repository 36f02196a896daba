"""What lesions do between examinations: volumes as stated, numbers kept, nobody returns from the dead."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from metseg.simulation import CourseOptions, Examination, PhantomOptions, describe_examination, describe_patient
from metseg.simulation.lesions.progression import EVENTS, VOLUME_FACTORS, FollowedLesion, Step

PHANTOM = PhantomOptions()


def course(**only: float) -> CourseOptions:
    weights = {"growing": 0.0, "stable": 0.0, "shrinking": 0.0, "vanished": 0.0, "new_lesions": 0.0}
    return CourseOptions(**(weights | only))


def examination(index: int, timepoint: int, options: CourseOptions, phantom: PhantomOptions = PHANTOM) -> Examination:
    return describe_examination(3, index, timepoint, phantom=phantom, course=options)


@pytest.fixture(scope="module")
def many() -> list[Examination]:
    return [examination(index, 4, CourseOptions()) for index in range(25)]


def test_the_first_examination_is_the_patient() -> None:
    first = examination(2, 0, CourseOptions())
    assert first.patient == describe_patient(3, 2, PHANTOM)
    np.testing.assert_array_equal(first.to_first_mm, np.eye(4))
    assert (first.name, first.days) == ("000", 0)
    assert list(first.histories) == [lesion.lesion_id for lesion in first.patient.lesions]
    for lesion in first.patient.lesions:
        (step,) = first.histories[lesion.lesion_id]
        assert (step.timepoint, step.event) == (0, "first")
        assert step.planned_core_mm3 == pytest.approx(np.pi / 6 * lesion.diameter_mm**3)


def test_volumes_change_as_the_event_says(many: list[Examination]) -> None:
    seen = set()
    for steps in (steps for found in many for steps in found.histories.values()):
        for before, after in pairwise(steps):
            seen.add(after.event)
            if after.event == "vanished":
                assert after.planned_core_mm3 == 0
                continue
            low, high = VOLUME_FACTORS[after.event]
            assert low * 0.999 <= after.planned_core_mm3 / before.planned_core_mm3 <= high * 1.001
    assert seen == set(VOLUME_FACTORS) | {"vanished"}


def test_histories_have_no_holes_and_end_with_the_lesions_of_the_day(many: list[Examination]) -> None:
    assert any(steps[0].event == "new" for found in many for steps in found.histories.values())
    for found in many:
        for steps in found.histories.values():
            assert [step.timepoint for step in steps] == list(
                range(steps[0].timepoint, steps[0].timepoint + len(steps))
            )
            assert steps[0].event == ("first" if steps[0].timepoint == 0 else "new")
            assert all(step.event in EVENTS and step.event not in ("first", "new", "vanished") for step in steps[1:-1])
        present = {number: steps[-1] for number, steps in found.histories.items() if steps[-1].event != "vanished"}
        assert [lesion.lesion_id for lesion in found.patient.lesions] == sorted(present)
        assert all(step.timepoint == 4 for step in present.values())
        for lesion in found.patient.lesions:
            assert present[lesion.lesion_id].planned_core_mm3 == pytest.approx(np.pi / 6 * lesion.diameter_mm**3)
        assert 4 * 60 <= found.days <= 4 * 120


def test_a_lesion_stays_where_it_was_and_keeps_its_shape(many: list[Examination]) -> None:
    for found in many:
        first = {lesion.lesion_id: lesion for lesion in describe_patient(3, found.patient.index, PHANTOM).lesions}
        for lesion in found.patient.lesions:
            if lesion.lesion_id in first:
                assert lesion.centre_mm == first[lesion.lesion_id].centre_mm
                assert isinstance(lesion, FollowedLesion)
                assert lesion.drawn_mm == first[lesion.lesion_id].diameter_mm
                for name in ("fluidity", "eccentricity", "uptake", "irregularity"):
                    assert getattr(lesion, name) == getattr(first[lesion.lesion_id], name)


def test_new_lesions_keep_away_from_those_that_are_there(many: list[Examination]) -> None:
    for found in many:
        for lesion in found.patient.lesions:
            if found.histories[lesion.lesion_id] == (Step(4, "new", lesion.planned_core_mm3),):
                for other in (other for other in found.patient.lesions if other is not lesion):
                    gap = float(np.linalg.norm(np.subtract(lesion.centre_mm, other.centre_mm)))
                    assert gap > (lesion.diameter_mm + other.diameter_mm) / 2 + 3


def test_only_what_was_asked_for_happens() -> None:
    small = PhantomOptions(lesions_min=3, lesions_max=5, diameter_max_mm=9)
    gone = examination(0, 1, course(vanished=1), small)
    assert gone.patient.lesions == ()
    assert gone.vanished == tuple(gone.histories)
    assert {steps[-1].event for steps in examination(1, 2, course(shrinking=1)).histories.values()} <= {
        "shrinking", "vanished"
    }  # fmt: skip
    still = examination(1, 3, course(stable=1, shift_mm=0, tilt_deg=0))
    np.testing.assert_allclose(still.to_first_mm, np.eye(4), atol=1e-12)
    grown = examination(0, 1, course(growing=1), PhantomOptions(lesions_min=1, lesions_max=1, diameter_max_mm=45))
    assert [steps[-1].event for steps in grown.histories.values()] == ["growing"]


def test_large_lesions_do_not_vanish_at_once() -> None:
    large = PhantomOptions(diameter_min_mm=11, diameter_median_mm=14, lesions_max=3)
    found = examination(0, 1, course(vanished=1), large)
    assert {steps[-1].event for steps in found.histories.values()} == {"shrinking"}


def test_a_lesion_without_room_stays_as_it_is() -> None:
    full = PhantomOptions(diameter_max_mm=6.5, diameter_log_std=0)
    found = examination(0, 1, course(growing=1), full)
    assert {steps[-1].event for steps in found.histories.values()} == {"stable"}
    assert {lesion.diameter_mm for lesion in found.patient.lesions} == {6.5}


@pytest.mark.parametrize("wrong", [{"interval_min_days": 90, "interval_max_days": 30}, {"growing": -1}, {"more": 1}])
def test_options_that_contradict_themselves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CourseOptions(**wrong)
    with pytest.raises(ValidationError, match="at least one of growing"):
        course()
