"""Exports read by other people's programs: dicom3tools, dcmtk, dcmqi and plastimatch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from scipy import ndimage

import metseg
from metseg.dicom_export.rtstruct import region_name
from metseg.dicom_export.structures import StructureMap, lesion_structures

#: What is written of every study, and of the simulated one too, which is smaller.
FORMATS, MORE_FORMATS = ("seg", "seg-classes", "rtstruct", "sr", "pdf"), ("seg-probability", "pages")

#: Messages of dciodvfy and dsrdump that are no fault of the object, as regular expressions, and why.
FALSE_ALARMS = {
    r"VR checker does not support this Specific Character Set: ISO_IR 192": "dcmtk cannot check names in UTF-8",
    r"Warning - .*Retired Person Name form": "the patient's own name, with one component only",
}


def program(name: str) -> str:
    """Return the path of a program, from the environment of Python or the system, or skip."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def output_of(*command: object) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def complaints(text: str) -> list[str]:
    """Return the errors and warnings that are no false alarms."""
    lines = [line for line in text.splitlines() if re.match(r"(Error|Warning|E:|W:|F:)", line.strip())]
    return [line for line in lines if not any(re.search(alarm, line) for alarm in FALSE_ALARMS)]


@pytest.fixture(scope="session")
def exported(dicom_result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all objects, with the identity of the source."""
    out = tmp_path_factory.mktemp("exported")
    formats = FORMATS if dicom_result.folder.name == "dicom_t1w" else (*FORMATS, *MORE_FORMATS)
    metseg.export(dicom_result.saved, dicom_result.folder, out, formats=formats, identity="keep", margin_mm=2.0)
    return out


@pytest.fixture(scope="session")
def structures(dicom_result) -> StructureMap:
    """Return the structures of the result."""
    prediction = dicom_result.prediction
    content = metseg.dicom_export.ResultContent(
        "", prediction.labels, prediction.instances, np.eye(4), prediction.scheme, prediction.lesions, "", None
    )
    return lesion_structures(content)


def one(folder: Path, ending: str) -> Path:
    (path,) = folder.glob(f"*{ending}")
    return path


def on_grid(path: Path, case) -> np.ndarray:
    """Return a NIfTI mask of another program on the grid of the result; each voxel must lie on one of its voxels."""
    image = nibabel.load(path)
    data = np.squeeze(np.asarray(image.dataobj))
    places = np.argwhere(data > 0)
    affine = case.prediction.reference_image.affine
    there = nibabel.affines.apply_affine(np.linalg.inv(affine) @ image.affine, places)
    np.testing.assert_allclose(there, np.rint(there), atol=1e-2)
    mask = np.zeros(case.prediction.labels.shape, dtype=data.dtype)
    mask[tuple(np.rint(there).astype(int).T)] = data[tuple(places.T)]
    return mask


def test_dciodvfy_finds_no_error(exported: Path) -> None:
    paths = sorted(exported.glob("*.dcm"))
    assert len(paths) >= len(FORMATS)
    found = {path.name: complaints(output_of(program("dciodvfy"), "-new", path)) for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_dsrdump_reads_the_report(exported: Path, structures: StructureMap) -> None:
    text = output_of(program("dsrdump"), one(exported, "-sr.dcm"))
    assert complaints(text) == []
    assert text.count('"Measurement Group"') == len(structures.structures)
    assert "Research use only" in text


def test_the_segments_are_the_mask_voxel_by_voxel(
    exported: Path, dicom_result, structures: StructureMap, tmp_path: Path
) -> None:
    command = program("segimage2itkimage")
    output_of(
        command,
        "--inputDICOM",
        one(exported, "-seg.dcm"),
        "--outputDirectory",
        tmp_path,
        "--mergeSegments",
        "-t",
        "nii",
    )
    (path,) = tmp_path.glob("*.nii*")
    np.testing.assert_array_equal(on_grid(path, dicom_result), structures.numbers)
    described = json.loads((tmp_path / "meta.json").read_text("utf-8"))["segmentAttributes"][0]
    assert [item["SegmentLabel"] for item in described] == [item.label for item in structures.structures]
    types = {item["SegmentedPropertyTypeCodeSequence"]["CodeValue"] for item in described}
    assert types == {"14799000", "79654002"}


def test_the_classes_are_the_mask(exported: Path, dicom_result, tmp_path: Path) -> None:
    command, path = program("segimage2itkimage"), one(exported, "-seg-classes.dcm")
    output_of(command, "--inputDICOM", path, "--outputDirectory", tmp_path, "--mergeSegments", "-t", "nii")
    (path,) = tmp_path.glob("*.nii*")
    np.testing.assert_array_equal(on_grid(path, dicom_result), dicom_result.prediction.labels)


def test_the_report_has_the_figures_of_each_lesion(exported: Path, dicom_result, structures: StructureMap) -> None:
    command, target = program("tid1500reader"), exported / "sr.json"
    output_of(command, "--inputDICOM", one(exported, "-sr.dcm"), "--outputMetadata", target)
    groups = json.loads(target.read_text("utf-8"))["Measurements"]
    assert [group["ReferencedSegment"] for group in groups] == [item.number for item in structures.structures]
    voxel_ml = abs(np.linalg.det(dicom_result.prediction.reference_image.affine[:3, :3])) / 1000
    for group, structure in zip(groups, structures.structures, strict=True):
        values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        assert values["118565006"] == pytest.approx(structures.mask(structure).sum() * voxel_ml, abs=1e-4)
        assert ("111012" in values) == (structure.lesion is not None)
        if structure.lesion is not None:
            assert values["111012"] == pytest.approx(100 * structure.lesion.confidence, abs=0.01)


def test_plastimatch_fills_the_contours_with_the_mask(
    exported: Path, dicom_result, structures: StructureMap, tmp_path: Path, record_property
) -> None:
    """Dice of at least 0.99 for structures of at least 200 voxels; smaller ones differ by their border only."""
    command = program("plastimatch")
    output_of(
        *(command, "convert", "--input", one(exported, "-rtstruct.dcm"), "--referenced-ct", dicom_result.folder),
        *("--output-prefix", tmp_path, "--prefix-format", "nii.gz"),
    )
    scores = {}
    for structure in structures.structures:
        truth = structures.mask(structure)
        filled = on_grid(tmp_path / f"{region_name(structure)}.nii.gz", dicom_result) > 0
        scores[region_name(structure)] = float(2 * (truth & filled).sum() / (truth.sum() + filled.sum()))
        if truth.sum() < 200:
            around = ndimage.binary_dilation(truth, np.ones((3, 3, 3)))
            core = ndimage.binary_erosion(truth, np.ones((3, 3, 3)))
            assert not (filled & ~around).any()
            assert not (core & ~filled).any()
        else:
            assert scores[region_name(structure)] >= 0.99
    record_property("dice", scores)


def references(dataset: Dataset) -> set[str]:
    """Return every instance that an object refers to."""
    found: set[str] = set()

    def collect(_: Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))

    dataset.walk(collect)
    return found


def test_every_referenced_instance_exists(exported: Path, dicom_result) -> None:
    source = [
        pydicom.dcmread(path, stop_before_pixels=True) for path in dicom_result.folder.rglob("*") if path.is_file()
    ]
    instances, studies = ({str(item[name].value) for item in source} for name in ("SOPInstanceUID", "StudyInstanceUID"))
    made = [pydicom.dcmread(path) for path in exported.glob("*.dcm")]
    instances |= {str(item.SOPInstanceUID) for item in made}
    for item in made:
        assert {str(item.StudyInstanceUID)} == studies
        assert references(item) <= instances | studies, item.SOPClassUID.name
    whole = references(pydicom.dcmread(one(exported, "-rtstruct.dcm")))
    assert {str(item.SOPInstanceUID) for item in source} <= whole
