"""Where the trials of a search are stored, and how trials of killed processes are repeated."""

from __future__ import annotations

import hashlib
import platform
import warnings
from pathlib import Path
from typing import Any, Final

from metseg.errors import ResourceError, UsageError
from metseg.registry import lookup

#: Database of a search in its output folder.
DATABASE: Final = "study.db"

#: Prefix of a journal file for ``--storage``.
JOURNAL: Final = "journal:"

#: Seconds between signs of life of a running trial, for other machines; without three of them it is repeated.
HEARTBEAT_S, GRACE_S = 60, 180

#: How often a trial is repeated that ended with its process: it may be what ends it, for instance by its memory.
MOST_RETRIES: Final = 2

#: Attributes of a trial: the process folder that runs it, and the trial that it repeats.
WORKER, RETRY_OF, RETRIES = "worker", "retry_of", "retries"

#: Attribute of a study: digest of recipe, space and patients.
SEARCH: Final = "search"

#: Pruners by name, each with its class in optuna.pruners and its options. Trials report after each tenth of the budget.
PRUNERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "median": ("MedianPruner", {"n_startup_trials": 4, "n_warmup_steps": 2}),
    "hyperband": ("HyperbandPruner", {"min_resource": 1, "max_resource": 10}),
    "none": ("NopPruner", {}),
}


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        UsageError: ``usage.missing_extra``.
    """
    from importlib.util import find_spec

    missing = [name for name in ("optuna", "sklearn") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "a package that metseg tune needs is not installed",
            expected=", ".join(missing),
            cure="pip install 'metseg[tune]'",
            code="usage.missing_extra",
        )


def worker_name(out: Path) -> str:
    """Return the name of the process that works in a folder; a lock keeps others out of the folder."""
    return f"{platform.node()}:{out.resolve()}"


def open_study(name: str, storage: str | None, out: Path, *, pruner: str, seed: int) -> Any:
    """Return the study, created where there is none.

    Args:
        name: of the study; several searches may share a database.
        storage: URL of a database, or `JOURNAL` and a file; None: SQLite in ``out``.
        out: output folder.
        pruner: a name in `PRUNERS`.
        seed: of the sampler. Trials that exist are counted in, so that a resumed search draws new values.
    Raises:
        UsageError: an unknown pruner, or ``usage.storage``, a storage that cannot be opened.
    """
    import optuna

    kind, options = lookup("pruner", PRUNERS, pruner)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The heartbeat of trials has been "experimental" since Optuna 2.6; the tests cover what is used of it.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        study = optuna.create_study(
            study_name=name,
            storage=_storage(storage, out),
            direction="maximize",
            load_if_exists=True,
            pruner=getattr(optuna.pruners, kind)(**options),
        )
        number = len(study.get_trials(deepcopy=False))
    except ResourceError:
        raise
    except Exception as error:  # of SQLAlchemy, of a driver, of the file system; these have no common class
        raise UsageError(
            "the storage of the trials cannot be opened",
            where=_without_password(storage or str(out / DATABASE)),
            got=type(error).__name__,
            cure="check the address, its user and its driver; or leave --storage out to use a file in --out",
            code="usage.storage",
        ) from error
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, constant_liar=True, n_startup_trials=5)
    return study


def require_same_search(study: Any, description: str, *, where: str) -> None:
    """Check that a study in a storage is this search; a new one becomes this search.

    Args:
        study: from `open_study`.
        description: of recipe, space and patients.
        where: for the message.
    Raises:
        UsageError: ``usage.storage``, trials of another search are in it.
    """
    digest = hashlib.sha256(description.encode()).hexdigest()
    if study.user_attrs.setdefault(SEARCH, digest) != digest:
        raise UsageError(
            "the storage holds a search of this name with another recipe, space or split",
            where=where,
            got=f"study '{study.study_name}'",
            cure="give the same recipe, --set, --space and --split, or another name with --study",
            code="usage.storage",
        )
    study.set_user_attr(SEARCH, digest)


def repeat_lost_trials(study: Any, worker: str, *, alone: bool) -> int:
    """Mark trials that ended with their process as failed, queue them again, and return their number.

    Args:
        study: from `open_study`.
        worker: from `worker_name`; its lock is held, so its running trials are lost.
        alone: no other process uses the study, so every running trial is lost.
    """
    from optuna.trial import TrialState

    lost = [
        trial
        for trial in study.get_trials(states=(TrialState.RUNNING,))
        if alone or trial.user_attrs.get(WORKER) == worker
    ]
    for trial in lost:
        study.tell(trial.number, state=TrialState.FAIL)
        repeat_trial(study, trial)
    return len(lost)


def repeat_trial(study: Any, trial: Any) -> None:
    """Queue a trial again with the same values, unless it was repeated too often."""
    retries = trial.user_attrs.get(RETRIES, 0)
    if retries < MOST_RETRIES and trial.params:
        study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, RETRIES: retries + 1})


def _storage(storage: str | None, out: Path) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if storage is not None and storage.startswith(JOURNAL):
        file = Path(storage.removeprefix(JOURNAL))
        file.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(file)))
    url = storage or f"sqlite:///{out.resolve() / DATABASE}"
    return RDBStorage(
        url, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S, heartbeat_stale_trial_callback=repeat_trial
    )


def _without_password(address: str) -> str:
    """Return an address without user and password.

    >>> _without_password("postgresql://me:secret@host/db")
    'postgresql://host/db'
    """
    scheme, separator, rest = address.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
