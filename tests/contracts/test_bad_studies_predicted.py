"""Bad studies, numbers 23 to 30 of the list of bad inputs, as who types `metseg predict` meets them.

What is refused, and that no message names anybody, `test_bad_dicom.py` tests in detail; here: exit status, one line on
stderr, nothing written, and the rest of a batch goes on.
"""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from metseg.errors import MetsegError
from metseg.io import find_inputs
from metseg.model import build_from_recipe
from metseg.model.bundle import save_bundle
from metseg.recipe import parse_recipe

scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "io" / "dicom" / "scanner.py")))
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SECRETS = ("4711", "0815", "Mustermann", "Erika", "1950", "2.25.")

RECIPE = """
name = "one-sequence"
data = { modalities = ["t1n"] }
preprocess = [{ name = "zscore" }]
model = { name = "unet", channels = [4, 8], blocks = [1, 1] }
"""

Run = Callable[..., tuple[int, str, str]]
Objects = list[Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = parse_recipe(RECIPE, where="test")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundle") / "one"
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="one", metrics={})


def series(count: int = 5, seed: int = 0, **elements: object) -> Objects:
    return list(scanner.slices(scanner.pixels(count, seed), **{"SeriesDescription": "T1", **elements}))


def another_patient(root: Path) -> None:
    objects = series()
    objects[2].PatientID = "0815"
    scanner.write(root, objects)


def a_slice_missing(root: Path) -> None:
    objects = series(6)
    del objects[2]
    scanner.write(root, objects)


def uneven(root: Path) -> None:
    scanner.write(root, series(4, places=[0.0, 3.0, 6.9, 9.0]))


def another_picture_at_one_place(root: Path) -> None:
    scanner.write(root, series(4))
    scanner.write(root, series(4, seed=1)[1:2], seed=9)


def deflated(root: Path) -> None:
    root.mkdir()
    shutil.copy(SHIPPED / "image_dfl.dcm", root)


def undecodable(root: Path) -> None:
    root.mkdir()
    item = pydicom.dcmread(SHIPPED / "MR_small_jpeg_ls_lossless.dcm")
    item.file_meta.TransferSyntaxUID = pydicom.uid.JPEGExtended12Bit
    item.save_as(root / "extended.dcm")


def announced_too_large(root: Path) -> None:
    objects = series(2)
    for item in objects:
        item.Rows, item.Columns = 60000, 60000
    scanner.write(root, objects)


def not_mr(root: Path) -> None:
    root.mkdir()
    shutil.copy(SHIPPED / "CT_small.dcm", root)


def without_pixels(root: Path) -> None:
    objects = series(3)
    del objects[1].PixelData
    scanner.write(root, objects)


def without_a_place(root: Path) -> None:
    objects = series(3)
    for item in objects:
        del item.ImagePositionPatient
    scanner.write(root, objects)


def dicomdir_alone(root: Path) -> None:
    root.mkdir()
    shutil.copy(SHIPPED / "dicomdirtests" / "DICOMDIR", root)


def another_sequence(root: Path) -> None:
    scanner.write(root, series(3, SeriesDescription="AX T2 FLAIR"))


BAD = [
    (23, another_sequence, "input.missing_sequence"),
    (24, another_patient, "input.mixed_series"),
    (25, a_slice_missing, "input.missing_slices"),
    (25, uneven, "input.uneven_slices"),
    (26, another_picture_at_one_place, "input.duplicate_slice"),
    (27, deflated, "input.transfer_syntax"),
    (28, undecodable, "input.transfer_syntax"),
    (28, announced_too_large, "input.too_large"),
    (29, not_mr, "input.not_mr"),
    (29, without_pixels, "input.no_pixels"),
    (29, without_a_place, "input.no_geometry"),
    (30, dicomdir_alone, "input.not_dicom"),
]


#: Files of which nothing says what sequence they are.
NAMELESS = (deflated, undecodable, not_mr)


@pytest.mark.parametrize(("make", "code"), [bad[1:] for bad in BAD], ids=[f"{bad[0]}-{bad[1].__name__}" for bad in BAD])
def test_one_line_and_exit_status_3(
    make: Callable[[Path], None], code: str, bundle: Path, run_metseg: Run, tmp_path: Path
) -> None:
    make(tmp_path / "study")
    given = ("predict", tmp_path / "study", "--model", bundle, "--out", tmp_path / "out")
    # Or it would be refused for lacking the sequence, before anything is looked at.
    named = {"t1n": tmp_path / "study"} if make in NAMELESS else {}
    given += tuple(text for name, path in named.items() for text in ("--modality", f"{name}={path}"))
    status, out, err = run_metseg(*given)
    lines = [line for line in err.splitlines() if line.startswith("metseg: ")]
    assert (status, len(lines)) == (3, 1), err
    assert not [secret for secret in SECRETS if secret in out + err]
    assert not list((tmp_path / "out").rglob("*-seg.nii.gz"))
    status, out, err = run_metseg(*given, "--json")
    assert status == 3
    told = [failure["code"] for failure in json.loads(out)["failed"]] if out else []
    if told:
        assert told == [code]
        return
    # Refused before there is a case to report on.
    with pytest.raises(MetsegError) as caught:
        [source.load() for source in find_inputs(tmp_path / "study", modalities=("t1n",), named=named)]
    assert caught.value.code == code
    assert lines[0].removeprefix("metseg: ") in err


def test_25_allowed_gaps_are_marked(bundle: Path, run_metseg: Run, tmp_path: Path) -> None:
    a_slice_missing(tmp_path / "study")
    status, _, err = run_metseg(
        "predict", tmp_path / "study", "--model", bundle, "--out", tmp_path / "out", "--allow-gaps", "--format", "mask"
    )
    assert status == 0, err
    assert "1 of 6 slices are missing and were interpolated linearly" in err
    (document,) = (tmp_path / "out").glob("*.json")
    assert any(
        "were interpolated linearly" in warning for warning in json.loads(document.read_text("utf-8"))["warnings"]
    )


def test_26_a_picture_that_is_there_twice_is_no_obstacle(bundle: Path, run_metseg: Run, tmp_path: Path) -> None:
    scanner.write(tmp_path / "study", series(4))
    scanner.write(tmp_path / "study", series(4)[1:3], seed=9)
    status, _, err = run_metseg("predict", tmp_path / "study", "--model", bundle, "--out", tmp_path / "out")
    assert status == 0, err
    assert "2 pictures stored twice; one copy of each was kept" in err


def test_a_bad_study_does_not_stop_the_others(bundle: Path, run_metseg: Run, tmp_path: Path) -> None:
    scanner.write(tmp_path / "studies" / "good", series(4, StudyInstanceUID="2.25.10", FrameOfReferenceUID="2.25.11"))
    objects = series(6, series="bad", StudyInstanceUID="2.25.20", FrameOfReferenceUID="2.25.21")
    del objects[2]
    scanner.write(tmp_path / "studies" / "bad", objects)
    status, out, err = run_metseg("predict", tmp_path / "studies", "--model", bundle, "--out", tmp_path / "out")
    assert (status, out.splitlines()[-1].split(",")[0]) == (3, "1 volume")
    assert "5 of 6" in err
    assert len(list((tmp_path / "out").rglob("*-seg.nii.gz"))) == 1


def test_23_a_model_trained_for_it_does_without_a_sequence(run_metseg: Run, tmp_path: Path) -> None:
    recipe = parse_recipe(
        RECIPE.replace('["t1n"]', '["t1n", "t2f"], optional = ["t2f"]')
        + '[[augment]]\nname = "missing_sequence"\n[[augment]]\nname = "flip"\n',
        where="test",
    )
    model = save_bundle(tmp_path / "model", networks=[build_from_recipe(recipe)], recipe=recipe, card="two", metrics={})
    scanner.write(tmp_path / "study", series(4))
    status, _, err = run_metseg("predict", tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert status == 0, err
    (document,) = (tmp_path / "out").glob("*.json")
    assert any("t2f" in warning for warning in json.loads(document.read_text("utf-8"))["warnings"])
    assert np.isfinite(json.loads(document.read_text("utf-8"))["timings_s"]["predict"])
