"""Each state of the page, as Streamlit's own test harness draws it, against the service's contract over HTTP."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX
from streamlit.testing.v1 import AppTest

from metseg.schemas import NOTICE, Model, Options, Phase, Problem, State, Study, Warned
from metseg.ui import host_check, page_settings, upload_access
from metseg.ui.api_client import Api
from metseg.ui.pages import study_progress
from metseg.ui.pages.downloads import zipped

from .fake import (
    FakeApi,
    done_pictures,
    done_volume,
    failed_study,
    lgg,
    picture_files,
    queued_study,
    volume_files,
)

OpenPage = Callable[..., AppTest]


def words(page: AppTest) -> str:
    """Return everything that is written on the page."""
    lists: Sequence[Any] = (page.markdown, page.caption, page.error, page.warning, page.info, page.success, page.title)
    return "\n".join(str(element.value) for elements in lists for element in elements)


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def require_sound(page: AppTest) -> None:
    """See that nothing broke, and that the notice is in sight."""
    assert not page.exception, [element.value for element in page.exception]
    assert any("metseg-notice" in element.value and NOTICE in element.value for element in page.markdown)


# --- nothing is handed in yet


def test_empty(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    require_sound(shown)
    assert [title.value for title in shown.title] == ["New study"]
    assert shown.button(key="analyse").disabled
    assert "None yet." in words(shown)
    assert "Try the sample study" in labels(shown)
    assert shown.selectbox(key="model-None").value == "mets-3d"  # the default for volumes


def test_without_models_nothing_can_be_sent(service: FakeApi, page: OpenPage) -> None:
    service.models = ()
    shown = page()
    require_sound(shown)
    assert "No model is installed" in words(shown)
    assert "Analyse" not in labels(shown)


def test_the_card_of_the_model_loads_nothing_from_elsewhere(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    assert "Known performance:  \nDice 0\\.84" in words(shown)
    assert "Trained on: Slices of \\*low\\-grade\\* glioma." in words(shown)
    assert "Research use only." in words(shown)
    assert "![" not in words(shown)


def test_a_name_that_is_not_plain_blocks_until_somebody_says_what_it_shows(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_post.nii.gz", b"one", "")]).run()
    require_sound(shown)
    assert "'post', which is ambiguous" in words(shown)
    assert "Choose the sequence of each file, or 'do not use'" in words(shown)
    assert shown.button(key="analyse").disabled
    (box,) = [box for box in shown.selectbox if str(box.key).startswith("sequence-")]
    box.set_value("t1c").run()
    assert not shown.button(key="analyse").disabled


def test_a_file_that_is_none_of_the_sequences_need_not_be_used(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    files = [("P1_T1_post.nii.gz", b"another", ""), ("P1_T1_gd.nii.gz", b"one", "")]
    shown.file_uploader[0].set_value(files).run()
    require_sound(shown)
    assert shown.button(key="analyse").disabled
    boxes = [box for box in shown.selectbox if str(box.key).startswith("sequence-")]
    assert boxes[0].options[-1] == "do not use"
    boxes[0].set_value("not used").run()
    require_sound(shown)
    shown.button(key="analyse").click().run()
    (parts,) = service.handed
    # No model: the service chooses the one that is recommended, and the result says why.
    assert parts == [("t1c", "file-1-t1c.nii.gz", b"one")]


def test_upload_shows_corrects_and_sends_sequences(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    files = [("P1_T1_gd.nii.gz", b"one", ""), ("P1_FLAIR.nii.gz", b"two", ""), ("MILLER.nii.gz", b"three", "")]
    shown.file_uploader[0].set_value(files).run()
    require_sound(shown)
    boxes = [box for box in shown.selectbox if str(box.key).startswith("sequence-")]
    assert [box.value for box in boxes] == ["t1c", "t2f", None]
    assert "Choose the sequence of each file, or 'do not use'" in words(shown)

    boxes[2].set_value("t1c").run()
    assert "More than one file is assigned to T1 with contrast." in words(shown)
    boxes = [box for box in shown.selectbox if str(box.key).startswith("sequence-")]
    boxes[2].set_value("t2w").run()
    assert not shown.warning

    shown.button(key="analyse").click().run()
    require_sound(shown)
    (parts,) = service.handed
    assert parts == [
        ("t1c", "file-1-t1c.nii.gz", b"one"),
        ("t2f", "file-2-t2f.nii.gz", b"two"),
        ("t2w", "file-3.nii.gz", b"three"),
    ]
    (study_id,) = service.studies
    assert shown.query_params["study"] in (study_id, [study_id])
    assert [title.value for title in shown.title] == ["Waiting to be analysed"]


def test_a_model_that_lacks_a_sequence_says_so(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("P1_FLAIR.nii.gz", b"two", "")]).run()
    assert "also needs T1 with contrast" in words(shown)


def test_pictures_are_offered_models_for_pictures_only(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("a.png", b"one", ""), ("b.png", b"two", "")]).run()
    require_sound(shown)
    assert list(shown.selectbox(key="model-picture").options) == ["lgg-flair (recommended)"]
    assert shown.checkbox(key="stack").label == "The pages of a TIFF are slices"


def test_a_model_with_terms_that_are_not_accepted_is_not_used(service: FakeApi, page: OpenPage) -> None:
    restricted = lgg().model_copy(update={"non_commercial": True, "accepted": False})
    service.models = (restricted,)
    shown = page()
    shown.file_uploader[0].set_value([("a.png", b"one", "")]).run()
    assert "metseg models accept lgg-flair" in words(shown)
    assert shown.button(key="analyse").disabled
    assert not [button for button in shown.button if str(button.key).startswith("sample-")]
    service.models = (restricted.model_copy(update={"accepted": True}),)
    shown.run()
    assert "metseg models accept" not in words(shown)
    assert any("non-commercial use only" in caption.value for caption in shown.caption)
    assert not shown.button(key="analyse").disabled
    assert shown.button(key="sample-pictures")


def test_only_a_page_that_the_service_let_in_may_upload(
    service: FakeApi, page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for name in ("allow", "deny"):
        monkeypatch.setattr(upload_access, name, lambda name=name: said.append(name))
    shown = page()
    assert said == ["allow"]
    service.key = "msk_right"
    shown.run()
    assert said == ["allow", "deny"]
    assert not shown.file_uploader


def test_files_of_several_kinds_are_not_sent(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("a.png", b"one", ""), ("b.nii", b"two", "")]).run()
    assert "several kinds" in words(shown)
    assert shown.button(key="analyse").disabled


def test_options_of_dicom_are_sent(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("study.zip", b"PK", "")]).run()
    shown.checkbox(key="gaps").check()
    shown.text_input(key="series-t1c").set_value("301")
    shown.text_input(key="series-t2f").set_value("the second")  # no number, so nothing that could be sent
    shown.run()
    assert "the second is not a series number" in words(shown)
    shown.button(key="analyse").click().run()
    (parts,) = service.handed
    assert {name: content for name, file_name, content in parts if file_name is None} == {
        "allow_gaps": b"true",
        "series": b"t1c=301",
    }


@pytest.mark.parametrize(("image", "field"), [("P1_T1_gd.nii.gz", "t1c"), ("study.zip", "files")])
def test_a_brain_mask_is_added_to_volumes_and_dicom(service: FakeApi, page: OpenPage, image: str, field: str) -> None:
    shown = page()
    shown.file_uploader[0].set_value([(image, b"one", "")]).run()
    shown.file_uploader[1].set_value([("brain.png", b"two", "")]).run()
    assert "is not a NIfTI file" in words(shown)
    shown.file_uploader[1].set_value([("MILLER_brain.nii.gz", b"two", "")]).run()
    shown.button(key="analyse").click().run()
    require_sound(shown)
    (parts,) = service.handed
    sent = [(name, file_name, content) for name, file_name, content in parts if file_name is not None]
    assert [name for name, _, _ in sent] == [field, "brain_mask"]
    assert sent[1] == ("brain_mask", "file-2.nii.gz", b"two")


def test_two_models_are_two_studies(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()
    shown.selectbox(key="second-nifti").set_value("mets-large").run()
    shown.button(key="analyse").click().run()
    assert [study.options.model for study in service.studies.values()] == ["mets-3d", "mets-large"]
    assert len(set(service.keys_of_uploads)) == 2


def test_a_refused_upload_is_explained_and_can_be_sent_again(service: FakeApi, page: OpenPage) -> None:
    service.refusal = Problem(
        type="urn:x", title="x", status=415, detail="got a GIF", code="input.format", where="file 1", request="ab12"
    )
    shown = page()
    shown.file_uploader[0].set_value([("a.png", b"GIF89a", "")]).run()
    shown.button(key="analyse").click().run()
    require_sound(shown)
    assert "A file has a format that is not supported (file 1)." in shown.error[0].value
    assert "input.format" in shown.code[0].value
    assert "ab12" in shown.code[0].value

    service.refusal = None
    shown.button(key="analyse").click().run()
    assert [title.value for title in shown.title] == ["Waiting to be analysed"]


def test_the_sample_is_sent(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.button(key="sample-sample-study").click().run()
    require_sound(shown)
    (parts,) = service.handed
    sent = {name: content for name, file_name, content in parts if file_name is not None}
    assert sorted(sent) == ["t1c", "t1n", "t2f", "t2w"]
    assert all(content.startswith(b"\x1f\x8b") for content in sent.values())


# --- being worked on


def test_working(service: FakeApi, page: OpenPage) -> None:
    study = service.add(queued_study(state=State.RUNNING, phase=Phase.PREDICT, progress=0.55))
    shown = page(study)
    require_sound(shown)
    assert [title.value for title in shown.title] == ["Being analysed"]
    assert shown.get("progress")[0].value == 55
    lines = [line for line in words(shown).splitlines() if line.startswith(":material/")]
    assert lines[:6] == [
        ":material/check_circle: Receive the files",
        ":material/check_circle: Read the images",
        ":material/check_circle: Prepare the images",
        ":material/pending: **Look for lesions**",
        ":material/radio_button_unchecked: Measure the lesions",
        ":material/radio_button_unchecked: Write the report",
    ]


def test_waiting_without_a_worker_says_so(service: FakeApi, page: OpenPage) -> None:
    service.workers = 0
    shown = page(service.add(queued_study()))
    require_sound(shown)
    assert "No worker is running at the moment" in words(shown)


def test_polling_asks_for_changes_only(service: FakeApi, page: OpenPage) -> None:
    shown = page(service.add(queued_study()))
    before = service.not_modified
    shown.run()
    assert service.not_modified > before


#: The headline of `done_volume`, escaped for Markdown: one of its two lesions is smaller than 0.1 mL.
TWO_FOUND = "1 lesion found, and 1 speck below 0\\.1 mL"


def test_a_finished_study_is_shown_as_such(service: FakeApi, page: OpenPage) -> None:
    study = service.add(queued_study())
    shown = page(study)
    service.add(done_volume(id=study.id), volume_files())
    shown.run()
    require_sound(shown)
    assert [title.value for title in shown.title] == [TWO_FOUND]


def test_cancel(service: FakeApi, page: OpenPage) -> None:
    study = service.add(queued_study())
    shown = page(study)
    shown.button(key=f"cancel-{study.id}").click().run()
    require_sound(shown)
    assert [title.value for title in shown.title] == ["Cancelled"]
    assert f"POST /studies/{study.id}/cancel" in service.asked


def test_a_result_says_which_file_is_which_sequence_and_why(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_volume(), volume_files())
    shown = page(study)
    require_sound(shown)
    said = [caption.value.replace("\\", "") for caption in shown.caption]
    assert "T1 with contrast: read from the 1st file uploaded (chosen at the upload)" in said


def test_warnings_name_sequences_as_the_rest_of_the_page_does(service: FakeApi, page: OpenPage) -> None:
    warning = Warned(phase=Phase.READ, text="the picture is grey; it was taken for t2f; t1n is missing")
    shown = page(service.add(done_volume(warnings=(warning,)), volume_files()))
    require_sound(shown)
    said = shown.warning[0].value.replace("\\", "")
    assert said == "The picture is grey; it was taken for FLAIR; T1 without contrast is missing."


def test_several_warnings_are_one_list(service: FakeApi, page: OpenPage) -> None:
    texts = ("t2f was moved by 1.2 mm and 0.4° to fit t1c", "the images show a head with skull")
    warnings = tuple(Warned(phase=Phase.READ, text=text) for text in texts)
    (shown,) = page(service.add(done_volume(warnings=warnings), volume_files())).warning
    assert shown.value.replace("\\", "").split("\n") == [
        "- FLAIR was moved by 1.2 mm and 0.4° to fit T1 with contrast.",
        "- The images show a head with skull.",
    ]


class DrawnAnew(Exception):
    """What stands for the end of a run that begins another."""


def test_when_a_study_begins_the_whole_page_is_drawn_anew(service: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the progress alone: title and sidebar speak of the study too."""

    def rerun() -> None:
        raise DrawnAnew

    monkeypatch.setattr(study_progress.st, "rerun", rerun)
    waiting = service.add(queued_study())
    service.studies[waiting.id] = waiting.model_copy(update={"state": State.RUNNING})
    with pytest.raises(DrawnAnew):
        study_progress._look(Api(page_settings.current()), waiting)


# --- done


def open_volume(service: FakeApi, page: OpenPage, **changes: Any) -> tuple[Study, AppTest]:
    study = service.add(done_volume(**changes), volume_files())
    shown = page(study)
    require_sound(shown)
    return study, shown


def viewer_arguments(shown: AppTest) -> dict[str, Any]:
    """Return what the viewer in the browser is given."""
    (viewer,) = shown.get("component_instance")
    found: dict[str, Any] = json.loads(viewer.proto.json_args)
    return found


def report(shown: AppTest, voxel: Sequence[object], by: str, lesion: object = None) -> None:
    """Have the viewer report."""
    (viewer,) = shown.get("component_instance")
    value = {"voxel": list(voxel), "lesion": lesion, "by": by, "count": 1, "all": True}
    send(shown, viewer.proto.id, json_value=json.dumps(value))


def test_done_shows_figures_and_table(service: FakeApi, page: OpenPage) -> None:
    _, shown = open_volume(service, page)
    assert [title.value for title in shown.title] == [TWO_FOUND]
    assert {metric.label: metric.value for metric in shown.metric} == {
        "Total volume": "1.30 mL",
        "Lesions of at least 0.1 mL": "1",
        "Longest diameter": "15.6 mm",
    }
    said = [caption.value.replace("\\", "") for caption in shown.caption]
    assert said.index("The model was trained on 9 patients; this study: T1 with contrast.") == 0
    table = shown.dataframe[0].value
    assert list(table["No."]) == [1, 2]
    assert list(table["Volume (mL)"]) == [1.2, 0.096]
    assert list(table["Place"]) == ["left", "right"]
    assert "Kind" not in table.columns  # there is one kind only


def test_done_begins_at_the_largest_lesion(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    # Its middle is (5, 6, 6.5) in the file, whose x runs to the left: x is 14 here.
    arguments = viewer_arguments(shown)
    assert arguments["point"] in ([14, 6, 6], [14, 6, 7])
    assert arguments["selected"] is None
    assert [(lesion["id"], lesion["voxel"][:2]) for lesion in arguments["lesionList"]] == [(1, [14, 6]), (2, [4, 18])]
    assert arguments["caseLabel"] == f"Study {study.id[:8]}"
    assert arguments["notice"] == "Research use only"


def test_a_click_in_the_table_jumps_to_the_lesion(service: FakeApi, page: OpenPage) -> None:
    _, shown = open_volume(service, page)
    before = viewer_arguments(shown)["serial"]
    select_row(shown, 1)
    require_sound(shown)
    assert "Lesion 2\\: 0\\.096 mL" in words(shown)
    arguments = viewer_arguments(shown)
    assert arguments["point"] == [4, 18, 2]
    assert arguments["selected"] == 2
    assert arguments["serial"] == before + 1  # the viewer follows


def test_a_click_in_the_image_selects_the_lesion(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    before = viewer_arguments(shown)["serial"]
    report(shown, (4, 18, 3), "click")  # 15 in the file, whose x runs to the left
    require_sound(shown)
    assert "Lesion 2\\: 0\\.096 mL" in words(shown)
    assert shown.session_state[f"table-{study.id}"]["selection"]["rows"] == [1]
    assert viewer_arguments(shown)["serial"] == before  # the viewer shows it already, and is left alone


def test_a_click_beside_lesions_moves_the_crosshair_only(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    report(shown, (19, 0, 7), "click")
    require_sound(shown)
    assert shown.session_state[f"place-{study.id}"] == (19, 0, 7)
    assert "Click a row to show the lesion" in words(shown)


def test_the_next_lesion_in_the_viewer_is_selected_in_the_table(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    report(shown, (4, 18, 2), "lesion", 2)
    require_sound(shown)
    assert "Lesion 2\\: 0\\.096 mL" in words(shown)
    assert shown.session_state[f"table-{study.id}"]["selection"]["rows"] == [1]
    assert shown.session_state[f"place-{study.id}"] == (4, 18, 2)
    select_row(shown, 0)
    assert viewer_arguments(shown)["selected"] == 1


def test_nonsense_from_the_browser_is_ignored(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    before = shown.session_state[f"place-{study.id}"]
    for voxel, by in (((0, 0, 99), "click"), (("a", None, 1), "lesion"), ((1, 2), "click")):
        report(shown, voxel, by)
        require_sound(shown)
    assert shown.session_state[f"place-{study.id}"] == before


def test_the_other_sequences_follow_the_first_picture(service: FakeApi, page: OpenPage) -> None:
    """The first picture does not wait for them; the brain that metseg extracted comes with it."""
    files = volume_files()
    files |= {"sequence-t2f.nii.gz": files["image.nii.gz"], "brain_mask.nii.gz": files["mask.nii.gz"]}
    base = done_volume()
    facts = base.facts.model_copy(update={"sequences": ("t2f", "t1c", "t1n")})
    study = service.add(base.model_copy(update={"facts": facts}), files)
    shown = page(study)
    require_sound(shown)
    arguments = viewer_arguments(shown)
    assert [image["title"] for image in arguments["images"]] == ["T1 with contrast"]
    assert f"GET /studies/{study.id}/artifacts/sequence-t2f.nii.gz" not in service.asked
    assert arguments["brain"]["url"].startswith("/")
    report(shown, arguments["point"], "ready")
    require_sound(shown)
    later = viewer_arguments(shown)
    assert [image["name"] for image in later["images"]] == [
        "t1c",
        "t2f",  # t1n was not stored; the order does not depend on the model
    ]
    assert later["serial"] == arguments["serial"]
    assert later["labels"] == arguments["labels"]  # the same address: nothing is sent again
    assert later["images"][0] == arguments["images"][0]


def select_row(shown: AppTest, row: int) -> None:
    """Click a row of the lesion table; the harness cannot, so what a browser would send is sent."""
    send(shown, shown.dataframe[0].proto.id, string_value=json.dumps({"selection": {"rows": [row], "columns": []}}))


def click(shown: AppTest, key: str, event: str, value: object) -> None:
    """Have the browser tell an event of pictures."""
    (pictures,) = (element for element in shown.get("bidi_component") if key in element.proto.id)
    target = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{pictures.proto.id}__events"
    send(shown, target, json_trigger_value=json.dumps([{"event": event, "value": value}]))


def send(shown: AppTest, element_id: str, **content: str) -> None:
    """Run the page with one more thing from the browser, beside what the widgets say."""
    states = shown._tree.get_widget_states()
    states.widgets.add(id=element_id, **content)
    shown._run(states)


def test_another_threshold_is_a_preview(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    assert "Shown at the model's threshold, 0.50." in words(shown)
    labels = viewer_arguments(shown)["labels"]
    shown.slider(key=f"threshold-{study.id}").set_value(0.2).run()
    require_sound(shown)
    assert viewer_arguments(shown)["labels"] != labels
    # The rim of the larger lesion, 7 x 7 x 6 voxels with it, and the smaller one of 8; a voxel has 0.012 mL.
    assert f"Preview at 0.20: 2 findings, {(294 + 8) * 0.012:.2f} mL." in words(shown)
    shown.slider(key=f"threshold-{study.id}").set_value(0.8).run()
    assert f"Preview at 0.80: 1 finding, {100 * 0.012:.2f} mL." in words(shown)
    assert len(shown.dataframe[0].value) == 2  # the table stays as the model decided


def test_no_lesion_is_a_result(service: FakeApi, page: OpenPage) -> None:
    files = volume_files()
    study = service.add(done_volume(lesions=()), {**files})
    shown = page(study)
    require_sound(shown)
    assert [title.value for title in shown.title] == ["No lesion found"]
    assert "The model found nothing above its threshold. It can miss lesions" in words(shown)
    assert not shown.success  # no all-clear
    assert not shown.dataframe


def test_pictures(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_pictures(), picture_files())
    shown = page(study)
    require_sound(shown)
    assert [title.value for title in shown.title] == ["1 lesion found in 1 of 2 pictures"]
    assert shown.slider(key=f"slice-{study.id}").value == 2  # where the lesion is
    assert list(shown.dataframe[0].value["Pixels"]) == [48]
    shown.slider(key=f"slice-{study.id}").set_value(1).run()
    require_sound(shown)
    assert f"GET /studies/{study.id}/artifacts/image-1.png" in service.asked


def test_preprocessing_shows_before_and_after(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    choose_section(shown, study, "Preprocessing")
    require_sound(shown)
    assert "Step\\: zscore" in words(shown)
    assert len(shown.image) == 2


def test_preprocessing_of_pictures(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_pictures(), picture_files())
    shown = page(study)
    choose_section(shown, study, "Preprocessing")
    require_sound(shown)
    assert len(shown.image) == 2


def choose_section(shown: AppTest, study: Study, name: str) -> None:
    control = next(control for control in shown.segmented_control if control.key == f"section-{study.id}")
    control.set_value(name).run()


def test_two_models_side_by_side(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_volume(), volume_files())
    service.add(done_volume(options=Options(model="mets-large"), lesions=()), volume_files())
    shown = page(study)
    choose_section(shown, study, "Two models")
    require_sound(shown)
    # The other one's mask is the same file.
    assert {metric.label: metric.value for metric in shown.metric}["Dice between results"] == "1.000"
    assert {metric.label: metric.value for metric in shown.metric}["Only in the first"] == "0.00 mL"
    assert len(shown.image) == 3


def test_without_a_second_result_one_is_offered(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_volume(), volume_files())
    shown = page(study)
    choose_section(shown, study, "Two models")
    require_sound(shown)
    assert "No other model has analysed these images yet." in words(shown)
    assert "upload the images again" in words(shown)


def test_files_to_take_away(service: FakeApi, page: OpenPage) -> None:
    study, shown = open_volume(service, page)
    choose_section(shown, study, "Report and files")
    require_sound(shown)
    named = [button.label.rpartition(",")[0] for button in shown.download_button]
    assert "Mask (NIfTI)" in named
    assert "Lesion table (CSV)" in named
    assert "3D Slicer" in words(shown)
    assert "ITK-SNAP" in words(shown)


def test_every_slice_in_one_file(service: FakeApi) -> None:
    study = service.add(done_pictures(), picture_files())
    content = zipped(Api(page_settings.current()), study, ["mask-1.png", "mask-2.png"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["mask-1.png", "mask-2.png"]
        assert archive.read("mask-2.png") == picture_files()["mask-2.png"]


def test_a_result_that_is_no_image_is_explained(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_volume(), {**volume_files(), "mask.nii.gz": b"nonsense"})
    shown = page(study)
    require_sound(shown)
    assert "does not understand" in shown.error[0].value


# --- failed


def test_failed(service: FakeApi, page: OpenPage) -> None:
    shown = page(service.add(failed_study()))
    require_sound(shown)
    assert [title.value for title in shown.title] == ["This study could not be analysed"]
    assert "A file is damaged or was cut short (file 1)." in shown.error[0].value
    assert "gzip" not in shown.error[0].value  # that is for the administrator
    assert "input.truncated" in shown.code[0].value
    assert "12 voxels of \\$x\\$" in words(shown)
    shown.button(key="begin-again").click().run()
    assert [title.value for title in shown.title] == ["New study"]


def test_a_study_that_is_not_there(service: FakeApi, page: OpenPage) -> None:
    shown = page(queued_study())  # of which the service knows nothing
    require_sound(shown)
    assert "This study was not found" in shown.error[0].value


# --- the service is away, or wants to know who asks


def test_api_down(service: FakeApi, page: OpenPage) -> None:
    service.down = True
    shown = page()
    require_sound(shown)
    assert "The service cannot be reached" in shown.error[0].value
    service.down = False
    shown.button(key="try-again").click().run()
    require_sound(shown)
    assert [title.value for title in shown.title] == ["New study"]


def test_api_down_in_the_middle_of_a_study_keeps_the_page(service: FakeApi, page: OpenPage) -> None:
    study = service.add(queued_study())
    shown = page(study)
    service.down = True
    shown.run()
    require_sound(shown)
    assert "Your studies are safe" in words(shown)


def test_without_a_key_only_this_machine_is_let_in(
    service: FakeApi, page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page elsewhere whose name was made to lead here, or somebody elsewhere, sees nothing and sends nothing."""
    study = service.add(done_volume(), volume_files())
    monkeypatch.setattr(host_check, "requested_host", lambda: "evil.example:8501")
    shown = page(study)
    require_sound(shown)
    assert "only on the computer that it runs on" in words(shown)
    assert labels(shown) == []
    assert service.asked == ["GET /ready", "GET /studies"]  # the latter to see whether a key is asked for
    monkeypatch.setattr(host_check, "requested_host", lambda: "localhost:8501")
    assert "1 lesion found, and 1 speck" in words(page(study))


def test_with_a_key_it_may_be_called_by_any_name(
    service: FakeApi, page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.key = "secret"
    monkeypatch.setattr(host_check, "requested_host", lambda: "metseg.example")
    shown = page()
    assert "needs an access key" in words(shown)
    shown.text_input(key="access-key").set_value("secret")
    shown.form_submit_button[0].click().run()
    assert [title.value for title in shown.title] == ["New study"]


def test_a_key_is_asked_for_and_then_used(service: FakeApi, page: OpenPage) -> None:
    service.key = "secret"
    shown = page()
    require_sound(shown)
    assert not shown.error
    shown.text_input(key="access-key").set_value("wrong")
    shown.form_submit_button[0].click().run()
    assert "A key is needed" in shown.error[0].value
    shown.text_input(key="access-key").set_value("secret")
    shown.form_submit_button[0].click().run()
    require_sound(shown)
    assert [title.value for title in shown.title] == ["New study"]


# --- history


def test_history(service: FakeApi, page: OpenPage) -> None:
    done, failed = service.add(done_volume(), volume_files()), service.add(failed_study())
    shown = page(page="studies")
    require_sound(shown)
    assert "2 findings" in words(shown)
    assert "failed\\: A file is damaged or was cut short" in words(shown)
    shown.button(key=f"delete-{failed.id}").click().run()
    require_sound(shown)
    assert list(service.studies) == [done.id]
    shown.button(key=f"open-{done.id}").click().run()
    assert [title.value for title in shown.title] == [TWO_FOUND]


@pytest.mark.parametrize("query", ["../../etc/passwd", "' OR 1=1", "3F2B" * 8])
def test_an_address_that_is_no_study_asks_for_nothing(service: FakeApi, page: OpenPage, query: str) -> None:
    shown = page(study=query)
    require_sound(shown)
    assert [title.value for title in shown.title] == ["New study"]
    assert not any(query in asked for asked in service.asked)


def test_text_of_a_model_is_no_markup(service: FakeApi, page: OpenPage) -> None:
    evil: Model = lgg().model_copy(update={"description": "<script>alert(1)</script> [a](javascript:x)"})
    service.models = (evil,)
    shown = page()
    assert "<script>" not in "\n".join(caption.value for caption in shown.caption)
    assert np.all([not element.allow_html for element in shown.caption])
