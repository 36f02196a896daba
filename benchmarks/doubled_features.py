"""Convolutions of doubled features and a skip: as written, against the merged form that networks compute on a CPU.

As written: double the features (nearest), join them with the skip, convolve. Merged: a transposed convolution of the
features plus a convolution of the skip (`metseg.model.onednn_workarounds`). Of the decoder of the notebooks' Attention
U-Net and of a volume, in both layouts and both precisions: processor seconds of an answer and of its gradients, and the
whole training step of `gated_unet` with either form, in turns::

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/doubled_features.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from metseg.model import build_model
from metseg.model.networks.layers import CHANNELS_LAST, UPSAMPLED_CONVOLUTION
from metseg.model.onednn_workarounds import use_safe_convolutions, use_usual_convolutions
from metseg.runtime.malloc_tuning import keep_freed_memory
from metseg.runtime.system_info import machine_facts, machine_line

ROUNDS = 2
#: Batch, sides of the features, their channels, and those of skip and answer.
JOINS: list[tuple[int, tuple[int, ...], int, int]] = [
    (8, (128, 128), 64, 32),
    (8, (64, 64), 128, 64),
    (8, (32, 32), 256, 128),
    (1, (24, 24, 24), 64, 32),
]


def seconds(work: Callable[[], object]) -> float:
    """Return the fewest processor seconds of several rounds after a first one."""
    work()
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken)


def time_join(batch: int, sides: tuple[int, ...], below: int, width: int, *, last: bool, half: bool) -> None:
    """Print the times of one join in both forms."""
    layout = CHANNELS_LAST[len(sides)] if last else torch.contiguous_format
    features = torch.randn(batch, below, *sides).contiguous(memory_format=layout).requires_grad_()
    skip = torch.randn(batch, width, *(2 * side for side in sides)).contiguous(memory_format=layout).requires_grad_()
    written = UPSAMPLED_CONVOLUTION[len(sides)](below + width, width, 3, padding=1)
    merged = use_safe_convolutions(UPSAMPLED_CONVOLUTION[len(sides)](below + width, width, 3, padding=1))
    told = []
    for convolution in (written, merged):

        def answer(convolution: nn.Module = convolution) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                answered: Tensor = convolution(features, skip)
            return answered

        def both(convolution: nn.Module = convolution) -> object:
            return torch.autograd.grad(answer(convolution).sum(), [features, skip, *convolution.parameters()])

        told += [seconds(answer), seconds(both)]
    name = f"{'x'.join(map(str, sides))}, {below} and {width}, {'bf16' if half else 'float32'}, {str(layout)[6:]}"
    print(f"{name:52s}{told[0]:10.3f}{told[1]:10.3f}{told[2]:10.3f}{told[3]:10.3f}{told[1] / told[3]:8.1f}")


def time_network() -> None:
    """Print the time of a training step of `gated_unet` without optimiser, in both forms."""
    network = build_model("gated_unet", {}, in_channels=1, out_channels=1).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(8, 1, 256, 256).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = network(images)
        answer.float().square().mean().backward()

    for name, form in (("as written", use_usual_convolutions), ("merged", use_safe_convolutions)):
        form(network)
        of_step = seconds(step)
        print(f"gated_unet, 256 x 256, batch 8, bf16, channels last, {name}: {of_step:.2f} s a step")


def main() -> int:
    keep_freed_memory()
    torch.manual_seed(0)
    print(machine_line(machine_facts()))
    print(
        f"{'sides, channels below and of the skip':52s}{'written':>10s}{'+ grads':>10s}{'merged':>10s}{'+ grads':>10s}"
    )
    for join in JOINS:
        for half in (False, True):
            for last in (False, True):
                time_join(*join, last=last, half=half)
    time_network()
    return 0


if __name__ == "__main__":
    sys.exit(main())
