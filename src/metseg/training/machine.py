"""Describe the machine that a result was measured on: a duration means nothing without it."""

from __future__ import annotations

import torch

from metseg.inference.device import Compute
from metseg.runtime.system_info import machine_facts


def describe_machine(compute: Compute) -> dict[str, str]:
    """Return processor, memory, device and versions, each as a person would write it."""
    known = machine_facts()
    return {
        "processor": known["processor"],
        "memory": known["memory"],
        "device": torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else compute.device.type,
        "bfloat16": "fast" if compute.bf16 else "slow",
        "torch": torch.__version__,
        "python": known["python"],
    }
