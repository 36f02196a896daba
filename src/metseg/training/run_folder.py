"""Run folder: the files of one training, and the lock on them."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metseg.bundle_folder import RUN_BUNDLE, RUN_STATE
from metseg.errors import LockedError, MetsegError, ResourceError, UsageError
from metseg.io.splits import Split
from metseg.recipe import Recipe, load_recipe
from metseg.runtime.atomic_io import remove_leftovers, write_text

#: Held by the process that writes into the folder.
LOCK = ".lock"


class RunFolder:
    """Paths inside a run folder, and its recipe, split and state.

    Args:
        path: the folder; made when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.toml"
        self.split_file = path / "split.json"
        self.state_file = path / RUN_STATE
        self.data_file = path / "data.json"
        self.best_weights = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        self.bundle = path / RUN_BUNDLE
        self.cache = path / "cache"
        self.validation = path / "validation"
        self.test = path / "test"
        self.steps_log = path / "steps.csv"
        self.epochs_log = path / "epochs.csv"
        self._holder_file = path / "holder.json"
        self._written = (
            self.recipe_file,
            self.split_file,
            self.state_file,
            self.data_file,
            self.best_weights,
            self.bundle,
        )

    @property
    def exists(self) -> bool:
        return self.recipe_file.exists()

    @property
    def is_finished(self) -> bool:
        """Return whether the training has ended and its bundle is there."""
        return self.read_state().get("state") == "finished" and (self.bundle / "recipe.toml").exists()

    def begin(self, recipe: Recipe, *, resume: bool, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write recipe and choices into a new run, or check that they are those of the run that is resumed.

        Args:
            recipe: of the run.
            resume: go on with what is there.
            choices: what beside the recipe decides what is trained (fold, initial weights); None: not chosen, for a
                resumed run as it was begun.
        Returns:
            The choices that the run was begun with.
        Raises:
            UsageError: a new run where one is already, nothing to resume, or another recipe or choice than the run's.
        """
        begun = self.check(recipe, resume=resume, choices=choices)
        if begun is not None:
            return begun
        # The recipe comes last: where it is, the run has begun, and the rest is there.
        chosen = dict(choices or {})
        self.write_state(state="begun", choices=chosen)
        write_text(self.recipe_file, recipe.to_toml())
        return chosen

    def check(self, recipe: Recipe, *, resume: bool, choices: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Check as `begin` does, and write nothing.

        Returns:
            The choices that the run was begun with; None where a new run may begin.
        Raises:
            UsageError: as `begin`.
        """
        if not self.exists:
            if resume:
                raise UsageError(
                    "there is no run to resume",
                    where=self.path,
                    cure="leave --resume out to start one",
                    code="usage.run",
                )
            return None
        if not resume:
            raise UsageError(
                "the folder already holds a run",
                where=self.path,
                cure="continue it with --resume, or choose another --out",
                code="usage.run_exists",
            )
        if load_recipe(self.recipe_file) != recipe:
            raise UsageError(
                "the run was started with another recipe",
                where=self.path,
                cure=f"resume it with its own recipe, {self.recipe_file}, or choose another --out",
                code="usage.run",
            )
        return self._begun_with(choices or {})

    def require_split(self, split: Split, *, where: Path) -> None:
        """Check that a split is the one that the run was started with.

        Args:
            split: the one that is asked for.
            where: named in the message.
        Raises:
            UsageError: it is another one.
        """
        if self.split_file.exists() and Split.load(self.split_file) != split:
            raise UsageError(
                "the run was started with another split",
                where=where,
                expected=f"the split in {self.split_file}",
                cure="use that split, or choose another --out",
                code="usage.run",
            )

    def _begun_with(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        begun: dict[str, Any] = self.read_state().get("choices", {})
        for name, value in choices.items():
            if value is not None and value != begun.get(name, value):
                raise UsageError(
                    f"the run was started with another {name}",
                    where=self.path,
                    expected=begun[name],
                    got=value,
                    cure=f"leave --{name} out, or choose another --out",
                    code="usage.run",
                )
        return {**choices, **begun}

    def read_state(self) -> dict[str, Any]:
        """Return what `write_state` wrote last; empty for a new run."""
        return json.loads(self.state_file.read_text("utf-8")) if self.state_file.exists() else {}

    def write_state(self, **changes: Any) -> None:
        """Add to the state of the run."""
        state = self.read_state() | changes
        write_text(self.state_file, json.dumps(state, indent=2))

    @contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """Hold the run folder; the lock falls with the process, however it ends.

        A run that was begun meanwhile and is refused before its training starts is withdrawn: what was not in the
        folder before is removed, so that the command can be repeated. Where memory or disk did not suffice, prepared
        cases are kept.

        Yields:
            To be called when the training starts; nothing is withdrawn from then on.
        Raises:
            LockedError: another process holds it, named.
        """
        made = [path for path in (self.path / LOCK, self.path, *self.path.parents) if not path.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LockedError(
                "another training is using this run folder",
                where=self.path,
                got=self._holder(),
                cure="wait for it, stop it, or choose another --out",
            ) from None
        try:
            for path in (*self._written, self._holder_file):
                remove_leftovers(path)
            before = set(self.path.iterdir())
            started = self.exists
            since = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"pid": os.getpid(), "host": platform.node(), "since": since}
            write_text(self._holder_file, json.dumps(holder))

            def start() -> None:
                nonlocal started
                started = True

            try:
                yield start
            except MetsegError as error:
                if not started:
                    self._withdraw(before, made, keep_cache=isinstance(error, ResourceError))
                raise
        finally:
            self._holder_file.unlink(missing_ok=True)
            lock.release()

    def _withdraw(self, before: Collection[Path], made: Sequence[Path], *, keep_cache: bool) -> None:
        """Remove what was not in the folder before, and then the folders that were made for it."""
        # The recipe first: without it, no run has begun.
        self.recipe_file.unlink(missing_ok=True)
        for path in {*self.path.iterdir()} - {*before}:
            if path.is_dir() and not (keep_cache and path == self.cache):
                shutil.rmtree(path, ignore_errors=True)
            elif not path.is_dir():
                path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            for path in made:
                if path.name == LOCK:
                    path.unlink(missing_ok=True)
                else:
                    path.rmdir()

    def _holder(self) -> str:
        """Return who holds the folder; the holder may be just about to say so, or to end."""
        try:
            holder = json.loads(self._holder_file.read_text("utf-8"))
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "an unknown process"
