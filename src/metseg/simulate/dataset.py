"""A folder of simulated patients: many processes, each patient whole or absent, nothing overwritten by accident."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import metseg
from metseg.errors import ResourceError, UsageError
from metseg.files import atomic_file, atomic_folder
from metseg.progress import track
from metseg.simulate.anatomy import load_anatomy
from metseg.simulate.options import NiftiOptions, PhantomOptions, SliceOptions
from metseg.simulate.patient import patient_name
from metseg.simulate.phantom import simulate_patient
from metseg.simulate.write import folder_name, write_patient

STAMP, TABLE = "simulation.json", "patients.csv"

#: What one process needs for a voxel at its peak, measured, and for itself.
BYTES_PER_VOXEL, BYTES_PER_PROCESS = 180, 300e6

FIELD_OF_VIEW_MM3 = 197 * 233 * 189


@dataclass(frozen=True)
class Job:
    """One patient to make; small, so that it travels between processes."""

    out: Path
    seed: int
    index: int
    phantom: PhantomOptions
    output: NiftiOptions | SliceOptions

    @property
    def folder(self) -> Path:
        return self.out / folder_name(patient_name(self.index), self.output)


def simulate_dataset(
    out: Path,
    *,
    patients: int,
    seed: int = 0,
    phantom: PhantomOptions | None = None,
    output: NiftiOptions | SliceOptions | None = None,
    existing: str = "refuse",
    workers: int | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Make patients 0..``patients`` - 1 of the data set ``seed`` in a folder.

    Args:
        out: the folder; made if absent.
        patients: how many.
        seed: which data set; patient i is the same for any number of patients and workers.
        phantom: how the patients are made.
        output: volumes or slices.
        existing: what to do if the folder is not empty: "refuse"; "resume" keeps the patients that are there and makes
            the missing ones; "overwrite" removes an earlier simulation first.
        workers: processes; None: as many as there are cores and memory for.
        quiet: no progress.
    Returns:
        One row per patient in the folder, as in ``patients.csv``.
    Raises:
        UsageError: the folder is not empty, or what is there was made with other options.
        ResourceError: the disk is full, or a process ran out of memory.
    """
    phantom, output = phantom or PhantomOptions(), output or NiftiOptions()
    stamp = {
        "metseg": metseg.__version__,
        "seed": seed,
        "phantom": phantom.model_dump(mode="json"),
        "output": output.model_dump(mode="json"),
    }
    prepare_folder(out, stamp, existing)
    jobs = [Job(out, seed, index, phantom, output) for index in range(patients)]
    missing = [job for job in jobs if not job.folder.exists()]
    count = min(len(missing), workers or affordable_workers(phantom.resolution_mm))
    for _ in track(_run(missing, count), "Simulating", total=len(missing), quiet=quiet):
        pass
    rows = [_row(path) for path in sorted(out.glob("BraTS-MET-*/BraTS-MET-*.json"))]
    _write_table(rows, out / TABLE)
    return rows


def affordable_workers(resolution_mm: float) -> int:
    """Return how many processes there are cores and free memory for, at least one."""
    need = BYTES_PER_PROCESS + BYTES_PER_VOXEL * FIELD_OF_VIEW_MM3 / resolution_mm**3
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(0.8 * psutil.virtual_memory().available / need)))


def prepare_folder(out: Path, stamp: dict[str, Any], existing: str) -> None:
    """Make the folder ready, or say why it cannot be used; see `simulate_dataset`."""
    if out.is_file():
        raise UsageError("the output is a file, not a folder", where=out, code="usage.output_exists")
    if out.is_dir() and any(out.iterdir()):
        if existing == "refuse":
            raise UsageError(
                "the folder is not empty",
                where=out,
                cure="choose another folder, or go on with --resume, or replace an earlier simulation with --overwrite",
                code="usage.output_exists",
            )
        _check_stamp(out, stamp, same=existing == "resume")
        _remove(out, everything=existing == "overwrite")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / STAMP) as path:
        path.write_text(json.dumps(stamp, indent=1) + "\n", "utf-8")


def _check_stamp(out: Path, stamp: dict[str, Any], *, same: bool) -> None:
    """Refuse a folder that no simulation made, and for going on one that was made otherwise."""
    try:
        found = json.loads((out / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"the folder holds something else than a simulation (no {STAMP})",
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
    pattern = r"\.?BraTS-MET-\d{5}.*" if everything else r"\.BraTS-MET-\d{5}.*"
    for path in out.iterdir():
        if path.is_dir() and re.fullmatch(pattern, path.name):
            shutil.rmtree(path)
    if everything:
        (out / TABLE).unlink(missing_ok=True)


def _run(jobs: Sequence[Job], workers: int) -> Iterator[int]:
    """Make the patients and yield their indices as they are done."""
    if workers <= 1:
        yield from map(make_patient, jobs)
        return
    if multiprocessing.get_start_method() == "fork":
        # The processes inherit what is loaded already.
        load_anatomy(jobs[0].phantom.resolution_mm)
    pool = ProcessPoolExecutor(max_workers=workers)
    try:
        for future in as_completed([pool.submit(make_patient, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a process ended without a word, most likely for lack of memory",
            got=f"{workers} workers",
            cure="go on with --resume and fewer --workers, or a coarser --resolution-mm",
            code="resources.memory",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def make_patient(job: Job) -> int:
    """Simulate one patient and write its folder, whole or not at all; return its index."""
    simulated = simulate_patient(job.seed, job.index, job.phantom)
    with atomic_folder(job.folder) as folder:
        write_patient(simulated, folder, options=job.phantom, output=job.output)
    return job.index


def _row(path: Path) -> dict[str, Any]:
    """Return a patient's row of the table, from the truth beside its images."""
    truth = json.loads(path.read_text("utf-8"))
    lesions = truth["lesions"]
    diameters = [lesion["equivalent_diameter_mm"] for lesion in lesions]
    row: dict[str, Any] = {
        "patient": truth["patient"],
        "case": truth["case"],
        "lesions": len(lesions),
        "ring_lesions": sum(lesion["kind"] == "ring" for lesion in lesions),
    }
    for label in ("netc", "snfh", "et"):
        row[f"{label}_ml"] = round(sum(lesion[f"{label}_mm3"] for lesion in lesions) / 1000, 4)
    row["largest_diameter_mm"] = max(diameters, default="")
    row["smallest_diameter_mm"] = min(diameters, default="")
    return row | {key: truth[key] for key in ("slices", "slices_with_lesion") if key in truth}


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["patient"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
