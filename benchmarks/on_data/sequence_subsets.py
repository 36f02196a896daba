"""Score models on real cases with all sequences, and with fewer of them.

    python benchmarks/on_data/sequence_subsets.py DATA OUT.csv --run RUN [--run RUN ...] [--subset t1c,t2f ...]
    python benchmarks/on_data/sequence_subsets.py DATA OUT.csv --model mets-sim
    python benchmarks/on_data/sequence_subsets.py LGG OUT.csv --run RUN --labels binary --channels t1n,t2f,t1c \
        --subset t2f

Each run folder is one fold of a cross-validation: its model predicts the test patients of its own split. A model
predicts all cases. A subset that a case does not have whole is left out for it. Writes one row per case, subset and
region, and prints mean Dice per patient with its 95 % bootstrap interval. Cases with an empty truth are left out of a
region's mean, and counted; the volume marked there is printed. "enhancing" means truth with ET of at least 0.05 mL.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from folds import SCHEME, cases_of_models, parse_models

import metseg
from metseg.evaluation.scores import RegionScores
from metseg.evaluation.statistics.confidence_intervals import bootstrap_mean, patient_means
from metseg.inference.predictor import Predictor
from metseg.volume import Case

ALL = "all"
#: Least volume of enhancing tumour, in mL, of a case that counts as enhancing.
ENHANCING_ML = 0.05
COLUMNS = ("fold", "case", "patient", "subset", "region", "dice", "truth_ml", "predicted_ml", "enhancing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subset", action="append", default=[], help="sequences to keep, with commas; default: all")
    parser.add_argument("--part", default="test", help="part of each run's split")
    parser.add_argument("--labels", default=SCHEME, help="label scheme of the truth")
    parser.add_argument("--channels", default="", help="sequences of colour pictures in file order, with commas")
    options = parse_models(parser)
    subsets = [ALL, *options.subset]
    with options.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        rows = []
        for row in _score_all(options, subsets):
            rows.append(row)
            table.writerow(row)
            file.flush()
    _print_means(rows, subsets)


def _score_all(options: argparse.Namespace, subsets: Sequence[str]) -> Iterator[dict[str, Any]]:
    channels = [name for name in options.channels.split(",") if name]
    cases = cases_of_models(options.data, options, part=options.part, labels=options.labels, channels=channels)
    for fold, model, case in cases:
        yield from _score_case(case, model, subsets, fold, options.labels)


def _score_case(
    case: Case, model: Predictor, subsets: Sequence[str], fold: str, labels: str
) -> Iterator[dict[str, Any]]:
    assert case.labels is not None
    truth, spacing = case.labels.data, case.labels.spacing_mm
    for subset in subsets:
        keep = set(case.images) if subset == ALL else set(subset.split(","))
        if not keep <= set(case.images):
            continue
        shown = replace(case, images={name: image for name, image in case.images.items() if name in keep}, labels=None)
        scores = metseg.evaluate_case(truth, metseg.predict(shown, model).labels, spacing, scheme=labels)
        volumes = {region: _millilitres(scores[region]) for region in scores}
        for region in scores:
            truth_ml, predicted_ml = volumes[region]
            yield {
                "fold": fold,
                "case": case.case_id,
                "patient": case.patient,
                "subset": subset,
                "region": region,
                "dice": scores[region]["dice"] if scores[region]["n_tp"] or scores[region]["n_fn"] else None,
                "truth_ml": round(truth_ml, 3),
                "predicted_ml": round(predicted_ml, 3),
                "enhancing": "ET" in volumes and volumes["ET"][0] >= ENHANCING_ML,
            }
        print(case.case_id, subset, *(f"{region} {scores[region]['dice']:.3f}" for region in scores), flush=True)


def _millilitres(scores: RegionScores) -> tuple[float, float]:
    """Return the volumes of the truth and of the prediction, in mL."""
    volumes = (scores[name] or 0.0 for name in ("truth_volume_mm3", "predicted_volume_mm3"))
    truth, predicted = (volume / 1000 for volume in volumes)
    return truth, predicted


def _print_means(rows: Sequence[dict[str, Any]], subsets: Sequence[str]) -> None:
    for subset in subsets:
        for region in dict.fromkeys(r["region"] for r in rows):
            for only_enhancing in (False, True):
                chosen = [r for r in rows if r["subset"] == subset and r["region"] == region]
                chosen = [r for r in chosen if r["enhancing"] or not only_enhancing]
                means = patient_means((r["patient"], r["dice"]) for r in chosen)
                values = [value for value in means.values() if value is not None]
                if not values:
                    continue
                interval = bootstrap_mean(values)
                where = "enhancing" if only_enhancing else "every patient with the region"
                empty = [r["predicted_ml"] for r in chosen if r["dice"] is None]
                marked = f"; marked without truth, mL: {empty}" if empty else ""
                ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
                print(f"{subset} {region}, {where}: {interval.mean:.3f}{ends}, {len(values)} patients{marked}")


if __name__ == "__main__":
    main()
