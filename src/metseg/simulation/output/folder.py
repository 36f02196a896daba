"""The folder of a simulated data set: its options, and the checks before files are kept or removed."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from metseg.errors import UsageError
from metseg.runtime.atomic_io import atomic_file
from metseg.simulation.options import CourseOptions
from metseg.simulation.output.naming import NAMINGS

STAMP, PATIENTS, LESIONS = "simulation.json", "patients.csv", "lesions.csv"

#: What is done with a folder that is not empty.
Existing = Literal["refuse", "resume", "overwrite"]

#: What data sets were made with before these could be chosen.
BEFORE = {"course": CourseOptions().model_dump(mode="json"), "challenge": None}


def prepare_folder(out: Path, stamp: dict[str, Any], existing: Existing) -> None:
    """Make the folder ready, or say why it cannot be used; see `dataset.simulate_dataset`."""
    if out.is_file():
        raise UsageError(
            "the output is a file, not a folder", where=out, cure="give a folder", code="usage.output_exists"
        )
    if out.is_dir() and any(out.iterdir()):
        if existing == "refuse":
            raise UsageError(
                "the folder is not empty",
                where=out,
                cure="choose another folder, continue with --resume, or replace an earlier simulation with --overwrite",
                code="usage.output_exists",
            )
        _check_stamp(out, stamp, same=existing == "resume")
        _remove(out, everything=existing == "overwrite")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / STAMP) as path:
        path.write_text(json.dumps(stamp, indent=1) + "\n", "utf-8")


def _check_stamp(out: Path, stamp: dict[str, Any], *, same: bool) -> None:
    """Check that the folder holds a simulation; to continue it, the options must be the same."""
    try:
        found = BEFORE | json.loads((out / STAMP).read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        raise UsageError(
            f"the folder does not hold a simulation (no {STAMP})",
            where=out,
            cure="choose another folder",
            code="usage.output_exists",
        ) from None
    different = [key for key in stamp if found.get(key) != stamp[key]]
    if same and different:
        key = different[0]
        raise UsageError(
            f"the folder was simulated with another '{key}'",
            where=out,
            expected=stamp[key],
            got=found.get(key),
            cure="choose another folder, or replace it with --overwrite",
            code="usage.output_differs",
        )


def _remove(out: Path, *, everything: bool) -> None:
    """Remove what was left half-done, or all that a simulation writes, and nothing else."""
    patterns = {naming.folders for naming in NAMINGS.values()}
    for path in out.iterdir():
        left_over = path.name.startswith(".")
        plain = path.name.split(".")[1] if left_over else path.name
        if path.is_dir() and (left_over or everything) and any(fnmatch(plain, pattern) for pattern in patterns):
            shutil.rmtree(path)
    if everything:
        for name in (PATIENTS, LESIONS):
            (out / name).unlink(missing_ok=True)
