"""Score a folder of predictions against a folder of truth: many cases in parallel, tables written as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from metseg.errors import InputError, MetsegError, ResourceError
from metseg.evaluate.case import CaseScores, evaluate_case, scheme_for
from metseg.evaluate.pairing import CasePair, pair_up
from metseg.evaluate.protocols import PROTOCOLS
from metseg.evaluate.read import read_pair
from metseg.evaluate.summary import Summary, summarise
from metseg.evaluate.tables import Tables, write_summary
from metseg.labels import LabelScheme
from metseg.progress import track
from metseg.tables import lookup

#: Cases handed to each process ahead of time: enough to keep it busy, few enough to keep memory flat.
_AHEAD = 4

#: Cases named one by one when several cannot be scored.
_SHOWN = 5


@dataclass(frozen=True)
class _Manner:
    """How every case is scored."""

    protocol: str
    scheme: LabelScheme


def evaluate_folders(
    predictions: Path,
    truth: Path,
    *,
    out: Path,
    protocol: str = "voxel",
    scheme: str | None = None,
    jobs: int = 1,
    allow_missing: bool = False,
    patient_pattern: str | None = None,
    quiet: bool = False,
) -> Summary:
    """Score every case of two folders, or one file against another, and write the tables.

    Args:
        predictions: folder (or file) of predicted masks: NIfTI volumes, or slice masks in a folder per patient.
        truth: the same of the truth; files are paired by case id, see `metseg.evaluate.pairing.pair_up`.
        out: where ``cases.csv``, ``lesions.csv``, ``summary.json`` (and ``slices.csv`` for slices) are written.
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES`; None: the protocol's.
        jobs: processes; with more than 1 they are started anew, so a script needs its ``if __name__ == "__main__"``.
        allow_missing: a truth without a prediction is scored as an empty prediction.
        patient_pattern: regular expression whose first group is the patient.
        quiet: no progress bar.
    Returns:
        the summary, as in ``summary.json``.
    Raises:
        InputError: nothing to pair, missing predictions, or cases that cannot be scored, named; nothing is written.
        UsageError: an unknown protocol or scheme.
    """
    manner = _Manner(protocol, scheme_for(lookup("protocol", PROTOCOLS, protocol), scheme, protocol))
    pairs = pair_up(predictions, truth, allow_missing=allow_missing, patient_pattern=patient_pattern)
    with_slices = any(pair.is_slices for pair in pairs.cases)
    kept: list[CaseScores] = []
    errors: list[MetsegError] = []
    with Tables(out, with_slices=with_slices) as tables:
        outcomes = track(_scored(pairs.cases, manner, jobs), "Scoring", total=len(pairs.cases), quiet=quiet)
        for outcome in outcomes:
            if isinstance(outcome, MetsegError):
                errors.append(outcome)
            elif not errors:
                tables.add(outcome)
                kept.append(_without_lesions(outcome))
        if errors:
            _refuse(errors, len(pairs.cases))
        summary = summarise(kept, warnings=pairs.warnings)
        write_summary(summary, out / "summary.json")
    return summary


def score_pair(pair: CasePair, manner: _Manner) -> CaseScores | MetsegError:
    """Return the scores of one case, or what is wrong with it: the others are still looked at."""
    try:
        masks = read_pair(pair, manner.scheme)
        scores = evaluate_case(
            masks.truth,
            masks.prediction,
            affine=masks.affine,
            protocol=manner.protocol,
            scheme=manner.scheme,
            case=pair.case,
            patient=pair.patient,
            stack_of_slices=pair.is_slices,
        )
    except MetsegError as error:
        return error
    return replace(scores, warnings=(*masks.warnings, *scores.warnings))


def _scored(pairs: Sequence[CasePair], manner: _Manner, jobs: int) -> Iterator[CaseScores | MetsegError]:
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


def _without_lesions(scores: CaseScores) -> CaseScores:
    """Return what the summary needs: lesions are on disk by now, and thousands of cases have many."""
    return replace(scores, regions={name: replace(region, lesions=()) for name, region in scores.regions.items()})


def _refuse(errors: Sequence[MetsegError], cases: int) -> None:
    if len(errors) == 1:
        raise errors[0]
    others = ", ".join(str(error.where) for error in errors[1 : 1 + _SHOWN])
    raise InputError(
        f"{len(errors)} of {cases} cases cannot be scored: {errors[0].one_line()}; nor can {others}"
        + (" and more" if len(errors) > 1 + _SHOWN else ""),
        code=errors[0].code,
    )
