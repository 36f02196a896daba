"""The first minute: the bundled study, its truth, and ``metseg demo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from metseg.cli import demo
from metseg.inference.lesion_table import find_lesions
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.outputs.volume_outputs import write_mask
from metseg.inference.prediction_data import PredictionData
from metseg.io.volumes.nifti import read_volume
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.measure import label_instances, lesion_voxels
from metseg.sample import PICTURES, STUDY, TRUTH, TRUTH_LABELS, sample_folder
from metseg.volume import Case

#: Truth lesions of the study: two large ones, one of 4 mm and one of 2 mm.
TRUE_LESIONS = 4
#: The bundled files are downloaded with every wheel.
MOST_BYTES = 2_500_000


def volume(path: Path) -> Any:
    load: Any = nibabel.nifti1.load  # nibabel has no types
    return load(path)


def test_the_study_is_small_and_lies_on_the_grid_of_its_truth() -> None:
    truth = volume(sample_folder(TRUTH) / f"{STUDY}-seg.nii.gz")
    files = sorted(sample_folder(STUDY).glob("*.nii.gz"))
    assert [path.name.partition(".")[0] for path in files] == ["t1c", "t1n", "t2f", "t2w"]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    for path in files:
        image = volume(path)
        assert image.get_data_dtype() == np.int16
        assert image.shape == truth.shape
        np.testing.assert_allclose(image.affine, truth.affine)
    assert list(sample_folder(PICTURES).glob("*.png"))


def test_the_truth_has_a_sane_number_of_lesions() -> None:
    labels = check_labels(
        np.asarray(volume(sample_folder(TRUTH) / f"{STUDY}-seg.nii.gz").dataobj),
        LABEL_SCHEMES[TRUTH_LABELS],
        where="truth",
    )
    instances, count = label_instances(labels)
    assert count == TRUE_LESIONS
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert lesion_voxels(instances).max() < 0.02 * labels.size


@pytest.mark.slow
def test_the_demo_finds_the_lesions_and_writes_score_and_report(run_metseg: Any, tmp_path: Path) -> None:
    """No more lesions than the truth has, and the two large ones among them."""
    found = json.loads(run_metseg("demo", "--out", str(tmp_path / "out"), "--json").out)
    document = json.loads(Path(found["document"]).read_text("utf-8"))
    assert 2 <= len(document["lesions"]) <= TRUE_LESIONS
    assert found["headline"]["lesions"] == 2
    regions = found["scores"]["regions"]
    assert regions["TC"]["metrics"]["dice"]["mean"] > 0.8
    assert regions["WT"]["lesions"]["found"] >= 2
    assert regions["WT"]["lesions"]["false"] <= 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {f"{STUDY}-seg.nii.gz", f"{STUDY}-overlay.png", f"{STUDY}-report.pdf", f"{STUDY}-report.html"}
    assert (tmp_path / "out" / demo.SCORES / "report.html").is_file()


def test_what_the_demo_prints(run_metseg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the truth in place of a prediction, so that no network runs."""

    def as_truth(out: Path, *, device: str, quiet: bool) -> Path:
        del device, quiet
        return write_truth_as_prediction(out)

    monkeypatch.setattr(demo, "predict_sample", as_truth)
    printed = run_metseg("demo", "--out", str(tmp_path)).out
    assert "A simulated study, of no patient" in printed
    assert "2 lesions found, and 2 specks below 0.1 mL." in printed
    for line in ("whole lesion", "tumour core", "enhancing tumour"):
        assert f"  {line}: Dice 1.000, 4 of 4 lesions and specks found, 0 false" in printed
    # The numbers of the headline, so that "4 of 4" beside "2 lesions" is no riddle.
    touched = "2 of 2 lesions and 2 of 2 specks below 0.1 mL are touched by the prediction"
    assert f"against the truth: {touched}" in printed
    assert f"report:  {tmp_path / f'{STUDY}-report.html'} and" in printed
    assert (tmp_path / f"{STUDY}-report.pdf").stat().st_size > 10_000
    assert (tmp_path / demo.SCORES / "summary.json").is_file()


def write_truth_as_prediction(out: Path) -> Path:
    truth = volume(sample_folder(TRUTH) / f"{STUDY}-seg.nii.gz")
    labels = np.asarray(truth.dataobj, dtype=np.uint8)
    image, _ = read_volume(sample_folder(STUDY) / "t1c.nii.gz")
    probability = (labels > 0).astype(np.float32)
    lesions, instances = find_lesions(labels, probability, truth.affine, LABEL_SCHEMES[TRUTH_LABELS], slicewise=False)
    case = Case(STUDY, STUDY, {"t1c": image})
    prediction = PredictionData(case, labels, probability, lesions, instances, {}, (), demo.MODEL, TRUTH_LABELS)
    write_mask(prediction, out)
    report = CaseReport(STUDY, demo.MODEL)
    report.add(prediction)
    return report.write(out / f"{STUDY}.json")
