"""What is taken for a document of a prediction, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.reporting.study.document_reader import parse_document, read_document

Make = Callable[..., dict[str, Any]]


def test_a_document_is_read(volume_document: Make, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(volume_document()), "utf-8")
    document = read_document(path)
    assert (document.case, document.shape, len(document.lesions)) == ("4f1c9a7be0d35528", (40, 48, 36), 2)
    assert document.lesions[0].centre_mm == (42.0, -16.0, 26.0)
    assert document.matrix is not None
    assert np.array_equal(document.matrix[:3, 3], [80, -100, -59])


def test_pictures_have_no_matrix(picture_document: Make) -> None:
    document = parse_document(picture_document(), where="x")
    assert document.matrix is None
    assert document.slices == ("P1/first", "P1/second")


def test_what_a_later_version_adds_is_no_reason_to_refuse(volume_document: Make) -> None:
    assert parse_document(volume_document(colour="blue"), where="x").case == "4f1c9a7be0d35528"


def test_a_document_of_before_may_lack_the_technique(volume_document: Make) -> None:
    old = volume_document()
    del old["technique"]
    document = parse_document(old, where="x")
    assert document.technique.preprocess is None
    assert document.technique.labels is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"case": 7}, "'case'"),
        ({"shape": [40, 48]}, "'shape.2'"),
        ({"shape": [40, 48, -1]}, "'shape.2'"),
        ({"affine": [[1, 0], [0, 1]]}, "'affine'"),
        ({"affine": np.zeros((4, 4)).tolist()}, "'affine'"),
        ({"lesions": [{"id": 1}]}, "'lesions.0.label'"),
        ({"lesions": "none"}, "'lesions'"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_wrong_is_named(volume_document: Make, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_document(volume_document(**changes), where="case.json")
    assert raised.value.code == "input.document"
    assert key in raised.value.one_line()
    assert raised.value.one_line().startswith("case.json: ")


@pytest.mark.parametrize(
    ("key", "value"), [("volume_ml", float("nan")), ("volume_ml", -1.0), ("confidence", 1.2), ("voxels", 0), ("id", 0)]
)
def test_a_lesion_that_cannot_be_is_refused(volume_document: Make, key: str, value: float) -> None:
    lesion = {**volume_document()["lesions"][0], key: value}
    with pytest.raises(InputError, match=f"lesions.0.{key}"):
        parse_document(volume_document(lesions=[lesion]), where="x")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"12", b"null"])
def test_what_is_no_document_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a document of a prediction") as raised:
        read_document(path)
    assert "metseg predict" in raised.value.one_line()


def test_neither_a_folder_nor_nothing_is_a_document(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder"):
        read_document(tmp_path)
    with pytest.raises(InputError, match="no such file") as raised:
        read_document(tmp_path / "gone.json")
    assert raised.value.code == "input.missing"
