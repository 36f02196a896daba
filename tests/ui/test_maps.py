"""Uncertainty, Grad-CAM and grade on the page: options of an upload, maps over the images, ranges, and one sentence."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from metseg.grade_record import NO_GLIOMAS, OUTLINES_CORRECTED, CaseGrade, GradeReason
from metseg.ui.pages.corrections import corrected_study
from metseg.ui.viewer.heat_map import MAP_KINDS, colour_table, draw_map, map_file
from metseg.ui.viewer.nifti_bytes import read_nifti
from metseg.version_schemas import Version

from .fake import (
    MODELS,
    SHAPE,
    FakeApi,
    done_pictures,
    done_volume,
    nifti,
    picture_files,
    png,
    volume_files,
    volume_lesions,
)
from .test_main_page import OpenPage, require_sound, viewer_arguments, words

GRADE = CaseGrade(
    column="grade",
    grade="HGG",
    other="LGG",
    probability=0.8,
    auc_text="AUC 0.90 (0.81 to 0.97)",
    decided_by=(GradeReason(feature="volume_ml", value=3.0, contribution=0.5),),
)


@pytest.mark.parametrize("predictions", [1, 4])
def test_the_options_are_sent_and_the_uncertainty_only_where_it_can_be_measured(
    service: FakeApi, page: OpenPage, predictions: int
) -> None:
    service.models = tuple(model.model_copy(update={"predictions": predictions}) for model in MODELS)
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()
    uncertainty, explanation = (checkbox(shown, key) for key in ("uncertainty", "explanation"))
    assert uncertainty.disabled == (predictions == 1)
    explanation.check()
    if predictions > 1:
        uncertainty.check()
    shown.run()
    shown.button(key="analyse").click().run()
    require_sound(shown)
    (sent,) = ({name for name, file, _ in parts if file is None} for parts in service.handed)
    assert ("uncertainty" in sent, "explanation" in sent) == (predictions > 1, True)


@pytest.mark.parametrize("gates", [0, 3])
def test_gates_are_offered_only_where_the_model_has_them(service: FakeApi, page: OpenPage, gates: int) -> None:
    service.models = tuple(model.model_copy(update={"gates": gates}) for model in MODELS)
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()
    explanation = checkbox(shown, "explanation")
    assert ("attention gates" in explanation.label) == bool(gates)
    assert ("attention gate" in explanation.help) == bool(gates)


def checkbox(shown: AppTest, key: str) -> object:
    return next(box for box in shown.checkbox if box.key.startswith(key))


def test_a_volume_has_its_maps_in_the_viewer_and_ranges_in_the_table(service: FakeApi, page: OpenPage) -> None:
    first, second = volume_lesions()
    spread = {"voxels_range": (80, 120), "volume_ml_range": (0.96, 1.44), "range_predictions": 4}
    lesions = tuple(lesion.model_copy(update=spread) for lesion in (first, second))
    plain = service.add(done_volume(), volume_files())
    study = service.add(done_volume(lesions=lesions), {**volume_files(), "uncertainty.nii.gz": uncertainty_file()})
    shown = page(study)
    require_sound(shown)
    (only,) = viewer_arguments(shown)["maps"]
    assert (only["name"], only["title"]) == ("uncertainty", "Uncertainty")
    assert only["legend"].startswith("Uncertainty, 0 to 0.5: ")
    assert list(shown.dataframe[0].value["Range"]) == ["0.96 to 1.44"] * 2
    without = page(plain)
    assert viewer_arguments(without)["maps"] == []
    assert "Range" not in without.dataframe[0].value


def test_gates_are_maps_of_the_viewer_the_finest_first(service: FakeApi, page: OpenPage) -> None:
    names = ("attention-2.nii.gz", "gradcam.nii.gz", "attention-1.nii.gz")
    study = service.add(done_volume(), {**volume_files(), **dict.fromkeys(names, uncertainty_file())})
    shown = page(study)
    require_sound(shown)
    maps = viewer_arguments(shown)["maps"]
    assert [item["title"] for item in maps] == ["Grad-CAM", "Attention gate 1", "Attention gate 2"]
    assert maps[1]["legend"] == "Attention gate 1, 0 to 1: share of the features that pass to the decoder"


def test_a_result_is_explained_by_a_second_analysis_that_the_user_starts(service: FakeApi, page: OpenPage) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()
    shown.button(key="analyse").click().run()
    (study_id,) = service.studies
    service.add(done_volume(id=study_id), volume_files())
    shown.run()
    shown.button(key=f"explain-{study_id}").click().run()
    require_sound(shown)
    assert "These are the files of the earlier study." in words(shown)
    assert checkbox(shown, "explanation").value
    assert len(service.handed) == 1  # nothing runs before the user asks for it
    shown.button(key="analyse").click().run()
    first, second = ({name for name, file, _ in parts if file is None} for parts in service.handed)
    assert ("explanation" in first, "explanation" in second) == (False, True)


def test_a_result_with_an_explanation_or_without_its_files_offers_no_second_analysis(
    service: FakeApi, page: OpenPage
) -> None:
    shown = page()
    shown.file_uploader[0].set_value([("P1_T1_gd.nii.gz", b"one", "")]).run()
    checkbox(shown, "explanation").check()
    shown.run()
    shown.button(key="analyse").click().run()
    (study_id,) = service.studies
    options = done_volume().options.model_copy(update={"explanation": True})
    service.add(done_volume(id=study_id).model_copy(update={"options": options}), volume_files())
    shown.run()
    keys = [str(button.key) for button in shown.button]
    assert f"run-again-{study_id}" in keys
    assert f"explain-{study_id}" not in keys
    other = page(service.add(done_volume(), volume_files()))
    assert not [button for button in other.button if str(button.key).startswith("explain-")]


def uncertainty_file() -> bytes:
    stored = np.zeros(SHAPE, dtype=np.uint16)
    stored[3:8, 4:9, 5:9] = round(0.25 * 65535)
    return nifti(stored, slope=1 / 65535)


def test_the_file_for_the_viewer_has_one_step_for_each_colour() -> None:
    image = read_nifti(uncertainty_file())
    copy = nibabel.Nifti1Image.from_bytes(gzip.decompress(map_file(image, MAP_KINDS["uncertainty"])))
    data = np.asanyarray(copy.dataobj)
    assert data.dtype == np.uint8
    assert set(np.unique(data)) == {0, 128}  # 0.25 of 0.5
    assert np.count_nonzero(data) == 100
    assert data.shape == SHAPE


def test_a_map_leaves_a_picture_as_it_is_where_it_is_zero() -> None:
    picture = np.full((2, 2, 3), 100, dtype=np.uint8)
    drawn = draw_map(picture, np.array([[0, 65535], [0, 0]], dtype=np.uint16), MAP_KINDS["gradcam"])
    red, green, blue, opacity = colour_table()[255].astype(float)
    share = opacity / 255
    assert drawn[0, 1].tolist() == pytest.approx([100 * (1 - share) + c * share for c in (red, green, blue)], abs=1)
    assert (drawn[1] == 100).all()


def test_pictures_have_a_control_for_their_maps(service: FakeApi, page: OpenPage) -> None:
    maps = {f"gradcam-{number}.png": png(np.full((30, 40), 65535, np.uint16)) for number in (1, 2)}
    study = service.add(done_pictures(), {**picture_files(), "gradcam.nii.gz": b"", **maps})
    shown = page(study)
    require_sound(shown)
    assert not [path for path in service.asked if "gradcam" in path]
    shown.segmented_control(key=f"map-{study.id}").set_value("Grad-CAM").run()
    require_sound(shown)
    assert "share of its largest value" in words(shown)
    assert f"GET /studies/{study.id}/artifacts/gradcam-2.png" in service.asked


@pytest.mark.parametrize(("facts", "expected"), [
    ({"grade": GRADE}, "Tumour grade, an estimate for research: HGG rather than LGG, probability 0.80; AUC 0.90"),
    ({"no_grade": NO_GLIOMAS}, None),
    ({"no_grade": "no tumour was found"}, "Tumour grade: not available, because no tumour was found."),
    ({}, None),
])  # fmt: skip
def test_the_grade_or_why_there_is_none(
    service: FakeApi, page: OpenPage, facts: dict[str, object], expected: str | None
) -> None:
    base = done_volume()
    study = service.add(base.model_copy(update={"facts": base.facts.model_copy(update=facts)}), volume_files())
    shown = page(study)
    require_sound(shown)
    text = words(shown).replace("\\", "")
    assert "Tumour grade" not in text if expected is None else expected in text


def test_a_corrected_version_has_no_grade(service: FakeApi) -> None:
    base = done_volume()
    study = service.add(
        base.model_copy(update={"facts": base.facts.model_copy(update={"grade": GRADE})}), volume_files()
    )
    version = Version.model_construct(table=(), artifacts=(), headline=None)
    corrected = corrected_study(study, version).facts
    assert (corrected.grade, corrected.no_grade) == (None, OUTLINES_CORRECTED)
