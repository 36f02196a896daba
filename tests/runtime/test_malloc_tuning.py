"""What glibc is told of freed memory shows in what the process holds; elsewhere nothing happens, and nothing breaks."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from metseg.runtime import malloc_tuning


def takes_gigabytes() -> bool:
    """Return whether `mallopt`, in another process than this one, accepts what a training asks for."""
    if platform.libc_ver()[0] != "glibc":
        return False
    code = "import ctypes; print(ctypes.CDLL(None).mallopt(-3, 2**30))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


#: Many blocks that a default heap would keep, a small one behind each of them; then all large ones are freed.
FREED = """
import ctypes
from pathlib import Path
from metseg.runtime import malloc_tuning

malloc_tuning.{told}()
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = []
for _ in range(64):
    block = library.malloc(4 << 20)
    ctypes.memset(block, 1, 4 << 20)
    blocks.append(block)
    library.malloc(1000)
for block in blocks:
    library.free(block)
print(next(int(line.split()[1]) // 1024 for line in Path("/proc/self/status").open() if line.startswith("VmRSS")))
"""


@pytest.mark.skipif(not takes_gigabytes(), reason="no glibc, or one that does not keep blocks of a gigabyte")
def test_freed_memory_goes_back_or_stays() -> None:
    held = {}
    for told in ("keep_freed_memory", "give_back_freed_memory"):
        code = FREED.format(told=told)
        held[told] = int(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        )
    assert held["keep_freed_memory"] - held["give_back_freed_memory"] > 200, held


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", None)
    malloc_tuning.keep_freed_memory()
    malloc_tuning.give_back_freed_memory()


def test_who_has_chosen_pages_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malloc_tuning, "_tell_glibc", lambda _: None)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    malloc_tuning.give_back_freed_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    malloc_tuning.give_back_freed_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
