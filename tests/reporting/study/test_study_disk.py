"""``metseg report``: of what ``metseg predict`` wrote, with and without the images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.reporting.study.from_disk import NO_IMAGES, report_of_document
from metseg.reporting.study.report_builder import Options

Make = Callable[..., dict[str, Any]]
MakeBundle = Callable[..., tuple[Path, str]]
Run = Callable[..., Any]


def save_volume(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


@pytest.fixture(autouse=True)
def no_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def predicted(volume_document: Make, study: Any, tmp_path: Path) -> Path:
    """Return the document of a volume, its mask beside it."""
    document = tmp_path / "out" / "head.json"
    save_volume(tmp_path / "out" / "head-seg.nii.gz", study.labels, study.affine)
    document.write_text(json.dumps(volume_document(case="head")), "utf-8")
    return document


@pytest.fixture
def images(study: Any, tmp_path: Path) -> Path:
    return save_volume(tmp_path / "head" / "t1c.nii.gz", study.image, study.affine).parent


@pytest.fixture
def predicted_pictures(picture_document: Make, picture_masks: np.ndarray, tmp_path: Path) -> Path:
    """Return the document of pictures, their masks beside it."""
    out = tmp_path / "out"
    (out / "P1").mkdir(parents=True)
    for z, name in enumerate(("first", "second")):
        Image.fromarray(picture_masks[:, :, z].T * np.uint8(255)).save(out / "P1" / f"{name}_mask.png")
    (out / "pictures.json").write_text(json.dumps(picture_document()), "utf-8")
    return out / "pictures.json"


def save_pictures(folder: Path, size: tuple[int, int] = (30, 20)) -> Path:
    (folder / "P1").mkdir(parents=True)
    for name in ("first", "second"):
        pixels = np.random.default_rng(0).integers(0, 200, size[::-1], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "P1" / f"{name}.png")
    return folder


def test_with_the_images_sides_are_known(predicted: Path, images: Path) -> None:
    report = report_of_document(predicted, images=images)
    assert [lesion.side for lesion in report.lesions] == ["right", "left"]
    assert (len(report.key_images), report.lacking) == (2, "")
    assert "Image: T1 with contrast" in report.key_images[0].caption
    assert not report.model.is_described


def test_one_file_is_a_study_too(predicted: Path, images: Path) -> None:
    assert report_of_document(predicted, images=images / "t1c.nii.gz").lacking == ""


def test_the_file_that_was_read_is_found_whatever_its_name_says(
    volume_document: Make, predicted: Path, images: Path
) -> None:
    """It was named on the command line: its own name says no sequence plainly."""
    record = {"sequence": "t1c", "source": "T1_post.nii.gz", "reason": "the user named it"}
    predicted.write_text(json.dumps(volume_document(case="head", sequences=[record])), "utf-8")
    place = (images / "t1c.nii.gz").rename(images / "T1_post.nii.gz")
    for given in (images, place):
        assert report_of_document(predicted, images=given).lacking == ""


def test_without_the_images_outlines_are_on_black(predicted: Path) -> None:
    report = report_of_document(predicted)
    assert len(report.key_images) == 2
    assert "outlines are drawn on black" in report.lacking
    assert [lesion.side for lesion in report.lesions] == [None, None]


def test_without_the_mask_there_is_a_report_all_the_same(predicted: Path) -> None:
    predicted.with_name("head-seg.nii.gz").unlink()
    report = report_of_document(predicted)
    assert report.key_images == ()
    assert "No mask was found beside the document" in report.lacking
    assert len(report.lesions) == 2


def test_images_of_another_place_are_refused(predicted: Path, study: Any, tmp_path: Path) -> None:
    moved = study.affine.copy()
    moved[0, 3] += 4
    other = save_volume(tmp_path / "other" / "t1c.nii.gz", study.image, moved)
    with pytest.raises(InputError, match="not on the grid") as raised:
        report_of_document(predicted, images=other)
    assert raised.value.code == "input.affine_mismatch"


def test_a_mask_of_another_place_is_refused(predicted: Path, study: Any) -> None:
    save_volume(predicted.with_name("head-seg.nii.gz"), study.labels[:-1], study.affine)
    with pytest.raises(InputError, match="the mask is not on the grid") as raised:
        report_of_document(predicted)
    assert raised.value.code == "input.shape_mismatch"


def test_the_model_is_found_by_its_fingerprint(predicted: Path, volume_document: Make, make_bundle: MakeBundle) -> None:
    folder, fingerprint = make_bundle()
    predicted.write_text(json.dumps(volume_document(case="head", bundle=fingerprint)), "utf-8")
    assert report_of_document(predicted).model.performance[0].dice == 0.8126
    assert report_of_document(predicted, model=folder).model == report_of_document(predicted).model


def test_pictures(predicted_pictures: Path, tmp_path: Path) -> None:
    report = report_of_document(predicted_pictures, images=save_pictures(tmp_path / "pictures"))
    (image,) = report.key_images
    assert image.caption.startswith("Picture 2 (P1/second)")
    assert report.lacking == ""
    bare = report_of_document(predicted_pictures)
    assert "drawn on black" in bare.lacking
    assert bare.key_images[0].size[0] < image.size[0]  # two panels, not four


def test_pictures_without_a_lesion(
    predicted_pictures: Path, picture_document: Make, picture_masks: np.ndarray, tmp_path: Path
) -> None:
    predicted_pictures.write_text(json.dumps(picture_document(lesions=[])), "utf-8")
    report = report_of_document(predicted_pictures, images=save_pictures(tmp_path / "pictures"))
    (image,) = report.key_images
    assert image.title == "Picture 1"  # the middle of two is the first
    assert report_of_document(predicted_pictures).key_images == ()


def test_pictures_of_another_size_are_refused(predicted_pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the picture is not on the grid"):
        report_of_document(predicted_pictures, images=save_pictures(tmp_path / "pictures", size=(31, 20)))


@pytest.mark.parametrize("name", ["../../secret", "/etc/secret"])
def test_a_document_leads_nowhere_else(
    predicted_pictures: Path, picture_document: Make, name: str, tmp_path: Path
) -> None:
    predicted_pictures.write_text(json.dumps(picture_document(slices=["P1/first", name])), "utf-8")
    with pytest.raises(InputError, match="outside its folder"):
        report_of_document(predicted_pictures)


def test_the_command_writes_both_formats(run_metseg: Run, predicted: Path, images: Path) -> None:
    status, out, err = run_metseg("report", predicted, "--images", images, "--format", "pdf", "--format", "html")
    pdf, html = (predicted.with_name(f"head-report.{ending}") for ending in ("pdf", "html"))
    assert (status, out.split(), err) == (0, [str(pdf), str(html)], "")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert "1 lesion found, and 1 speck" in html.read_text("utf-8")


def test_the_command_in_json_with_a_pseudonym(
    run_metseg: Run, predicted: Path, volume_document: Make, tmp_path: Path
) -> None:
    predicted.write_text(json.dumps(volume_document(case="Jane_Roe")), "utf-8")
    choices = ("--format", "html", "--pseudonym", "A-17", "--key-images", 0)
    status, out, _ = run_metseg("report", predicted, *choices, "--out", tmp_path / "r", "--json")
    assert status == 0
    (path,) = json.loads(out)["reports"]
    assert Path(path) == tmp_path / "r" / "A-17-report.html"
    text = Path(path).read_text("utf-8")
    assert "A-17" in text
    assert "Jane" not in text
    assert "<figure>" not in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--format", "docx"), 2, "Unknown report format 'docx'"),
        (("--paper", "A3"), 2, "Unknown paper 'A3'"),
        (("--pseudonym", "../x"), 2, "not a valid pseudonym"),
        (("--pseudonym", ""), 2, "not a valid pseudonym"),
        (("--model", "nowhere"), 2, "Unknown bundle 'nowhere'"),
        (("--key-images", "-1"), 2, "--key-images"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    run_metseg: Run, predicted: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    before = sorted(predicted.parent.iterdir())
    answer = run_metseg("report", predicted, *words)
    assert (answer.status, answer.out, answer.err.count("\n")) == (status, "", 1)
    assert said in answer.err
    assert sorted(predicted.parent.iterdir()) == before


def test_one_pseudonym_names_one_study(run_metseg: Run, predicted: Path) -> None:
    answer = run_metseg("report", predicted, predicted, "--pseudonym", "A")
    assert answer.status == 2
    assert "one pseudonym was given for several studies" in answer.err


def test_another_model_is_refused(run_metseg: Run, predicted: Path, make_bundle: MakeBundle) -> None:
    folder, fingerprint = make_bundle()
    answer = run_metseg("report", predicted, "--model", folder)
    assert answer.status == 2
    assert fingerprint in answer.err


def test_from_prediction_to_report(tmp_path: Path, study: Any) -> None:
    """What the predictor notes reaches the page, and memory and disk lead to one report."""
    import torch
    from torch import nn

    from metseg.inference.batch import predict_paths
    from metseg.inference.device import Compute
    from metseg.inference.predictor import Predictor
    from metseg.model import SegmentationNetwork
    from metseg.recipe import parse_recipe
    from metseg.reporting.study.report_builder import report_of_prediction

    class Bright(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] - 150

    text = (
        'name = "bright"\ndata = { modalities = ["t1c"] }\nmodel = { name = "unet" }\n[[preprocess]]\nname = "reorient"'
    )
    recipe = parse_recipe(text, where="test", changes=["predict.threshold=0.6"])
    network = SegmentationNetwork(Bright(), in_channels=1, out_channels=1)
    predictor = Predictor([network], recipe, compute=Compute(torch.device("cpu"), bf16=False, channels_last=False))
    place = save_volume(tmp_path / "head" / "t1c.nii.gz", study.image, study.affine).parent
    outcome = predict_paths([place], predictor, tmp_path / "out", quiet=True)
    options = Options(key_images=1)
    report = report_of_document(outcome.documents[0], images=place, options=options)
    assert [(lesion.voxels, lesion.side) for lesion in report.lesions] == [(36, "right"), (1, "left")]
    assert report.technique.threshold == 0.6
    assert report.technique.steps == ("The axes were turned to right, anterior and superior; no value was changed.",)
    from metseg.io.prediction_inputs import find_inputs

    (source,) = find_inputs(place, recipe.data)
    in_memory = report_of_prediction(predictor(source.load()), options=options)
    assert in_memory.lesions == report.lesions
    assert in_memory.technique == report.technique
    assert in_memory.key_images == report.key_images
    without_images = report_of_document(outcome.documents[0], options=options)
    assert [lesion.side for lesion in without_images.lesions] == ["right", "left"]  # the document says it
    assert without_images.lacking == NO_IMAGES


def test_a_missing_package_is_named_with_its_cure(
    run_metseg: Run, predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "reportlab.platypus", None)
    answer = run_metseg("report", predicted)
    assert answer.status == 2
    assert "reportlab, which is not installed; pip install 'metseg[report]'" in answer.err
    assert not predicted.with_name("head-report.pdf").exists()


def test_a_brain_mask_that_metseg_made_is_outlined(predicted: Path, images: Path, study: Any) -> None:
    without = report_of_document(predicted, images=images).key_images[0]
    place = predicted.with_name("head-brain_mask.nii.gz")
    save_volume(place, np.ones(study.labels.shape, np.uint8), study.affine)
    # Without a step that made it, it came with the study: there is nothing to check.
    assert report_of_document(predicted, images=images).key_images[0].caption == without.caption
    content = json.loads(predicted.read_text("utf-8"))
    content["technique"]["preprocess"].append({"step": "brain_mask", "method": "network", "found": "network"})
    predicted.write_text(json.dumps(content), "utf-8")
    assert "Green line" in report_of_document(predicted, images=images).key_images[0].caption
    save_volume(place, np.ones(study.labels.shape, np.uint8), study.affine @ np.diag([2.0, 1, 1, 1]))
    elsewhere = report_of_document(predicted, images=images).key_images[0]
    assert (elsewhere.caption, elsewhere.png) == (without.caption, without.png)
