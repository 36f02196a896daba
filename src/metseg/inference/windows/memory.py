"""Measure free memory, and report a lack of memory as an error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from metseg.errors import MetsegError, ResourceError
from metseg.io.images.image_decoding import picture_size
from metseg.io.images.slice_stack import SliceStackSource
from metseg.runtime import system_info

#: What a sample takes while a whole case of 8-bit pictures is prepared; measured with crop, resize and z-score: 15.6.
BYTES_PER_SAMPLE = 16

#: How torch and the system say that there is no more: on a processor, a graphics card, in a loader that was killed.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "out of memory",
    "not enough memory",
    "killed by signal: Killed",
    "out of shared memory",
)


def free_memory(device: torch.device | None = None) -> int:
    """Return the bytes this process can still take on a device: what is free, or what a limit leaves of it."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, min(int(psutil.virtual_memory().available), _left_by_limit(), _left_by_cgroup()))


def require_memory_for(source: SliceStackSource, *, channels: int) -> None:
    """Reject a case if memory is too small to prepare all its pictures at once.

    Raises:
        ResourceError: more than is free; said before the first picture is read.
    """
    try:
        columns, rows = picture_size(source.slices[0].image)
    except MetsegError:  # reading it will say what is wrong
        return
    need = len(source.slices) * columns * rows * channels * BYTES_PER_SAMPLE
    free = free_memory()
    if need > free:
        raise ResourceError(
            f"the {len(source.slices)} pictures of one folder do not fit into memory together; the model normalises "
            "over all of them",
            where=source.slices[0].image.parent,
            expected=f"at most {free / 1e9:.1f} GB",
            got=f"about {need / 1e9:.1f} GB",
            cure="give each patient a folder",
            code="resources.memory",
        )


@contextmanager
def out_of_memory_is_an_error(what: str, *, where: str, cure: str) -> Iterator[None]:
    """Turn the ways in which memory runs out into one error with a cure.

    Raises:
        ResourceError: ``resources.memory``.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_lack_of_memory(error):
            raise
        raise ResourceError(what, where=where, cure=cure, code="resources.memory") from error


def is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)


def _left_by_limit() -> int:
    """Return what ``ulimit -v`` (addresses) and ``ulimit -d`` (data) leave."""
    unlimited = 1 << 62
    try:
        import resource
    except ImportError:  # not on Windows
        return unlimited
    held = psutil.Process().memory_info()
    # Only Linux knows, and limits, how much of it is data.
    limits = ((resource.RLIMIT_AS, held.vms), (resource.RLIMIT_DATA, getattr(held, "data", 0)))
    softs = [(resource.getrlimit(which)[0], used) for which, used in limits]
    return min([unlimited, *(int(soft - used) for soft, used in softs if soft != resource.RLIM_INFINITY)])


def _left_by_cgroup() -> int:
    """Return what the limit of the container leaves; without one, or where there is none to read, very much."""
    for limit, used in system_info.CGROUPS:
        try:
            return int(limit.read_text()) - int(used.read_text())
        except (OSError, ValueError):  # no such file; or "max"
            continue
    return 1 << 62
