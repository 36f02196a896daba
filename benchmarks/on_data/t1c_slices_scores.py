"""Score a `t1c-slices` run on the slices of its test fold, by tumour type, and count false findings without a tumour.

    python benchmarks/on_data/t1c_slices_scores.py DATA RUN --table CHENG.csv [--no-tumour FOLDER] [--every 5]

DATA is the folder of one fold that `t1c_slices.py` prepared; CHENG.csv has the columns slice and tumour. FOLDER holds
pictures without tumour. The patients of Cheng et al. are not named, so the intervals are over slices and too narrow.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import metseg
from metseg.evaluation.statistics.confidence_intervals import bootstrap_mean
from metseg.inference.predictor import Predictor

#: Dice below which a tumour counts as missed.
MISSED = 0.2
#: Share of a picture above which a false finding counts as large.
LARGE = 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--no-tumour", type=Path)
    parser.add_argument("--every", type=int, default=1, help="score every n-th picture without tumour")
    options = parser.parse_args()
    with options.table.open(encoding="utf-8", newline="") as file:
        tumours = {row["slice"]: row["tumour"] for row in csv.DictReader(file)}
    test = json.loads((options.run / "split.json").read_text("utf-8"))["test"]
    model = metseg.load_model(options.run / "bundle")
    score_fold(options.data, test, tumours, model)
    if options.no_tumour is not None:
        pictures = sorted(path for path in options.no_tumour.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
        count_false_findings("pictures without tumour", pictures[:: options.every], model)


def score_fold(data: Path, names: Iterable[str], tumours: dict[str, str], model: Predictor) -> None:
    """Print the Dice of the slices with a tumour, by type, and the false findings on the others."""
    scores: dict[str, list[float]] = defaultdict(list)
    others: list[Path] = []
    for name in names:
        picture = data / "images" / f"{name}.png"
        if name not in tumours:
            others.append(picture)
            continue
        truth = np.asarray(Image.open(data / "masks" / f"{name}.png")) > 0
        dice = dice_of(mask_of(picture, model), truth)
        scores[tumours[name]].append(dice)
        scores["all"].append(dice)
    for tumour, values in scores.items():
        interval, missed = bootstrap_mean(values), sum(value < MISSED for value in values)
        print(
            f"{tumour}: {interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f}), "
            f"median {np.median(values):.3f}, {len(values)} slices, {missed} below {MISSED}",
            flush=True,
        )
    count_false_findings("slices of the fold without tumour", others, model)


def count_false_findings(title: str, pictures: list[Path], model: Predictor) -> None:
    """Print on how many pictures without tumour something is found."""
    shares = []
    for picture in pictures:
        found = mask_of(picture, model)
        shares.append(found.mean())
    marked, large = sum(share > 0 for share in shares), sum(share > LARGE for share in shares)
    print(f"{title}: {marked} of {len(shares)} marked, {large} of them above {LARGE:.1%} of the picture", flush=True)


def mask_of(picture: Path, model: Predictor) -> npt.NDArray[np.bool_]:
    """Return the mask of a picture, (rows, columns); colour pictures are read as grey."""
    labels: Any = np.asarray(metseg.predict(picture, model).labels)
    return np.asarray(labels[:, :, 0].T > 0)


def dice_of(mask: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


if __name__ == "__main__":
    main()
