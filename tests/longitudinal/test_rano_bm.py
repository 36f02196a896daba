"""Response categories: targets, limits of the tables, new lesions, clinical inputs, confirmation."""

from __future__ import annotations

from typing import Any

import pytest

from metseg.follow_up_document import FollowUpDocument, ResponseRecord
from metseg.longitudinal.follow_up import FollowUpOptions, follow_timepoints
from metseg.longitudinal.rano_bm import RANO_BM, VOLUMETRIC
from metseg.longitudinal.response_rules import CLINICAL_MEASURES, assess, imaging_rules
from metseg.longitudinal.timepoint import Timepoint

from .conftest import Draw

A, B, C, D = (20.0, 20.0, 20.0), (55.0, 55.0, 30.0), (60.0, 20.0, 40.0), (20.0, 60.0, 40.0)

#: A patient with one target and nothing that happened.
STABLE: dict[str, Any] = {
    "baseline_lesions": 1.0, "targets": 1.0, "lesions_left": 1.0, "new_lesions": 0.0, "grown_non_targets": 0.0,
    "returned_after_complete_response": 0.0, "largest_target_increase_mm": 0.0, "volume_increase_exceeds_error": 0.0,
    "diameters_from_baseline_percent": 0.0, "diameters_from_nadir_percent": 0.0,
    "volumes_from_baseline_percent": 0.0, "volumes_from_nadir_percent": 0.0, "steroids": "stable", "clinical": "stable",
}  # fmt: skip


def follow(*timepoints: Timepoint, **options: Any) -> FollowUpDocument:
    return follow_timepoints(timepoints, "P", FollowUpOptions(**options)).document


def last(*timepoints: Timepoint, **options: Any) -> ResponseRecord:
    return follow(*timepoints, **options).response[-1]


@pytest.mark.parametrize(
    ("changed", "category"),
    [
        ({}, "SD"),
        ({"diameters_from_nadir_percent": 20.0, "largest_target_increase_mm": 5.0}, "PD"),
        ({"diameters_from_nadir_percent": 19.9, "largest_target_increase_mm": 9.0}, "SD"),
        ({"diameters_from_nadir_percent": 45.0, "largest_target_increase_mm": 4.9}, "SD"),
        ({"diameters_from_baseline_percent": -30.0}, "PR"),
        ({"diameters_from_baseline_percent": -29.9}, "SD"),
        ({"diameters_from_baseline_percent": -60.0, "new_lesions": 1.0}, "PD"),
        ({"diameters_from_baseline_percent": -60.0, "grown_non_targets": 1.0}, "PD"),
        ({"lesions_left": 0.0, "diameters_from_baseline_percent": -100.0, "steroids": "none"}, "CR"),
        ({"lesions_left": 0.0, "diameters_from_baseline_percent": -100.0, "steroids": "decreased"}, "PR"),
        ({"diameters_from_baseline_percent": -60.0, "steroids": "increased"}, "NE"),
        ({"diameters_from_baseline_percent": -60.0, "clinical": "worse"}, "PD"),
        ({"returned_after_complete_response": 1.0}, "PD"),
        ({"targets": 0.0, "diameters_from_baseline_percent": None}, "non-CR/non-PD"),
        ({"targets": 0.0, "baseline_lesions": 0.0, "lesions_left": 0.0}, "no lesion"),
    ],
)
def test_the_table_of_diameters(changed: dict[str, Any], category: str) -> None:
    assert assess(RANO_BM, STABLE | changed).category == category


@pytest.mark.parametrize(
    ("changed", "category"),
    [
        ({"volumes_from_nadir_percent": 40.0, "volume_increase_exceeds_error": 1.0}, "PD"),
        ({"volumes_from_nadir_percent": 40.0, "volume_increase_exceeds_error": 0.0}, "SD"),
        ({"volumes_from_nadir_percent": 39.0, "volume_increase_exceeds_error": 1.0}, "SD"),
        ({"volumes_from_baseline_percent": -65.0}, "PR"),
        ({"volumes_from_baseline_percent": -64.0}, "SD"),
    ],
)
def test_the_table_of_volumes(changed: dict[str, Any], category: str) -> None:
    assert assess(VOLUMETRIC, STABLE | changed).category == category


def test_imaging_rules_ask_for_nothing_clinical() -> None:
    measures = {condition.measure for rule in imaging_rules(RANO_BM) for condition in rule.conditions}
    assert not measures & set(CLINICAL_MEASURES)
    assert assess(imaging_rules(RANO_BM), STABLE | {"clinical": "worse", "steroids": "increased"}).category == "SD"


def test_targets_are_the_five_longest_of_at_least_10_mm(draw: Draw) -> None:
    steps = [(column, row, layer) for layer in (0, 1) for row in (0, 1) for column in (0, 1, 2)]
    centres = [(12.0 + 28 * column, 12.0 + 28 * row, 15.0 + 30 * layer) for column, row, layer in steps]
    spheres = [(centre, radius) for centre, radius in zip(centres, (6, 9, 5.5, 7, 8, 6.5, 3, 4), strict=False)]
    document = follow(draw(*spheres, name="a"), draw(*spheres, name="b"))
    lengths = {one.id: one.states[0].longest_axial_mm or 0 for one in document.lesions}
    assert len(document.targets) == 5
    assert set(document.targets) == set(sorted(lengths, key=lambda number: -lengths[number])[:5])
    assert document.baseline_sum_mm == pytest.approx(sum(lengths[number] for number in document.targets), abs=0.003)


def test_thick_slices_and_small_lesions_give_no_target(draw: Draw) -> None:
    assert follow(draw((A, 4.0), name="a"), draw((A, 4.0), name="b")).targets == ()
    thick = follow(draw((A, 14.0), name="a", step=6.0), draw((A, 14.0), name="b", step=6.0))
    assert thick.targets == ()
    assert thick.response[0].imaging.category == "non-CR/non-PD"


def test_response_stable_disease_and_progression(draw: Draw) -> None:
    start = draw((A, 9.0), (B, 7.0), name="a")
    assert last(start, draw((A, 9.0), (B, 7.0), name="b")).imaging.category == "SD"
    assert last(start, draw((A, 5.5), (B, 4.0), name="b")).imaging.category == "PR"
    assert last(start, draw(name="b")).imaging.category == "CR"
    assert last(start, draw((A, 13.0), (B, 7.0), name="b")).imaging.category == "PD"


def test_progression_is_measured_from_the_smallest_sum(draw: Draw) -> None:
    response = follow(draw((A, 10.0), name="a"), draw((A, 5.0), name="b"), draw((A, 8.0), name="c")).response
    assert [one.imaging.category for one in response] == ["PR", "PD"]
    assert response[1].diameters_from_baseline_percent == pytest.approx(-20, abs=4)


def test_a_new_lesion_is_progression_and_a_single_voxel_is_equivocal(draw: Draw) -> None:
    start = draw((A, 9.0), name="a")
    new = last(start, draw((A, 9.0), (C, 3.0), name="b"))
    assert (new.imaging.category, new.new_lesions, new.equivocal_new_lesions) == ("PD", (2,), ())
    speck = last(start, draw((A, 9.0), (C, 0.5), name="b"))
    assert (speck.imaging.category, speck.new_lesions, speck.equivocal_new_lesions) == ("SD", (), (2,))


def test_a_non_target_that_grows_is_progression(draw: Draw) -> None:
    found = last(draw((A, 9.0), (C, 3.0), name="a"), draw((A, 9.0), (C, 6.0), name="b"))
    assert (found.imaging.category, found.grown_non_targets) == ("PD", (2,))


def test_merged_targets_count_once(draw: Draw) -> None:
    before = draw(((18.0, 20.0, 20.0), 7.0), ((36.0, 20.0, 20.0), 6.0), name="a")
    after = draw(((18.0, 20.0, 20.0), 9.0), ((36.0, 20.0, 20.0), 9.0), name="b")
    document = follow(before, after)
    assert document.targets == (1, 2)
    assert document.response[0].sum_mm == document.lesions[0].states[1].longest_axial_mm


def test_without_clinical_inputs_the_result_is_imaging_only(draw: Draw) -> None:
    pair = draw((A, 9.0), name="a"), draw((A, 5.0), name="b")
    assert last(*pair).complete is None
    assert "imaging only" in follow(*pair).headline[1]
    complete = last(*pair, steroids=("increased",), clinical=("stable",))
    assert complete.complete is not None
    assert (complete.imaging.category, complete.complete.category) == ("PR", "NE")


@pytest.mark.parametrize(("days", "confirmed"), [(27, None), (28, True)])
def test_a_response_is_confirmed_after_four_weeks(draw: Draw, days: int, confirmed: bool | None) -> None:
    times = (
        draw((A, 9.0), days=0, name="a"),
        draw((A, 5.0), days=60, name="b"),
        draw((A, 5.0), days=60 + days, name="c"),
    )
    first, second = follow(*times).response
    assert first.confirmed is confirmed
    assert second.confirmed is None


def test_a_response_is_not_confirmed_by_progression(draw: Draw) -> None:
    times = draw((A, 9.0), days=0, name="a"), draw((A, 5.0), days=60, name="b"), draw((A, 10.0), days=120, name="c")
    assert follow(*times).response[0].confirmed is False


def test_without_dates_confirmation_is_unknown(draw: Draw) -> None:
    times = draw((A, 9.0), name="a"), draw((A, 5.0), name="b"), draw((A, 5.0), name="c")
    assert follow(*times).response[0].confirmed is None


def test_a_lesion_that_returns_after_complete_response_is_progression(draw: Draw) -> None:
    times = draw((A, 6.0), name="a"), draw(name="b"), draw((A, 2.5), name="c")
    assert [one.imaging.category for one in follow(*times).response] == ["CR", "PD"]


def test_the_headline_names_an_earlier_progression(draw: Draw) -> None:
    times = draw((A, 9.0), name="a"), draw((A, 9.0), (C, 3.0), name="b"), draw((A, 9.0), (C, 3.0), name="c")
    document = follow(*times)
    assert [one.imaging.category for one in document.response] == ["PD", "SD"]
    assert document.headline[2] == (
        "Progression (PD) was found before, at b (a new lesion that is visible in two projections); "
        "a later category does not undo it."
    )
    assert len(follow(*times[1:]).headline) == 2
