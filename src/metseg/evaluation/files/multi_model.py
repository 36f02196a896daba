"""Score one or several sets of predictions against one truth and a second reader, compare them, and write results.

With one set, its tables and ``summary.json`` are in ``out``. With several, each set has a folder in ``out``, and
``out/summary.json`` contains all summaries and the comparison. A second reader is scored in ``out/readers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.file_matching import Missing, Pairs, match_files
from metseg.evaluation.files.folder_scoring import FolderScores, score_pairs
from metseg.evaluation.files.score_tables import write_summary
from metseg.evaluation.scoring_config import VOXELWISE, ScoringConfig
from metseg.evaluation.statistics.groups import Groups, group_scores
from metseg.evaluation.statistics.inter_rater import AgainstReaders, Readers, compare_with_readers
from metseg.evaluation.statistics.model_comparison import FigureComparison, compare_sets
from metseg.io.clinical import PRIMARY, read_clinical_table
from metseg.io.splits import PartOfSplit
from metseg.message_text import pluralize

#: Folder of the second reader's results, and its subfolder for the second reader's own masks.
READERS_FOLDER, SECOND_READER = "readers", "second-reader"

SUMMARY = "summary.json"


@dataclass(frozen=True)
class PredictionSets:
    """The sets of predictions and the truth to score.

    Args:
        predictions: name to folder or file; at least one.
        truth: folder or file of the first reader's masks.
        second_truth: folder of the second reader's masks, which may cover some cases only; None: there is one reader.
        missing: how to handle files that only one side has, see
            `metseg.evaluation.files.file_matching.match_files`.
        part: the part of a split that is scored; None: everything.
        patient_pattern, patients: see `metseg.evaluation.files.file_matching.match_files`.
        attributes: table (CSV) with a row per patient or case, for results by groups; None: no groups.
        by: its column, or one of the names of `metseg.io.clinical.CLINICAL_COLUMNS`.
    Raises:
        UsageError: no predictions, or a name that is not a valid folder name.
    """

    predictions: Mapping[str, Path]
    truth: Path
    second_truth: Path | None = None
    missing: Missing = "error"
    part: PartOfSplit | None = None
    patient_pattern: str | None = None
    patients: str | None = None
    attributes: Path | None = None
    by: str = PRIMARY

    def __post_init__(self) -> None:
        if not self.predictions:
            raise UsageError("there are no predictions to score", code="usage.options")
        # A single set is written to `out` itself, so it may have any name, unless there is a second reader.
        named = len(self.predictions) > 1 or self.second_truth is not None
        wrong = [name for name in self.predictions if name in ("", ".", "..", READERS_FOLDER) or "/" in name]
        if wrong and named:
            raise UsageError(
                "not a valid name for a set of predictions: it also names a folder",
                got=repr(wrong[0]),
                cure="give another name: NAME=FOLDER",
                code="usage.options",
            )


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Args:
        sets: name to the scored set, in the given order.
        comparisons: every pair of sets on every compared metric; empty for one set.
        readers: comparison of the sets with two readers; None for one reader.
        groups: results by an attribute of the patients; None where none was given.
    """

    sets: Mapping[str, FolderScores]
    comparisons: tuple[FigureComparison, ...] = ()
    readers: Readers | None = None
    groups: Groups | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``summary.json``: that of a single set, or those of all sets under ``models``."""
        documents = {name: one.summary.to_json() for name, one in self.sets.items()}
        body = next(iter(documents.values())) if len(documents) == 1 else {"models": documents}
        return {
            **body,
            "comparisons": [one.to_json() for one in self.comparisons],
            "readers": None if self.readers is None else self.readers.to_json(),
            **({} if self.groups is None else {"groups": self.groups.to_json()}),
        }


def evaluate_sets(
    sets: PredictionSets, manner: ScoringConfig = VOXELWISE, *, out: Path, jobs: int = 1, quiet: bool = False
) -> Evaluation:
    """Score one or several sets of predictions, and write tables and summaries.

    Args:
        sets: the predictions and the truth.
        manner: protocol and label scheme.
        out: folder for the tables, see this module.
        jobs: number of processes; with more than 1 a script needs ``if __name__ == "__main__"``, as they are spawned.
        quiet: no progress bar.
    Raises:
        InputError: nothing to pair, missing predictions, or cases that cannot be scored; the message names them.
        UsageError: volumes on one side and pictures on the other.
    """
    # Pair all files before scoring, so that a missing file is reported at once and not after an hour.
    pairs = {name: paired(sets, folder, manner) for name, folder in sets.predictions.items()}
    values = None if sets.attributes is None else read_clinical_table(sets.attributes, column=sets.by)
    between = None if sets.second_truth is None else _between(sets, sets.second_truth, manner)
    score = _Scoring(manner, out, jobs, quiet)
    alone = len(pairs) == 1
    scored = {name: score("" if alone else name, one, _progress(name, alone)) for name, one in pairs.items()}
    grouped = {} if values is None else {name: group_scores(one.scores, values) for name, one in scored.items()}
    evaluation = Evaluation(
        sets=scored,
        groups=Groups(sets.by, grouped) if grouped else None,
        comparisons=compare_sets({name: one.scores for name, one in scored.items()}),
        readers=None if between is None else _readers(between, pairs, replace(score, out=out / READERS_FOLDER)),
    )
    write_summary(evaluation.to_json(), out / SUMMARY)
    return evaluation


def _progress(name: str, alone: bool) -> str:
    return "Scoring" if alone else f"Scoring {name}"


def paired(sets: PredictionSets, predictions: Path, manner: ScoringConfig) -> Pairs:
    """Return the cases of one set of predictions with their truth."""
    return match_files(
        predictions,
        sets.truth,
        missing=sets.missing,
        part=sets.part,
        patient_pattern=sets.patient_pattern,
        patients=sets.patients,
        labels=manner.scheme_name,
    )


def _between(sets: PredictionSets, second_truth: Path, manner: ScoringConfig) -> Pairs:
    return match_files(
        second_truth,
        sets.truth,
        missing="skip",
        part=sets.part,
        patient_pattern=sets.patient_pattern,
        patients=sets.patients,
        labels=manner.scheme_name,
    )


@dataclass(frozen=True)
class _Scoring:
    """Score pairs with fixed settings and an output folder."""

    manner: ScoringConfig
    out: Path
    jobs: int
    quiet: bool

    def __call__(self, name: str, pairs: Pairs, what: str) -> FolderScores:
        folder = self.out / name
        scored = score_pairs(pairs, self.manner, out=folder, jobs=self.jobs, quiet=self.quiet, what=what)
        write_summary(scored.summary.to_json(), folder / SUMMARY)
        return scored


def _readers(between: Pairs, models: Mapping[str, Pairs], score: _Scoring) -> Readers:
    """Compare the sets with two readers, on the cases and slices that both readers drew."""
    readers = replace(score, manner=score.manner.between_truths())
    return compare_with_readers(
        readers(SECOND_READER, between, "Scoring the second reader").scores,
        {
            name: AgainstReaders(
                score(f"{name}-first", _against(between, pairs, second=False), f"Scoring {name}, first reader").scores,
                score(f"{name}-second", _against(between, pairs, second=True), f"Scoring {name}, second reader").scores,
            )
            for name, pairs in models.items()
        },
    )


def _against(between: Pairs, model: Pairs, *, second: bool) -> Pairs:
    """Pair a model's predictions with one reader's masks of the cases and slices that both readers drew."""
    prediction_of = {
        truth: prediction for pair in model.cases for truth, prediction in zip(pair.truth, pair.prediction, strict=True)
    }
    left_out = [truth for pair in between.cases for truth in pair.truth if truth not in prediction_of]
    if left_out:
        raise InputError(
            f"no prediction of {pluralize(len(left_out), 'mask')} that both readers drew",
            where=left_out[0],
            cure="predict these too, score them as empty with --missing empty, or leave out --second-truth",
            code="input.unpaired",
        )
    cases = [
        replace(
            pair,
            truth=tuple(filter(None, pair.prediction)) if second else pair.truth,
            prediction=tuple(prediction_of[truth] for truth in pair.truth),
            probability=(),  # only the masks are compared with readers
        )
        for pair in between.cases
    ]
    return Pairs(tuple(cases))
