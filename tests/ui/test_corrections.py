"""The panel of corrections on the page of a finished study, against the fake service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from metseg.schemas import Problem, Study
from metseg.ui import display_text
from metseg.ui.pages.corrections import corrected_study, version_words
from metseg.version_schemas import AddEdit, LesionEdit

from .fake import (
    AFFINE,
    FakeApi,
    done_pictures,
    done_volume,
    model_version,
    next_version,
    picture_files,
    volume_files,
)

OpenPage = Callable[..., AppTest]


@pytest.fixture
def study(service: FakeApi) -> Study:
    return service.add(done_volume(), volume_files())


def words(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.error, page.info)
    return "\n".join(str(item.value) for kind in kinds for item in kind).replace("\\", "")


def review(page: AppTest, study: Study, version: int, lesion: int, action: str) -> None:
    """Choose an action of a lesion."""
    key = f"review-{study.id}-{version}-{lesion}"
    next(item for item in page.segmented_control if item.key == key).set_value(action)


def test_nothing_can_be_saved_without_an_edit(service: FakeApi, page: OpenPage, study: Study) -> None:
    shown = page(study)
    assert not shown.exception
    assert "Corrections" in [item.value for item in shown.subheader]
    assert shown.button(key=f"save-{study.id}").disabled
    assert "Version 0: result of the model, 2 findings" in shown.selectbox(key=f"version-{study.id}-1").options[0]


def test_a_result_that_was_open_for_minutes_can_be_corrected(
    service: FakeApi, page: OpenPage, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=7)

    shown = page(study)
    version = model_version(study)
    before = version_words(version)
    monkeypatch.setattr(display_text, "datetime", Later)
    assert version_words(version) == before
    review(shown, study, 0, 1, "accept")
    shown.run()
    assert not shown.exception
    assert not shown.button(key=f"save-{study.id}").disabled


def test_lesions_are_reviewed_and_saved_as_a_version(service: FakeApi, page: OpenPage, study: Study) -> None:
    shown = page(study)
    review(shown, study, 0, 1, "accept")
    review(shown, study, 0, 2, "remove")
    shown.text_input(key=f"author-{study.id}").set_value("reader 1")
    shown.text_input(key=f"note-{study.id}-0").set_value("lesion 2 is a vessel")
    shown.run()
    assert not shown.button(key=f"save-{study.id}").disabled
    shown.button(key=f"save-{study.id}").click().run()
    assert not shown.exception
    (sent,) = service.corrections
    assert sent.edits == (LesionEdit(action="accept", lesion=1), LesionEdit(action="remove", lesion=2))
    assert (sent.parent, sent.author, sent.note) == (0, "reader 1", "lesion 2 is a vessel")
    assert shown.selectbox(key=f"version-{study.id}-2").value == 1
    assert shown.button(key=f"save-{study.id}").label == "Save as version 2"
    assert "Compared with version 0: 2 to 1 finding, 1.3 to 1.2 mL, Dice 0.960" in words(shown)
    assert "**accepted**" in words(shown)
    assert f"GET /studies/{study.id}/versions/1/artifacts/mask.nii.gz" in service.asked


def test_a_lesion_is_added_at_the_crosshair(service: FakeApi, page: OpenPage, study: Study) -> None:
    """The crosshair starts at the largest lesion; the page turns the axes of the file."""
    shown = page(study)
    shown.button(key=f"add-{study.id}").click().run()
    assert "New lesion at x " in words(shown)
    shown.button(key=f"save-{study.id}").click().run()
    ((edit,),) = (sent.edits for sent in service.corrections)
    assert isinstance(edit, AddEdit)
    expected = AFFINE[:3, :3] @ np.rint(study.lesions[0].centre_voxel) + AFFINE[:3, 3]
    np.testing.assert_allclose(edit.point_mm, expected, atol=3.1)
    assert "New lesion at" not in words(shown)


def test_an_added_point_can_be_undone(service: FakeApi, page: OpenPage, study: Study) -> None:
    shown = page(study)
    shown.button(key=f"add-{study.id}").click().run()
    shown.button(key=f"undo-{study.id}-0").click().run()
    assert "New lesion at" not in words(shown)
    assert shown.button(key=f"save-{study.id}").disabled


def test_a_mask_is_uploaded_without_its_name(service: FakeApi, page: OpenPage, study: Study) -> None:
    shown = page(study)
    box = next(item for item in shown.file_uploader if item.key == f"mask-{study.id}-0")
    box.set_value([("MILLER.nii.gz", b"mask", "")]).run()
    shown.button(key=f"save-mask-{study.id}").click().run()
    assert not shown.exception
    assert service.handed == [[("parent", None, b"0"), ("file", "mask.nii.gz", b"mask")]]
    assert shown.selectbox(key=f"version-{study.id}-2").value == 1


def test_an_older_version_is_shown_and_not_edited(service: FakeApi, page: OpenPage, study: Study) -> None:
    service.versions[study.id] = [next_version(model_version(study), None, "mask")]
    service.files[study.id] |= {"1/mask.nii.gz": volume_files()["mask.nii.gz"]}
    service.files[study.id] |= {"1/lesions.nii.gz": volume_files()["lesions.nii.gz"]}
    shown = page(study)
    shown.selectbox(key=f"version-{study.id}-2").set_value(0).run()
    assert "This is an older version. Choose version 1" in words(shown)
    assert f"save-{study.id}" not in [button.key for button in shown.button]


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("request.conflict", "Somebody has corrected this study meanwhile"),
        ("input.no_probability", "The model sees no lesion at this point"),
    ],
)
def test_a_refused_correction_says_why(service: FakeApi, page: OpenPage, study: Study, code: str, title: str) -> None:
    shown = page(study)
    shown.button(key=f"add-{study.id}").click().run()
    service.refusal = Problem(type="x", title="No", status=409, detail="no", code=code)
    shown.button(key=f"save-{study.id}").click().run()
    assert title in words(shown)
    assert "New lesion at" in words(shown)


def test_a_service_without_versions_shows_no_panel(service: FakeApi, page: OpenPage, study: Study) -> None:
    service.has_versions = False
    shown = page(study)
    assert not shown.exception
    assert "Corrections" not in [item.value for item in shown.subheader]


def test_a_point_of_a_picture_is_given_by_column_and_row(service: FakeApi, page: OpenPage) -> None:
    study = service.add(done_pictures(), picture_files())
    shown = page(study)
    shown.number_input(key=f"column-{study.id}").set_value(5)
    shown.number_input(key=f"row-{study.id}").set_value(7).run()
    shown.button(key=f"add-{study.id}").click().run()
    assert "column 5, row 7 of picture 2" in words(shown)
    shown.button(key=f"save-{study.id}").click().run()
    (sent,) = service.corrections
    assert sent.edits == (AddEdit(action="add", voxel=(4, 6, 1)),)


def test_a_version_takes_the_place_of_the_results(service: FakeApi) -> None:
    study = service.add(done_volume(), {**volume_files(), "overlay.png": b"png"})
    version = next_version(model_version(study))
    shown = corrected_study(study, version)
    by_name = {artifact.name: artifact.url for artifact in shown.artifacts}
    assert by_name["mask.nii.gz"] == f"/studies/{study.id}/versions/1/artifacts/mask.nii.gz"
    assert by_name["image.nii.gz"] == f"/studies/{study.id}/artifacts/image.nii.gz"
    assert "overlay.png" not in by_name
