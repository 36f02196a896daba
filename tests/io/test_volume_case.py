"""Studies of volumes: grids, missing sequences, doubtful files, and studies named file by file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import GeometryError, InputError, UsageError
from metseg.io import ImageFile, find_cases, read_volume, study_from_files
from metseg.io.volumes import image_files as image_files_module
from metseg.io.volumes.volume_case import VolumeSource
from metseg.labels import LABEL_MAPS, LABEL_SCHEMES, label_map
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

LPS = np.diag([-1.0, -1.0, 3.0, 1.0])
RAS = np.diag([1.0, 1.0, 3.0, 1.0])


def save(path: Path, data: np.ndarray, affine: np.ndarray = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder with t1c and its mask on one grid, and FLAIR on another."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "ann"
    save(folder / "t1c.nii.gz", rng.integers(0, 100, (6, 5, 4)).astype(np.int16))
    save(folder / "flair.nii.gz", rng.normal(size=(3, 5, 7)).astype(np.float32), RAS)
    save(folder / "seg.nii.gz", (rng.random((6, 5, 4)) > 0.5).astype(np.uint8))
    return tmp_path


def test_images_keep_their_grids_types_and_axis_order(study: Path) -> None:
    case = find_cases(study)[0].load()
    assert {name: (image.shape, str(image.data.dtype)) for name, image in case.images.items()} == {
        "t2f": ((3, 5, 7), "float32"),
        "t1c": ((6, 5, 4), "int16"),
    }
    assert case.images["t2f"].affine.tolist() == RAS.tolist()
    raw = nib.load(study / "ann" / "t1c.nii.gz").get_fdata()
    assert np.array_equal(case.images["t1c"].data, raw)


def test_the_order_is_that_of_the_recipe(study: Path) -> None:
    data = DataPart(modalities=("t1c", "t2f"))
    (source,) = find_cases(study, data)
    assert source.load().modalities == ("t1c", "t2f")
    assert [path.name for path in source.files] == ["t1c.nii.gz", "flair.nii.gz", "seg.nii.gz"]


def test_a_mask_on_another_images_grid_is_said(study: Path) -> None:
    assert find_cases(study, modalities=("t1c", "t2f"))[0].load().warnings == ()
    case = find_cases(study, modalities=("t1c", "t2f"), reference="t2f")[0].load()
    assert case.warnings == ("seg.nii.gz is on the grid of t1c, not of t2f",)
    alone = find_cases(study, modalities=("t2f",))[0].load()  # t1c is looked at for its grid only
    assert alone.modalities == ("t2f",)
    assert alone.warnings == ("seg.nii.gz is on the grid of t1c, not of t2f",)
    assert alone.labels is not None
    assert alone.labels.shape == (6, 5, 4)


def test_a_mask_on_no_grid_is_refused(study: Path) -> None:
    moved = LPS.copy()
    moved[0, 3] = 2.0
    mask = np.ones((6, 5, 4), dtype=np.uint8)
    for data, affine, code in (
        (mask, moved, "input.affine_mismatch"),
        (mask[1:], LPS, "input.shape_mismatch"),
        (mask[::-1], RAS, "input.affine_mismatch"),
    ):
        save(study / "ann" / "seg.nii.gz", data, affine)
        with pytest.raises(GeometryError, match=r"seg\.nii\.gz: the mask fits no image's grid.*case ann") as caught:
            find_cases(study)[0].load()
        assert caught.value.code == code


def test_a_brain_mask_comes_along(study: Path) -> None:
    brain = np.zeros((6, 5, 4), dtype=np.float32)
    brain[1:5] = 0.99999997
    save(study / "ann" / "t1c_brain_mask.nii.gz", brain)
    case = find_cases(study, modalities=("t1c",))[0].load()
    assert tuple(case.images) == ("t1c", BRAIN_MASK)
    assert np.array_equal(case.images[BRAIN_MASK].data > 0.5, brain > 0)


def test_a_missing_sequence_is_named_unless_the_model_can_do_without(study: Path) -> None:
    data = DataPart(modalities=("t1n", "t1c", "t2f"))
    (source,) = find_cases(study, data)
    with pytest.raises(InputError, match=r"case ann: the case lacks t1n .*got t2f, t1c.*--modality") as caught:
        source.load()
    assert caught.value.code == "input.missing_sequence"
    case = find_cases(study, data, optional=("t1n",))[0].load()
    assert case.modalities == ("t1c", "t2f")
    assert case.warnings == ("t1n is missing",)


def test_two_files_for_one_sequence_are_asked_about(study: Path) -> None:
    save(study / "ann" / "t1_gd.nii.gz", np.ones((6, 5, 4), dtype=np.int16))
    (source,) = find_cases(study, modalities=("t1c",))
    with pytest.raises(InputError, match=r"several files match t1c.*t1_gd\.nii\.gz.*--modality t1c=FILE") as caught:
        source.load()
    assert caught.value.code == "input.duplicate_sequence"
    assert find_cases(study, modalities=("t2f",))[0].load().modalities == ("t2f",)  # not in doubt


def test_two_masks_are_not_guessed_between(study: Path) -> None:
    save(study / "ann" / "seg_reader2.nii.gz", np.ones((6, 5, 4), dtype=np.uint8))
    case = find_cases(study)[0].load()
    assert case.labels is None
    assert case.warnings[0].startswith("2 files look like masks of lesions (seg.nii.gz, seg_reader2.nii.gz)")


def test_a_file_whose_name_tells_nothing_is_left_out_with_a_word(study: Path) -> None:
    save(study / "ann" / "dwi.nii.gz", np.ones((6, 5, 4), dtype=np.int16))
    (source,) = find_cases(study, modalities=("t1c",))
    assert source.load().warnings == ("dwi.nii.gz is left out: a diffusion image or a map made from it, says the name",)


def test_channels_of_one_file_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four = np.stack([np.full((3, 3, 3), value, dtype=np.int16) for value in (7, 8, 9)], axis=-1)
    path = save(tmp_path / "a" / "all.nii.gz", four)
    opened = []
    read = image_files_module.read_channels
    monkeypatch.setattr(image_files_module, "read_channels", lambda *args: opened.append(args) or read(*args))
    source = study_from_files({"flair": ImageFile(path, 2), "t1": ImageFile(path, 0)}, case_id="x")
    assert {name: int(image.data[0, 0, 0]) for name, image in source.load().images.items()} == {"t2f": 9, "t1n": 7}
    assert opened == [(path, [2, 0])]


def test_a_study_named_file_by_file(study: Path) -> None:
    folder = study / "ann"
    source = study_from_files(
        {"FLAIR": folder / "flair.nii.gz", "t1ce": str(folder / "t1c.nii.gz")}, DataPart(modalities=("t1c", "t2f"))
    )
    assert isinstance(source, VolumeSource)
    assert (source.case_id, source.patient) == ("ann", "ann")
    assert source.load().modalities == ("t1c", "t2f")
    with pytest.raises(UsageError, match="two files are given for t1c"):
        study_from_files({"t1ce": folder / "a.nii", "t1c": folder / "b.nii"})
    with pytest.raises(InputError, match="no such file"):
        study_from_files({"t1c": folder / "a.nii"}).load()
    with pytest.raises(UsageError, match="no file"):
        study_from_files({})


@pytest.mark.parametrize("files", LABEL_SCHEMES)
def test_every_scheme_becomes_binary_and_itself(files: str) -> None:
    classes = LABEL_SCHEMES[files].classes
    assert label_map(files, "binary") == dict.fromkeys(classes, 1)
    assert label_map(files, files) == {value: value for value in classes}


@pytest.mark.parametrize(("files", "wanted"), LABEL_MAPS)
def test_maps_name_every_class_and_keep_regions(files: str, wanted: str) -> None:
    table = LABEL_MAPS[files, wanted]
    source, target = LABEL_SCHEMES[files], LABEL_SCHEMES[wanted]
    assert set(table) == set(source.classes)
    assert set(table.values()) <= set(target.classes)
    for region in set(source.regions) & set(target.regions):
        for value, becomes in table.items():
            assert (value in source.regions[region]) == (becomes in target.regions[region])


@pytest.mark.real
def test_brats_2015(real_data: Path) -> None:
    data = DataPart(modalities=("t1c", "t2f"), labels="brats-gli-2023")
    sources = find_cases(real_data / "brats2015", data)
    assert [source.patient for source in sources] == [f"brats_2013_pat000{n}" for n in (3, 4, 5, 6)]
    case = sources[0].load()
    assert {image.shape for image in case.images.values()} == {(240, 240, 155)}
    stored = nib.load(real_data / "brats2015" / "brats_2013_pat0003_1" / "OTMultiClass.nii.gz").get_fdata()
    assert case.labels is not None
    for value, old in ((1, (1, 3)), (2, (2,)), (3, (4,))):
        assert np.count_nonzero(case.labels.data == value) == np.isin(np.rint(stored), old).sum()
    assert sorted(np.unique(np.rint(case.images[BRAIN_MASK].data))) == [0, 1]
    assert case.warnings == ()


@pytest.mark.real
def test_studies_without_truth(real_data: Path) -> None:
    (mets,) = find_cases(real_data / "met_volume_no_truth")
    assert (mets.case_id, mets.patient, mets.timepoint) == ("BraTS-MET-00110-000", "BraTS-MET-00110", "000")
    assert sorted(mets.images) == ["t1c", "t1n", "t2f", "t2w"]
    (glioma,) = find_cases(real_data / "glioma_volume_no_truth")
    assert sorted(glioma.images) == ["t1c", "t1n", "t2f", "t2w"]
    assert glioma.mask is None
    assert "2 files look like masks" in glioma.notes[0]
    (raw,) = find_cases(real_data / "raw_clinical_glioma", modalities=("t1n", "t1c", "t2w", "t2f"))
    case = raw.load()
    assert [image.shape for image in case.images.values()] == [
        (256, 224, 26),
        (256, 224, 26),
        (224, 256, 26),
        (208, 256, 26),
        (256, 224, 26),
    ]
    assert [tag for tag in ("t1c", "t2", "fla") if tag in raw.images["t2f"].path.name] == ["fla"]


@pytest.mark.real
def test_two_orientations_of_one_segmentation(real_data: Path) -> None:
    folder = real_data / "glioma_volume_no_truth"
    image, _ = read_volume(folder / "t1c.nii.gz")
    same, _ = read_volume(folder / "seg-BraTS23_1.nii.gz")
    turned, _ = read_volume(folder / "seg-BraTS23_1_mapped.nii.gz")
    source = study_from_files({"t1c": folder / "t1c.nii.gz"})
    assert source.check_grid(same, folder / "seg-BraTS23_1.nii.gz", {"t1c": image}) == ()
    with pytest.raises(GeometryError, match="axes LPS and RAS"):
        source.check_grid(turned, folder / "seg-BraTS23_1_mapped.nii.gz", {"t1c": image})
