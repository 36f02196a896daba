"""Predictions from paths, cases, nibabel images and arrays; what is done with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import metseg
from metseg.inference.lesion_table import find_lesions
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import COLUMNS
from metseg.plot.images.overlay import TRUTH_COLOUR

matplotlib.use("Agg")

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
CHANNELS = ("t1n", "t2f", "t1c")
Arrays = dict[str, npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def model(volume_bundle: Path) -> metseg.Predictor:
    return metseg.load_model(volume_bundle, device="cpu")


@pytest.fixture
def files(arrays: Arrays, tmp_path: Path) -> dict[str, Path]:
    paths = {}
    for name, array in arrays.items():
        paths[name] = tmp_path / "patient" / f"{name}.nii.gz"
        paths[name].parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, AFFINE), paths[name])
    return paths


def test_a_volume_is_predicted_alike_from_every_kind_of_input(
    model: metseg.Predictor, arrays: Arrays, files: dict[str, Path], volume_bundle: Path
) -> None:
    images = {name: nibabel.load(path) for name, path in files.items()}
    expected = metseg.predict(metseg.Case.from_arrays(arrays, AFFINE), model)
    assert expected.labels.shape == (20, 18, 16)
    assert expected.probability.max() > 0
    alike: list[Callable[[], metseg.Prediction]] = [
        lambda: metseg.predict(arrays, model, affine=AFFINE),
        lambda: metseg.predict(images, model),
        lambda: metseg.predict(files, model),
        lambda: metseg.predict({"T1ce": str(files["t1c"]), "flair": files["t2f"]}, model),
        lambda: metseg.predict(files["t1c"].parent, str(volume_bundle)),
    ]
    for predict in alike:
        found = predict()
        np.testing.assert_allclose(found.probability, expected.probability, atol=1e-6)
        np.testing.assert_array_equal(found.reference_image.affine, AFFINE)


def test_a_single_image_needs_no_name_where_the_model_sees_one_sequence(
    one_sequence_bundle: Path, arrays: Arrays, files: dict[str, Path]
) -> None:
    model = metseg.load_model(one_sequence_bundle, device="cpu")
    expected = metseg.predict({"t1c": arrays["t1c"]}, model, affine=AFFINE).probability
    alike = (
        metseg.predict(arrays["t1c"], model, affine=AFFINE),
        metseg.predict(nibabel.load(files["t1c"]), model),
        metseg.predict(files["t1c"], model),
        metseg.predict(arrays["t1c"], model, affine=AFFINE, sequence="T1ce"),
        metseg.predict(files["t1c"], model, sequence="t1c"),
    )
    for found in alike:
        np.testing.assert_allclose(found.probability, expected, atol=1e-6)
    with pytest.raises(metseg.InputError, match="t1c"):
        metseg.predict(arrays["t1c"], model, affine=AFFINE, sequence="t2f")


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        ("array", {"affine": AFFINE}, metseg.UsageError, "sequence: .*is not given.*one of t1c, t2f"),
        ("nibabel", {}, metseg.UsageError, "sequence: .*is not given"),
        (
            "nibabel",
            {"sequence": "t1c", "affine": AFFINE},
            metseg.UsageError,
            "affine: .*nibabel images have an affine",
        ),
        ("arrays", {}, metseg.UsageError, "affine: the model needs volumes.*4, 4"),
        ("arrays", {"affine": AFFINE, "sequence": "t1c"}, metseg.UsageError, "sequence: .*mapping already names"),
        ("case", {"affine": AFFINE}, metseg.UsageError, "affine: .*the case has an affine"),
        ("case", {"sequence": "t1c"}, metseg.UsageError, "sequence: .*the case already names"),
        ("path", {"affine": AFFINE}, metseg.UsageError, "affine: .*files have an affine"),
        ("mixed", {"affine": AFFINE}, metseg.UsageError, "image: .*several kinds.*Nifti1Image, ndarray"),
        ("none", {}, metseg.UsageError, "image: .*wrong type.*a path, a metseg.Case.*got None"),
        ("empty", {}, metseg.UsageError, "image: the mapping is empty"),
        ("array", {"sequence": 5, "affine": AFFINE}, metseg.UsageError, "sequence: .*got int"),
        ("missing", {}, metseg.InputError, "no such file"),
        ("one", {"affine": AFFINE}, metseg.InputError, "t2f"),
    ],
)
def test_nothing_is_guessed(
    image: str, options: dict[str, Any], error: type, message: str, model: metseg.Predictor, arrays: Arrays
) -> None:
    one = nibabel.Nifti1Image(arrays["t1c"], AFFINE)
    images = {
        "array": arrays["t1c"],
        "arrays": arrays,
        "nibabel": one,
        "case": metseg.Case.from_arrays(arrays, AFFINE),
        "path": "folder",
        "mixed": {"t1c": one, "t2f": arrays["t2f"]},
        "none": None,
        "empty": {},
        "missing": "no/such/folder",
        "one": {"t1c": arrays["t1c"]},
    }
    with pytest.raises(error, match=message):
        metseg.predict(images[image], model, **options)


def test_pictures_are_predicted_alike_from_case_folder_and_model_name(tiny_bundle: Path, tiny_slices: Path) -> None:
    model = metseg.load_model(tiny_bundle, device="cpu")
    case = metseg.load(tiny_slices / "P0", channels=CHANNELS)
    from_case = metseg.predict(case, model)
    assert from_case.labels.shape == (24, 24, 4)
    arrays = {name: image.data for name, image in case.images.items()}
    for other in (
        metseg.predict(tiny_slices / "P0", model),
        metseg.predict(str(tiny_slices / "P0"), str(tiny_bundle)),
        metseg.predict(arrays, model),
    ):
        np.testing.assert_array_equal(other.labels, from_case.labels)


def drawn_by_hand(*, pictures: bool = True, with_truth: bool = True) -> metseg.Prediction:
    """Return a prediction on 10 x 8 pixels, 3 slices: one pixel on slice 0, four on slice 2; truth on slice 2."""
    shape = (10, 8, 3)
    labels, truth = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    labels[1, 1, 0] = 1
    labels[2:4, 5:7, 2] = 1
    truth[6:9, 1:4, 2] = 1
    affine = None if pictures else AFFINE
    image = np.full(shape, 7, np.uint8)
    image[..., 1] = 9
    case = metseg.Case.from_arrays({"t2f": image}, affine, truth if with_truth else None, case_id="c")
    probability = labels.astype(np.float32)
    found, ids = find_lesions(labels, probability, affine, LABEL_SCHEMES["binary"], slicewise=pictures)
    return metseg.Prediction(case, labels, probability, found, ids, {}, (), "model", "binary", fingerprint="f1")


def test_a_prediction_is_short_to_print() -> None:
    assert repr(drawn_by_hand()) == "<Prediction c: 2 lesions, model model>"


def test_lesions_are_a_data_frame_with_a_column_per_class() -> None:
    prediction = drawn_by_hand(pictures=False)
    frame = prediction.lesions_frame()
    assert frame["id"].tolist() == [lesion.id for lesion in prediction.lesions]
    assert frame["voxels"].tolist() == [4, 1]
    assert list(frame) == list(COLUMNS)
    first, second = prediction.lesions
    by_class = (
        first.model_copy(update={"voxels_by_label": {"ET": 3, "SNFH": 1}}),
        second.model_copy(update={"voxels_by_label": {"SNFH": 1}}),
    )
    frame = replace(prediction, scheme="brats-met-2023", lesions=by_class).lesions_frame()
    assert frame["voxels_ET"].fillna(0).tolist() == [3, 0]
    assert frame["voxels_SNFH"].tolist() == [1, 1]
    empty = replace(prediction, lesions=()).lesions_frame()
    assert len(empty) == 0
    assert {"id", "voxels", "confidence"} <= set(empty)


def test_a_volume_is_saved_as_one_file_or_as_a_folder(tmp_path: Path) -> None:
    prediction = drawn_by_hand(pictures=False)
    assert prediction.save(tmp_path / "mask.nii.gz") == [tmp_path / "mask.nii.gz"]
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), prediction.labels)
    np.testing.assert_allclose(mask.affine, AFFINE)
    out = tmp_path / "out"
    written = prediction.save(str(out), formats=["mask", "overlay", "probability", "instances"])
    names = ["c-seg.nii.gz", "c-overlay.png", "c-probability.nii.gz", "c-lesions.nii.gz", "c.json"]
    assert written == [out / name for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    ids = np.asarray(nibabel.load(out / "c-lesions.nii.gz").dataobj)
    assert [int((ids == lesion.id).sum()) for lesion in prediction.lesions] == [4, 1]
    document = json.loads((out / "c.json").read_text("utf-8"))
    assert (document["bundle"], len(document["lesions"]), document["lesions"][0]["voxels"]) == ("f1", 2, 4)


def test_pictures_are_saved_as_pictures(tmp_path: Path) -> None:
    written = drawn_by_hand().save(tmp_path)
    assert [path.name for path in written] == ["c_0_mask.png", "c_1_mask.png", "c_2_mask.png", "c.json"]
    assert all(path.exists() for path in written)
    with pytest.raises(metseg.GeometryError, match="images have no affine"):
        drawn_by_hand().save(tmp_path / "mask.nii.gz")


def test_pictures_are_saved_with_their_lesions_numbered(tmp_path: Path) -> None:
    drawn_by_hand().save(tmp_path, formats=["instances"])
    ids = [np.asarray(Image.open(tmp_path / f"c_{z}_lesions.png")) for z in range(3)]
    assert [sorted(set(plane.ravel().tolist())) for plane in ids] == [[0, 2], [0], [0, 1]]


def test_the_brain_mask_of_a_model_without_one_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(metseg.UsageError, match="uses no brain mask"):
        drawn_by_hand(pictures=False).save(tmp_path / "out", formats=["brain-mask"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "formats", "message"),
    [
        ("mask.nii", ("mask",), r"file format.*a folder, or a name that ends with \.nii\.gz"),
        ("mask.nii.gz", ("overlay",), "a single file can hold only the mask.*got overlay"),
        ("out", ("masks",), "Did you mean 'mask'"),
        ("out", "mask", "formats: .*list of texts, got str"),
        (5, ("mask",), "path: .*got int"),
    ],
)
def test_what_a_prediction_is_not_saved_as(path: Any, formats: Any, message: str, tmp_path: Path) -> None:
    place = tmp_path / path if isinstance(path, str) else path
    with pytest.raises(metseg.UsageError, match=message):
        drawn_by_hand(pictures=False).save(place, formats=formats)
    assert not list(tmp_path.iterdir())


def test_a_saved_prediction_is_reported_like_one_in_memory(tmp_path: Path) -> None:
    prediction = drawn_by_hand(pictures=False)
    *_, document = prediction.save(tmp_path / "saved")
    from_file = metseg.report(document, formats=["html"])
    from_memory = metseg.report(prediction, tmp_path / "memory", formats=["html"], pseudonym="A")
    assert from_file == [tmp_path / "saved" / "c-report.html"]
    assert from_memory == [tmp_path / "memory" / "A-report.html"]
    for path in (*from_file, *from_memory):
        assert "speck" in path.read_text("utf-8")


def test_lesions_of_a_volume_are_drawn_in_three_planes() -> None:
    axes = drawn_by_hand(pictures=False).plot(lesions=5)
    assert axes.shape == (2, 3)
    assert axes[0, 0].get_title().startswith("axial, lesion 1")
    assert [place.get_title() for place in axes[1, 1:]] == ["coronal", "sagittal"]


def test_lesions_of_pictures_are_drawn_in_their_slices() -> None:
    prediction = drawn_by_hand()
    axes = prediction.plot(lesions=2)
    assert [place.get_title() for place in axes.flat] == ["lesion 1, slice 2", "lesion 2, slice 0"]
    (image,) = axes[0, 0].get_images()
    np.testing.assert_array_equal(np.asarray(image.get_array()), metseg.overlay(prediction, 2))
    without = replace(prediction, labels=np.zeros_like(prediction.labels), lesions=())
    assert [place.get_title() for place in without.plot().flat] == ["no lesion found, slice 1"]
    with pytest.raises(metseg.UsageError, match=r"lesions: .*got 0"):
        prediction.plot(0)


def test_overlay_shows_the_fullest_slice_in_file_order() -> None:
    picture = metseg.overlay(drawn_by_hand())
    assert (picture.shape, picture.dtype) == ((8, 10, 3), np.uint8)
    coloured = np.ptp(picture.astype(int), axis=2) > 0
    rows, columns = np.nonzero(coloured)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(5, 2), (5, 3), (6, 2), (6, 3)}
    assert np.ptp(metseg.overlay(drawn_by_hand(), 0)[1, 1].astype(int)) > 0


def test_overlay_outlines_the_truth_where_asked() -> None:
    picture = metseg.overlay(drawn_by_hand(), truth=True)
    green = (picture == TRUTH_COLOUR).all(axis=2)
    expected = np.zeros((8, 10), bool)
    expected[1:4, 6:9] = True
    expected[2, 7] = False  # an outline, not a filling
    np.testing.assert_array_equal(green, expected)


def test_overlay_refuses_what_is_not_there() -> None:
    with pytest.raises(metseg.InputError, match="the slice does not exist"):
        metseg.overlay(drawn_by_hand(), 3)
    with pytest.raises(metseg.InputError, match="no ground-truth mask"):
        metseg.overlay(drawn_by_hand(with_truth=False), truth=True)
