"""Score models on studies of `metseg simulate-lesions`: sensitivity by size and kind of lesion, false findings.

    python benchmarks/on_data/inserted_metastases.py STUDIES OUT.csv --run RUN [--run RUN ...] [--sequences t1c]
    python benchmarks/on_data/inserted_metastases.py STUDIES OUT.csv --model mets-sim

Each run folder is one fold of a cross-validation: its model predicts the studies in the scans of its own test patients.
An inserted lesion is found if the predicted tumour core overlaps its core. A false finding is a predicted core that
overlaps no core of the truth; the tumour of the scan itself is part of the truth. Writes one row per inserted lesion
and one per study, and prints figures with 95 % bootstrap intervals over the scans' patients.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from folds import SCHEME, cases_of_models, parse_models

import metseg
from metseg.evaluation.statistics.confidence_intervals import bootstrap_pooled, ratio
from metseg.inference.predictor import Predictor
from metseg.labels import LABEL_SCHEMES
from metseg.measure import label_instances
from metseg.volume import Case

#: Equivalent diameters, in mm, that sensitivity is given for.
SIZES = ((0.0, 3.0), (3.0, 5.0), (5.0, 10.0), (10.0, 1e9))
#: Also given together: what the project promises.
ABOVE = (5.0, 1e9)
COLUMNS = ("fold", "case", "patient", "kind", "diameter_mm", "found", "false_findings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sequences", default="", help="sequences to keep, with commas; default: all")
    options = parse_models(parser)
    keep = frozenset(filter(None, options.sequences.split(",")))
    rows = []
    with options.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for row in _score_all(options, keep):
            rows.append(row)
            table.writerow(row)
            file.flush()
    _print_figures(rows)


def _score_all(options: argparse.Namespace, keep: frozenset[str]) -> Iterator[dict[str, Any]]:
    for fold, model, case in cases_of_models(options.studies, options):
        truth = json.loads((options.studies / case.case_id / f"{case.case_id}.json").read_text("utf-8"))
        yield from _score_study(case, model, truth["lesions"], keep, fold)


def _score_study(
    case: Case, model: Predictor, inserted: Sequence[dict[str, Any]], keep: frozenset[str], fold: str
) -> Iterator[dict[str, Any]]:
    assert case.labels is not None
    assert case.labels.affine is not None
    images = {name: image for name, image in case.images.items() if not keep or name in keep}
    predicted = _core(metseg.predict(replace(case, images=images, labels=None), model).labels)
    truth = _core(case.labels.data)
    pieces, _ = label_instances(truth)
    marked = set(np.unique(pieces[predicted])) - {0}
    to_voxel = np.linalg.inv(case.labels.affine)
    found = []
    for lesion in inserted:
        centre = to_voxel[:3, :3] @ lesion["centre_mm"] + to_voxel[:3, 3]
        hit = _nearest_piece(pieces, centre) in marked
        found.append(hit)
        kind, diameter = lesion["kind"], lesion["equivalent_diameter_mm"]
        yield _row(fold, case, kind=kind, diameter_mm=round(diameter, 2), found=int(hit))
    findings, count = label_instances(predicted)
    false = count - len(set(np.unique(findings[truth])) - {0})
    print(case.case_id, f"{sum(found)} of {len(found)} found, {false} false findings", flush=True)
    yield _row(fold, case, false_findings=false)


def _row(fold: str, case: Case, **values: Any) -> dict[str, Any]:
    return {"fold": fold, "case": case.case_id, "patient": case.patient, **values}


def _core(labels: np.ndarray) -> np.ndarray:
    return LABEL_SCHEMES[SCHEME].region_mask(labels, "TC")


def _nearest_piece(pieces: np.ndarray, centre: np.ndarray) -> int:
    """Return the number of the piece that is nearest to a point; the centre of a ring is not in the ring."""
    reach = 12
    low = np.maximum(np.rint(centre).astype(int) - reach, 0)
    box = pieces[tuple(slice(first, first + 2 * reach + 1) for first in low)]
    places = np.argwhere(box)
    nearest = places[np.argmin(((places + low - centre) ** 2).sum(axis=1))]
    return int(box[tuple(nearest)])


def _print_figures(rows: Sequence[dict[str, Any]]) -> None:
    lesions = [row for row in rows if "kind" in row]
    groups = {f"{low:g} to {high:g} mm": (low, high) for low, high in SIZES} | {"above 5 mm": ABOVE}
    for name, (low, high) in groups.items():
        _print_ratio(f"sensitivity, {name}", [row for row in lesions if low <= row["diameter_mm"] < high], "found")
    for kind in sorted({row["kind"] for row in lesions}):
        _print_ratio(f"sensitivity, {kind}", [row for row in lesions if row["kind"] == kind], "found")
    _print_ratio("false findings per study", [row for row in rows if "false_findings" in row], "false_findings")


def _print_ratio(name: str, rows: Sequence[dict[str, Any]], column: str) -> None:
    """Print the mean of a column over rows, with an interval over patients."""
    patients = sorted({row["patient"] for row in rows})
    if not patients:
        return
    sums = np.array(
        [[sum(row[column] for row in rows if row["patient"] == who), sum(row["patient"] == who for row in rows)]
         for who in patients], dtype=np.float64,
    )  # fmt: skip
    (interval,) = bootstrap_pooled(sums, lambda total: ratio(total[:, :1], total[:, 1:]))
    assert interval is not None
    ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    print(f"{name}: {interval.mean:.3f}{ends}; {int(sums[:, 1].sum())} in scans of {len(patients)} patients")


if __name__ == "__main__":
    main()
