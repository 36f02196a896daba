"""The whole path on a CPU, the way a user walks it: simulate, inspect, split, train, predict, evaluate."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]

RECIPE = """
name = "end-to-end"
data = { channels = ["t1n", "t2f", "t1c"] }
preprocess = [{ name = "crop_to_head" }, { name = "resize", size = [48, 48] }, { name = "zscore" }]
augment = [{ name = "flip" }, { name = "rotate" }]
model = { name = "unet", channels = [8, 16, 32], blocks = [1, 1, 1] }
loss = { name = "dice_bce" }

[train]
batch_size = 8
steps_per_epoch = 30
max_steps = 90
learning_rate = 1e-2
optimizer = "adamw"
schedule = "cosine"
ema_decay = 0.9
lesion_share = 0.5
workers = 0
"""


@pytest.mark.slow
def test_from_nothing_to_scores(run_metseg: Run, tmp_path: Path) -> None:
    data, split, run = tmp_path / "data", tmp_path / "split.json", tmp_path / "run"
    predictions, scores = tmp_path / "predictions", tmp_path / "scores"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, "utf-8")

    def metseg(*arguments: object) -> str:
        status, out, err = run_metseg(*arguments)
        assert status == 0, err
        return out

    metseg("simulate", data, "--patients", 6, "--as", "slices", "--resolution-mm", 3, "--slices-per-patient", 8,
           "--workers", 1)  # fmt: skip
    inspection = json.loads(metseg("inspect", data, "--json"))
    assert (inspection["patients"], inspection["slices"], inspection["problems"]) == (6, 48, [])
    assert inspection["lesion_slices"] > 0

    metseg("split", data, "--out", split, "--validation", 0.2, "--test", 0.34)
    parts = json.loads(split.read_text())
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [3, 1, 2]

    out = metseg("train", recipe, "--data", data, "--out", run, "--split", split, "--device", "cpu")
    assert f"bundle: {run / 'bundle'}\n" in out
    with (run / "steps.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 90
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])  # it learns

    for patient in parts["test"]:
        (folder,) = [path for path in data.rglob(patient) if path.is_dir()]
        metseg("predict", folder, "--model", run / "bundle", "--out", predictions / patient, "--device", "cpu")
    masks = sorted(predictions.rglob("*_mask.png"))
    assert len(masks) == 16
    for mask in masks:
        pixels = np.asarray(Image.open(mask))
        (picture,) = data.rglob(mask.name.replace("_mask", ""))
        assert pixels.shape == np.asarray(Image.open(picture)).shape[:2]
        assert set(np.unique(pixels)) <= {0, 255}

    truth = tmp_path / "truth"
    for mask in masks:
        (original,) = data.rglob(mask.name)
        copy = truth / mask.relative_to(predictions)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(original.read_bytes())
    metseg("evaluate", "--predictions", predictions, "--truth", truth, "--out", scores)
    with (scores / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == set(parts["test"])
    # The training scored the same networks on the same patients: by its own way, not through files.
    own = json.loads((run / "bundle" / "metrics.json").read_text())["test"]["regions"]["lesion"]
    assert np.mean([float(row["dice"]) for row in rows]) == pytest.approx(own["metrics"]["dice"]["mean"], abs=1e-6)
    with (run / "test" / "cases.csv").open() as file:
        own_rows = {row["case"]: row for row in csv.DictReader(file)}
    for row in rows:
        for name in ("n_tp", "n_fp", "n_fn"):
            assert row[name] == own_rows[row["case"]][name], (row["case"], name)
