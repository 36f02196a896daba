"""Score a folder of predictions against a folder of truths, in parallel, and write the tables.

Memory does not grow with the images: only the scores of a finished case are kept, a few kilobytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from metseg.errors import InputError, MetsegError, ResourceError
from metseg.evaluation.case_scoring import evaluate_masks
from metseg.evaluation.files.file_matching import CasePair, Pairs, match_files
from metseg.evaluation.files.mask_io import read_pair
from metseg.evaluation.files.score_tables import Tables, write_summary
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.evaluation.protocols import PROTOCOLS
from metseg.evaluation.scores import CaseScores, without_lesions
from metseg.evaluation.scoring_config import VOXELWISE, ScoringConfig
from metseg.evaluation.statistics.summary import Summary, summarize
from metseg.message_text import pluralize
from metseg.runtime.progress import track

#: Cases submitted ahead for each process: enough to keep it busy, few enough to keep memory constant.
_AHEAD = 4

#: Maximum number of cases named in the error if several cannot be scored.
_SHOWN = 5

Result = TypeVar("Result")


@dataclass(frozen=True)
class FolderScores:
    """One set of predictions, scored.

    Args:
        summary: as in ``summary.json``.
        scores: of each case, without single lesions, which are in ``lesions.csv``.
    """

    summary: Summary
    scores: tuple[CaseScores, ...]


def evaluate_folders(
    predictions: Path,
    truth: Path,
    *,
    out: Path,
    manner: ScoringConfig = VOXELWISE,
    jobs: int = 1,
    quiet: bool = False,
) -> Summary:
    """Score every case of two folders, or one file against another, and write the tables.

    Args:
        predictions: folder (or file) of predicted masks: NIfTI volumes, or slice masks in a folder per patient.
        truth: the same for the truth; files are paired by case id, see
            `metseg.evaluation.files.file_matching.match_files`.
        out: where ``cases.csv``, ``lesions.csv``, ``summary.json`` (and ``slices.csv`` for slices) are written.
        manner: protocol and label scheme.
        jobs: number of processes; with more than 1 a script needs ``if __name__ == "__main__"``, as they are spawned.
        quiet: no progress bar.
    Returns:
        the summary, as in ``summary.json``.
    Raises:
        InputError: nothing to pair, missing predictions, or cases that cannot be scored; the message names them, and
            nothing is written.

    To score missing predictions as empty or to find patients by a pattern, call `match_files`, then `evaluate_pairs`.
    """
    pairs = match_files(predictions, truth, labels=manner.scheme_name)
    return evaluate_pairs(pairs, manner, out=out, jobs=jobs, quiet=quiet)


def evaluate_pairs(pairs: Pairs, manner: ScoringConfig, *, out: Path, jobs: int = 1, quiet: bool = False) -> Summary:
    """Score every pair of files and write the tables; see `evaluate_folders`."""
    evaluated = score_pairs(pairs, manner, out=out, jobs=jobs, quiet=quiet)
    write_summary(evaluated.summary.to_json(), out / "summary.json")
    return evaluated.summary


def score_pairs(
    pairs: Pairs, manner: ScoringConfig, *, out: Path, jobs: int = 1, quiet: bool = False, what: str = "Scoring"
) -> FolderScores:
    """Score every pair of files and write the tables, but no summary; see `evaluate_folders`.

    Args:
        pairs: of `match_files`.
        manner: protocol and label scheme.
        out: where ``cases.csv``, ``lesions.csv`` (and ``slices.csv``) are written.
        jobs: processes.
        quiet: no progress bar.
        what: text beside it.
    """
    kept: list[CaseScores] = []
    with Tables(out, with_slices=any(pair.is_slices for pair in pairs.cases)) as tables:
        outcomes = map_pairs(partial(score_pair, manner=manner), pairs.cases, jobs=jobs)
        for scores in without_errors(track(outcomes, what, total=len(pairs.cases), quiet=quiet), len(pairs.cases)):
            tables.add(scores)
            kept.append(without_lesions(scores))
        return FolderScores(summarize(kept, warnings=(*manner.notes, *pairs.warnings)), tuple(kept))


def score_pair(pair: CasePair, manner: ScoringConfig) -> CaseScores:
    """Return the scores of one case.

    Raises:
        InputError, GeometryError: a file cannot be read, or the two do not fit together.
    """
    return evaluate_masks(read_pair(pair, manner), manner)


def map_pairs(
    work: Callable[[CasePair], Result], pairs: Sequence[CasePair], *, jobs: int = 1
) -> Iterator[Result | MetsegError]:
    """Yield the result or the error of every case, in order.

    Args:
        work: function for each case; with several processes it is pickled, so it must be importable by name.
        pairs: the cases; only a few are submitted ahead, so that neither they nor their results accumulate.
        jobs: number of processes; starting one costs as much as a few cases, so few cases use fewer.
    Raises:
        ResourceError: a process died.
    """
    attempt = partial(_attempt, work)
    # Entries that `register` added exist in this process only.
    workers = 1 if METRICS.registered or PROTOCOLS.registered else min(jobs, len(pairs) // _AHEAD)
    if workers <= 1:
        yield from map(attempt, pairs)
        return
    # Spawned, not forked: a process that already runs threads (torch, BLAS) must not be copied.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = iter(pairs)
        running = deque(pool.submit(attempt, pair) for pair in islice(waiting, workers * _AHEAD))
        while running:
            yield _result(running.popleft())
            running.extend(pool.submit(attempt, pair) for pair in islice(waiting, 1))


def without_errors(outcomes: Iterator[Result | MetsegError], cases: int) -> Iterator[Result]:
    """Yield results until the first error; then check the remaining cases and report all errors together.

    Raises:
        InputError: some cases cannot be scored; the message names them.
    """
    errors: list[MetsegError] = []
    for outcome in outcomes:
        if isinstance(outcome, MetsegError):
            errors.append(outcome)
        elif not errors:
            yield outcome
    if errors:
        _refuse(errors, cases)


def _attempt(work: Callable[[CasePair], Result], pair: CasePair) -> Result | MetsegError:
    try:
        return work(pair)
    except MetsegError as error:
        return error


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a scoring process died, probably because memory ran out",
            cure="try again with fewer processes (--jobs 1); in a script, call under if __name__ == '__main__'",
            code="resources.memory",
        ) from None


def _refuse(errors: Sequence[MetsegError], cases: int) -> None:
    if len(errors) == 1:
        raise errors[0]
    others = ", ".join(str(error.where) for error in errors[1 : 1 + _SHOWN])
    raise InputError(
        f"{len(errors)} of {pluralize(cases, 'case')} cannot be scored: {errors[0].one_line()}; others: {others}"
        + (" and more" if len(errors) > 1 + _SHOWN else ""),
        code=errors[0].code,
    )
