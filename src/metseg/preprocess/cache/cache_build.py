"""Preprocess every case once, in parallel, and store the result on disk."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import psutil
from filelock import FileLock

from metseg.errors import InputError, ResourceError, UsageError
from metseg.io.case_source import CaseSource, refuse_duplicate_cases
from metseg.preprocess.brain_mask_rules import BrainFinder
from metseg.preprocess.cache import cache_key
from metseg.preprocess.cache.cache_entry import CaseEntry, case_key, read_entry, write_case, write_entry
from metseg.preprocess.cache.cache_reader import Cache
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Recipe
from metseg.runtime.progress import track
from metseg.runtime.system_info import processors

#: So many bad cases are named in a message.
NAMED_FAILURES = 10
#: With fewer cases than this per process, starting processes takes longer than it saves.
CASES_PER_PROCESS = 2
#: What preparing a volume may take in one process: four sequences of 240 x 240 x 155 voxels are 143 MB in float32, and
#: steps hold several copies, of a finer grid sometimes.
VOLUME_BYTES = 1_500_000_000


@dataclass(frozen=True)
class _Task:
    """One case to be made sure of; goes to a worker process."""

    source: CaseSource
    recipe: Recipe
    recipe_stamp: str
    folder: Path
    content: cache_key.CaseContent | None = None
    find_brain: BrainFinder | None = None


def build_cache(
    sources: Sequence[CaseSource],
    recipe: Recipe,
    folder: Path,
    *,
    contents: Mapping[str, cache_key.CaseContent] | None = None,
    find_brain: BrainFinder | None = None,
    brain_model: str = "",
    workers: int | None = None,
    quiet: bool = False,
) -> Cache:
    """Return the cache of all cases, prepared as the recipe says; only what is new or changed is prepared.

    A case is preprocessed again when a step, an option, the recipe's data part or the content of one of its files
    changed. A build that was killed leaves only whole cases; a second process that builds in the same folder waits.

    Args:
        sources: cases with different ids.
        recipe: its data and preprocess parts count.
        folder: made if it is not there; one recipe per folder, or they take turns in overwriting each other.
        contents: what is known of the files by case id, so that they are not read once more for their checksums.
        find_brain: makes the brain mask of heads with skull, a function at the top of a module, for it goes to other
            processes; None: such heads are refused by the step `brain_mask`.
        brain_model: identifies the method of `find_brain`; see `metseg.preprocess.cache.cache_key.recipe_stamp`.
        workers: processes; None: as many as there are processors, and memory for volumes; 0: none, all is done in
            this one.
        quiet: no progress on stderr.
    Raises:
        UsageError: wrong steps, or a folder that cannot be written to.
        InputError: two cases with one id, or bad cases, by name.
        ResourceError: the disk or the memory does not suffice.
    """
    rules = cache_key.recipe_stamp(recipe, brain_model=brain_model)
    refuse_duplicate_cases((source.case_id, source.root) for source in sources)
    with _alone_in(folder):
        _remove_leftovers(folder)
        found: dict[str, CaseEntry | InputError] = {}
        todo: list[_Task] = []
        for source in sources:
            entry = _fresh(folder, source, rules)
            if entry is None:
                content = (contents or {}).get(source.case_id)
                todo.append(_Task(source, recipe, rules, folder, content, find_brain))
            else:
                found[source.case_id] = entry
        for case_id, result in track(_run(todo, workers), "Preprocessing", total=len(todo), quiet=quiet or not todo):
            found[case_id] = result
    return _cache(sources, found, folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and wait until no other process builds in it; a killed process holds it no longer."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise UsageError(
            "cannot write to the cache folder",
            where=folder,
            got=error.strerror,
            cure="name another",
            code="usage.folder",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _fresh(folder: Path, source: CaseSource, rules: str) -> CaseEntry | None:
    """Return the entry of a case that needs no work: same recipe, and files with unchanged times."""
    entry = read_entry(folder, case_key(source.case_id))
    if entry is None or entry.recipe != rules:
        return None
    if (entry.case_id, entry.patient, entry.timepoint) != (source.case_id, source.patient, source.timepoint):
        return None
    try:
        times = cache_key.file_times(source)
    except InputError:
        return None
    return _whole(folder, entry) if times == entry.files and cache_key.settled(times, entry.stamped_ns) else None


def _whole(folder: Path, entry: CaseEntry | None) -> CaseEntry | None:
    """Return the entry if its files are as they were written; new times of equal files are noted for the next start."""
    if entry is None or (times := entry.whole_since(folder)) is None:
        return None
    if times != entry.stored_ns:
        entry = replace(entry, stored_ns=times)
        write_entry(folder, entry)
    return entry


def _make(task: _Task) -> tuple[str, CaseEntry | InputError]:
    """Prepare and store one case, or find that its files hold what they held. Bad input is a result, not a failure."""
    source, folder = task.source, task.folder
    try:
        content = cache_key.read_content(source, task.content)
        mark = cache_key.case_stamp(content.content, task.recipe_stamp)
        entry = _whole(folder, read_entry(folder, case_key(source.case_id)))
        if entry is not None and entry.stamp == mark:
            entry = replace(entry, files=content.files, stamped_ns=content.read_ns)
            write_entry(folder, entry)
            return source.case_id, entry
        case = source.load()
        if task.find_brain is not None:
            case = task.find_brain(case, task.recipe)
        prepared = prepare(case, task.recipe)
        return source.case_id, write_case(
            folder,
            source,
            prepared,
            data=task.recipe.data,
            stamp=mark,
            recipe=task.recipe_stamp,
            times=content.files,
            at_ns=content.read_ns,
        )
    except InputError as error:
        return source.case_id, error


def _run(todo: Sequence[_Task], workers: int | None) -> Iterator[tuple[str, CaseEntry | InputError]]:
    """Yield results as they come, from as many processes as are worth starting."""
    count = _processes(todo) if workers is None else workers
    count = min(count, len(todo) // CASES_PER_PROCESS)
    if count <= 1:
        yield from map(_make, todo)
        return
    # Not "fork": a forked child would wait forever for locks of the parent's threads (torch, blosc2).
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_one_thread)
    try:
        with _without_main(todo):
            started = [executor.submit(_make, task) for task in todo]
        for future in as_completed(started):
            yield future.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a preprocessing process died, most likely for lack of memory",
            cure="use fewer workers; finished cases are kept",
            code="resources.memory",
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _without_main(todo: Sequence[_Task]) -> Iterator[None]:
    """Keep the processes from running the user's script again, which a script would have to be written for.

    They start while this lasts, and need nothing of it, unless the cases themselves are of a class defined there.
    """
    main = sys.modules["__main__"]
    if all(type(task.source).__module__ != "__main__" for task in todo):
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _processes(todo: Sequence[_Task]) -> int:
    """Return how many processes to start: one per processor, of volumes no more than memory has room for."""
    if all(task.source.slice_names for task in todo):
        return processors()
    return max(1, min(processors(), int(psutil.virtual_memory().available) // VOLUME_BYTES))


def _one_thread() -> None:
    """Keep OpenCV from starting as many threads as there are processors in every process."""
    import cv2

    cv2.setNumThreads(1)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a killed build; called while no other process builds here."""
    for leftover in (*folder.glob(".*.b2nd"), *folder.glob(".*.json")):
        leftover.unlink(missing_ok=True)


def _cache(sources: Sequence[CaseSource], found: dict[str, CaseEntry | InputError], folder: Path) -> Cache:
    """Return the cache in the order of the sources, or raise for the bad cases."""
    entries: list[CaseEntry] = []
    bad: list[tuple[str, InputError]] = []
    for source in sources:
        result = found[source.case_id]
        if isinstance(result, InputError):
            bad.append((source.case_id, result))
        else:
            entries.append(result)
    if bad:
        _refuse(bad)
    return Cache(folder, entries)


def _refuse(bad: Sequence[tuple[str, InputError]]) -> None:
    """Raise the one error there is, or one that lists the first ten."""
    if len(bad) == 1:
        raise bad[0][1]
    lines = [f"[{case_id}] {error.data_set_line()}" for case_id, error in bad[:NAMED_FAILURES]]
    more = f" and {len(bad) - NAMED_FAILURES} more" if len(bad) > NAMED_FAILURES else ""
    codes = {error.code for _, error in bad}
    raise InputError(
        f"{len(bad)} cases cannot be used: {' '.join(lines)}{more}",
        cure="repair or remove them",
        code=codes.pop() if len(codes) == 1 else InputError.default_code,
    )
