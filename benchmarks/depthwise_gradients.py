"""Gradients of depthwise convolutions in a training: ours against torch's (oneDNN).

Forward and backward of the layers of EfficientNet-Lite0 for 16 slices of 160 x 192, bfloat16, channels last; the median
time::

    python benchmarks/depthwise_gradients.py
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import nn

from metseg.model.onednn_workarounds import use_safe_convolutions, use_usual_convolutions
from metseg.runtime.system_info import machine_facts, machine_line

ROUNDS, SLICES = 5, 16
#: Channels, rows, columns, kernel and stride.
LAYERS = ((96, 97, 81, 3, 2), (144, 51, 43, 5, 2), (240, 28, 24, 5, 1), (672, 16, 14, 5, 1), (1152, 10, 9, 5, 1))


def milliseconds(convolution: nn.Module, images: torch.Tensor) -> float:
    """Return the median time of forward and backward, the first round left out."""
    taken = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            answer = convolution(images)
        answer.backward(torch.ones_like(answer))
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken[1:])


def main() -> int:
    print(machine_line(machine_facts()))
    print("channels   rows x columns   kernel   stride   ours, ms   torch, ms")
    for channels, rows, columns, kernel, stride in LAYERS:
        convolution = nn.Conv2d(channels, channels, kernel, stride=stride, groups=channels, bias=False)
        images = torch.randn(SLICES, channels, rows, columns, dtype=torch.bfloat16)
        images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        ours = milliseconds(use_safe_convolutions(convolution), images)
        torchs = milliseconds(use_usual_convolutions(convolution), images)
        print(f"{channels:8d}   {rows:6d} x {columns:<7d}{kernel:6d}{stride:9d}{ours:11.1f}{torchs:12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
