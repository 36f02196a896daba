"""What a result was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import pytest
import torch

from metseg.inference.device import Compute
from metseg.message_text import pluralize
from metseg.runtime import system_info
from metseg.runtime.system_info import machine_line, processors
from metseg.training.machine import describe_machine


@pytest.mark.parametrize(
    ("facts", "name"),
    [("processor\t: 0\nmodel name\t: Fancy 3000: turbo\n", "Fancy 3000: turbo"), ("processor\t: 0\n", None)],
)
def test_the_machine_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: str, name: str | None
) -> None:
    (tmp_path / "cpuinfo").write_text(facts, "utf-8")
    monkeypatch.setattr(system_info, "CPU_FACTS", tmp_path / "cpuinfo")
    described = describe_machine(Compute(torch.device("cpu"), bf16=False, channels_last=False))
    # Systems without the file, or a file without the name, have a name or at least an architecture elsewhere.
    assert (
        described["processor"]
        == f"{name or platform.processor() or platform.machine()}, {pluralize(processors(), 'core')}"
    )
    assert described["memory"] == f"{psutil.virtual_memory().total / 1e9:.0f} GB"
    assert (described["device"], described["bfloat16"]) == ("cpu", "slow")
    line = machine_line(described)
    assert line.startswith(described["processor"] + "; memory ")
    assert f"torch {torch.__version__}" in line
