"""``metseg predict``: operating point, table of all lesions, shorthand options, what is printed and in which order."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from metseg.errors import InputError
from metseg.inference.batch import predict_paths
from metseg.inference.shards import Shard
from metseg.model import SegmentationNetwork
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import parse_recipe

Run = Callable[..., tuple[int, str, str]]


def write_volume(path: Path, *cubes: tuple[int, int], affine: np.ndarray | None = None) -> Path:
    """Write a volume with bright cubes, each at a corner and of a side; voxels of 1 x 1 x 2 mm."""
    image = np.random.default_rng(0).normal(50, 5, (20, 18, 16)).astype(np.float32)
    for corner, side in cubes:
        image[corner : corner + side, corner : corner + side, corner : corner + side] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image, np.diag([1.0, 1, 2, 1]) if affine is None else affine), path)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a network for volumes that was trained with flips."""
    text = """
name = "small"
data = { modalities = ["t1c"], dimensions = 3 }
preprocess = [{ name = "zscore" }]
augment = [{ name = "flip", options = { axes = [0, 1] } }]
model = { name = "unet", channels = [4, 8], blocks = [1, 1] }
train = { patch_size = [8, 8, 8] }
"""
    from metseg.model import build_from_recipe

    recipe = parse_recipe(text, where="small")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "small"
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="small", metrics={})


@pytest.fixture
def predict(run_metseg: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that predicts two volumes; lesion is what is brighter than the rest."""

    class Bright(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] - 1.0  # z-scores: far above 1 in the cubes

    def load(_: object) -> object:
        loaded = load_bundle(bundle)
        object.__setattr__(
            loaded, "networks", (SegmentationNetwork(Bright(), in_channels=1, out_channels=1, dimensions=3),)
        )
        return loaded

    write_volume(tmp_path / "data" / "A" / "t1c.nii.gz", (2, 3), (10, 4))
    write_volume(tmp_path / "data" / "B" / "t1c.nii.gz", (5, 5))
    monkeypatch.setattr("metseg.model.bundle.load_bundle", load)

    def run(*words: object) -> tuple[int, str, str]:
        return run_metseg("predict", tmp_path / "data", "--model", "mets-sim", "--out", tmp_path / "out", *words)

    return run


def document(tmp_path: Path, case: str = "A") -> dict:
    return json.loads((tmp_path / "out" / f"{case}.json").read_text("utf-8"))


def table(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "out" / "lesions.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_one_table_has_the_lesions_of_all_cases(predict: Run, tmp_path: Path) -> None:
    status, _, err = predict("--format", "mask")
    assert status == 0, err
    rows = table(tmp_path)
    assert [(row["case"], row["id"], row["voxels"]) for row in rows] == [
        ("A", "1", "64"),
        ("A", "2", "27"),
        ("B", "1", "125"),
    ]
    assert float(rows[0]["volume_ml"]) == pytest.approx(0.128)
    assert list(rows[0])[:3] == ["case", "id", "label"]


def test_the_table_has_the_cases_of_earlier_runs_and_of_other_shards(
    run_metseg: Run, bundle: Path, tmp_path: Path
) -> None:
    from metseg.inference.predictor import Predictor

    for case in "abcd":
        write_volume(tmp_path / "data" / case / "t1c.nii.gz", (4, 4))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other.json").write_text('{"lesions": 3}', "utf-8")  # not a document
    predictor = Predictor.from_bundle(load_bundle(bundle), device="cpu", threshold=0.01)
    cases = set()
    for number in (1, 2):
        predict_paths([tmp_path / "data"], predictor, tmp_path / "out", shard=Shard(number, 2), quiet=True)
        cases |= {row["case"] for row in table(tmp_path)}
        documents = {path.stem for path in (tmp_path / "out").glob("?.json")}
        assert {row["case"] for row in table(tmp_path)} == documents
    assert cases == set("abcd")


def test_a_table_of_something_else_is_not_replaced(predict: Run, tmp_path: Path) -> None:
    other = tmp_path / "out" / "lesions.csv"
    other.parent.mkdir()
    other.write_text("case,region,found\n", "utf-8")
    status, out, err = predict("--format", "mask")
    assert (status, out) == (3, "")
    assert "would overwrite an existing file" in err
    assert other.read_text("utf-8") == "case,region,found\n"
    other.unlink()
    assert predict("--format", "mask")[0] == predict("--format", "mask")[0] == 0


def test_another_threshold_reaches_mask_document_and_report(predict: Run, run_metseg: Run, tmp_path: Path) -> None:
    predict("--format", "mask")
    assert document(tmp_path)["warnings"] == []
    assert document(tmp_path)["technique"]["predict"]["threshold"] == 0.5
    before = nib.load(tmp_path / "out" / "A-seg.nii.gz").get_fdata().sum()
    status, _, err = predict("--format", "mask", "--threshold", "0.2")
    assert status == 0, err
    told = "threshold 0.2 instead of the model's 0.5, so the model's scores do not apply to this result"
    assert err.splitlines()[0] == f"note (2 cases): {told}"
    assert document(tmp_path)["warnings"][0] == told
    assert document(tmp_path)["technique"]["predict"]["threshold"] == 0.2
    assert nib.load(tmp_path / "out" / "A-seg.nii.gz").get_fdata().sum() > before
    status, out, err = run_metseg("report", tmp_path / "out" / "A.json", "--format", "html")
    assert status == 0, err
    page = Path(out.strip()).read_text("utf-8")
    assert "A voxel counts as lesion at a probability of 0.20 or more." in page
    assert page.index("scores do not apply to this result") < page.index("The largest, no. 1")  # above the finding


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1"])
def test_a_threshold_out_of_range_is_a_wrong_command(predict: Run, tmp_path: Path, value: str) -> None:
    status, out, err = predict("--threshold", value)
    assert (status, out) == (2, "")
    assert "threshold" in err
    assert not (tmp_path / "out").exists()


def test_lesions_below_the_smallest_volume_are_removed(predict: Run, tmp_path: Path) -> None:
    predict("--format", "mask", "--min-volume", "100")  # mm³: of A, 2 * 64 stay, and 2 * 27 go
    assert [(row["case"], row["voxels"]) for row in table(tmp_path)] == [("A", "64"), ("B", "125")]
    assert document(tmp_path)["technique"]["predict"]["minimum_mm3"] == 100
    assert "smallest volume 100 mm³ instead of the model's 0 mm³" in document(tmp_path)["warnings"][0]


def test_pictures_have_no_smallest_volume(
    run_metseg: Run, tiny_bundle: Path, tiny_slices: Path, tmp_path: Path
) -> None:
    words = ("predict", tiny_slices / "P0", "--model", tiny_bundle, "--out", tmp_path / "out")
    status, out, err = run_metseg(*words, "--min-volume", "10")
    assert (status, out) == (3, "")
    assert "the images have no voxel size" in err
    assert "leave --min-volume out" in err


def test_the_python_interface_has_the_same_options(bundle: Path) -> None:
    import metseg

    model = metseg.load_model(bundle, device="cpu", threshold=0.3, minimum_mm3=20)
    assert (model.part.threshold, model.part.minimum_mm3) == (0.3, 20)
    with pytest.raises(metseg.UsageError, match="threshold"):
        metseg.load_model(bundle, device="cpu", threshold=1.0)
    with pytest.raises(metseg.UsageError, match="minimum_mm3"):
        metseg.load_model(bundle, device="cpu", minimum_mm3="20")


def test_instances_is_short_for_the_format(predict: Run, tmp_path: Path) -> None:
    status, _, err = predict("--instances", "--format", "mask")
    assert status == 0, err
    assert (tmp_path / "out" / "A-lesions.nii.gz").is_file()
    assert (tmp_path / "out" / "A-seg.nii.gz").is_file()
    assert predict("--instances", "--format", "instances")[0] == 0  # given twice is written once


def test_nothing_that_looks_like_a_result_is_printed_where_there_is_none(
    run_metseg: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "data" / name).write_bytes(b"not a picture")
    status, out, err = run_metseg("predict", tmp_path / "data", "--model", tiny_bundle, "--out", tmp_path / "out")
    assert (status, out) == (3, "")
    assert err.count("metseg: ") == 2
    assert not (tmp_path / "out").exists()


def test_failures_come_first_and_are_counted(run_metseg: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "b.png").write_bytes(b"not a picture")
    words = ("predict", tmp_path / "data", "--model", tiny_bundle, "--out", tmp_path / "out", "--threshold", "0.4")
    status, out, err = run_metseg(*words)
    assert status == 3
    assert [line.partition(":")[0] for line in err.splitlines()] == ["metseg", "note (1 case)"]
    assert re.fullmatch(r"1 picture, 1 failed, \d+ lesions?; results in .*", out.splitlines()[-1])


def test_the_cost_of_mirror_images_is_said(predict: Run) -> None:
    _, _, err = predict("--format", "mask", "--tta")
    assert err.splitlines()[0] == "note: averaging over mirror images takes about 4 times as long as --no-tta"
    _, _, err = predict("--format", "mask")
    assert "mirror" not in err
    _, _, err = predict("--format", "mask", "--tta", "--json")
    assert err == ""


def test_the_cost_is_said_once_a_case_was_read(predict: Run, run_metseg: Run, bundle: Path, tmp_path: Path) -> None:
    lone = write_volume(tmp_path / "lone.nii.gz", (2, 3))
    lone.write_bytes(lone.read_bytes()[:200])
    _, _, err = predict("--tta", "--out", tmp_path / "out2")
    assert err.count("averaging") == 1
    status, _, err = run_metseg("predict", lone, "--model", bundle, "--tta", "--out", tmp_path / "out3")
    assert (status, "averaging" in err) == (3, False), err


def test_pictures_for_a_model_of_volumes_are_refused_before_any_note(
    run_metseg: Run, bundle: Path, tiny_slices: Path, tmp_path: Path
) -> None:
    status, _, err = run_metseg("predict", tiny_slices / "P0", "--model", bundle, "--tta", "--out", tmp_path / "out")
    assert (status, "averaging" in err) == (3, False)
    assert "the model needs a volume, but pictures were given" in err


@pytest.mark.parametrize("below", ["file", "locked/out"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_prediction(
    predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "file").write_text("mine", "utf-8")
    (tmp_path / "locked").mkdir()
    # Root may write everywhere.
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name != "locked")
    status, out, err = predict("--tta", "--out", tmp_path / below)
    assert (status, out) == (2, "")
    assert err.startswith(f"metseg: {tmp_path / below}: the output folder cannot be written (got ")
    assert err.endswith("; choose another one with --out\n")
    assert "averaging" not in err


@pytest.mark.parametrize("wrong", ["input", "format", "out"])
def test_no_note_on_settings_comes_before_a_failure(predict: Run, tmp_path: Path, wrong: str) -> None:
    if wrong == "out":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "lesions.csv").write_text("patient,age\nA,50\n", "utf-8")  # the user's own
    words = {"input": (tmp_path / "nowhere",), "format": ("--format", "nifty"), "out": ()}
    status, out, err = predict("--tta", *words[wrong])
    assert (status in {2, 3}, out) == (True, "")
    assert "averaging" not in err
    assert err.startswith("metseg: ")


def test_wrong_options_of_exports_are_refused_before_a_model_is_chosen(run_metseg: Run, tmp_path: Path) -> None:
    study = write_volume(tmp_path / "A" / "t1c.nii.gz", (2, 3)).parent
    status, _, err = run_metseg("predict", study, "--margin", "2", "--out", tmp_path / "out")
    assert (status, err) == (2, "metseg: an option of the exports without exports; add --export NAMES\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("as_json", [False, True])
def test_the_windows_of_a_volume_have_progress_on_a_terminal(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    from metseg.inference.predictor import Predictor
    from metseg.runtime import progress

    volume = write_volume(tmp_path / "t1c.nii.gz", (5, 5))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = []
    new = progress._new_display

    def watched() -> object:
        display = new()
        update = display.update

        def noted(task: int, **changes: object) -> None:
            update(task, **changes)
            shown.append((display._tasks[task].description, changes["completed"]))

        display.update = noted
        return display

    monkeypatch.setattr(progress, "_new_display", watched)
    predictor = Predictor.from_bundle(load_bundle(bundle), device="cpu")
    outcome = predict_paths([volume], predictor, tmp_path / "out", quiet=as_json)
    assert outcome.volumes == 1
    shares = [share for what, share in shown if what == "Windows"]
    if as_json:
        assert (shown, terminal.getvalue()) == ([], "")
    else:
        assert len(shares) > 4
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert "left" in terminal.getvalue()


def test_a_smallest_volume_of_the_model_itself_is_no_error_for_pictures() -> None:
    """Bundles have one for volumes; only what is asked for has to be possible."""
    from metseg.inference.input_fit import require_voxel_size
    from metseg.recipe import PredictPart
    from metseg.volume import Case, Volume

    case = Case("c", "p", {"t2f": Volume(np.zeros((4, 4, 1)))}, slice_names=("0",))
    require_voxel_size(case, PredictPart(minimum_mm3=9), PredictPart(minimum_mm3=9))
    with pytest.raises(InputError) as caught:
        require_voxel_size(case, PredictPart(minimum_mm3=9), PredictPart())
    assert caught.value.code == "input.no_spacing"
