"""Processor time of `efficient_unet`: training steps of slices and volumes, predictions with and without folded norms.

On one core in bfloat16 with channels last, freed memory kept as in trainings; the median::

    taskset -c 0 python benchmarks/efficient_unet.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from metseg.inference.device import in_memory_format
from metseg.model import build_model
from metseg.model.network import SegmentationNetwork
from metseg.model.networks.layers import CHANNELS_LAST
from metseg.runtime.malloc_tuning import keep_freed_memory
from metseg.runtime.system_info import machine_facts, machine_line

ROUNDS = 5
#: Of a batch: samples, channels and sides.
SLICES, VOLUMES, WINDOW = (8, 3, 192, 192), (2, 4, 160, 192, 8), (1, 4, 160, 192, 32)


def seconds(work: Callable[[], object]) -> float:
    """Return the median processor time, the first round left out."""
    taken = []
    for _ in range(ROUNDS + 1):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken[1:])


def network_and_images(shape: tuple[int, ...]) -> tuple[SegmentationNetwork, torch.Tensor]:
    """Return a network with random weights and a batch of noise, in channels-last layout."""
    dimensions = len(shape) - 2
    layout = CHANNELS_LAST[dimensions]
    network = build_model("efficient_unet", {}, in_channels=shape[1], out_channels=1, dimensions=dimensions)
    return in_memory_format(network, layout), torch.randn(shape).contiguous(memory_format=layout)


def step_seconds(shape: tuple[int, ...]) -> float:
    network, images = network_and_images(shape)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images)
        assert isinstance(logits, torch.Tensor)
        torch.autograd.backward((logits.float() ** 2).mean())
        optimizer.step()
        optimizer.zero_grad()

    return seconds(step)


def prediction_seconds(network: SegmentationNetwork, images: torch.Tensor) -> float:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return seconds(lambda: network(images))


def main() -> int:
    keep_freed_memory()
    torch.set_num_threads(1)
    print(machine_line(machine_facts()))
    for shape in (SLICES, VOLUMES):
        print(f"training step of {shape}: {step_seconds(shape):.2f} s")
    network, images = network_and_images(WINDOW)
    network.eval()
    folded = in_memory_format(network.folded(), CHANNELS_LAST[3])
    print(f"prediction of {WINDOW}: {prediction_seconds(network, images):.2f} s")
    print(f"with folded norms: {prediction_seconds(folded, images):.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
