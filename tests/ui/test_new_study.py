"""The page for a new study: the chosen model and its reason, DICOM series, labels, consent, and running again."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from metseg.schemas import ModelChoice, ModelMisfit
from metseg.ui import page_settings
from metseg.ui.page_settings import SeriesFromHeader

from .fake import FakeApi, done_volume, failed_study, lgg, volume_files

OpenPage = Callable[..., AppTest]

SERIES = (
    SeriesFromHeader("3", "AX T1 +C", 160, "t1c", "the description says T1 with contrast agent."),
    SeriesFromHeader("4", "AX T2", 24, "t2w", "the description says T2."),
    SeriesFromHeader("5", "", 3, None, "neither description nor times name a sequence."),
)


def words(page: AppTest) -> str:
    assert not page.exception, [element.value for element in page.exception]
    lists: Sequence[Any] = (page.markdown, page.caption, page.error, page.warning, page.info, page.title)
    return "\n".join(str(element.value) for elements in lists for element in elements).replace("\\", "")


def with_t1c(page: AppTest) -> AppTest:
    return page.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()


def sequence_boxes(page: AppTest) -> list[Any]:
    return [box for box in page.selectbox if str(box.key).startswith(("sequence-", "series-"))]


@pytest.fixture
def dicom_page(service: FakeApi, page: OpenPage) -> AppTest:
    """Return the page after a DICOM archive of `SERIES` was chosen."""
    page_settings.use(replace(page_settings.current(), list_series=lambda contents: SERIES[: 3 * len(contents)]))
    return page().file_uploader[0].set_value([("study.zip", b"one", "")]).run()


# --- the model


def test_the_model_that_fits_is_preselected_with_its_reason(service: FakeApi, page: OpenPage) -> None:
    service.choice = ModelChoice(model="mets-large", reason="Model mets-large was chosen: it uses t1c.", better="B.")
    shown = with_t1c(page())
    assert service.choices == [("nifti", "t1c")]
    assert shown.selectbox(key="model-nifti").value == "mets-large"
    assert "mets-large (recommended)" in shown.selectbox(key="model-nifti").options
    assert "Model mets-large was chosen: it uses T1 with contrast." in words(shown)
    assert "B." in words(shown)


def test_the_user_can_change_it_until_the_recommendation_changes(service: FakeApi, page: OpenPage) -> None:
    service.choice = ModelChoice(model="mets-large", reason="Reason one.")
    shown = with_t1c(page())
    shown.selectbox(key="model-nifti").set_value("mets-3d").run()
    assert shown.selectbox(key="model-nifti").value == "mets-3d"
    assert "You chose mets-3d yourself. Reason one." in words(shown)
    sequence_boxes(shown)[0].set_value("t1n").run()
    assert shown.selectbox(key="model-nifti").value == "mets-3d"
    service.choice = ModelChoice(model="lgg-flair", reason="Reason two.")
    sequence_boxes(shown)[0].set_value("t2f").run()
    assert shown.selectbox(key="model-nifti").value == "lgg-flair"
    assert service.choices[-1] == ("nifti", "t2f")


def test_a_model_that_the_service_chose_is_not_named_so_that_the_result_says_why(
    service: FakeApi, page: OpenPage
) -> None:
    shown = with_t1c(page())
    shown.button(key="analyse").click().run()
    assert not [content for name, _, content in service.handed[0] if name == "model"]
    (study,) = service.studies.values()
    assert study.facts.model_reason == "Model mets-3d was chosen: it is for volumes."


def test_a_model_that_the_user_chose_is_named(service: FakeApi, page: OpenPage) -> None:
    shown = with_t1c(page())
    shown.selectbox(key="model-nifti").set_value("mets-large").run()
    shown.button(key="analyse").click().run()
    assert [content for name, _, content in service.handed[0] if name == "model"] == [b"mets-large"]


def grey_png() -> bytes:
    stored = io.BytesIO()
    Image.new("L", (8, 8), 90).save(stored, "PNG")
    return stored.getvalue()


def test_grey_pictures_are_sent_only_to_a_model_that_knows_their_sequence(service: FakeApi, page: OpenPage) -> None:
    sequences: Any = ("t1n", "t2f", "t1c")
    service.models = (lgg().model_copy(update={"sequences": sequences, "grey_sequence": "t2f"}),)
    shown = page().file_uploader[0].set_value([("a.png", grey_png(), "")]).run()
    (box,) = [box for box in shown.selectbox if str(box.key).startswith("grey-")]
    assert shown.button(key="analyse").disabled
    box.set_value("t1c").run()
    assert "takes grey pictures for FLAIR, and these show T1 with contrast." in words(shown)
    assert shown.button(key="analyse").disabled
    assert service.choices[-1] == ("picture", "t1c")
    next(box for box in shown.selectbox if str(box.key).startswith("grey-")).set_value("t2f").run()
    assert "would mean nothing" not in words(shown)
    shown.button(key="analyse").click().run()
    assert [(name, file) for name, file, _ in service.handed[0] if file] == [("files", "file-1.png")]


def test_texts_of_a_model_for_specialists_are_folded(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    (details,) = [folded for folded in shown.expander if folded.label == "Technical details of the model"]
    inside = [text.value.replace("\\", "") for text in details.markdown]
    assert "Gliomas of low grade." in inside
    assert words(shown).count("Gliomas of low grade.") == 1


def test_if_none_fits_each_model_has_its_line(service: FakeApi, page: OpenPage) -> None:
    misfits = tuple(ModelMisfit(model=name, reason="it needs t2f", cure="add t2f") for name in ("a", "b"))
    service.choice = ModelChoice(misfits=misfits)
    text = words(with_t1c(page()))
    assert "No installed model fits these images as they are." in text
    assert "a: it needs FLAIR; add FLAIR.  \nb: it needs FLAIR; add FLAIR." in text


def test_a_study_is_not_sent_to_a_model_that_it_does_not_fit(service: FakeApi, page: OpenPage) -> None:
    service.choice = ModelChoice(misfits=(ModelMisfit(model="mets-3d", reason="it needs t1c", cure="add t1c"),))
    shown = with_t1c(page())
    shown.selectbox(key="model-nifti").set_value("mets-3d").run()
    assert shown.button(key="analyse").disabled
    service.choice = ModelChoice(model="mets-3d", reason="Model mets-3d was chosen.")
    assert not shown.run().button(key="analyse").disabled


def test_a_model_that_waits_for_its_terms_is_preselected_and_not_called_unfit(service: FakeApi, page: OpenPage) -> None:
    restricted = lgg().model_copy(update={"non_commercial": True, "accepted": False})
    service.models = (lgg("other"), restricted)
    service.may_accept = True
    waiting = ModelMisfit(model="lgg-flair", reason="terms", cure="run a command", is_waiting=True)
    service.choice = ModelChoice(misfits=(ModelMisfit(model="other", reason="it is for FLAIR", cure="add it"), waiting))
    shown = page().file_uploader[0].set_value([("a.png", b"one", "")]).run()
    text = words(shown).replace("\\", "")
    assert shown.selectbox(key="model-picture").value == "lgg-flair"
    assert "The model lgg-flair can be used with these images after its terms are accepted." in text
    assert "No installed model fits" not in text
    assert "run a command" not in text
    assert "other: it is for FLAIR; add it." in text
    assert shown.button(key="accept-lgg-flair")


def test_a_single_file_without_a_sequence_is_asked_about_as_such(service: FakeApi, page: OpenPage) -> None:
    page().file_uploader[0].set_value([("scan.nii.gz", b"one", "")]).run()
    assert service.choices == [("nifti",)]


# --- DICOM


def test_each_series_is_listed_with_number_description_and_reason(dicom_page: AppTest, service: FakeApi) -> None:
    boxes = sequence_boxes(dicom_page)
    assert [box.label.replace("\\", "") for box in boxes] == [
        "Series 3: AX T1 +C (160 images)",
        "Series 4: AX T2 (24 images)",
        "Series 5: no description (3 images)",
    ]
    assert [box.value for box in boxes] == ["t1c", "t2w", "not used"]
    assert "Neither description nor times name a sequence." in words(dicom_page)
    assert service.choices[-1] == ("dicom", "t1c", "t2w")


def test_what_the_headers_say_is_sent_only_where_it_was_corrected(dicom_page: AppTest, service: FakeApi) -> None:
    sequence_boxes(dicom_page)[1].set_value("not used").run()
    sequence_boxes(dicom_page)[2].set_value("t2f").run()
    assert service.choices[-1] == ("dicom", "t1c", "t2f")
    dicom_page.button(key="analyse").click().run()
    sent = [content for name, _, content in service.handed[0] if name == "series"]
    assert sorted(sent) == [b"t2f=5", b"t2w=none"]


def test_a_choice_against_the_header_is_pointed_out(dicom_page: AppTest) -> None:
    assert "Make sure" not in words(dicom_page)
    sequence_boxes(dicom_page)[1].set_value("t2f").run()
    assert "The header says T2, not FLAIR. Make sure that your choice is right." in words(dicom_page)
    sequence_boxes(dicom_page)[1].set_value("not used").run()
    sequence_boxes(dicom_page)[2].set_value("t2f").run()  # nothing in the header speaks against it
    assert "Make sure" not in words(dicom_page)


def test_two_series_for_one_sequence_are_pointed_out(dicom_page: AppTest) -> None:
    sequence_boxes(dicom_page)[2].set_value("t1c").run()
    assert "More than one series is assigned to T1 with contrast." in words(dicom_page)


def test_series_are_read_once_per_upload(service: FakeApi, page: OpenPage) -> None:
    calls: list[int] = []

    def list_series(contents: Sequence[bytes]) -> Sequence[SeriesFromHeader]:
        calls.append(len(contents))
        return SERIES

    page_settings.use(replace(page_settings.current(), list_series=list_series))
    shown = page().file_uploader[0].set_value([("study.zip", b"one", "")]).run()
    sequence_boxes(shown)[2].set_value("t2f").run()
    assert calls == [1]


# --- running again without an upload


def test_sequences_are_corrected_and_run_again_without_an_upload(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    files = [("P1_T1_gd.nii.gz", b"one", ""), ("P1_FLAIR.nii.gz", b"two", ""), ("other.nii.gz", b"three", "")]
    shown.file_uploader[0].set_value(files).run()
    sequence_boxes(shown)[2].set_value("not used").run()
    shown.selectbox(key="model-nifti").set_value("mets-large").run()
    label = next(field for field in shown.text_input if str(field.key).startswith("label-"))
    label.set_value("visit 1").run()
    shown.button(key="analyse").click().run()
    (study_id,) = service.studies
    service.add(done_volume(id=study_id), volume_files())
    shown.run()
    shown.button(key=f"run-again-{study_id}").click().run()
    assert "These are the files of the earlier study." in words(shown)
    assert not [item for item in shown.file_uploader if "DICOM" in item.label]
    assert [box.value for box in sequence_boxes(shown)] == ["t1c", "t2f", "not used"]
    assert shown.selectbox(key="model-nifti").value == "mets-large"

    sequence_boxes(shown)[1].set_value("t2w").run()
    shown.button(key="analyse").click().run()
    first, second = service.handed
    assert [part for part in second if part[1] is None] == [("model", None, b"mets-large"), ("label", None, b"visit 1")]
    assert [(name, content) for name, file_name, content in second if file_name] == [("t1c", b"one"), ("t2w", b"two")]
    assert [name for name, file_name, _ in first if file_name] == ["t1c", "t2f"]
    assert service.keys_of_uploads[0] != service.keys_of_uploads[1]


def test_a_failed_study_can_be_run_again_and_others_cannot(service: FakeApi, page: OpenPage) -> None:
    shown = with_t1c(page())
    shown.button(key="analyse").click().run()
    (study_id,) = service.studies
    service.add(failed_study().model_copy(update={"id": study_id}))
    shown.run()
    shown.button(key=f"run-again-{study_id}").click().run()
    shown.button(key="other-files").click().run()
    assert "These are the files" not in words(shown)
    assert shown.file_uploader[0].label.startswith("DICOM")
    other = page(service.add(failed_study()))
    assert not [button for button in other.button if str(button.key).startswith("run-again")]


# --- consent


def test_an_operator_accepts_the_terms_on_the_page(service: FakeApi, page: OpenPage) -> None:
    service.models = (lgg().model_copy(update={"non_commercial": True, "accepted": False, "terms": "CC BY-NC 4.0"}),)
    service.may_accept = True
    shown = page().file_uploader[0].set_value([("a.png", b"one", "")]).run()
    assert "Terms: CC BY-NC 4.0." in words(shown)
    assert shown.button(key="analyse").disabled
    shown.button(key="accept-lgg-flair").click().run()
    assert "POST /models/lgg-flair/accept" in service.asked
    assert not shown.button(key="analyse").disabled
    assert "For non-commercial use only." in words(shown)


def test_others_are_told_who_can_accept(service: FakeApi, page: OpenPage) -> None:
    service.models = (lgg().model_copy(update={"non_commercial": True, "accepted": False}),)
    shown = page().file_uploader[0].set_value([("a.png", b"one", "")]).run()
    assert "key that has the scope *operate*, or with `metseg models accept lgg-flair`" in words(shown)
    assert not [button for button in shown.button if str(button.key).startswith("accept-")]


# --- labels


@pytest.mark.parametrize("label", ["a/b", "see: x"])
def test_a_label_with_other_signs_is_not_sent(service: FakeApi, page: OpenPage, label: str) -> None:
    shown = with_t1c(page())
    field = next(field for field in shown.text_input if str(field.key).startswith("label-"))
    assert "Never the name" in field.help
    field.set_value(label).run()
    assert "A label can have letters" in words(shown)
    assert shown.button(key="analyse").disabled
