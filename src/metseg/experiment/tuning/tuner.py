"""Search for values of a recipe with the best Dice on validation patients.

Patients of the test part are never read: their cases are removed from the list before anything is opened.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from metseg.errors import LockedError, MetsegError, UsageError
from metseg.experiment.tuning.search_space import Choices, SearchSpace, changed_recipe
from metseg.experiment.tuning.study_storage import (
    WORKER,
    open_study,
    repeat_lost_trials,
    require_optuna,
    require_same_search,
    worker_name,
)
from metseg.experiment.tuning.trial_training import TrialStopped, train_trial
from metseg.experiment.tuning.tuning_results import ERROR, VALUES, TuningResult, write_results
from metseg.io.case_source import CaseSource
from metseg.io.splits import Split
from metseg.message_text import pluralize
from metseg.recipe import Recipe, load_recipe
from metseg.runtime.atomic_io import write_text
from metseg.training.data import choose_split, load_training_data, read_sources
from metseg.training.recipe_validation import validate_recipe
from metseg.training.run import training_compute
from metseg.training.run_folder import LOCK, RunFolder

#: Files of a search in its output folder, beside those of `metseg.experiment.tuning.tuning_results`.
RECIPE_FILE, SPACE_FILE, SPLIT_FILE, TRIALS_FOLDER, CACHE = "recipe.toml", "space.json", "split.json", "trials", "cache"

#: So many trials in a row that fail end the search: what they have in common is wrong.
MOST_FAILURES: Final = 3

#: Codes of errors that concern the values of a trial; the search goes on without it.
TRIAL_ERRORS: Final = ("usage.recipe", "usage.diverged", "usage.unknown_name", "resources.memory")


@dataclass(frozen=True)
class Tuning:
    """A search.

    Args:
        recipe: that the search starts from.
        space: its keys and values.
        data: root of the data set.
        out: output folder.
        minutes: time of this call; the last trial ends at its next validation.
        trials: the search ends with so many complete or pruned trials, those of earlier calls included; None: no limit.
        split_file: from ``metseg split``; None: the split that the recipe describes.
        fold: validation fold of a split with folds.
        storage: of the trials; see `metseg.experiment.tuning.study_storage.open_study`.
        study: name of the study in the storage.
        pruner: a name in `metseg.experiment.tuning.study_storage.PRUNERS`.
        resume: continue the search in ``out``.
        device: such as ``auto``, ``cpu``, ``cuda``.
    """

    recipe: Recipe
    space: SearchSpace
    data: Path
    out: Path
    minutes: float
    trials: int | None = None
    split_file: Path | None = None
    fold: int | None = None
    storage: str | None = None
    study: str = "metseg"
    pruner: str = "median"
    resume: bool = False
    device: str = "auto"


def tune(tuning: Tuning) -> TuningResult:
    """Run trials until the time or the number of trials is spent, and write the results.

    Raises:
        UsageError: a wrong recipe or space, a folder with another search, or a package that is missing.
        InputError: data that cannot be used.
        LockedError: another process works in ``out``.
    """
    require_optuna()
    deadline = time.monotonic() + 60 * tuning.minutes
    validate_recipe(tuning.recipe)
    _check_folder(tuning)
    tuning.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(tuning.out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            "another search is using this folder", where=tuning.out, cure="wait for it, or choose another --out"
        ) from None
    try:
        return _Search(tuning, deadline).run()
    finally:
        lock.release()


def searched_sources(sources: Sequence[CaseSource], split: Split) -> tuple[list[CaseSource], Split]:
    """Return the cases of training and validation, and the split without its test patients.

    Raises:
        UsageError: ``usage.split``, a split by slice: images of a test slice's patient would be read.
    """
    if split.by != "patient":
        raise UsageError(
            "a search needs a split by patient: with a split by slice it would see images of test patients",
            where="split",
            got=f"by {split.by}",
            cure="give a split by patient (--split, or split.by in the recipe)",
            code="usage.split",
        )
    split.check(sources)
    test = set(split.test)
    return [source for source in sources if source.patient not in test], replace(split, test=())


class _Search:
    """One call of `tune`, which holds the lock of the output folder."""

    def __init__(self, tuning: Tuning, deadline: float) -> None:
        self._tuning = tuning
        self._deadline = deadline
        self._worker = worker_name(tuning.out)
        self._sources, self._split = self._read_data()
        self._study = open_study(
            tuning.study, tuning.storage, tuning.out, pruner=tuning.pruner, seed=tuning.recipe.train.seed
        )
        require_same_search(self._study, self._description(), where=str(tuning.storage or tuning.out))
        self._begin()  # last: a refused storage must not leave a folder that holds a search
        self._failures: list[MetsegError] = []

    def _description(self) -> str:
        """Return what all processes of a search have in common: recipe, space and patients."""
        split = self._split.to_dict()
        return json.dumps({"recipe": self._tuning.recipe.to_toml(), "space": _space_json(self._tuning.space), **split})

    def run(self) -> TuningResult:
        lost = repeat_lost_trials(self._study, self._worker, alone=self._tuning.storage is None)
        if lost:
            _tell(f"{pluralize(lost, 'trial')} ended with an earlier process and will be repeated")
        try:
            while time.monotonic() < self._deadline and not self._has_enough():
                self._study.optimize(self._objective, n_trials=1, catch=(_TrialFailed,))
                self._give_up_on_failures()
                self._write()
        finally:
            result = self._write()
        if result.best_number is None:
            raise UsageError(
                "no trial was completed",
                where=self._tuning.out,
                got=", ".join(f"{count} {state}" for state, count in result.states.items()) or "no trial",
                cure="continue with --resume and more --minutes, or make trials shorter with --set train.max_steps=200",
                code="usage.tuning",
            )
        return result

    def _read_data(self) -> tuple[list[CaseSource], Split]:
        """Return the cases without test patients, and their split; the whole split is kept for `metseg train`."""
        tuning, file = self._tuning, self._tuning.out / SPLIT_FILE
        sources = read_sources(tuning.recipe, tuning.data)
        chosen = choose_split(tuning.recipe, sources, tuning.split_file)
        if file.exists() and Split.load(file) != chosen:
            raise UsageError(
                "the search was started with another split or other data",
                where=tuning.out,
                expected=f"the split in {file}",
                cure=f"add --split {file}, or choose another --out",
                code="usage.run",
            )
        kept = searched_sources(sources, chosen)
        chosen.save(file)
        return kept

    def _begin(self) -> None:
        """Write recipe and space into the folder; the recipe last, since it marks a search that has begun."""
        tuning = self._tuning
        write_text(tuning.out / SPACE_FILE, _space_json(tuning.space))
        write_text(tuning.out / RECIPE_FILE, tuning.recipe.to_toml())

    def _has_enough(self) -> bool:
        from optuna.trial import TrialState

        limit = self._tuning.trials
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return limit is not None and len(self._study.get_trials(deepcopy=False, states=ended)) >= limit

    def _objective(self, trial: Any) -> float:
        import optuna

        trial.set_user_attr(WORKER, self._worker)
        values = suggest(trial, self._tuning.space)
        trial.set_user_attr(VALUES, values)
        try:
            dice = self._train(trial, values)
        except TrialStopped:
            self._failures.clear()  # its values could be trained with
            raise optuna.TrialPruned from None
        except MetsegError as error:
            if error.code not in TRIAL_ERRORS:
                raise
            trial.set_user_attr(ERROR, error.one_line())
            self._failures.append(error)
            raise _TrialFailed from error
        self._failures.clear()
        return dice

    def _train(self, trial: Any, values: Mapping[str, Any]) -> float:
        tuning = self._tuning
        recipe = changed_recipe(tuning.recipe, values, where=f"trial {trial.number}")
        validate_recipe(recipe)
        data = load_training_data(
            recipe, self._sources, self._split, fold=tuning.fold, cache=tuning.out / CACHE, quiet=trial.number > 0
        )
        compute = training_compute(recipe, tuning.device)
        _tell(f"trial {trial.number}: {', '.join(f'{key} = {value}' for key, value in values.items())}")
        folder = RunFolder(tuning.out / TRIALS_FOLDER / f"{trial.number:04d}")
        return train_trial(recipe, data, folder, compute, report=_reporter(trial), deadline=self._deadline)

    def _give_up_on_failures(self) -> None:
        if len(self._failures) >= MOST_FAILURES:
            raise self._failures[-1]

    def _write(self) -> TuningResult:
        tuning = self._tuning
        validation = self._split.select(self._sources, fold=tuning.fold).validation
        patients = len({chosen.source.patient for chosen in validation})
        return write_results(self._study, tuning.space, tuning.recipe, tuning.out, patients=patients)


class _TrialFailed(Exception):
    """The values of a trial cannot be trained with; the search goes on."""


def suggest(trial: Any, space: SearchSpace) -> dict[str, Any]:
    """Return the values of a trial by key, as in a recipe."""
    values: dict[str, Any] = {}
    for key, entry in space.items():
        if isinstance(entry, Choices):
            values[key] = entry.values[entry.texts.index(trial.suggest_categorical(key, list(entry.texts)))]
        elif entry.is_whole:
            values[key] = trial.suggest_int(key, entry.low, entry.high, log=entry.log, step=entry.step or 1)
        else:
            values[key] = trial.suggest_float(key, entry.low, entry.high, log=entry.log, step=entry.step)
    return values


def _reporter(trial: Any) -> Callable[[int, float], bool]:
    def report(step: int, dice: float) -> bool:
        trial.report(dice, step)
        return bool(trial.should_prune())

    return report


def _space_json(space: SearchSpace) -> str:
    return json.dumps({key: asdict(entry) for key, entry in space.items()}, indent=2) + "\n"


def _check_folder(tuning: Tuning) -> None:
    """Refuse a search where one is already, and to continue one that there is not, or another one.

    Raises:
        UsageError: ``usage.run_exists``, ``usage.run``.
    """
    recipe_file, space_file = tuning.out / RECIPE_FILE, tuning.out / SPACE_FILE
    if not recipe_file.exists():
        if tuning.resume:
            raise UsageError(
                "there is no search to resume",
                where=tuning.out,
                cure="leave --resume out to start one",
                code="usage.run",
            )
        return
    if not tuning.resume:
        raise UsageError(
            "the folder already holds a search",
            where=tuning.out,
            cure="continue it with --resume, or choose another --out",
            code="usage.run_exists",
        )
    if load_recipe(recipe_file) != tuning.recipe or space_file.read_text("utf-8") != _space_json(tuning.space):
        raise UsageError(
            "the search was started with another recipe or another space",
            where=tuning.out,
            expected=f"{recipe_file} and {space_file}",
            cure="give the same recipe, --set and --space, or choose another --out",
            code="usage.run",
        )


def _tell(note: str) -> None:
    sys.stderr.write(f"metseg: {note}\n")
