"""DICOM among the layouts: found by its content, sequences as wanted, inspected like any study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from metseg.errors import InputError
from metseg.io import find_cases, find_inputs, study_from_files
from metseg.io.case_discovery import find
from metseg.io.file_index import scan
from metseg.io.layouts.dicom_layout import DICOM


def test_pictures_with_a_few_other_files_are_no_dicom(two_patients: Path) -> None:
    (two_patients / "a" / "notes").write_bytes(bytes(128) + b"DICM")
    assert not DICOM.matches(scan(two_patients))
    assert find(two_patients).layout == "patient_folders"


@pytest.mark.real
def test_a_series_is_a_case(real_data: Path, run_metseg: Callable[..., tuple[int, str, str]]) -> None:
    root = real_data / "dicom_t1w"
    found = find(root)
    assert found.layout == "dicom"
    (source,) = found.sources
    assert len(source.files) == 64
    (asked,) = find_cases(root, modalities=("t1c", "t2f"))
    with pytest.raises(InputError, match="the case lacks t1c, t2f") as caught:
        asked.load()
    assert caught.value.code == "input.missing_sequence"
    status, out, _ = run_metseg("inspect", root)
    assert status == 0
    assert "(dicom)" in out


@pytest.mark.real
def test_a_series_can_be_named(real_data: Path) -> None:
    root = real_data / "dicom_t1w"
    source = study_from_files({"t1": root}, case_id="head")
    assert len(source.files) == 64
    image = source.load().images["t1n"]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(root)))
    expected = sitk.GetArrayFromImage(reader.Execute()).transpose(2, 1, 0)
    assert sorted(image.shape) == sorted(expected.shape)
    assert np.array_equal(np.sort(image.data, axis=None), np.sort(expected, axis=None))
    (single,) = find_inputs(root / "N2D_0161.dcm")
    assert [path.name for path in single.files] == ["N2D_0161.dcm"]
