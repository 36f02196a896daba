"""What a folder holds is read, or named before any number; more than stray files left out are refused."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import GeometryError, InputError
from metseg.inference.input_options import InputOptions
from metseg.io import SliceStackSource, VolumeSource, find_cases, find_inputs
from metseg.io.case_discovery import find
from metseg.io.case_source import CaseSource
from metseg.io.duplicate_images import equal_patients
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dicom") / "scanner.py")))


def volume(path: Path, *, labels: tuple[int, ...] = ()) -> Path:
    """Write an image of many values, or a mask with these labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    if labels:
        data[...] = 0
        data[: len(labels), 1, 1] = labels
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7)).save(path)
    return path


def dicom(folder: Path, count: int = 12, *, series: int = 1, description: str = "AX T1 POST GD", **elements: object):
    objects = scanner.slices(
        scanner.pixels(count, series),
        series=series,
        SeriesNumber=series,
        SeriesDescription=description,
        **{"ContrastBolusAgent": "Gadavist", **elements},
    )
    return scanner.write(folder, objects, seed=series, ending=".dcm")


def old_brats(root: Path, case: str) -> None:
    for name in ("t1", "t1ce", "t2", "flair"):
        volume(root / case / f"{case}_{name}.nii.gz")
    volume(root / case / f"{case}_seg.nii.gz", labels=(1, 2, 4))


# Several naming years of one challenge


def test_two_naming_years_of_brats_are_all_read(tmp_path: Path) -> None:
    cases = ["BraTS19_CBICA_ASK_1", "BraTS2021_00000", "BraTS2021_00002", "BraTS2021_00005", "Brats17_2013_27_1"]
    for case in cases:
        old_brats(tmp_path, case)
    assert [source.case_id for source in find_cases(tmp_path)] == sorted(cases)
    assert [source.case_id for source in find_inputs(tmp_path, modalities=("t1c", "t2f"))] == sorted(cases)


# Strays


def test_a_study_of_other_names_is_refused_with_its_names(tmp_path: Path) -> None:
    old_brats(tmp_path, "BraTS2021_00000")
    volume(tmp_path / "P01" / "t1c.nii.gz")
    for seek in (find_cases, find_inputs):
        with pytest.raises(InputError, match=r"1 NIfTI file would be left out.*P01/t1c\.nii\.gz") as caught:
            seek(tmp_path)
        assert caught.value.code == "input.left_out"
        assert caught.value.cure is not None
        assert "--" not in caught.value.cure  # no option that only some commands have


def test_up_to_three_files_of_no_sequence_are_strays_and_more_are_refused(tmp_path: Path) -> None:
    old_brats(tmp_path, "BraTS2021_00000")
    for number in range(3):
        volume(tmp_path / "other" / f"x{number}.nii.gz")
    (note,) = find(tmp_path).notes
    assert "other/x0.nii.gz, other/x1.nii.gz, other/x2.nii.gz" in note
    volume(tmp_path / "other" / "x3.nii.gz")
    with pytest.raises(InputError, match="4 NIfTI files would be left out"):
        find(tmp_path)
    assert len(find(tmp_path, layout="brats_2021").sources) == 1  # whoever names the layout has decided


def test_files_in_the_folder_of_a_study_are_strays_however_many(tmp_path: Path) -> None:
    old_brats(tmp_path, "BraTS2021_00000")
    for number in range(5):
        volume(tmp_path / "BraTS2021_00000" / "derived" / f"BraTS2021_00000_t1_step{number}.nii.gz")
    found = find(tmp_path)
    assert len(found.sources) == 1
    assert found.notes[0].startswith("5 NIfTI files are neither image nor mask")


def test_pictures_outside_the_folders_of_images_and_masks(tmp_path: Path) -> None:
    for name in ("images/ann_1", "masks/ann_1", "previews/a", "previews/b", "previews/c"):
        picture(tmp_path / f"{name}.png")
    pattern = r"^(.*)_\d+$"
    told: list[str] = []
    find_inputs(tmp_path, tell=told.append)
    note = "3 pictures outside the folders of images and masks: previews/a.png, previews/b.png, previews/c.png"
    assert told == [note]
    assert find(tmp_path, patient_pattern=pattern).notes == (note,)
    picture(tmp_path / "previews" / "d.png")
    for seek in (find_inputs, find_cases):
        with pytest.raises(InputError, match=r"4 pictures would be left out.*previews/a\.png"):
            seek(tmp_path, patient_pattern=pattern)


# Several kinds in one folder


def test_a_nifti_file_does_not_hide_a_dicom_study(tmp_path: Path) -> None:
    dicom(tmp_path / "P01" / "DICOM")
    volume(tmp_path / "P01" / "extra" / "t2_flair.nii.gz")
    for seek in (find_cases, find_inputs):
        sources = seek(tmp_path)
        found = [source.images if isinstance(source, VolumeSource) else source.series for source in sources]
        assert sorted(map(tuple, found)) == [("t1c",), ("t2f",)]
        assert {source.root for source in sources} == {tmp_path}
    (note,) = find(tmp_path).notes
    (study,) = (source.case_id for source in find(tmp_path).sources if not isinstance(source, VolumeSource))
    assert note.startswith(
        f"1 study of NIfTI files (P01_extra in the folder P01/extra) and 1 study of DICOM ({study} in the folder"
        " P01/DICOM) are read as different patients; if they are the same examinations, keep one"
    )


def test_a_study_at_the_root_is_said_to_be_in_the_folder_itself(tmp_path: Path) -> None:
    dicom(tmp_path / "mix" / "DICOM")
    volume(tmp_path / "mix" / "t2_flair.nii.gz")
    (note,) = find(tmp_path / "mix").notes
    assert "(mix in the folder mix itself)" in note
    assert "in the folder DICOM)" in note
    (study,) = (source.case_id for source in find(tmp_path / "mix").sources if not isinstance(source, VolumeSource))
    assert f"mix and {study} probably are one examination, because one lies in the folder of the other" in note


def test_files_above_several_studies_are_of_none_of_them(tmp_path: Path) -> None:
    dicom(tmp_path / "mix" / "P01")
    dicom(tmp_path / "mix" / "P02", series=2, StudyInstanceUID="1.2.3.4")
    volume(tmp_path / "mix" / "t2_flair.nii.gz")
    (note,) = find(tmp_path / "mix").notes
    assert "2 studies of DICOM" in note
    assert "probably" not in note


def test_a_prediction_says_plainly_that_a_study_is_there_twice(tmp_path: Path) -> None:
    dicom(tmp_path / "data" / "P01" / "DICOM")
    (study,) = find_cases(tmp_path / "data")
    copy = tmp_path / "data" / "P01" / "nifti" / "t1c.nii.gz"
    converted(study, copy, flips=(1,), order=(0, 1, 2), dtype="int16")
    told: list[str] = []
    wanted = DataPart(modalities=("t1c",))
    sources = InputOptions(tell=told.append).sources([tmp_path / "data"], wanted, tmp_path / "out")
    assert len(sources) == 2
    same = f"{min(sources[0].case_id, sources[1].case_id)} and {max(sources[0].case_id, sources[1].case_id)}"
    assert told[-1].startswith(f"{same} have equal images: they are one examination in two formats, predicted twice")
    volume(copy)  # another examination
    told.clear()
    InputOptions(tell=told.append).sources([tmp_path / "data"], wanted, tmp_path / "out")
    assert not [note for note in told if "equal images" in note]


def converted(
    study: CaseSource, path: Path, *, flips: tuple[int, ...], order: tuple[int, int, int], dtype: str
) -> None:
    """Write the T1c of a study as a converter does: the same voxels in space, their axes flipped and reordered."""
    image = study.load().images["t1c"]
    assert image.affine is not None
    data, affine = image.data, image.affine.copy()
    for axis in flips:
        data = np.flip(data, axis)
        affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
        affine[:3, axis] *= -1
    path.parent.mkdir(parents=True, exist_ok=True)
    affine[:, :3] = affine[:, list(order)]
    nib.save(nib.Nifti1Image(data.transpose(order).astype(dtype), affine), path)


@pytest.mark.parametrize(
    ("flips", "order", "dtype"),
    [
        ((), (0, 1, 2), "uint16"),
        ((1,), (0, 1, 2), "int16"),  # as dcm2niix does
        ((0, 1), (0, 1, 2), "float32"),
        ((0, 2), (2, 0, 1), "int16"),
    ],
)
def test_a_study_and_its_converted_files_are_one_patient_for_a_split(
    tmp_path: Path,
    run_metseg: Callable[..., tuple[int, str, str]],
    flips: tuple[int, ...],
    order: tuple[int, int, int],
    dtype: str,
) -> None:
    dicom(tmp_path / "data" / "P01" / "DICOM")
    (study,) = find_cases(tmp_path / "data")
    converted(study, tmp_path / "data" / "P01" / "nifti" / "t1c.nii.gz", flips=flips, order=order, dtype=dtype)
    assert equal_patients(find_cases(tmp_path / "data"), quiet=True) == [("P01", study.patient)]
    out = tmp_path / "split.json"
    status, _, err = run_metseg("split", tmp_path / "data", "--out", out, "--test", 0.5, "--validation", 0)
    assert status == 0
    assert f"have equal images (P01 = {study.patient}): the split leaks patients" in err


def test_a_mask_beside_a_dicom_study_is_named(tmp_path: Path) -> None:
    name = "seg.nii.gz"
    dicom(tmp_path / "DICOM")
    volume(tmp_path / name, labels=(1,))
    told: list[str] = []
    (source,) = find_inputs(tmp_path, modalities=("t1c",), tell=told.append)
    assert source.load().modalities == ("t1c",)
    (note,) = told
    assert note.startswith("1 NIfTI file not read beside DICOM: there are masks but no images")
    assert name in note
    (named,) = find_inputs(tmp_path, modalities=("t2f",), named={"flair": "1"})
    assert named.load().modalities == ("t2f",)


def brain_of(folder: Path, path: Path) -> Path:
    """Write a brain mask of one voxel on the grid of the only DICOM study in a folder."""
    (source,) = find_inputs(folder)
    image = source.load().images["t1c"]
    data = np.zeros(image.shape, np.uint8)
    data[3, 2, 1] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, image.affine), path)
    return path


def brain_voxels(source: CaseSource) -> list[list[int]]:
    return np.argwhere(source.load().images[BRAIN_MASK].data).tolist()


def test_a_brain_mask_beside_a_dicom_study_is_its_own(tmp_path: Path) -> None:
    dicom(tmp_path / "p" / "DICOM")
    brain_of(tmp_path / "p", tmp_path / "p" / "t1c_brain_mask.nii.gz")
    told: list[str] = []
    (source,) = find_inputs(tmp_path, modalities=("t1c",), tell=told.append)
    assert brain_voxels(source) == [[3, 2, 1]]
    assert told == []
    assert "t1c_brain_mask.nii.gz beside the study is its brain mask" in source.load().warnings
    (without,) = find_inputs(tmp_path, modalities=("t1c",), named={"brain_mask": "none"})
    assert set(without.load().images) == {"t1c"}


def test_a_brain_mask_on_another_grid_beside_a_dicom_study_is_not_used(tmp_path: Path) -> None:
    dicom(tmp_path / "DICOM")
    mask = volume(tmp_path / "t1c_brain_mask.nii.gz", labels=(1,))
    (source,) = find_inputs(tmp_path, modalities=("t1c",))
    case = source.load()
    assert set(case.images) == {"t1c"}
    (warning,) = [text for text in case.warnings if "brain_mask" in text]
    assert warning.startswith("t1c_brain_mask.nii.gz beside the study is not used: the brain mask fits no image's")
    (named,) = find_inputs(tmp_path, modalities=("t1c",), named={"brain_mask": mask})
    with pytest.raises(GeometryError, match="fits no image's grid"):
        named.load()


def test_each_dicom_study_has_the_brain_mask_of_its_folder(tmp_path: Path) -> None:
    for number, patient in enumerate(("a", "b")):
        dicom(tmp_path / patient / "DICOM", series=number + 1, PatientID=patient, StudyInstanceUID=f"1.2.3.{number}")
    brain_of(tmp_path / "b", tmp_path / "b" / "brain_mask.nii.gz")
    with_masks = [source for source in find_inputs(tmp_path) if BRAIN_MASK in source.load().images]
    assert [source.files[0].relative_to(tmp_path).parts[0] for source in with_masks] == ["b"]
    brain_of(tmp_path / "a", tmp_path / "brain_mask.nii.gz")  # beside both
    told: list[str] = []
    find_inputs(tmp_path, tell=told.append)
    assert [note for note in told if note.startswith("1 NIfTI file not read beside DICOM") and "brain_mask" in note]


def test_of_two_brain_masks_beside_a_dicom_study_none_is_used(tmp_path: Path) -> None:
    dicom(tmp_path / "DICOM")
    for name in ("a", "b"):
        brain_of(tmp_path / "DICOM", tmp_path / f"{name}_brain_mask.nii.gz")
    told: list[str] = []
    (source,) = find_inputs(tmp_path, tell=told.append)
    assert set(source.load().images) == {"t1c"}
    assert any(note.startswith("2 NIfTI files not read beside DICOM") for note in told)


def test_pictures_hide_no_dicom_study_and_no_volumes(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "previews" / f"p{number}.png")
    dicom(tmp_path / "DICOM")
    with pytest.raises(InputError, match="12 DICOM files would be left out"):
        find_inputs(tmp_path)
    for path in (tmp_path / "DICOM").iterdir():
        path.unlink()
    for name in ("t1c", "t1n", "t2w", "t2f"):
        volume(tmp_path / "P01" / f"{name}.nii.gz")
    with pytest.raises(InputError, match=r"4 NIfTI files would be left out.*P01/t1c\.nii\.gz"):
        find_inputs(tmp_path)


def test_pictures_beside_volumes_and_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    volume(tmp_path / "P01" / "t1c.nii.gz")
    volume(tmp_path / "P01" / "flair.nii.gz")
    picture(tmp_path / "P01" / "preview.png")
    (tmp_path / "P01" / "t2.nrrd").write_bytes(b"NRRD0004")
    told: list[str] = []
    find_inputs(tmp_path, tell=told.append)
    assert told == ["1 .nrrd file not read: P01/t2.nrrd", "1 picture not read: P01/preview.png"]
    assert find(tmp_path).notes == tuple(told)


def test_other_files_before_the_dicom_files_do_not_hide_them(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.json").write_text("{}")
    dicom(tmp_path / "z")
    assert find(tmp_path).layout == "dicom"


def test_inspect_shows_both_kinds(tmp_path: Path, run_metseg: Callable[..., tuple[int, str, str]]) -> None:
    dicom(tmp_path / "P01" / "DICOM")
    volume(tmp_path / "P01" / "t2_flair.nii.gz")
    status, out, _ = run_metseg("inspect", tmp_path)
    assert status == 0
    assert "2 patients, 2 studies" in out


def test_inspect_counts_no_dicom_file_that_is_read_as_another(
    tmp_path: Path, run_metseg: Callable[..., tuple[int, str, str]]
) -> None:
    dicom(tmp_path)
    _, out, _ = run_metseg("inspect", tmp_path)
    assert "other files" not in out
    (tmp_path / "notes.txt").write_text("by hand")
    _, out, _ = run_metseg("inspect", tmp_path)
    assert ".txt (1)" in out
    assert ".dcm" not in out


# Label maps


@pytest.mark.parametrize("labels", [(1,), (1, 2, 4), (255,), (1000,), (4095,), (-1,)])
def test_a_label_map_given_as_an_image_is_refused(tmp_path: Path, labels: tuple[int, ...]) -> None:
    path = volume(tmp_path / "P01" / "t1c.nii.gz", labels=labels)
    for source in (find_inputs(path, modalities=("t1c",))[0], find_cases(tmp_path)[0]):
        with pytest.raises(InputError, match="the image is a label map") as caught:
            source.load()
        assert caught.value.code == "input.label_map"


@pytest.mark.parametrize("value", [255, 1, 4095])
def test_masks_of_pictures_given_as_images_are_refused(tmp_path: Path, value: int) -> None:
    for number in (1, 2):
        mask = np.zeros((5, 7), np.uint8 if value < 256 else np.uint16)
        mask[2, 3] = value * (number == 2)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"ann_{number}.png")
    (source,) = find_inputs(tmp_path / "masks")
    with pytest.raises(InputError, match="the image is a label map") as caught:
        source.load()
    assert caught.value.code == "input.label_map"
    grey = np.full((5, 7), 2, mask.dtype)
    Image.fromarray(grey).save(tmp_path / "masks" / "ann_1.png")  # one shade of grey
    source.load()


def picture_stack(root: Path, *planes: np.ndarray) -> CaseSource:
    """Write pictures of one patient and return them as one case."""
    (root / "ann").mkdir(parents=True, exist_ok=True)
    for number, plane in enumerate(planes):
        Image.fromarray(plane).save(root / "ann" / f"ann_{number}.png")
    (source,) = find_inputs(root / "ann")
    return source


def label_plane(values: tuple[int, ...], size: int = 32, dtype: type = np.uint8) -> np.ndarray:
    """Return a label map of rings, one within the other, the first value outermost."""
    plane = np.zeros((size, size), dtype)
    for number, value in enumerate(values, 1):
        plane[number * 2 : -number * 2, number * 2 : -number * 2] = value
    return plane


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 4), (2, 1, 3), (64, 128, 255), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_of_pictures_given_as_images_are_refused(
    tmp_path: Path, values: tuple[int, ...], dtype: type
) -> None:
    empty = np.zeros((32, 32), dtype)
    source = picture_stack(tmp_path, empty, label_plane(values[:1], dtype=dtype), label_plane(values, dtype=dtype))
    got = f"{len(values) + 1} values, {', '.join(map(str, (0, *sorted(values))))}"
    with pytest.raises(InputError, match=f"the image is a label map.*{got}") as caught:
        source.load()
    assert caught.value.code == "input.label_map"
    assert isinstance(source, SliceStackSource)
    case, errors = source.load_readable()
    assert case is None
    assert [error.code for error in errors] == ["input.label_map"]


def test_a_colour_coded_label_map_given_as_an_image_is_refused(tmp_path: Path) -> None:
    plane = label_plane((1, 2, 3))
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 255, 0], [128, 255, 64]], np.uint8)[plane]
    with pytest.raises(InputError, match="the image is a label map"):
        picture_stack(tmp_path, colours).load()


def test_images_of_few_values_are_read(tmp_path: Path) -> None:
    """Faint noise of an edge slice, an edge slice that is black, few shades without a background, tiny pictures."""
    rng = np.random.default_rng(0)
    noise = rng.choice(np.arange(6, dtype=np.uint8), (64, 64), p=(0.4, 0.25, 0.15, 0.1, 0.06, 0.04))
    head = label_plane((60, 80), 64) + rng.integers(0, 12, (64, 64), np.uint8)
    black = np.zeros((64, 64), np.uint8)
    shades = np.where(label_plane((1,)) > 0, 200, 60).astype(np.uint8)
    for name, planes in {
        "noise": (noise,),
        "edge": (black, black, head, black),
        "black": (black,),
        "shades": (shades, np.maximum(shades, 90)),
        "tiny": (label_plane((1, 2), 12),),
        "levels": ((label_plane(tuple(range(10, 100, 10)), 64)),),
    }.items():
        assert picture_stack(tmp_path / name, *planes).load().slice_names


def test_real_label_maps_as_pictures_are_refused_and_their_images_read(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "glioma_volume_no_truth"
    images = {name: nib.load(folder / f"{name}.nii.gz").dataobj[:, :, 60:90:3] for name in ("seg-BraTS23_1", "t1c")}
    planes = {name: np.asarray(data, np.float32) for name, data in images.items()}
    scaled = (planes["t1c"] / planes["t1c"].max() * 255).astype(np.uint8)
    assert picture_stack(tmp_path / "image", *np.moveaxis(scaled, -1, 0)).load().slice_names
    labels = planes["seg-BraTS23_1"].astype(np.uint8)
    with pytest.raises(InputError, match="the image is a label map"):
        picture_stack(tmp_path / "labels", *np.moveaxis(labels, -1, 0)).load()


@pytest.mark.parametrize("ending", ["jpg", "webp"])
@pytest.mark.parametrize("colours", [False, True])
def test_masks_as_lossy_pictures_given_as_images_are_refused(tmp_path: Path, ending: str, colours: bool) -> None:
    (tmp_path / "ann").mkdir()
    for number in (1, 2):
        mask = Image.fromarray(label_plane((255,) if number == 2 else (0,), 64))
        (mask.convert("RGB") if colours else mask).save(tmp_path / "ann" / f"ann_{number}.{ending}", quality=60)
    (source,) = find_inputs(tmp_path / "ann")
    with pytest.raises(InputError, match="the image is a mask") as caught:
        source.load()
    assert caught.value.code == "input.label_map"


def test_real_masks_as_jpeg_are_refused_and_their_images_read(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "mets_t2w_slices"
    for path in sorted((folder / "images").glob("*.jpg")):
        assert find_inputs(path)[0].load().slice_names
    masks = [path for path in sorted((folder / "masks").glob("*.jpg")) if np.asarray(Image.open(path)).any()]
    assert masks
    for number, path in enumerate(masks):
        copy = tmp_path / f"scan{number}.jpg"  # under a name that does not say what it is
        copy.write_bytes(path.read_bytes())
        with pytest.raises(InputError, match="the image is a mask"):
            find_inputs(copy)[0].load()


def test_a_label_map_among_images_is_refused_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    head = label_plane((60, 80), 64) + rng.integers(0, 12, (64, 64), np.uint8)
    for name, labels in {"mask": (255,), "classes": (80, 160, 240)}.items():
        source = picture_stack(tmp_path / name, head, head, label_plane(labels, 64))
        with pytest.raises(InputError, match=r"ann_2\.png: the image is a label map"):
            source.load()
    # A dim edge slice of few values, and speckles, are no label map.
    speckles = np.where(rng.random((64, 64)) > 0.9, 90, 0).astype(np.uint8)
    assert picture_stack(tmp_path / "edge", head, label_plane((1, 2), 64), speckles).load().slice_names


def test_a_mask_of_fractions_given_as_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t1c.nii.gz"
    data = np.zeros((4, 5, 6), np.float32)
    data[1, 1, 1] = 0.5
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    with pytest.raises(InputError, match="the image is a label map"):
        find_inputs(path, modalities=("t1c",))[0].load()


# Folders for each sequence


@pytest.mark.parametrize(
    "folders", [("PD_012_T1", "PD_012_T1C", "GT_05_"), ("FLAIR", "T1"), ("12_t1ce", "12_t2"), ("GT_05_", "T1")]
)
def test_folders_that_alone_tell_the_sequences_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for number, name in enumerate(folders):
        for patient in ("Sub01", "Sub02"):
            volume(tmp_path / patient / name / f"image{number}.nii.gz", labels=(1,) if "GT" in name else ())
    for seek in (find_cases, find_inputs):
        with pytest.raises(InputError, match="sequences are named by folders") as caught:
            seek(tmp_path, modalities=("t1c",))
        assert caught.value.code == "input.layout"
        assert f"{folders[0]}/image0.nii.gz, {folders[1]}/image1.nii.gz" in str(caught.value.got)
    assert len(find_cases(tmp_path, layout="study", modalities=("t1c",))) >= 4  # whoever names the layout has decided


def test_folders_of_patients_whose_only_image_has_no_name_are_read(tmp_path: Path) -> None:
    for group in (("T1_001", "T1_002", "PD_012"), ("MET_7", "MET_8")):
        for name in group:
            volume(tmp_path / group[0] / name / "image.nii.gz")
        assert len(find_inputs(tmp_path / group[0], modalities=("t1c",))) == len(group)


def test_a_protocol_in_the_names_of_a_patients_files_is_no_sequence(tmp_path: Path) -> None:
    for patient, number in (("Sub01", 12), ("Sub02", 13)):
        for name in ("T1", "T1C"):
            volume(tmp_path / patient / f"PD_0{number}_{name}.nii.gz")
        volume(tmp_path / patient / f"GT_05_{number}.nii.gz", labels=(1,))
    for source in find_cases(tmp_path):
        assert isinstance(source, VolumeSource)
        number = 12 if source.patient == "Sub01" else 13
        found = {role: file.path.name for role, file in source.images.items()}
        assert found == {"t1n": f"PD_0{number}_T1.nii.gz", "t1c": f"PD_0{number}_T1C.nii.gz"}
        assert source.mask == tmp_path / source.patient / f"GT_05_{number}.nii.gz"


# One odd DICOM file


@pytest.mark.parametrize("kind", ["cut", "few"])
def test_a_dicom_file_with_too_few_pixels_is_set_aside_by_name(tmp_path: Path, kind: str) -> None:
    first, *_ = dicom(tmp_path)
    if kind == "cut":
        (tmp_path / "odd.dcm").write_bytes(first.read_bytes()[:-20])
    else:
        item = scanner.slices(scanner.pixels(1, 5), SeriesDescription="AX T1 POST GD", ContrastBolusAgent="Gadavist")[0]
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = scanner.uid("few")
        item.SeriesInstanceUID, item.SeriesNumber, item.PixelData = scanner.uid(1), 1, bytes(10)
        item.save_as(tmp_path / "odd.dcm", enforce_file_format=True)
    told: list[str] = []
    (source,) = find_inputs(tmp_path, tell=told.append)
    assert told == [f"1 DICOM file set aside (a DICOM file is truncated or damaged): {tmp_path / 'odd.dcm'}"]
    np.testing.assert_array_equal(source.load().images["t1c"].data.T, scanner.pixels(12, 1))


def test_damage_is_told_without_the_name_of_an_exception(tmp_path: Path) -> None:
    for path in dicom(tmp_path, 3):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="a DICOM file is truncated or damaged") as caught:
        find_inputs(tmp_path)
    assert caught.value.got == "50 bytes of pixels where its header says 70"
    assert "Error" not in str(caught.value)


@pytest.mark.parametrize("kind", ["truncated", "deflated"])
def test_one_odd_dicom_file_is_set_aside_by_name(tmp_path: Path, kind: str) -> None:
    first, *_ = dicom(tmp_path)
    content = first.read_bytes()
    # The UID of the deflated transfer syntax is that of the usual one with .99 behind it; padded, lengths stay right.
    usual, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    at = content.index(usual)
    longer = content[: at - 2] + len(deflated).to_bytes(2, "little") + deflated + content[at + len(usual) :]
    content = content[:400] if kind == "truncated" else longer
    (tmp_path / "odd.dcm").write_bytes(content)
    told: list[str] = []
    (source,) = find_inputs(tmp_path, tell=told.append)
    (note,) = told
    assert note.startswith("1 DICOM file set aside (")
    assert note.endswith(f": {tmp_path / 'odd.dcm'}")
    case = source.load()
    assert case.images["t1c"].shape[2] == 12
    assert any(warning.startswith("1 other files ignored (1 DICOM ") for warning in case.warnings)
    assert "odd" not in " ".join(case.warnings)
    if kind == "deflated":
        (tmp_path / "odd2.dcm").write_bytes(content)
        with pytest.raises(InputError, match="deflated"):  # two of fourteen are no exception any more
            find_inputs(tmp_path)


def test_one_picture_without_a_place_does_not_spoil_its_series(tmp_path: Path) -> None:
    objects = scanner.slices(scanner.pixels(12, 1), SeriesNumber=4, SeriesDescription="AX T2")
    extra = scanner.slices(scanner.pixels(1, 2), SeriesNumber=4, SeriesDescription="AX T2", InstanceNumber=99)[0]
    extra.SOPInstanceUID = extra.file_meta.MediaStorageSOPInstanceUID = scanner.uid("screenshot")
    del extra.ImagePositionPatient
    scanner.write(tmp_path, [*objects, extra])
    (source,) = find_inputs(tmp_path)
    assert source.load().images["t2w"].shape[2] == 12
    assert any(note.startswith('series 4.2 ("AX T2") left aside') for note in source.notes)


def test_a_dicom_mask_is_no_image(tmp_path: Path) -> None:
    dicom(tmp_path, series=1, description="AX T2 FLAIR", ContrastBolusAgent=None)
    mask = np.zeros((20, scanner.ROWS, scanner.COLUMNS), dtype=np.uint16)
    mask[9:11, 2:4, 2:4] = 1
    objects = scanner.slices(mask, series="roi", SeriesNumber=2, SeriesDescription="AX T2 FLAIR region", step=2.0)
    scanner.write(tmp_path, objects, seed=7)
    (source,) = find_inputs(tmp_path)
    assert source.load().images["t2f"].shape[2] == 12
    assert any(note.startswith('series 2 ("AX T2 FLAIR …") left aside: t2f by its words, but') for note in source.notes)
    (named,) = find_inputs(tmp_path, named={"t2f": "2"})
    with pytest.raises(InputError, match="series 2: the image is a label map"):
        named.load()


@pytest.mark.parametrize("value", [1000, 4095])
def test_a_dicom_mask_of_any_value_does_not_displace_the_image(tmp_path: Path, value: int) -> None:
    dicom(tmp_path, series=2)
    mask = np.zeros((24, scanner.ROWS, scanner.COLUMNS), dtype=np.uint16)
    mask[12] = value  # the middle picture holds no background
    what = {"SeriesNumber": 1, "SeriesDescription": "AX T1 POST GD", "ContrastBolusAgent": "Gadavist"}
    scanner.write(tmp_path, scanner.slices(mask, series="mask", step=1.5, **what), seed=7)
    (source,) = find_inputs(tmp_path)
    np.testing.assert_array_equal(source.load().images["t1c"].data.T, scanner.pixels(12, 2))
    assert any(note.startswith("series 1 ") and "its values are those of a mask" in note for note in source.notes)


@pytest.mark.parametrize("description", ["t1_mprage_km_ROI", "T1 +C GTV1", "Contours T1 +C", "SEG t1 km"])
def test_a_description_that_says_mask_is_no_image(tmp_path: Path, description: str) -> None:
    """A finer series of many values, such as a smoothed mask, would be preferred by every other rule."""
    dicom(tmp_path, series=2)
    fine = scanner.slices(scanner.pixels(24, 9), series="fine", SeriesNumber=1, SeriesDescription=description, step=1.5)
    for item in fine:
        item.ContrastBolusAgent = "Gadavist"
    scanner.write(tmp_path, fine, seed=7)
    (source,) = find_inputs(tmp_path)
    np.testing.assert_array_equal(source.load().images["t1c"].data.T, scanner.pixels(12, 2))
    assert any(note.endswith("left aside: a mask, says the description.") for note in source.notes)


# Numbers of DICOM series


def test_the_scanners_number_names_a_series_and_not_our_own(tmp_path: Path) -> None:
    """Of the series 3 (FLAIR), 7 and 9 (T1 post), metseg's own third is 9 and its first is 3."""
    dicom(tmp_path, 10, series=3, description="AX T2 FLAIR", ContrastBolusAgent=None)
    dicom(tmp_path, 11, series=7)
    dicom(tmp_path, 12, series=9, description="SAG T1 POST GD")
    (source,) = find_inputs(tmp_path, named={"t1c": "7"})
    np.testing.assert_array_equal(source.load().images["t1c"].data.T, scanner.pixels(11, 7))
    assert 'series 7 ("AX T1 POST GD") is t1c: named by hand.' in source.notes
    assert 'series 3 ("AX T2 FLAIR") is t2f: the description says FLAIR.' in source.notes
    with pytest.raises(Exception, match=r"Unknown series '2'\. Known: 3, 7, 9.*give one of these numbers"):
        find_inputs(tmp_path, named={"t1c": "2"})


def test_series_of_one_number_are_told_apart_and_those_without_are_counted_on(tmp_path: Path) -> None:
    dicom(tmp_path / "a", 10, series=5)
    objects = scanner.slices(scanner.pixels(8, 2), series="b", SeriesNumber=5, SeriesDescription="AX T2")
    objects += scanner.slices(scanner.pixels(9, 3), series="c", SeriesDescription="AX T2 FLAIR")
    scanner.write(tmp_path / "b", objects)
    (source,) = find_inputs(tmp_path)
    labels = {name: series.label for name, series in source.series.items()}
    assert {labels["t1c"], labels["t2w"]} == {"5.1", "5.2"}
    assert labels["t2f"] == "6"


def test_a_number_is_a_series_also_where_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "study", 11, series=7)
    (tmp_path / "7").mkdir()
    monkeypatch.chdir(tmp_path)
    (source,) = find_inputs(tmp_path / "study", named={"t1n": "7"})
    assert source.load().modalities == ("t1n",)


# Masks under other names


@pytest.mark.parametrize(
    "name", ["GOLD_STANDARD_flair", "gold", "label", "manual", "flair_manual", "T1c_gold-standard"]
)
def test_masks_of_volumes_by_any_of_their_names(tmp_path: Path, name: str) -> None:
    for patient in ("P01", "P02"):
        volume(tmp_path / patient / "flair.nii.gz")
        volume(tmp_path / patient / "t1c.nii.gz")
        volume(tmp_path / patient / f"{name}.nii.gz", labels=(1,))
    for source in find_cases(tmp_path):
        case = source.load()
        assert case.modalities == ("t2f", "t1c")
        assert case.labels is not None
        assert int(case.labels.data.sum()) == 1


@pytest.mark.parametrize("name", ["GOLD_STANDARD_{}", "gold_{}", "{}_label", "{}-manual", "mask_{}", "{}_gt"])
def test_masks_of_pictures_by_any_of_their_names(tmp_path: Path, name: str) -> None:
    for number in (1, 2):
        picture(tmp_path / "P01" / f"{number}.png")
        mask = np.zeros((5, 7), np.uint8)
        mask[number, 3] = 255
        Image.fromarray(mask).save(tmp_path / "P01" / f"{name.format(number)}.png")
    (source,) = find_cases(tmp_path)
    case = source.load()
    assert case.labels is not None
    assert np.argwhere(case.labels.data).tolist() == [[3, 1, 0], [3, 2, 1]]
