"""A training step as metseg runs it on this machine, against the same network in plain float32, contiguous.

Both sides in one run, in turns, so that whatever else the machine does falls on both. Needs a quiet machine::

    python benchmarks/train_throughput.py [--recipe assignment-attention-unet] [--size 256] [--batch 8] [--steps 9]

Exits with 1 where the claim fails: at least twice as fast with bf16 instructions, never slower than plain.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch

from metseg.inference.device import Compute, choose_compute, in_memory_format
from metseg.model import build_from_recipe
from metseg.recipe import Recipe, load_recipe
from metseg.runtime.system_info import machine_line
from metseg.training.losses import build_loss, deep_supervision_loss
from metseg.training.machine import describe_machine
from metseg.training.optimizers import build_optimizer

#: Steps before the first one that counts: kernels are chosen and memory is claimed in them.
WARM_UP = 2
CLAIM_WITH_BF16, CLAIM_ALWAYS = 2.0, 1.0
#: Where nothing is gained (no bf16: both sides are the same), the measurement itself varies by so much.
TOLERANCE = 0.05


def make_step(recipe: Recipe, compute: Compute, image: torch.Tensor, labels: torch.Tensor) -> Callable[[], float]:
    """Return a function that makes one training step and returns its seconds."""
    torch.manual_seed(recipe.train.seed)
    memory_format = torch.channels_last if compute.channels_last else torch.contiguous_format
    network = in_memory_format(build_from_recipe(recipe, initial_weights=False), memory_format)
    network.to(compute.device).train()
    optimizer = build_optimizer(recipe.train, network)
    loss = build_loss(recipe.loss)

    def step() -> float:
        begin = time.perf_counter()
        batch = image.to(compute.device).contiguous(memory_format=memory_format)
        with torch.autocast(compute.device.type, dtype=torch.bfloat16, enabled=compute.bf16):
            value = deep_supervision_loss(loss, network(batch), labels.to(compute.device))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        if compute.device.type == "cuda":
            torch.cuda.synchronize(compute.device)
        return time.perf_counter() - begin

    return step


def alternate(sides: Sequence[Callable[[], float]], steps: int) -> list[float]:
    """Return the median seconds of each side; they take turns, and every other round begins with the other side."""
    seconds: list[list[float]] = [[] for _ in sides]
    for round_number in range(WARM_UP + steps):
        order = range(len(sides)) if round_number % 2 else reversed(range(len(sides)))
        for side in order:
            taken = sides[side]()
            if round_number >= WARM_UP:
                seconds[side].append(taken)
    return [statistics.median(one) for one in seconds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="assignment-attention-unet")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=9)
    arguments = parser.parse_args()

    recipe = load_recipe(arguments.recipe)
    chosen = choose_compute(precision=recipe.train.precision, channels_last=recipe.train.channels_last)
    plain = Compute(chosen.device, bf16=False, channels_last=False)
    generator = torch.Generator().manual_seed(0)
    shape = (arguments.batch, len(recipe.data.inputs), arguments.size, arguments.size)
    image = torch.rand(shape, generator=generator)
    labels = (torch.rand((shape[0], *shape[2:]), generator=generator) > 0.95).to(torch.uint8)

    ours, theirs = alternate([make_step(recipe, side, image, labels) for side in (chosen, plain)], arguments.steps)
    ratio = theirs / ours
    ways = f"{'bf16' if chosen.bf16 else 'float32'}, {'channels last' if chosen.channels_last else 'contiguous'}"
    print(machine_line(describe_machine(chosen)), f"; {torch.get_num_threads()} threads", sep="")
    print(f"{recipe.model.name}, {shape[2]} x {shape[3]}, batch {shape[0]}, median of {arguments.steps} training steps")
    print(f"metseg ({ways}): {ours:.3f} s; plain (float32, contiguous): {theirs:.3f} s; ratio {ratio:.2f}")
    claim = CLAIM_WITH_BF16 if chosen.bf16 else CLAIM_ALWAYS - TOLERANCE
    if ratio < claim:
        print(f"below the claim of {claim:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
