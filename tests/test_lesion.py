"""The record of a lesion: what 0.1.0 wrote of it is still read, and a table has a column for each number."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from metseg.inference.lesion_table import find_lesions
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion, lesions_csv
from metseg.reporting.study.document_reader import read_document
from metseg.reporting.study.from_disk import report_of_document

OLD = Path(__file__).parent / "fixtures" / "0.1.0"


def service_records(name: str) -> list[Lesion]:
    return [
        Lesion.model_validate(content) for content in json.loads((OLD / f"{name}-service-lesions.json").read_text())
    ]


def test_records_of_volumes_of_the_service_of_0_1_0_are_read() -> None:
    first, second = service_records("volume")
    assert (first.id, first.label, first.voxels_by_label, first.volume_ml) == (1, "SNFH", {"SNFH": 34, "ET": 2}, 2.88)
    assert [first.side, second.side] == ["right", "left"]
    assert (first.slice_index, first.slices) == (None, ())


def test_records_of_pictures_of_the_service_of_0_1_0_are_read() -> None:
    first, second = service_records("pictures")
    assert [(one.id, one.slice_index, one.slices, one.side) for one in (first, second)] == [
        (1, 0, (0, 1), None),
        (2, 2, (2,), None),
    ]


def test_a_document_of_a_volume_of_0_1_0_is_read() -> None:
    document = read_document(OLD / "volume.json")
    first, second = document.lesions
    assert (first.longest_diameter_mm, first.longest_diameter_mm_by_label) == (25.0, {})
    # Voxels of 80 mm3: what the counts by class say.
    assert first.volume_ml_by_label == {"SNFH": pytest.approx(34 * 0.08), "ET": pytest.approx(2 * 0.08)}
    assert not document.has_sides
    report = report_of_document(OLD / "volume.json")
    assert report.burden.by_class_ml == {"SNFH": pytest.approx(2.72), "ET": pytest.approx(0.24)}
    assert report.warnings == ("a warning of 0.1.0",)
    assert second.volume_ml == 0.08


def test_a_document_of_pictures_of_0_1_0_is_read() -> None:
    document = read_document(OLD / "pictures.json")
    assert [(one.id, one.slice_index, one.slices, one.slice_voxels) for one in document.lesions] == [
        (1, 0, (0, 1), 6),
        (2, 2, (2,), 1),
    ]


def test_a_record_of_a_later_version_is_read_and_a_wrong_one_refused() -> None:
    known = {"id": 1, "label": "lesion", "voxels": 3, "centre_voxel": [1, 2, 3], "confidence": 0.5}
    assert Lesion.model_validate({**known, "lobe": "frontal"}).voxels == 3
    for wrong in (
        {"id": 0},
        {"voxels": 0},
        {"confidence": 1.5},
        {"centre_voxel": [1, 2, float("nan")]},
        {"side": "up"},
    ):
        with pytest.raises(ValidationError):
            Lesion.model_validate({**known, **wrong})


def rows(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_sizes_by_class_of_boxes() -> None:
    """A box of 4 x 3 x 2 voxels of 1 x 2 x 3 mm: its first layer along x is of another class."""
    scheme = LABEL_SCHEMES["brats-met-2023"]
    labels = np.zeros((8, 8, 5), dtype=np.uint8)
    labels[1:5, 2:5, 1:3] = 2
    labels[1, 2:5, 1:3] = 3
    labels[7, 7, 4] = 3
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    lesions, instances = find_lesions(labels, np.ones(labels.shape, np.float32), affine, scheme, slicewise=False)
    first, second = lesions
    assert first.volume_ml_by_label == {"SNFH": pytest.approx(0.108), "ET": pytest.approx(0.036)}
    assert first.longest_diameter_mm == pytest.approx(np.sqrt(4**2 + 6**2 + 6**2), abs=1e-3)
    assert first.longest_diameter_mm_by_label == {
        "SNFH": pytest.approx(np.sqrt(3**2 + 6**2 + 6**2), abs=1e-3),
        "ET": pytest.approx(np.sqrt(1**2 + 6**2 + 6**2), abs=1e-3),
    }
    assert first.longest_axial_diameter_mm_by_label == {
        "SNFH": pytest.approx(np.sqrt(3**2 + 6**2), abs=1e-3),
        "ET": pytest.approx(np.sqrt(1**2 + 6**2), abs=1e-3),
    }
    assert second.volume_ml_by_label == {"ET": second.volume_ml}
    np.testing.assert_array_equal(instances > 0, labels > 0)
    assert (instances[2, 2, 1], instances[7, 7, 4], instances.dtype) == (1, 2, np.uint16)

    one, two = rows(lesions_csv(lesions, tuple(scheme.classes.values())))
    assert (one["id"], one["label"], one["volume_ml_SNFH"], one["volume_ml_NETC"]) == ("1", "ET", "0.108", "")
    assert (two["longest_diameter_mm_ET"], two["voxels_ET"]) == (str(second.longest_diameter_mm), "1")
    assert (one["centre_voxel_x"], one["centre_mm_z"], one["side"]) == ("2.5", "4.5", "")


def test_a_table_of_pictures_names_their_slices() -> None:
    (row, _) = rows(lesions_csv(service_records("pictures"), ("lesion",)))
    assert (row["slice_index"], row["slices"], row["volume_ml"], row["centre_mm_x"]) == ("0", "0 1", "", "")
    assert not any(name.endswith("_lesion") for name in row)  # one class: its columns would repeat the others
