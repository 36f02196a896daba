"""The document of a follow-up, its table, its order of changes, and the checks of its input."""

from __future__ import annotations

import csv
import io
from datetime import date

import numpy as np
import pytest

from metseg.errors import GeometryError, InputError, UsageError
from metseg.follow_up_document import FollowUpDocument, follow_up_csv
from metseg.longitudinal.change_text import change_sentence, changes_at
from metseg.longitudinal.follow_up import FollowUpOptions, follow_timepoints
from metseg.longitudinal.measured_lesion import measure_lesions
from metseg.longitudinal.timepoint import Timepoint
from metseg.volume import Volume

from .conftest import Draw, spheres_mask

A, B, C, D = (20.0, 20.0, 20.0), (55.0, 55.0, 30.0), (60.0, 20.0, 40.0), (20.0, 60.0, 40.0)


def test_changes_are_in_the_order_of_importance(draw: Draw) -> None:
    before = draw((A, 6.0), (B, 6.5), (C, 5.0), name="a")
    after = draw((A, 8.0), (B, 4.0), (D, 3.0), name="b")
    document = follow_timepoints([before, after], "P").document
    changes = changes_at(document.lesions, "b")
    assert [change.kind for change in changes] == ["new", "larger", "smaller", "vanished"]
    assert change_sentence(changes[0]).startswith("Lesion 4 is new: 0.1")
    assert change_sentence(changes[1]).startswith("Lesion 2 is larger: volume +128 % (error -")
    assert document.headline[0] == (
        "From a to b: 1 new lesion, 1 lesion larger, 1 lesion smaller, 1 lesion no longer seen."
    )


def test_a_merger_is_compared_with_both_its_parts(draw: Draw) -> None:
    before = draw(((18.0, 20.0, 20.0), 5.0), ((31.0, 20.0, 20.0), 4.0), name="a")
    after = draw(((18.0, 20.0, 20.0), 7.0), ((31.0, 20.0, 20.0), 7.0), name="b")
    document = follow_timepoints([before, after], "P").document
    change = document.lesions[0].states[1].since_previous
    assert change is not None
    assert change.with_lesions == (2,)
    both = sum(one.states[0].volume_ml or 0 for one in document.lesions)
    assert change.volume_percent == pytest.approx(
        100 * ((document.lesions[0].states[1].volume_ml or 0) / both - 1), abs=0.1
    )


def test_a_change_since_the_first_time_is_given_too(draw: Draw) -> None:
    document = follow_timepoints([draw((A, radius), name=str(radius)) for radius in (4.0, 5.0, 6.0)], "P").document
    last = document.lesions[0].states[2]
    assert last.since_previous is not None
    assert last.since_first is not None
    assert (last.since_previous.since, last.since_first.since) == ("5.0", "4.0")
    assert last.since_first.volume_percent == pytest.approx(100 * (1.5**3 - 1), abs=30)


def test_the_document_survives_json(draw: Draw) -> None:
    document = follow_timepoints([draw((A, 6.0), days=0, name="a"), draw(days=90, name="b")], "P").document
    again = FollowUpDocument.model_validate_json(document.model_dump_json())
    assert again == document
    assert again.timepoints[1].days == 90
    assert again.notice


def test_the_table_has_a_row_per_lesion_and_examination(draw: Draw) -> None:
    document = follow_timepoints([draw((A, 6.0), (B, 4.0), name="a"), draw((A, 7.0), (C, 4.0), name="b")], "P").document
    rows = list(csv.DictReader(io.StringIO(follow_up_csv(document))))
    assert [(row["lesion"], row["timepoint"], row["event"]) for row in rows] == [
        ("1", "a", "first"),
        ("1", "b", "continued"),
        ("2", "a", "first"),
        ("2", "b", "vanished"),
        ("3", "b", "new"),
    ]
    assert rows[1]["volume_verdict"] == "larger"
    assert float(rows[1]["volume_low_percent"]) < 0 < float(rows[1]["volume_high_percent"])
    assert rows[3]["volume_ml"] == ""


def test_lesions_are_pieces_of_the_core_and_oedema_is_in_the_totals() -> None:
    labels = 2 * spheres_mask([((30.0, 30.0, 30.0), 20.0)])
    for centre in ((22.0, 30.0, 30.0), (40.0, 30.0, 30.0)):
        labels[spheres_mask([(centre, 4.0)]) > 0] = 3
    labels[spheres_mask([((40.0, 30.0, 30.0), 2.0)]) > 0] = 1
    volume = Volume(labels, np.eye(4))
    lesions = measure_lesions(Timepoint("a", volume, "brats-met-2023"))
    assert len(lesions) == 2
    assert all(set(one.volume_ml_by_label) == {"NETC", "ET"} for one in lesions)
    document = follow_timepoints([Timepoint(name, volume, "brats-met-2023") for name in "ab"], "P").document
    assert document.timepoints[0].volume_ml_by_label["SNFH"] > 20
    assert document.timepoints[0].volume_ml == pytest.approx(sum(one.volume_ml for one in lesions))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sizes_do_not_depend_on_the_order_of_the_axes(axes: tuple[int, int, int]) -> None:
    mask = spheres_mask([((30.0, 30.0, 30.0), 7.0)])
    mask[:, 33:, :] = 0
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * 1.0
    (turned,) = measure_lesions(Timepoint("a", Volume(np.ascontiguousarray(mask.transpose(axes)), affine), "binary"))
    (plain,) = measure_lesions(Timepoint("a", Volume(mask, np.eye(4)), "binary"))
    assert turned.longest_axial_mm == pytest.approx(plain.longest_axial_mm)
    assert turned.perpendicular_axial_mm == pytest.approx(plain.perpendicular_axial_mm)
    assert turned.axial_slices == plain.axial_slices
    assert plain.perpendicular_axial_mm < plain.longest_axial_mm


def test_examinations_that_cannot_be_followed_are_refused(draw: Draw) -> None:
    one, two = draw((A, 5.0), name="a", days=10), draw((A, 5.0), name="b", days=5)
    with pytest.raises(InputError, match="at least two"):
        follow_timepoints([one], "P")
    with pytest.raises(UsageError, match="order of their dates"):
        follow_timepoints([one, two], "P")
    with pytest.raises(UsageError, match="dates of some examinations are missing"):
        follow_timepoints([one, draw((A, 5.0), name="b")], "P")
    with pytest.raises(UsageError, match="same name"):
        follow_timepoints([draw((A, 5.0), name="a"), draw((A, 5.0), name="a")], "P")
    other = Timepoint("c", one.labels, "brats-met-2023", day=date(2025, 1, 1))
    with pytest.raises(InputError, match="different label schemes"):
        follow_timepoints([one, other], "P")
    with pytest.raises(GeometryError, match="positions in space"):
        Timepoint("d", Volume(np.zeros((4, 4, 1), np.uint8)), "binary")
    with pytest.raises(UsageError, match="every examination after the first"):
        follow_timepoints([two, one], "P", FollowUpOptions(steroids=("none", "none")))


def test_different_voxels_and_sources_are_said_first(draw: Draw) -> None:
    fine, coarse = draw((A, 6.0), name="a"), draw((A, 6.0), name="b", step=2.0)
    predicted = Timepoint("b", coarse.labels, "binary", source="mets-sim")
    doubts = follow_timepoints([fine, predicted], "P").document.doubts
    assert any("different voxel sizes" in doubt for doubt in doubts)
    assert any("different sources (another source, mets-sim)" in doubt for doubt in doubts)
