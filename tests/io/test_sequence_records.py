"""Which file or series is which sequence, and why: refused where it is not plain, recorded where it is."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError
from metseg.io import find_cases, find_inputs, study_from_files
from metseg.io.file_index import scan
from metseg.io.layouts.bids import BIDS
from metseg.volume import SequenceRecord


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.eye(4)), path)
    return path


@pytest.mark.parametrize("wanted", [("t1c",), ("t1c", "t2f")])
def test_t1_without_contrast_is_never_read_as_t1c(tmp_path: Path, wanted: tuple[str, ...]) -> None:
    path = write(tmp_path / "T1_without_contrast.nii.gz")
    for place in (path, tmp_path):
        (source,) = find_inputs(place, modalities=wanted, optional=wanted[1:])
        with pytest.raises(InputError, match=r"lacks t1c.*t1n.*--modality t1c=FILE") as caught:
            source.load()
        assert caught.value.code == "input.missing_sequence"


@pytest.mark.parametrize("name", ["T1_post", "ADC", "T1_map", "T2star", "t2_tirm_tra", "T1_T2"])
def test_a_file_whose_name_is_not_plain_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match="--modality t1c=FILE") as caught:
        find_inputs(path, modalities=("t1c",))
    assert caught.value.code == "input.unknown_sequence"
    assert name not in str(caught.value.got)
    with pytest.raises(InputError, match=rf"{name}\.nii\.gz: .*--modality t1c=FILE"):
        find_inputs(tmp_path, modalities=("t1c",))
    (named,) = find_inputs(path, modalities=("t1c",), named={"t1c": path})
    assert named.load().sequence_records == (SequenceRecord("t1c", path.name, "the user named it"),)


def test_a_doubtful_file_beside_plain_ones_is_named_in_the_error(tmp_path: Path) -> None:
    write(tmp_path / "P1" / "P1_T1_post.nii.gz")
    write(tmp_path / "P1" / "P1_FLAIR.nii.gz")
    (source,) = find_inputs(tmp_path / "P1", modalities=("t1c", "t2f"))
    with pytest.raises(InputError, match=r"lacks t1c.*P1_T1_post\.nii\.gz is left out: .*'post'.*--modality"):
        source.load()


def test_a_file_without_a_telling_name_is_the_only_sequence(tmp_path: Path) -> None:
    (source,) = find_inputs(write(tmp_path / "scan.nii.gz"), modalities=("t1c",))
    (record,) = source.load().sequence_records
    reason = "its name contains no sequence, and the model takes only this one"
    assert record == SequenceRecord("t1c", "scan.nii.gz", reason)


def test_names_of_files_are_recorded_with_their_reason(tmp_path: Path) -> None:
    write(tmp_path / "ann" / "T1_Gd.nii.gz")
    write(tmp_path / "ann" / "t2_tirm_tra_dark-fluid.nii.gz")
    (source,) = find_cases(tmp_path, modalities=("t2f", "t1c"))
    assert source.load().sequence_records == (
        SequenceRecord("t2f", "t2_tirm_tra_dark-fluid.nii.gz", "the name says FLAIR"),
        SequenceRecord("t1c", "T1_Gd.nii.gz", "the name says T1 with contrast agent"),
    )


def test_layouts_with_a_naming_of_their_own_say_so(tmp_path: Path) -> None:
    for ending in ("t1c", "t2f"):
        write(tmp_path / "BraTS-MET-00001-000" / f"BraTS-MET-00001-000-{ending}.nii.gz")
    (source,) = find_cases(tmp_path)
    (first, _) = source.load().sequence_records
    assert (first.sequence, first.source) == ("t1c", "BraTS-MET-00001-000-t1c.nii.gz")
    assert first.reason == "assigned by the layout of the data set"


def test_named_files_are_recorded(tmp_path: Path) -> None:
    source = study_from_files({"T1ce": write(tmp_path / "a.nii.gz")})
    assert source.load().sequence_records == (SequenceRecord("t1c", "a.nii.gz", "the user named it"),)


@pytest.mark.parametrize("named_later", [True, False])
def test_a_name_that_contradicts_the_declaration_stands_in_the_reason(tmp_path: Path, *, named_later: bool) -> None:
    path = write(tmp_path / "P1" / "T1_without_contrast.nii.gz")
    if named_later:
        (source,) = find_inputs(path.parent, modalities=("t1c",), named={"t1c": path})
    else:
        source = study_from_files({"t1c": path})
    (record,) = source.load().sequence_records
    assert record == SequenceRecord("t1c", path.name, "the user named it, and its name says t1n")


def test_bids_reads_entities_and_not_parts_of_words(tmp_path: Path) -> None:
    anat = tmp_path / "sub-01" / "anat"
    for name in ("acq-space_T1w", "ce-gadolinium_T1w", "acq-post_T1w", "FLAIR"):
        write(anat / f"sub-01_{name}.nii.gz")
    assert BIDS.matches(scan(tmp_path))
    (source,) = find_cases(tmp_path)
    assert {name: file.path.name for name, file in source.images.items()} == {
        "t1n": "sub-01_acq-space_T1w.nii.gz",
        "t1c": "sub-01_ce-gadolinium_T1w.nii.gz",
        "t2f": "sub-01_FLAIR.nii.gz",
    }
    assert [note for note in source.notes if "acq-post" in note and "'post'" in note]
    assert [record.reason for record in source.load().sequence_records if record.sequence == "t1c"] == [
        "the BIDS suffix is T1w with contrast agent"
    ]


def test_a_mask_beside_a_doubtful_image_is_no_reason_to_guess(tmp_path: Path) -> None:
    write(tmp_path / "ben" / "MET_7_T1_POST.nii.gz")
    write(tmp_path / "ben" / "seg.nii.gz")
    with pytest.raises(InputError, match=r"MET_7_T1_POST\.nii\.gz: the name says T1 and 'post'"):
        find_cases(tmp_path, modalities=("t1c",))
