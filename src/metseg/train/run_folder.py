"""A run folder: where everything of one training lies, and who may write there."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metseg.errors import LockedError, UsageError
from metseg.files import atomic_file
from metseg.recipe import Recipe, load_recipe


class RunFolder:
    """Paths inside a run folder, and its recipe, split and state.

    Args:
        path: the folder; made when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.toml"
        self.split_file = path / "split.json"
        self.state_file = path / "run.json"
        self.best_weights = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        self.bundle = path / "bundle"
        self.steps_log = path / "steps.csv"
        self.epochs_log = path / "epochs.csv"

    @property
    def exists(self) -> bool:
        return self.recipe_file.exists()

    def begin(self, recipe: Recipe, *, resume: bool) -> None:
        """Write the recipe into a new run, or check that it is the one of the run that is resumed.

        Raises:
            UsageError: a new run where one is already, nothing to resume, or another recipe than the run's own.
        """
        if not self.exists:
            if resume:
                raise UsageError(
                    "there is no run to resume",
                    where=self.path,
                    cure="leave --resume out to begin one",
                    code="usage.run",
                )
            with atomic_file(self.recipe_file) as temporary:
                temporary.write_text(recipe.to_toml(), "utf-8")
            return
        if not resume:
            raise UsageError(
                "there is a run in this folder already",
                where=self.path,
                cure="go on with --resume, or choose another --out",
                code="usage.run_exists",
            )
        if load_recipe(self.recipe_file) != recipe:
            raise UsageError(
                "the run was begun with another recipe",
                where=self.path,
                cure=f"resume it with its own, {self.recipe_file}, or choose another --out",
                code="usage.run",
            )

    def read_state(self) -> dict[str, Any]:
        """Return what `write_state` wrote last; empty for a new run."""
        return json.loads(self.state_file.read_text("utf-8")) if self.state_file.exists() else {}

    def write_state(self, **changes: Any) -> None:
        """Add to the state of the run."""
        state = self.read_state() | changes
        with atomic_file(self.state_file) as temporary:
            temporary.write_text(json.dumps(state, indent=2), "utf-8")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run folder; the lock falls with the process, however it ends.

        Raises:
            LockedError: another process holds it, named.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        holder_file = self.path / "holder.json"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = json.loads(holder_file.read_text("utf-8")) if holder_file.exists() else {}
            raise LockedError(
                "another training holds this run folder",
                where=self.path,
                got=f"process {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}",
                cure="wait for it, stop it, or choose another --out",
            ) from None
        try:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            holder_file.write_text(
                json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}), encoding="utf-8"
            )
            yield
        finally:
            holder_file.unlink(missing_ok=True)
            lock.release()
