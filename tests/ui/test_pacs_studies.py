"""The page searches a PACS, takes a study and stores results, where a PACS is configured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from streamlit.testing.v1 import AppTest

from metseg.pacs_schemas import PacsStudy
from metseg.schemas import Problem

from .fake import FakeApi, done_volume, model_version, next_version, volume_files

OpenPage = Callable[..., AppTest]
FOUND = PacsStudy(
    study_uid="1.2.3", date="20260114", patient_id="4711", patient_name="Doe^Jane", description="Brain*",
    accession="A17", modalities=("MR", "SR"), instances=620,
)  # fmt: skip


def words(page: AppTest) -> str:
    assert not page.exception, [element.value for element in page.exception]
    lists: Any = (page.title, page.subheader, page.markdown, page.caption, page.info, page.success, page.error)
    return "\n".join(str(element.value) for elements in lists for element in elements).replace("\\", "")


def keys(page: AppTest) -> list[str]:
    return [str(button.key) for button in page.button]


def test_without_a_pacs_there_is_no_search(service: FakeApi, page: OpenPage) -> None:
    assert "pacs" not in keys(page())
    assert "No PACS can be searched" in words(page(page="pacs"))


def test_a_study_is_searched_taken_and_opened(service: FakeApi, page: OpenPage) -> None:
    service.pacs, service.in_pacs = ("archive",), (FOUND,)
    shown = page()
    shown.button(key="pacs").click().run()
    for modality in ("MR", ""):
        shown.selectbox(key="pacs-modality").set_value(modality).run()
        assert shown.button(key="pacs-search").disabled  # it would list the whole PACS
    shown.text_input(key="pacs-patient").set_value(" Doe* ").run()
    shown.date_input(key="pacs-dates").set_value((date(2026, 1, 1), date(2026, 1, 31))).run()
    shown.button(key="pacs-search").click().run()
    name, action, body = service.asked_pacs[-1]
    assert (name, action) == ("archive", "search")
    assert {key: value for key, value in body.items() if value} == {
        "patient_name": "Doe*",
        "dates": "20260101-20260131",
    }
    assert "**Doe^Jane**" in words(shown)
    assert "id 4711; 2026-01-14; Brain*; MR, SR; 620 objects" in words(shown)
    shown.text_input(key="pacs-label-1.2.3").set_value("visit 2").run()
    shown.button(key="pacs-fetch-1.2.3").click().run()
    assert service.asked_pacs[-1][1:] == (
        "fetch", {"study_uid": "1.2.3", "modality": "MR", "label": "visit 2",
                  "options": {"model": None, "stack": False, "allow_gaps": False, "series": {}, "uncertainty": False,
                              "explanation": False}},
    )  # fmt: skip
    (study,) = service.studies.values()
    assert shown.query_params["study"] == study.id
    shown.query_params.clear()
    shown.query_params["page"] = "pacs"
    assert "Doe" not in words(shown.run())  # names of patients are forgotten once a study is taken


def test_a_pacs_that_does_not_answer_is_explained(service: FakeApi, page: OpenPage) -> None:
    service.pacs = ("archive", "other")
    service.refusal = Problem(type="x", title="No", status=503, detail="no connection", code="pacs.unreachable")
    shown = page(page="pacs")
    shown.selectbox(key="pacs-name").set_value("other").run()
    shown.text_input(key="pacs-id").set_value("47\\11").run()
    shown.button(key="pacs-search").click().run()
    assert service.asked_pacs[-1][0] == "other"
    assert service.asked_pacs[-1][2]["patient_id"] == "47 11"
    assert "The PACS does not answer" in words(shown)


def test_results_are_stored_from_the_page_of_the_study(service: FakeApi, page: OpenPage) -> None:
    service.pacs = ("archive",)
    study = service.add(done_volume(), {**volume_files(), "seg.dcm": b"seg", "sr.dcm": b"sr"})
    shown = page(study)
    shown.segmented_control(key=f"section-{study.id}").set_value("Report and files").run()
    shown.button(key=f"pacs-send-{study.id}").click().run()
    assert service.asked_pacs[-1] == ("archive", "send", {"study": study.id, "without_corrections": False})
    assert "the result of the model as it was computed" in words(shown)
    assert "Stored: 1. Already there: 1." in words(shown)
    without = service.add(done_volume(), volume_files())
    shown = page(without)
    shown.segmented_control(key=f"section-{without.id}").set_value("Report and files").run()
    assert f"pacs-send-{without.id}" not in keys(shown)


def test_the_result_of_the_model_is_sent_instead_of_corrections_only_if_that_is_confirmed(
    service: FakeApi, page: OpenPage
) -> None:
    service.pacs = ("archive",)
    study = service.add(done_volume(), {**volume_files(), "seg.dcm": b"seg"})
    service.versions[study.id] = [next_version(model_version(study), source="mask")]
    shown = page(study)
    shown.segmented_control(key=f"section-{study.id}").set_value("Report and files").run()
    assert shown.button(key=f"pacs-send-{study.id}").disabled
    assert any("Lesions that were rejected are in the DICOM files" in warning.value for warning in shown.warning)
    shown.checkbox(key=f"pacs-uncorrected-{study.id}").check().run()
    shown.button(key=f"pacs-send-{study.id}").click().run()
    assert service.asked_pacs == [("archive", "send", {"study": study.id, "without_corrections": True})]
