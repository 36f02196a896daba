"""Choose device, precision and memory layout for networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from metseg.errors import UsageError
from metseg.model.networks.layers import CHANNELS_LAST, Network


def in_memory_format(network: Network, memory_format: torch.memory_format) -> Network:
    """Return the network with its weights in a memory layout, changed in place.

    Channels last means its own form for each rank: a network of volumes may have weights of slices.
    """
    by_rank = (
        {} if memory_format == torch.contiguous_format else {2 + axes: last for axes, last in CHANNELS_LAST.items()}
    )
    for weights in network.parameters():
        weights.data = weights.data.contiguous(memory_format=by_rank.get(weights.ndim, torch.contiguous_format))
    return network


@dataclass(frozen=True)
class Compute:
    """Where and how tensors are computed.

    Args:
        device: such as ``cpu`` or ``cuda``.
        bf16: run convolutions in bfloat16 under autocast.
        channels_last: keep tensors in the layout convolutions like best.
        float16: train in float16 under autocast, with loss scaling; predictions are in float32.
    """

    device: torch.device
    bf16: bool
    channels_last: bool
    float16: bool = False

    @property
    def lightning_precision(self) -> Literal["bf16-mixed", "16-mixed", "32-true"]:
        """Return the name of the training precision in Lightning; its "16-mixed" scales the loss."""
        if self.float16:
            return "16-mixed"
        return "bf16-mixed" if self.bf16 else "32-true"


def memory_format(compute: Compute, *, dimensions: int) -> torch.memory_format:
    """Return the layout of tensors and weights for networks of so many spatial dimensions."""
    return CHANNELS_LAST[dimensions] if compute.channels_last else torch.contiguous_format


def find_device(name: str) -> torch.device:
    """Return the device of a name; ``auto``: the graphics card where there is one.

    Raises:
        UsageError: unknown, or not there.
    """
    numbers = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if name == "auto":
        return torch.device("cuda" if numbers["cuda"] else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if (device.index or 0) >= numbers.get(device.type, 0):
        there = [kind if count == 1 else f"{kind}:0 to {kind}:{count - 1}" for kind, count in numbers.items() if count]
        raise UsageError(
            f"there is no device '{name}'",
            where="--device",
            expected=f"auto, {', '.join(there)}",
            cure="leave --device out to use the fastest device",
            code="usage.device",
        )
    return device


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; without them autocast is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_compute(
    *,
    device: str = "auto",
    precision: Literal["auto", "float32", "bf16", "float16"] = "auto",
    channels_last: Literal["auto", "on", "off"] = "auto",
    gains_by_channels_last: bool = False,
) -> Compute:
    """Return how to compute: the fastest way this machine has, unless told otherwise.

    Args:
        device, precision, channels_last: as requested.
        gains_by_channels_last: the network is faster in that layout in float32 on a CPU too.
    Raises:
        UsageError: a device that is unknown, or that this machine does not have; ``usage.precision``, float16 on
            another device than a CUDA GPU.
    """
    chosen = find_device(device)
    if precision == "float16" and chosen.type != "cuda":
        raise UsageError(
            "float16 training needs a CUDA GPU: torch scales the loss there only, and a CPU computes float16 slowly",
            where="train.precision",
            got=f"device {chosen}",
            cure="use --set train.precision=auto, or --device cuda on a machine with a GPU",
            code="usage.precision",
        )
    bf16 = bf16_is_fast(chosen) if precision == "auto" else precision == "bf16"
    # In float32 on a CPU, channels-last gains nothing in slices, and with instance norms it costs conversions. With
    # bf16 it is what oneDNN wants.
    liked = bf16 or chosen.type == "cuda" or (gains_by_channels_last and chosen.type == "cpu")
    last = liked if channels_last == "auto" else channels_last == "on"
    return Compute(chosen, bf16, last, float16=precision == "float16")
