"""What a worker takes of the machine: tried in processes of their own, for there is no way back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from metseg.serve.jobs.limits import memory_share


def run(code: str) -> str:
    """Run a program that has the limits at hand, and return what it prints."""
    program = f"from metseg.serve.jobs.limits import *\nimport os\n{code}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return ended.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory for data")
def test_beyond_its_memory_a_process_is_told_no() -> None:
    code = """
limit_memory(200 * 2**20)
within = bytearray(100 * 2**20)
try:
    beyond = bytearray(200 * 2**20)
except MemoryError:
    print("no")
del within
again = bytearray(150 * 2**20)
print("goes on")
"""
    assert run(code).split("\n") == ["no", "goes on"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory for data")
def test_prediction_knows_of_the_limit() -> None:
    """What is refused beforehand for want of memory is judged by what the limit leaves."""
    code = """
from metseg.inference.windows.memory import free_memory
limit_memory(300 * 2**20)
before = free_memory()
held = bytearray(100 * 2**20)
print(before <= 300 * 2**20, before - free_memory() >= 100 * 2**20)
"""
    assert run(code) == "True True"


def test_a_container_is_smaller_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr("metseg.runtime.system_info.CGROUPS", ((limit, used),))
    total = psutil.virtual_memory().total
    assert memory_share() == int(0.8 * total)  # no such file
    limit.write_text("max\n")
    assert memory_share() == int(0.8 * total)
    limit.write_text(f"{100 * 2**20}\n")
    assert memory_share() == 80 * 2**20
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert memory_share() is None


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are another matter there")
def test_it_yields_and_never_asks_for_more() -> None:
    code = """
import threading
yield_to_others(7)
noted = []
thread = threading.Thread(target=lambda: noted.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
thread.start(); thread.join()
yield_to_others(3)
print(noted[0], os.getpriority(os.PRIO_PROCESS, 0))
"""
    inherited, final = map(int, run(code).split())
    assert inherited >= 7
    assert final == inherited


def test_libraries_are_told_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    code = """
limit_threads(1)
limit_torch_threads(1)
import cv2, torch
print(os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), cv2.getNumThreads())
"""
    assert run(code) == "1 1 1"
