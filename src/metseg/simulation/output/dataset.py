"""Write a folder of simulated patients with several processes; each examination is written atomically."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from metseg.errors import ResourceError
from metseg.message_text import pluralize
from metseg.runtime.atomic_io import atomic_folder
from metseg.runtime.progress import track
from metseg.runtime.system_info import processors
from metseg.simulation.anatomy.normal_anatomy import load_anatomy, require_nilearn
from metseg.simulation.difficulty import Difficulty
from metseg.simulation.examination import simulate_examination
from metseg.simulation.options import CourseOptions, NiftiOptions, OutputOptions, PhantomOptions
from metseg.simulation.output.folder import Existing, prepare_folder
from metseg.simulation.output.naming import check_output, folder_name
from metseg.simulation.output.tables import write_tables
from metseg.simulation.output.write import write_patient
from metseg.version import __version__

#: What one process needs for a voxel at its peak, measured, and for itself.
BYTES_PER_VOXEL, BYTES_PER_PROCESS = 180, 300e6

FIELD_OF_VIEW_MM3 = 197 * 233 * 189


@dataclass(frozen=True)
class Job:
    """One examination to make; small, so that it travels between processes."""

    out: Path
    seed: int
    index: int
    timepoint: int
    phantom: PhantomOptions
    course: CourseOptions
    challenge: Difficulty | None
    output: OutputOptions

    @property
    def folder(self) -> Path:
        return self.out / folder_name(self.index, self.timepoint, self.output)


def simulate_dataset(
    out: Path,
    *,
    patients: int,
    timepoints: int = 1,
    seed: int = 0,
    phantom: PhantomOptions | None = None,
    course: CourseOptions | None = None,
    challenge: Difficulty | None = None,
    output: OutputOptions | None = None,
    existing: Existing = "refuse",
    workers: int | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Make patients 0..``patients`` - 1 of the data set ``seed`` in a folder.

    Args:
        out: the folder; made if absent.
        patients: how many.
        timepoints: examinations of each patient.
        seed: which data set; a patient's examination is the same for any number of them, of patients and of workers.
        phantom: how the patients are made.
        course: what happens to them from one examination to the next.
        challenge: what makes the images difficult; None for nothing.
        output: volumes or slices, and what they are called.
        existing: what to do if the folder is not empty: "refuse"; "resume" keeps the patients that are there and makes
            the missing ones; "overwrite" removes an earlier simulation first.
        workers: processes; None: as many as there are cores and memory for.
        quiet: no progress.
    Returns:
        One row per patient in the folder, as in ``patients.csv``.
    Raises:
        UsageError: the folder is not empty, or was simulated with other options; the output cannot hold several
            examinations or the challenge; nilearn is not installed.
        ResourceError: the disk is full, or a process ran out of memory.
    """
    phantom, course, output = phantom or PhantomOptions(), course or CourseOptions(), output or NiftiOptions()
    check_output(output, timepoints, challenge)
    require_nilearn()  # before the folder is made: a failed run would leave one that the next run refuses
    stamp = {
        "metseg": __version__,
        "seed": seed,
        "phantom": phantom.model_dump(mode="json"),
        "course": course.model_dump(mode="json"),
        "challenge": None if challenge is None else challenge.model_dump(mode="json"),
        "output": output.model_dump(mode="json"),
    }
    prepare_folder(out, stamp, existing)
    jobs = [
        Job(out, seed, index, timepoint, phantom, course, challenge, output)
        for index in range(patients)
        for timepoint in range(timepoints)
    ]
    missing = [job for job in jobs if not job.folder.exists()]
    count = min(len(missing), workers or affordable_workers(phantom.resolution_mm))
    for _ in track(_run(missing, count), "Simulating", total=len(missing), quiet=quiet):
        pass
    return write_tables(out, output)


def affordable_workers(resolution_mm: float) -> int:
    """Return how many processes there are cores and free memory for, at least one."""
    need = BYTES_PER_PROCESS + BYTES_PER_VOXEL * FIELD_OF_VIEW_MM3 / resolution_mm**3
    return max(1, min(processors(), int(0.8 * psutil.virtual_memory().available / need)))


def _run(jobs: Sequence[Job], workers: int) -> Iterator[int]:
    """Make the examinations and yield the indices of their patients as they are done."""
    if workers <= 1:
        yield from map(make_examination, jobs)
        return
    if multiprocessing.get_start_method() == "fork":
        # The processes inherit what is loaded already.
        load_anatomy(jobs[0].phantom.resolution_mm)
    pool = ProcessPoolExecutor(max_workers=workers)
    try:
        for future in as_completed([pool.submit(make_examination, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a worker process died, most likely for lack of memory",
            got=pluralize(workers, "worker"),
            cure="continue with --resume and fewer --workers, or use a coarser --resolution-mm",
            code="resources.memory",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def make_examination(job: Job) -> int:
    """Simulate one examination and write its folder, whole or not at all; return the index of the patient."""
    simulated = simulate_examination(
        job.seed, job.index, job.timepoint, options=job.phantom, course=job.course, challenge=job.challenge
    )
    with atomic_folder(job.folder) as folder:
        write_patient(simulated, folder, options=job.phantom, output=job.output)
    return job.index
