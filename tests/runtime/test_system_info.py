"""How many processors a process may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from metseg.runtime.system_info import processors


def test_it_is_what_the_system_gives_this_process() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system pins no process to a processor")
    one = min(os.sched_getaffinity(0))
    pinned = f"import os; os.sched_setaffinity(0, [{one}])"
    code = f"{pinned}; from metseg.runtime.system_info import processors; print(processors())"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout == "1\n"
    assert processors() == len(os.sched_getaffinity(0))


def test_elsewhere_it_is_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1
