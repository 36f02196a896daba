"""``metseg predict --export``: from a DICOM study to DICOM objects in one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest

RECIPE = """
name = "bright"
data = { modalities = ["t1c"], dimensions = 3 }
preprocess = [{ name = "zscore" }]
model = { name = "unet", channels = [4, 8], blocks = [1, 1] }
train = { patch_size = [8, 8, 8] }
"""


@pytest.fixture
def predict(
    run_metseg: Callable, scanner: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that predicts a DICOM study with one bright box, or another input."""
    import torch

    from metseg.model import SegmentationNetwork, build_from_recipe
    from metseg.model.bundle import load_bundle, save_bundle
    from metseg.recipe import parse_recipe

    class Bright(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] - 1.0

    def load(folder: object) -> object:
        loaded = load_bundle(folder)
        bright = SegmentationNetwork(Bright(), in_channels=1, out_channels=1, dimensions=3)
        object.__setattr__(loaded, "networks", (bright,))
        return loaded

    recipe = parse_recipe(RECIPE, where="bright")
    bundle = save_bundle(tmp_path / "b", networks=[build_from_recipe(recipe)], recipe=recipe, card="", metrics={})
    monkeypatch.setattr("metseg.model.bundle.load_bundle", load)
    stored = np.random.default_rng(0).integers(40, 60, (12, 18, 20)).astype(np.uint16)
    stored[4:8, 6:10, 5:9] = 250
    described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 3, "step": 2.0}
    scanner.write(tmp_path / "study", scanner.slices(stored, orientation=scanner.OBLIQUE, **described))

    def run(*words: object, source: Path = tmp_path / "study") -> tuple[int, str, str]:
        return run_metseg("predict", source, "--model", bundle, "--out", tmp_path / "out", *words)

    return run


def test_objects_of_a_prediction(predict: Callable, tmp_path: Path) -> None:
    status, out, err = predict("--export", "seg,rtstruct", "--export", "sr,pdf", "--margin", "0.9", "--json")
    assert status == 0, err
    assert "does not reach the next slice, because slices are 2 mm apart" in err
    answer = json.loads(out)
    made = {Path(path).name.partition("-")[2].partition("-")[2]: pydicom.dcmread(path) for path in answer["exported"]}
    assert set(made) == {"seg.dcm", "rtstruct.dcm", "sr.dcm", "report.dcm"}
    assert made["seg.dcm"].pixel_array.sum() == answer["cases"][0]["lesions"][0]["voxels"]
    names = [item.ROIName for item in made["rtstruct.dcm"].StructureSetROISequence]
    assert names == ["GTV_1", "PTV_1"]
    pdf = made["report.dcm"]
    assert pdf.EncapsulatedDocument[: pdf.EncapsulatedDocumentLength].startswith(b"%PDF-")


def test_a_nifti_file_has_no_source(predict: Callable, tmp_path: Path) -> None:
    image = np.full((12, 12, 12), 50, dtype=np.int16)
    image[4:7, 4:7, 4:7] = 250
    (tmp_path / "nifti").mkdir()
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "nifti" / "t1c.nii.gz")
    status, _, err = predict("--export", "seg", source=tmp_path / "nifti")
    assert status == 3
    assert "no DICOM" in err
    assert list((tmp_path / "out").glob("*-seg.nii.gz"))


@pytest.mark.parametrize(
    "words",
    [
        *(("--export", "segg"), ("--identity", "keep"), ("--margin", "2"), ("--margin-kind", "control")),
        *(("--export", "seg", "--shard", "1/2"), ("--export", "seg", "--identity", "kept")),
        *(("--export", "rtstruct", "--margin", "-1"), ("--export", "rtstruct", "--margin-kind", "control")),
        ("--export", "seg", "--margin", "2"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_predicted(
    predict: Callable, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert predict(*words)[0] == 2
    assert not (tmp_path / "out").exists()
