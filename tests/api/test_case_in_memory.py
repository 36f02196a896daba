"""Cases made of arrays and nibabel images, and how they are shown."""

from __future__ import annotations

import matplotlib
import nibabel
import numpy as np
import pytest

import metseg

matplotlib.use("Agg")

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def test_arrays_with_an_affine_are_volumes_by_metsegs_names() -> None:
    image = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    case = metseg.Case.from_arrays({"T1ce": image, "flair": image * 1.5}, AFFINE, case_id="P1")
    assert case.modalities == ("t1c", "t2f")
    assert case.images["t1c"].data is image
    assert case.images["t2f"].data.dtype == np.float32
    assert case.images["t1c"].spacing_mm == (1.0, 1.0, 2.0)
    assert (case.case_id, case.patient, case.is_slice_stack, case.labels) == ("P1", "P1", False, None)


def test_arrays_without_an_affine_are_pictures() -> None:
    stack = metseg.Case.from_arrays({"t2f": np.zeros((4, 5, 3), np.uint8)}, None, patient="A")
    assert stack.is_slice_stack
    assert stack.slice_names == ("case_0", "case_1", "case_2")
    single = metseg.Case.from_arrays({"t2f": np.zeros((4, 5), np.uint8)}, affine=None, case_id="one")
    assert (single.images["t2f"].shape, single.slice_names) == ((4, 5, 1), ("one",))
    assert (stack.patient, single.images["t2f"].affine) == ("A", None)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float64])
def test_labels_become_class_ids_of_one_byte(dtype: type) -> None:
    labels = np.zeros((2, 3, 4), dtype)
    labels[0, 1, 2] = 1
    case = metseg.Case.from_arrays({"t1c": np.zeros((2, 3, 4))}, AFFINE, labels=labels)
    assert case.labels is not None
    assert case.labels.data.dtype == np.uint8
    assert np.argwhere(case.labels.data).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": np.zeros((2, 2, 2))}, metseg.UsageError, "images: .*mapping from sequence to array.*got an array"),
        ({"images": {}}, metseg.UsageError, "images: the mapping is empty"),
        ({"images": {1: np.zeros((2, 2, 2))}}, metseg.UsageError, "a key of images: .*got int"),
        ({"images": {"t1c": "a.nii"}}, metseg.UsageError, r"images\['t1c'\]: .*array of numbers, got str"),
        ({"images": {"t1c": [["a"]]}}, metseg.UsageError, r"images\['t1c'\]: .*real numbers"),
        ({"images": {"t1c": np.zeros((2, 2, 2, 2))}}, metseg.GeometryError, r"images\['t1c'\]: .*\(2, 2, 2, 2\)"),
        ({"images": {"t1c": np.zeros((2, 0, 2))}}, metseg.GeometryError, r"images\['t1c'\]: .*\(2, 0, 2\)"),
        ({"images": {"t1c": np.full((2, 2, 2), np.nan)}}, metseg.InputError, r"images\['t1c'\]: .*8 of 8 voxels"),
        (
            {"images": {"t1c": np.zeros((2, 2, 2)), "T1ce": 0}},
            metseg.UsageError,
            "two images are assigned to t1c.*'t1c' and 'T1ce'",
        ),
        (
            {"images": {"t1c": np.zeros((2, 2, 2)), "t2f": np.zeros((2, 2, 3))}},
            metseg.GeometryError,
            r"images\['t2f'\]: .*expected \(2, 2, 2\), as t1c, got \(2, 2, 3\)",
        ),
        ({"labels": np.zeros((2, 2, 3))}, metseg.GeometryError, r"labels: .*got \(2, 2, 3\)"),
        ({"labels": np.full((2, 2, 2), 0.5)}, metseg.InputError, "labels: .*not a class id.*got 0.5"),
        ({"labels": np.full((2, 2, 2), 256)}, metseg.InputError, "labels: .*got 256"),
        ({"labels": np.full((2, 2, 2), np.nan)}, metseg.InputError, "labels: .*got nan"),
        ({"affine": np.eye(3)}, metseg.GeometryError, r"affine: .*got \(3, 3\)"),
        ({"affine": "RAS"}, metseg.UsageError, "affine: .*matrix of numbers, got str"),
        ({"affine": np.zeros((4, 4))}, metseg.GeometryError, "singular"),
        ({"case_id": 5}, metseg.UsageError, "case_id: .*got int"),
        ({"case_id": "../up"}, metseg.UsageError, "case_id: .*without slashes"),
        ({"patient": 5}, metseg.UsageError, "patient: .*got int"),
    ],
)
def test_arrays_that_cannot_be_a_case_are_refused_by_name(arguments: dict, error: type, message: str) -> None:
    given = {"images": {"t1c": np.zeros((2, 2, 2))}, "affine": AFFINE, **arguments}
    with pytest.raises(error, match=message):
        metseg.Case.from_arrays(given.pop("images"), given.pop("affine"), **given)


def test_nibabel_images_keep_their_own_grids_and_scaling() -> None:
    scaled = nibabel.Nifti1Image(np.full((4, 4, 4), 3, np.int16), np.eye(4))
    scaled.header.set_slope_inter(2.0, 1.0)
    loaded = nibabel.Nifti1Image.from_bytes(scaled.to_bytes())
    coarse = nibabel.Nifti1Image(np.zeros((4, 4, 2, 1), np.float32), AFFINE)
    truth = nibabel.Nifti1Image(np.ones((4, 4, 2), np.uint8), AFFINE)
    case = metseg.Case.from_nibabel({"t1c": loaded, "flair": coarse}, truth, case_id="P2")
    np.testing.assert_array_equal(case.images["t1c"].data, loaded.get_fdata())
    assert (case.images["t1c"].data[0, 0, 0], case.images["t2f"].shape) == (7, (4, 4, 2))
    np.testing.assert_array_equal(case.images["t2f"].affine, AFFINE)
    assert case.labels is not None
    np.testing.assert_array_equal(case.labels.affine, AFFINE)
    assert not case.is_slice_stack


def test_what_is_no_nibabel_image_is_refused() -> None:
    with pytest.raises(metseg.UsageError, match=r"images\['t1c'\]: .*a nibabel image, got str.*nibabel.load"):
        metseg.Case.from_nibabel({"t1c": "t1c.nii.gz"})
    several = nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4))
    with pytest.raises(metseg.GeometryError, match=r"images\['t1c'\]: .*\(4, 4, 4, 2\)"):
        metseg.Case.from_nibabel({"t1c": several})


def test_a_volume_is_made_of_arrays() -> None:
    with pytest.raises(metseg.UsageError, match=r"data: .*got list"):
        metseg.Volume([[1]])  # type: ignore[arg-type]
    with pytest.raises(metseg.UsageError, match=r"affine: .*got list"):
        metseg.Volume(np.zeros((1, 1, 1)), [[1]])  # type: ignore[arg-type]


def test_reprs_are_short() -> None:
    image = np.zeros((2, 3, 4), np.float32)
    case = metseg.Case.from_arrays({"t1c": image}, AFFINE, labels=image)
    assert repr(case) == "<Case case: t1c; (2, 3, 4), 1 x 1 x 2 mm; with truth>"
    assert repr(case.images["t1c"]) == "<Volume (2, 3, 4) float32, 1 x 1 x 2 mm>"


def shown(axes: object) -> np.ndarray:
    """Return the picture of a panel."""
    (image,) = axes.get_images()  # type: ignore[attr-defined]
    return np.asarray(image.get_array())


def test_a_volume_is_drawn_with_the_right_of_the_patient_left_and_the_nose_up() -> None:
    data = np.zeros((6, 8, 4), np.float32)
    data[5, 7, 1] = 100  # in RAS: right, front
    labels = np.zeros(data.shape, np.uint8)
    labels[4:, 6:, 1] = 1
    ras = metseg.Case.from_arrays({"t1c": data, "t2f": data}, np.diag([1.0, 1.0, 3.0, 1.0]), labels=labels)
    axes = ras.plot()
    assert axes.shape == (1, 2)
    picture = shown(axes[0, 0])
    assert picture.shape == (8, 6, 3)
    assert np.argwhere(picture[..., 0] == 255).tolist() == [[0, 0]]
    assert axes[0, 1].get_title() == "t2f, slice 1"
    assert len(axes[0, 0].collections) == 1  # the outline of the truth
    lps = metseg.Case.from_arrays({"t1c": data[::-1, ::-1]}, np.diag([-1.0, -1.0, 3.0, 1.0]))
    np.testing.assert_array_equal(shown(lps.plot(1)[0, 0]), picture)


def test_images_of_other_grids_are_drawn_at_the_same_height() -> None:
    fine, coarse = (
        nibabel.Nifti1Image(np.zeros((4, 4, n), np.float32), np.diag([1.0, 1, mm, 1])) for n, mm in ((12, 1), (4, 3))
    )
    axes = metseg.Case.from_nibabel({"t1c": fine, "t2f": coarse}).plot(9)
    assert [place.get_title() for place in axes.flat] == ["t1c, slice 9", "t2f, slice 3"]


def test_pictures_are_drawn_as_they_lie_in_the_file() -> None:
    data = np.zeros((6, 8, 2), np.uint8)
    data[5, 0, 1] = 200
    picture = shown(metseg.Case.from_arrays({"t2f": data}, None).plot()[0, 0])
    assert np.argwhere(picture[..., 0] == 255).tolist() == [[0, 5]]


def test_slices_that_are_not_there_are_refused() -> None:
    case = metseg.Case.from_arrays({"t2f": np.zeros((6, 8, 2), np.uint8)}, None)
    with pytest.raises(metseg.InputError, match=r"case: the slice does not exist.*got 2"):
        case.plot(2)
    with pytest.raises(metseg.UsageError, match=r"z: .*got str"):
        case.plot("middle")  # type: ignore[arg-type]
