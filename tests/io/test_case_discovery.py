"""Cases are found, ordered, named and divided as documented, or refused with a cure."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError, UsageError
from metseg.io import find_cases
from metseg.io.case_discovery import find, split_roots
from metseg.io.patients import read_attributes

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)


def names(root: Path, **options: object) -> dict[str, tuple[str, ...]]:
    return {source.case_id: source.slice_names for source in find_cases(root, **options)}


def test_slices_are_in_numeric_order(two_patients):
    assert names(two_patients) == {"a": ("a/a_4", "a/a_15"), "b": ("b/b_1",)}


def test_files_come_in_a_stable_order(two_patients):
    first = find_cases(two_patients)[0]
    assert [path.name for path in first.files] == ["a_4.png", "a_4_mask.png", "a_15.png", "a_15_mask.png"]


def test_attributes_are_matched_by_folder(two_patients):
    (two_patients / "patients.csv").write_text("Patient,grade\nb,II\na,III\nz,I\n")
    assert [dict(source.attributes) for source in find_cases(two_patients)] == [{"grade": "III"}, {"grade": "II"}]


@pytest.mark.parametrize("text", ["name,grade\na,II\n", "patient,grade\na,I\na,II\n"])
def test_bad_table_is_refused(tmp_path, text):
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_attributes(tmp_path)
    assert caught.value.code == "input.table"


def test_a_table_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "data.csv").write_text("name,grade\na,II\n")
    assert read_attributes(tmp_path) == {}


def test_flat_folder_is_refused_with_a_pattern_that_would_do(save, tmp_path):
    for name in ("p1_1", "p1_2", "p2_1"):
        save(f"{name}.png", GREY)
    with pytest.raises(InputError, match="finds 2 patients") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.no_patient"
    assert r"'^(.*)_\d+$'" in str(caught.value.cure)
    assert names(tmp_path, patient_pattern=r"^(.*)_\d+$") == {"p1": ("p1_1", "p1_2"), "p2": ("p2_1",)}


@pytest.mark.parametrize("folder", ["train", "test", "Images"])
def test_a_folder_that_says_what_for_is_no_patient(save, tmp_path, folder):
    save(f"{folder}/p1_1.png", GREY)
    save(f"{folder}/p1_1_mask.png", GREY * 0)
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.no_patient"


def test_two_folders_of_one_name_are_refused(save, tmp_path):
    save("x/p/1.png", GREY)
    save("y/p/1.png", GREY)
    with pytest.raises(InputError, match="x/p and y/p"):
        find_cases(tmp_path)
    assert names(tmp_path, patient_pattern="^(.*)/") == {"x_p": ("x/p/1",), "y_p": ("y/p/1",)}
    one_patient = find_cases(tmp_path, patient_pattern="([^/]+)/[^/]+$")
    assert [(source.case_id, source.patient) for source in one_patient] == [("x_p", "p"), ("y_p", "p")]


@pytest.mark.parametrize("pattern", ["^p", "(["])
def test_pattern_without_a_group_or_sense(save, tmp_path, pattern):
    save("p1_1.png", GREY)
    with pytest.raises(UsageError):
        find_cases(tmp_path, patient_pattern=pattern)


def test_pattern_that_misses_a_picture_names_it(save, tmp_path):
    save("p1_1.png", GREY)
    save("other.png", GREY)
    with pytest.raises(InputError, match="other"):
        find_cases(tmp_path, patient_pattern=r"^(p\d+)_")


def test_two_slices_of_one_number_are_refused_by_name(save, tmp_path):
    save("p/x_03.png", GREY)
    save("p/y_3.png", GREY)
    with pytest.raises(InputError, match=r"x_03\.png.*y_3\.png") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.duplicate_slice"


def test_two_masks_of_one_picture_are_refused(save, tmp_path):
    for name in ("1.png", "1_mask.png", "1_mask.tif"):
        save(f"p/{name}", GREY)
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.duplicate_slice"


def test_sizes_become_cases_of_one_patient(save, tmp_path):
    save("p/1.png", GREY)
    save("p/2.png", GREY.T)
    save("p/3.png", GREY)
    (tmp_path / "p" / "4.png").write_bytes(b"")
    found = find_cases(tmp_path)
    assert [source.case_id for source in found] == ["p_5x7", "p_7x5"]
    assert {source.patient for source in found} == {"p"}
    assert names(tmp_path)["p_7x5"] == ("p/1", "p/3", "p/4")  # the unreadable one stays with the majority


def test_unnumbered_pictures_are_ordered_by_name(save, tmp_path):
    save("p/b.png", GREY)
    save("p/a.png", GREY)
    assert names(tmp_path) == {"p": ("p/a", "p/b")}


def test_hidden_files_and_linked_folders(save, tmp_path):
    save("data_set/p/1.png", GREY)
    save("data_set/.hidden/2.png", GREY)
    save("data_set/p/._1.png", GREY)
    save("elsewhere/3.png", GREY)
    root = tmp_path / "data_set"
    os.symlink(tmp_path / "elsewhere", root / "q")
    os.symlink(root, root / "loop")
    assert names(root) == {"p": ("p/1",), "q": ("q/3",)}


def test_unknown_scheme_layout_and_channel_names(two_patients):
    for options in ({"labels": "nonsense"}, {"layout": "nonsense"}, {"channels": ("flair", "t2f")}):
        with pytest.raises(UsageError):
            find_cases(two_patients, **options)


def test_masks_only(save, tmp_path):
    save("p/1_mask.png", GREY)
    with pytest.raises(InputError, match="masks but no images"):
        find_cases(tmp_path)


def test_roots_given_twice():
    with pytest.raises(UsageError):
        split_roots("a::b", "c")


def test_pages_become_slices_when_asked_for(tmp_path):
    pages = [Image.fromarray(np.full((3, 4), 60 * page, dtype=np.uint8)) for page in range(3)]
    (tmp_path / "p").mkdir()
    pages[0].save(tmp_path / "p" / "volume.tif", save_all=True, append_images=pages[1:])
    truth = [Image.fromarray(np.full((3, 4), 255 * (page == 1), dtype=np.uint8)) for page in range(3)]
    truth[0].save(tmp_path / "p" / "volume_mask.tif", save_all=True, append_images=truth[1:])
    with pytest.raises(InputError, match="3 pages"):
        find_cases(tmp_path)[0].load()
    case = find_cases(tmp_path, stack=True)[0].load()
    assert case.images["image"].data[0, 0].tolist() == [0, 60, 120]
    assert case.labels is not None
    assert case.labels.data[0, 0].tolist() == [0, 1, 0]
    assert case.slice_names == ("p/volume_p0000", "p/volume_p0001", "p/volume_p0002")


@pytest.mark.real
def test_public_glioma_slices(real_data):
    found = find(real_data / "lgg_flair_slices", channels=("t1", "flair", "t1gd"))
    assert found.layout == "patient_folders"
    assert len(found.sources) == 88
    assert sum(len(source.slices) for source in found.sources) == 3096
    first = found.sources[0]
    numbers = [piece.number for piece in first.slices]
    assert numbers == sorted(numbers)
    case = first.load()
    assert case.modalities == ("t1n", "t2f", "t1c")
    assert case.attributes["institution"] == "CS"
    lesion = (case.labels.data > 0).any(axis=(0, 1)).sum()
    assert str(lesion) == case.attributes["slices_with_tumour"]


@pytest.mark.real
def test_original_tiff_equals_the_lossless_copy(real_data):
    native = find_cases(real_data / "lgg_native_tiff")[0].load()
    copies = {source.patient: source for source in find_cases(real_data / "lgg_flair_slices")}
    copy = copies[native.patient].load()
    for name in native.images:
        np.testing.assert_array_equal(native.images[name].data, copy.images[name].data)
    np.testing.assert_array_equal(native.labels.data, copy.labels.data)


@pytest.mark.real
def test_lossy_masks_of_real_metastases(real_data):
    root = real_data / "mets_t2w_slices"
    with pytest.raises(InputError, match="finds 3 patients"):
        find_cases(root)
    cases = [source.load() for source in find_cases(root, patient_pattern=r"^(.*)_\d+$", channels=("t2w",))]
    assert [len(case.slice_names) for case in cases] == [4, 4, 3]
    for case in cases:
        assert case.images["t2w"].shape[:2] == (512, 512)
        assert set(np.unique(case.labels.data)) == {0, 1}
        assert case.labels.data.any(axis=(0, 1)).all()
