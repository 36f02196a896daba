"""What a result was measured on: a duration means nothing without it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

import psutil
import torch

from metseg.machine import processors
from metseg.predict.inference import Compute

CPU_FACTS = Path("/proc/cpuinfo")


def describe_machine(compute: Compute) -> dict[str, str]:
    """Return processor, memory, device and versions, each as a person would write it."""
    return {
        "processor": f"{_processor()}, {processors()} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "device": torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else compute.device.type,
        "bfloat16": "fast" if compute.bf16 else "slow",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def machine_line(machine: Mapping[str, str]) -> str:
    """Return the same on one line.

    >>> machine_line({"processor": "X, 2 cores", "device": "cpu"})
    'X, 2 cores; device cpu'
    """
    return "; ".join(value if fact == "processor" else f"{fact} {value}" for fact, value in machine.items())


def _processor() -> str:
    """Return the processor's name; Python itself knows it on few systems."""
    if CPU_FACTS.exists():
        for line in CPU_FACTS.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
