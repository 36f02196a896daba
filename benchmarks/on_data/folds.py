"""The models that a script scores: those of a cross-validation, each on its own test patients, or one for all cases."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import metseg
from metseg.inference.predictor import Predictor
from metseg.volume import Case

#: Label scheme of the truth of volumes.
SCHEME = "brats-met-2023"


def parse_models(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add ``--run`` and ``--model`` to a parser, and return the options; exactly one of the two is given."""
    parser.add_argument("--run", type=Path, action="append", default=[], help="run folder of one fold")
    parser.add_argument("--model", help="a model for all cases")
    options = parser.parse_args()
    if bool(options.run) == bool(options.model):
        parser.error("give either --run or --model")
    return options


def cases_of_models(
    data: Path, options: argparse.Namespace, *, part: str = "test", labels: str = SCHEME, channels: Sequence[str] = ()
) -> Iterator[tuple[str, Predictor, Case]]:
    """Yield the name of a fold or model, its predictor, and each case that it predicts.

    Args:
        data: root of the cases.
        options: from `parse_models`.
        part: part of the split of each run.
        labels: label scheme of the truth.
        channels: of colour pictures, in file order.
    """
    cases = metseg.load_all(data, labels=labels, channels=channels)
    folds: list[tuple[str, str, set[str] | None]] = [
        (run.name, str(run / "bundle"), set(json.loads((run / "split.json").read_text("utf-8"))[part]))
        for run in options.run
    ]
    for fold, path, patients in folds or [(options.model, options.model, None)]:
        model = metseg.load_model(path)
        yield from ((fold, model, case) for case in cases if patients is None or case.patient in patients)
