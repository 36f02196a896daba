"""Score a folder of predictions against a folder of truth: many cases in parallel, tables written as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from metseg.errors import InputError, MetsegError, ResourceError
from metseg.evaluate.case import CaseScores, evaluate_masks, without_lesions
from metseg.evaluate.manner import VOXELWISE, Manner
from metseg.evaluate.pairing import CasePair, Pairs, pair_up
from metseg.evaluate.read import read_pair
from metseg.evaluate.summary import Summary, summarise
from metseg.evaluate.tables import Tables, write_summary
from metseg.progress import track

#: Cases handed to each process ahead of time: enough to keep it busy, few enough to keep memory flat.
_AHEAD = 4

#: Cases named one by one when several cannot be scored.
_SHOWN = 5


def evaluate_folders(
    predictions: Path,
    truth: Path,
    *,
    out: Path,
    manner: Manner = VOXELWISE,
    jobs: int = 1,
    quiet: bool = False,
) -> Summary:
    """Score every case of two folders, or one file against another, and write the tables.

    Args:
        predictions: folder (or file) of predicted masks: NIfTI volumes, or slice masks in a folder per patient.
        truth: the same of the truth; files are paired by case id, see `metseg.evaluate.pairing.pair_up`.
        out: where ``cases.csv``, ``lesions.csv``, ``summary.json`` (and ``slices.csv`` for slices) are written.
        manner: protocol and label scheme.
        jobs: processes; with more than 1 they are started anew, so a script needs its ``if __name__ == "__main__"``.
        quiet: no progress bar.
    Returns:
        the summary, as in ``summary.json``.
    Raises:
        InputError: nothing to pair, missing predictions, or cases that cannot be scored, named; nothing is written.

    Missing predictions scored as empty, patients found by a pattern: `pair_up`, then `evaluate_pairs`.
    """
    return evaluate_pairs(pair_up(predictions, truth), manner, out=out, jobs=jobs, quiet=quiet)


def evaluate_pairs(pairs: Pairs, manner: Manner, *, out: Path, jobs: int = 1, quiet: bool = False) -> Summary:
    """Score every pair of files and write the tables; see `evaluate_folders`."""
    with_slices = any(pair.is_slices for pair in pairs.cases)
    kept: list[CaseScores] = []
    errors: list[MetsegError] = []
    with Tables(out, with_slices=with_slices) as tables:
        outcomes = track(_scored(pairs.cases, manner, jobs=jobs), "Scoring", total=len(pairs.cases), quiet=quiet)
        for outcome in outcomes:
            if isinstance(outcome, MetsegError):
                errors.append(outcome)
            elif not errors:
                tables.add(outcome)
                kept.append(without_lesions(outcome))
        if errors:
            _refuse(errors, len(pairs.cases))
        summary = summarise(kept, warnings=pairs.warnings)
        write_summary(summary, out / "summary.json")
    return summary


def score_pair(pair: CasePair, manner: Manner) -> CaseScores | MetsegError:
    """Return the scores of one case, or what is wrong with it: the others are still looked at."""
    try:
        return evaluate_masks(read_pair(pair, manner.labels), manner)
    except MetsegError as error:
        return error


def _scored(pairs: Sequence[CasePair], manner: Manner, *, jobs: int) -> Iterator[CaseScores | MetsegError]:
    """Yield the outcome of every case in order."""
    score = partial(score_pair, manner=manner)
    workers = min(jobs, len(pairs) // _AHEAD)  # a new process costs as much as a few cases
    if workers <= 1:
        yield from map(score, pairs)
        return
    # Spawned, not forked: a process that already runs threads (torch, BLAS) must not be copied.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = iter(pairs)
        running = deque(pool.submit(score, pair) for pair in islice(waiting, workers * _AHEAD))
        while running:
            yield _result(running.popleft())
            running.extend(pool.submit(score, pair) for pair in islice(waiting, 1))


def _result(future: Future[CaseScores | MetsegError]) -> CaseScores | MetsegError:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a scoring process died, most likely for lack of memory",
            cure="try again with fewer processes (--jobs 1); in a script, call under if __name__ == '__main__'",
            code="resources.memory",
        ) from None


def _refuse(errors: Sequence[MetsegError], cases: int) -> None:
    if len(errors) == 1:
        raise errors[0]
    others = ", ".join(str(error.where) for error in errors[1 : 1 + _SHOWN])
    raise InputError(
        f"{len(errors)} of {cases} cases cannot be scored: {errors[0].one_line()}; nor can {others}"
        + (" and more" if len(errors) > 1 + _SHOWN else ""),
        code=errors[0].code,
    )
