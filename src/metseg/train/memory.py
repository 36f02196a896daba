"""How much memory a training step will take, before it takes it."""

from __future__ import annotations

import copy

import psutil
import torch
from torch import Tensor, nn

from metseg.errors import ResourceError
from metseg.model import SegmentationNetwork

#: Copies of the weights a training holds, in float32: weights, gradients, two moments of Adam, moving average.
WEIGHT_COPIES = 5

#: What the framework, the loader and the cache take beside the step, measured on small runs.
OVERHEAD_BYTES = 600_000_000


def saved_for_backward(network: nn.Module, shape: tuple[int, ...], *, bf16: bool) -> int:
    """Return the bytes that autograd keeps for one input of ``shape`` (N, C, *S).

    The network runs on the meta device: shapes only, no memory, no arithmetic.
    """
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        seen[id(tensor)] = tensor
        return tensor

    ghost = copy.deepcopy(network).to("meta").train()
    weights = {id(weight) for weight in ghost.parameters()}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
    ):
        ghost(torch.zeros(shape, device="meta", requires_grad=True))
    return sum(tensor.numel() * tensor.element_size() for key, tensor in seen.items() if key not in weights)


def training_bytes(network: SegmentationNetwork, shape: tuple[int, ...], *, bf16: bool) -> int:
    """Return an estimate of what training on batches of ``shape`` (N, C, *S) takes, everything included."""
    one = saved_for_backward(network, (1, *shape[1:]), bf16=bf16)
    weights = 4 * WEIGHT_COPIES * network.parameter_count()
    return shape[0] * one + weights + OVERHEAD_BYTES


def require_memory(network: SegmentationNetwork, shape: tuple[int, ...], *, bf16: bool) -> int:
    """Return the estimate, or refuse a training that would not fit.

    Args:
        network: what will be trained.
        shape: (N, C, *S) of one batch.
        bf16: whether activations are halved by autocast.
    Raises:
        ResourceError: the estimate is above what is free now; the message says which batch size would fit.
    """
    need, free = training_bytes(network, shape, bf16=bf16), free_memory()
    if need > free:
        per_item = (need - training_bytes(network, (0, *shape[1:]), bf16=bf16)) / shape[0]
        fits = int((free - (need - per_item * shape[0])) / per_item)
        cure = f"--set train.batch_size={fits} would fit" if fits >= 1 else "use smaller pictures or a smaller network"
        raise ResourceError(
            "training would need more memory than is free",
            where=f"batch of {shape[0]}, {shape[1]} x {' x '.join(map(str, shape[2:]))}",
            expected=f"at most {free / 1e9:.1f} GB",
            got=f"about {need / 1e9:.1f} GB",
            cure=cure,
            code="resources.memory",
        )
    return need


def free_memory() -> int:
    """Return the bytes this process can still take: what the machine has free, or what its limit leaves."""
    free = int(psutil.virtual_memory().available)
    try:
        import resource
    except ImportError:  # not on Windows
        return free
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return free
    return max(0, min(free, soft - psutil.Process().memory_info().vms))
