"""Instance norm in predictions: ours against torch's instance norm and its group norm with a group for each channel.

Of a window's finest level, 16 x 80 x 80 x 80, in both layouts and both precisions: the median time, and the largest
error against float64 where a channel's mean is as large as its spread, and thirty times as large (mostly air)::

    python benchmarks/instance_norm.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from metseg.model.instance_norm import instance_norm
from metseg.runtime.system_info import machine_facts, machine_line

CHANNELS, SIDE, ROUNDS, EPS = 16, 80, 9, 1e-5

WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ours": lambda volume, weight, bias: instance_norm(volume, weight, bias, EPS),
    "torch's instance norm": lambda volume, weight, bias: functional.instance_norm(volume, None, None, weight, bias),
    "torch's group norm": lambda volume, weight, bias: functional.group_norm(volume, CHANNELS, weight, bias, EPS),
}


def seconds(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> int:
    print(machine_line(machine_facts()))
    torch.manual_seed(0)
    weight, bias = torch.rand(CHANNELS) + 0.5, torch.randn(CHANNELS)
    noise = torch.randn(1, CHANNELS, SIDE, SIDE, SIDE)
    print(f"{'':24s}{'':36s}       ms   error, mean = spread   error, mean = 30 spreads")
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            for layout in (torch.contiguous_format, torch.channels_last_3d):
                volumes = [(noise + mean).to(dtype).contiguous(memory_format=layout) for mean in (1, 30)]
                exact = [WAYS["torch's instance norm"](v.double(), weight.double(), bias.double()) for v in volumes]
                for name, way in WAYS.items():
                    errors = [
                        float((way(v, weight, bias).double() - e).abs().max())
                        for v, e in zip(volumes, exact, strict=True)
                    ]
                    taken = seconds(lambda way=way, volume=volumes[0]: way(volume, weight, bias))  # type: ignore[misc]
                    told = f"{str(dtype)[6:]}, {str(layout)[6:]}"
                    print(f"{name:24s}{told:36s}{1000 * taken:9.1f}   {errors[0]:20.1e}   {errors[1]:24.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
