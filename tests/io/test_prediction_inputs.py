"""What is predicted on is found, named and divided as documented: no two people's pictures in one case."""

from __future__ import annotations

import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError, UsageError
from metseg.io import InputRules, VolumeSource, find_inputs
from metseg.io.case_source import CaseSource
from metseg.io.images.channel_names import GreyRule
from metseg.io.volumes.brain_masks import read_brain_mask
from metseg.io.volumes.study_source import study_from_files
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, Volume

scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom") / "scanner.py")))

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)

Save = Callable[..., Path]


def found(root: Path, **options: object) -> dict[str, tuple[str, tuple[str, ...], bool]]:
    sources = find_inputs(root, **options)
    return {source.case_id: (source.patient, source.slice_names, source.patient_guessed) for source in sources}


def volume(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), value, np.int16), np.eye(4)), path)
    return path


def test_a_flat_folder_is_divided_by_names(save: Save, tmp_path: Path) -> None:
    for name in ("ann_10", "ann_9", "ben_1", "ben_2", "scan", "zoe_3"):
        save(f"{name}.png", GREY)
    save("ann_9_mask.png", GREY)
    assert found(tmp_path) == {
        "ann": ("ann", ("ann_9", "ann_10"), True),
        "ben": ("ben", ("ben_1", "ben_2"), True),
        "scan": ("scan", ("scan",), False),
        "zoe_3": ("zoe_3", ("zoe_3",), False),
    }


def test_a_folder_of_one_name_is_a_patient(save: Save, tmp_path: Path) -> None:
    for name in ("ann/s_1", "ann/s_2", "ben/x_1", "ben/y_1", "test/7", "test/8"):
        save(f"{name}.png", GREY)
    assert found(tmp_path) == {
        "ann": ("ann", ("ann/s_1", "ann/s_2"), False),
        "ben_x_1": ("x_1", ("ben/x_1",), False),
        "ben_y_1": ("y_1", ("ben/y_1",), False),
        "test": ("test", ("test/7", "test/8"), True),  # the folder says what for, not whose
    }


def test_who_asks_for_one_case_a_folder_gets_it(save: Save, tmp_path: Path) -> None:
    save("x_1.png", GREY)
    save("y_1.png", GREY)
    rules = InputRules(one_per_folder=True)
    assert found(tmp_path, rules=rules) == {tmp_path.name: (tmp_path.name, ("x_1", "y_1"), False)}


def test_a_pattern_says_whose(save: Save, tmp_path: Path) -> None:
    for name in ("IMG_01", "IMG_02"):
        save(f"{name}.png", GREY)
    assert found(tmp_path) == {tmp_path.name: (tmp_path.name, ("IMG_01", "IMG_02"), True)}
    assert found(tmp_path, patient_pattern="^(.*)$") == {
        "IMG_01": ("IMG_01", ("IMG_01",), False),
        "IMG_02": ("IMG_02", ("IMG_02",), False),
    }


def test_one_picture_is_a_case(save: Save) -> None:
    assert found(save("scan.png", GREY)) == {"scan": ("scan", ("scan",), False)}


def test_cases_of_one_name_are_refused(save: Save, tmp_path: Path) -> None:
    for name in ("p_1", "p_2", "q_1", "p/a_1", "p/a_2"):
        save(f"{name}.png", GREY)
    with pytest.raises(InputError, match="two cases would have the name 'p'"):
        find_inputs(tmp_path)


def test_pictures_whose_results_would_collide_are_refused(save: Save, tmp_path: Path) -> None:
    save("1.png", GREY)
    save("1.tif", GREY)
    with pytest.raises(InputError, match="the same name"):
        find_inputs(tmp_path)


def test_nothing_to_predict_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an empty folder"):
        find_inputs(tmp_path)
    (tmp_path / "scan.nrrd").write_bytes(b"NRRD0004")
    with pytest.raises(InputError, match=r"holds no images .*DICOM, or pictures.*1 \.nrrd file.*convert them to NIfTI"):
        find_inputs(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_inputs(tmp_path / "absent")


def test_a_named_file_is_the_sequence_whatever_it_is_called(tmp_path: Path) -> None:
    volume(tmp_path / "p1" / "p1-t1c.nii.gz", 1)
    volume(tmp_path / "p1" / "p1-t2f.nii.gz", 2)
    other = volume(tmp_path / "elsewhere.nii.gz", 3)
    (source,) = find_inputs(tmp_path / "p1", named={"T1ce": other, "flair": "none"})
    assert isinstance(source, VolumeSource)
    assert {name: file.path for name, file in source.images.items()} == {"t1c": other}


def test_a_brain_mask_can_be_named(tmp_path: Path) -> None:
    volume(tmp_path / "p1" / "p1-t1c.nii.gz", 1)
    mask = volume(tmp_path / "mask.nii.gz", 1)
    for named in ({"brain_mask": mask}, {"t1c": tmp_path / "p1" / "p1-t1c.nii.gz", "brain-mask": mask}):
        (source,) = find_inputs(tmp_path / "p1", named=named, modalities=("t1c",))
        assert set(source.load().images) == {"t1c", BRAIN_MASK}


@pytest.mark.parametrize("inputs", [True, False], ids=["beside an input", "alone"])
def test_a_name_that_nobody_knows_is_refused_and_one_that_is_not_read_is_said(tmp_path: Path, *, inputs: bool) -> None:
    t1c = volume(tmp_path / "p1" / "p1-t1c.nii.gz", 1)
    data = DataPart(modalities=("t1c", "t2f"), optional=("t2f",))

    def named(**files: Path) -> CaseSource:
        if inputs:
            return find_inputs(tmp_path / "p1", data, named=files)[0]
        return study_from_files({"t1c": t1c, **files}, data)

    with pytest.raises(UsageError, match=r"Unknown sequence 'tlc'\. Did you mean 't1c'\?"):
        named(tlc=t1c)
    warnings = named(t1=t1c).load().warnings
    assert "t1n is given but not used: the model takes t1c, t2f" in warnings


def test_what_is_left_out_is_not_told_to_be_read_in_vain(tmp_path: Path) -> None:
    volume(tmp_path / "p1" / "p1-t1c.nii.gz", 1)
    (source,) = find_inputs(tmp_path / "p1", named={"t2": "none"}, modalities=("t1c",))
    assert source.load().warnings == ()


def test_the_order_of_a_models_sequences_is_not_that_of_a_files_channels(tmp_path: Path) -> None:
    path = tmp_path / "imagesTs" / "BRATS_001.nii.gz"
    path.parent.mkdir()
    channels = np.stack([np.full((6, 6, 6), value, np.uint8) for value in (1, 2)], axis=-1)
    nib.save(nib.Nifti1Image(channels, np.eye(4)), path)
    (source,) = find_inputs(path, modalities=("t1c", "t2f"))
    with pytest.raises(InputError, match=r"lacks t1c, t2f.*the name of BRATS_001\.nii\.gz.*--modality"):
        source.load()
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "FLAIR", "1": "T1gd"}}', "utf-8")
    images = find_inputs(path, modalities=("t1c", "t2f"))[0].load().images
    assert {name: int(image.data.max()) for name, image in images.items()} == {"t1c": 2, "t2f": 1}


def test_a_table_of_contents_matters_only_where_it_is_of_that_file(tmp_path: Path) -> None:
    table = tmp_path / "dataset.json"
    table.write_text('{"channel_names": {"0": "FLAIR", "1": "T1gd"}}', "utf-8")
    one = volume(tmp_path / "imagesTs" / "c_0001.nii.gz", 3)  # nnU-Net's: a file is a channel
    (source,) = find_inputs(one, modalities=("t1c", "t2f"), optional=("t2f",))
    assert set(source.load().images) == {"t1c"}
    mask = volume(tmp_path / "labelsTs" / "c.nii.gz", 1)
    assert tuple(find_inputs(mask)[0].load().images) == ("image",)
    table.write_text("[1, 2]", "utf-8")
    named = volume(tmp_path / "x" / "t1c.nii.gz", 1)
    assert tuple(find_inputs(named, modalities=("t1c", "t2f"), optional=("t2f",))[0].load().images) == ("t1c",)


def test_names_need_one_study_to_belong_to(save: Save, tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        volume(tmp_path / "many" / patient / f"{patient}-t1c.nii.gz", 1)
    with pytest.raises(UsageError, match="not a single study") as caught:
        find_inputs(tmp_path / "many", named={"t1c": "x.nii.gz"})
    assert caught.value.got == "2 studies"
    with pytest.raises(UsageError, match="the input is 2D images"):
        find_inputs(save("scan.png", GREY), named={"t1c": "x.nii.gz"})


def test_masks_of_a_scheme_that_the_model_does_not_know_are_left_out(tmp_path):
    folder = tmp_path / "brats_2013_pat0003_1"
    folder.mkdir()
    for name in ("T1c_subtrMeanDivStd", "Flair_subtrMeanDivStd", "OTMultiClass"):
        data = np.ones((6, 6, 6), dtype=np.uint8)
        nib.save(nib.Nifti1Image(data, np.eye(4)), folder / f"{name}.nii.gz")
    (source,) = find_inputs(tmp_path, modalities=("t1c", "t2f"), labels="decathlon-brain")
    assert set(source.images) == {"t1c", "t2f"}
    assert source.load().labels is None
    with pytest.raises(UsageError, match="cannot convert labels"):
        find_inputs(tmp_path, modalities=("t1c", "t2f"), labels="decathlon-brain", rules=InputRules(with_masks=True))


@pytest.mark.parametrize(
    ("name", "noted"), [("P1_t1n", True), ("P1_flair", True), ("P1_t1ce", False), ("after", False)]
)
def test_a_file_declared_against_its_name_is_marked(tmp_path: Path, name: str, noted: bool) -> None:
    """T1 without agent declared as T1c: what the user says holds, and every result says what the name says."""
    path = volume(tmp_path / f"{name}.nii.gz", 1)
    alone = study_from_files({"t1c": path}, DataPart(modalities=("t1c",)))
    (named,) = find_inputs(path, DataPart(modalities=("t1c",)), named={"t1c": path})
    assert isinstance(named, VolumeSource)
    for source in (alone, named):
        marks = [text for text in source.load().warnings if "is declared to be t1c, and its name says" in text]
        assert len(marks) == noted


def test_a_file_that_says_it_shows_another_sequence_is_not_taken_for_the_only_one(tmp_path: Path) -> None:
    data = DataPart(modalities=("t1c",))
    for name in ("P1_t1c", "scan"):
        (source,) = find_inputs(volume(tmp_path / f"{name}.nii.gz", 1), data)
        assert source.load().modalities == ("t1c",)
    (source,) = find_inputs(volume(tmp_path / "P1_t1n.nii.gz", 1), data)
    with pytest.raises(InputError, match="lacks t1c") as caught:
        source.load()
    assert caught.value.code == "input.missing_sequence"


def test_a_brain_mask_is_named_for_a_dicom_study(tmp_path: Path) -> None:
    """As a folder of DICOM files, and as a zip of them."""
    objects = scanner.slices(
        scanner.pixels(8), SeriesNumber=3, SeriesDescription="AX T1 POST GD", ContrastBolusAgent="Gadavist"
    )
    folder, packed = tmp_path / "dcm", tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in scanner.write(folder, objects, ending=".dcm"):
            archive.write(path, path.name)
    (plain,) = find_inputs(folder)
    image = plain.load().images["t1c"]
    brain = np.zeros(image.shape, np.uint8)
    brain[3, 2, 1] = 1
    mask = tmp_path / "bm.nii.gz"
    nib.save(nib.Nifti1Image(brain, image.affine), mask)
    for place in (folder, packed):
        for named in ({"brain_mask": mask}, {"brain-mask": str(mask), "t1c": "3"}):
            (source,) = find_inputs(place, modalities=("t1c",), named=named)
            case = source.load()
            assert set(case.images) == {"t1c", BRAIN_MASK}
            assert np.argwhere(case.images[BRAIN_MASK].data).tolist() == [[3, 2, 1]]


def test_a_brain_mask_is_turned_onto_the_grid_of_an_image(tmp_path: Path) -> None:
    data = np.zeros((4, 5, 6), np.uint8)
    data[0, 1, 2] = 1
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "mask.nii.gz")
    flipped = np.diag([1.0, -1, 1, 1])
    flipped[1, 3] = 4
    images = {"t1c": Volume(np.zeros((4, 5, 6)), flipped)}
    assert np.argwhere(read_brain_mask(tmp_path / "mask.nii.gz", images).data).tolist() == [[0, 3, 2]]
    with pytest.raises(InputError, match="fits no image's grid") as caught:
        read_brain_mask(tmp_path / "mask.nii.gz", {"t1c": Volume(np.zeros((4, 5, 6)), np.diag([2.0, 1, 1, 1]))})
    assert caught.value.code == "input.affine_mismatch"


THREE = ("t1n", "t2f", "t1c")


def single_picture(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["grey.png", "rgb.png", "rgba.png", "rgb.jpg", "lossy.webp"])
def test_three_equal_channels_are_one_picture(tmp_path: Path, name: str) -> None:
    grey = np.linspace(0, 255, 32 * 40).astype(np.uint8).reshape(32, 40)
    colour = np.repeat(grey[..., None], 3, axis=2)
    pixels = {"grey.png": grey, "rgba.png": np.dstack([colour, np.full_like(grey, 255)])}.get(name, colour)
    path = single_picture(tmp_path / name, pixels)
    (source,) = find_inputs(path, channels=THREE, rules=InputRules(grey=GreyRule("t2f")))
    case = source.load()
    assert case.modalities == ("t2f",)
    (note,) = case.warnings
    assert "taken for t2f" in note
    (refusing,) = find_inputs(path, channels=THREE, rules=InputRules(grey=GreyRule()))
    with pytest.raises(InputError, match="one grey channel cannot hold 3 sequences") as caught:
        refusing.load()
    assert caught.value.code == "input.missing_sequence"


def test_a_picture_whose_colours_were_lost_is_taken_for_no_sequence(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 40, 4), dtype=np.uint8)  # alpha that hides something
    (source,) = find_inputs(
        single_picture(tmp_path / "a.png", pixels), channels=THREE, rules=InputRules(grey=GreyRule("t2f"))
    )
    with pytest.raises(InputError) as caught:
        source.load()
    assert caught.value.code == "input.missing_sequence"


def test_equal_channels_of_a_data_set_stay_three_and_are_noted(tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 32 * 40).astype(np.uint8).reshape(32, 40)
    path = single_picture(tmp_path / "a.png", np.repeat(grey[..., None], 3, axis=2))
    (source,) = find_inputs(path, channels=THREE)
    case = source.load()
    assert case.modalities == THREE
    assert case.warnings == ("all channels are equal: they show one sequence only",)


@pytest.mark.parametrize("name", ["a.gif", "a", "a.nii"])
def test_a_gif_is_refused_as_a_picture_with_the_cure(tmp_path: Path, name: str) -> None:
    single_picture(tmp_path / name, np.zeros((8, 8), np.uint8), format="GIF")
    with pytest.raises(InputError, match=r"got a GIF\); convert it to PNG or TIFF") as caught:
        find_inputs(tmp_path / name)[0].load()
    assert caught.value.code == "input.format"
