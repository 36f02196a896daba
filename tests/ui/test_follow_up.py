"""The page compares studies of a patient: choosing them, what changed first, the table over time, deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from metseg.follow_up_schemas import NewExamination, NewFollowUp
from metseg.schemas import Problem, Study
from metseg.ui.pages.follow_up_list import examination_problem
from metseg.ui.pages.follow_up_result import lesion_table, response_table

from . import fake_follow_up
from .fake import FakeApi, done_pictures, done_volume, queued_study

OpenPage = Callable[..., AppTest]


def words(page: AppTest) -> str:
    assert not page.exception, [element.value for element in page.exception]
    lists: Any = (page.title, page.subheader, page.markdown, page.caption, page.info, page.warning, page.error)
    return "\n".join(str(element.value) for elements in lists for element in elements).replace("\\", "")


@pytest.fixture
def studies(service: FakeApi) -> tuple[Study, Study]:
    return service.add(done_volume(label="visit 1")), service.add(done_volume(label="visit 2"))


def asked(*studies: Study, days: tuple[date | None, ...] = (None, None)) -> NewFollowUp:
    return NewFollowUp(
        examinations=tuple(NewExamination(study=one.id, day=day) for one, day in zip(studies, days, strict=True))
    )


def test_two_studies_are_chosen_dated_and_compared(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    service.add(queued_study(label="waiting"))
    service.add(done_pictures(label="slices"))
    shown = page()
    shown.button(key="follow-ups").click().run()
    choice = shown.multiselect(key="follow-studies")
    assert sorted(option.split(",")[0] for option in choice.options if "visit" in option) == ["visit 1", "visit 2"]
    assert not [option for option in choice.options if "slices" in option]  # pictures have no positions
    assert shown.button(key="follow").disabled
    choice.set_value([study.id for study in studies]).run()
    shown.date_input(key=f"follow-day-{studies[0].id}").set_value(date(2024, 1, 10)).run()
    assert "Give the dates of all studies" in words(shown)
    assert shown.button(key="follow").disabled
    shown.date_input(key=f"follow-day-{studies[1].id}").set_value(date(2024, 4, 12)).run()
    shown.selectbox(key=f"follow-steroids-{studies[1].id}").set_value("stable").run()
    shown.selectbox(key=f"follow-clinical-{studies[1].id}").set_value("worse").run()
    shown.text_input(key="follow-label").set_value(" patient  7 ").run()
    shown.button(key="follow").click().run()
    (sent,) = service.followed
    assert [one.study for one in sent.examinations] == [study.id for study in studies]
    assert [one.day for one in sent.examinations] == [date(2024, 1, 10), date(2024, 4, 12)]
    assert (sent.examinations[1].steroids, sent.examinations[1].clinical) == ("stable", "worse")
    assert sent.label == "patient 7"
    assert shown.query_params["follow-up"] == next(iter(service.follow_ups))
    assert "1 new lesion, 1 lesion larger, 1 lesion no longer seen" in words(shown)


def test_what_changed_comes_first_with_its_pictures(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    stored = fake_follow_up.stored("a" * 32, asked(*studies, days=(date(2024, 1, 10), date(2024, 4, 12))))
    service.follow_ups[stored.id] = stored
    shown = page(**{"follow-up": stored.id})
    text = words(shown)
    assert shown.title[0].value.replace("\\", "").startswith("From 2024-01-10 to 2024-04-12: 1 new lesion")
    assert text.index("Lesion 3 is new") < text.index("Lesion 1 is larger") < text.index("Lesion 2 is no longer seen")
    assert shown.subheader[0].value == "What changed"
    assert len(shown.get("image")) == 3
    assert "RANO-BM, imaging only: PD" in text
    shown_tables = [frame.value for frame in shown.dataframe]
    assert shown_tables[0].equals(lesion_table(stored.document))
    assert "Research use only" in text


def order(shown: AppTest, *studies: Study) -> Any:
    return shown.checkbox(key=f"follow-order-{'-'.join(study.id for study in studies)}")


def test_studies_are_compared_in_the_order_of_their_dates(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    early, late = studies
    shown = page(page="follow-ups")
    shown.multiselect(key="follow-studies").set_value([late.id, early.id]).run()
    shown.date_input(key=f"follow-day-{late.id}").set_value(date(2024, 4, 12)).run()
    shown.date_input(key=f"follow-day-{early.id}").set_value(date(2024, 1, 10)).run()
    shown.selectbox(key=f"follow-clinical-{late.id}").set_value("worse").run()
    shown.button(key="follow").click().run()
    (sent,) = service.followed
    assert [one.study for one in sent.examinations] == [early.id, late.id]
    assert [one.clinical for one in sent.examinations] == [None, "worse"]


def test_without_dates_the_order_must_be_confirmed(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    early, late = studies
    shown = page(page="follow-ups")
    shown.multiselect(key="follow-studies").set_value([late.id, early.id]).run()
    assert "You must know that the studies are of one patient" in words(shown)
    assert "visit 2, then visit 1" in words(shown)
    assert shown.button(key="follow").disabled
    order(shown, late, early).check().run()
    assert not shown.button(key="follow").disabled
    shown.multiselect(key="follow-studies").set_value([early.id, late.id]).run()
    assert shown.button(key="follow").disabled  # another order is confirmed again
    order(shown, early, late).check().run()
    shown.button(key="follow").click().run()
    assert [one.study for one in service.followed[0].examinations] == [early.id, late.id]


def test_the_tables_say_what_is_new_and_what_is_gone(studies: tuple[Study, Study]) -> None:
    document = fake_follow_up.stored("a" * 32, asked(*studies)).document
    table = lesion_table(document)
    assert list(table.columns) == ["No.", "examination 1", "examination 2", "Target"]
    first, second, third = table.to_dict("records")
    volume = document.lesions[0].states[1].volume_ml
    assert first["examination 2"].startswith(f"{volume:.2f} mL; 1")
    assert first["Target"] == "target"
    assert second["examination 2"] == "no longer seen"
    assert third["examination 1"] == "-"
    assert third["examination 2"].endswith("mm, new")
    (row,) = response_table(document).to_dict("records")
    assert (row["Imaging only"], row["With steroids and clinical status"]) == ("PD", "-")


def test_doubts_stand_above_everything(service: FakeApi, page: OpenPage, studies: tuple[Study, Study]) -> None:
    stored = fake_follow_up.stored("b" * 32, asked(*studies))
    service.follow_ups[stored.id] = stored
    (doubt, *_) = page(**{"follow-up": stored.id}).warning
    assert "registration of examination 2 is doubtful" in doubt.value.replace("\\", "")


def test_a_refusal_is_explained(service: FakeApi, page: OpenPage, studies: tuple[Study, Study]) -> None:
    service.refusal = Problem(type="x", title="No", status=422, detail="different", code="input.label_schemes")
    shown = page(page="follow-ups")
    shown.multiselect(key="follow-studies").set_value([study.id for study in studies]).run()
    order(shown, *studies).check().run()
    shown.button(key="follow").click().run()
    assert "analysed for different classes of tissue" in words(shown)


def test_different_patient_ids_must_be_confirmed(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    code = "request.different_patients"
    service.refusal = Problem(type="x", title="No", status=409, detail="different", code=code)
    shown = page(page="follow-ups")
    shown.multiselect(key="follow-studies").set_value([study.id for study in studies]).run()
    order(shown, *studies).check().run()
    assert "seem to be of different patients" not in words(shown)
    shown.button(key="follow").click().run()
    assert "seem to be of different patients" in words(shown)
    service.refusal = None
    key = f"follow-patient-{'-'.join(sorted(study.id for study in studies))}"
    shown.checkbox(key=key).check().run()
    shown.button(key="follow").click().run()
    assert [sent.allow_different_ids for sent in service.followed] == [True]


def test_one_study_is_not_enough(service: FakeApi, page: OpenPage) -> None:
    service.add(done_volume())
    assert "Two finished studies are needed" in words(page(page="follow-ups"))


def test_a_comparison_is_listed_opened_and_deleted(
    service: FakeApi, page: OpenPage, studies: tuple[Study, Study]
) -> None:
    stored = fake_follow_up.stored("c" * 32, asked(*studies))
    service.follow_ups[stored.id] = stored
    shown = page(page="follow-ups")
    assert "From examination 1 to examination 2" in words(shown)
    shown.button(key=f"open-follow-up-{stored.id}").click().run()
    assert shown.query_params["follow-up"] == stored.id
    shown.button(key="back-to-follow-ups").click().run()
    shown.button(key=f"delete-follow-up-{stored.id}").click().run()
    assert service.follow_ups == {}
    assert "None yet." in words(shown)


def test_a_follow_up_that_is_gone(service: FakeApi, page: OpenPage) -> None:
    assert "request.unknown" in "".join(block.value for block in page(**{"follow-up": "d" * 32}).code)


def test_what_is_missing_is_said() -> None:
    def examination(number: int, **facts: Any) -> NewExamination:
        return NewExamination(study=f"{number:032x}", **facts)

    early, late = date(2024, 1, 1), date(2024, 5, 1)
    assert examination_problem([]) == ""
    assert examination_problem([examination(1, day=early), examination(2, day=late)]) == ""
    assert "the same date" in examination_problem([examination(1, day=late), examination(2, day=late)])
    three = [examination(1), examination(2, steroids="none"), examination(3)]
    assert "all studies after the first" in examination_problem(three)
