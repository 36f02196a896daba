"""Estimate the memory of a training step before the training starts."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from metseg.errors import ResourceError
from metseg.inference.device import Compute
from metseg.inference.windows.memory import free_memory
from metseg.model import SegmentationNetwork

#: Copies of the weights a training holds, in float32: weights, gradients, two moments of Adam, moving average.
WEIGHT_COPIES = 5

#: A step takes this many times what autograd keeps: what flows back is as large, and convolutions need room to work.
#: Measured on a CPU, eight trainings of five architectures, float32 and bf16: 1.6 to 2.1; the whole estimate, the
#: framework included, was between 1 % below and 31 % above the peak of the resident memory.
BACKWARD_FACTOR = 2

#: What the framework, the loader and the cache take beside the step, measured on small runs.
OVERHEAD_BYTES = 600_000_000


class MemoryNeed(NamedTuple):
    """The bytes a training takes: in any case, and for each item of a batch."""

    fixed: int
    per_item: int

    def for_batch(self, size: int) -> int:
        return self.fixed + size * self.per_item


def saved_for_backward(network: SegmentationNetwork, shape: tuple[int, ...], *, bf16: bool) -> int:
    """Return the bytes that autograd keeps for an input of ``shape`` (N, C, *S).

    The network runs on fake tensors: shapes and types only, no memory, no arithmetic. They know of autocast, so the
    16-bit copies of weights and activations are counted as what they are.
    """
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    fake = FakeTensorMode()
    named = chain(network.named_parameters(), network.named_buffers())
    state = {name: fake.from_tensor(value.detach()).requires_grad_(value.requires_grad) for name, value in named}
    training = network.training
    network.train()
    with (
        fake,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
    ):
        functional_call(network, state, (torch.zeros(shape),))
    network.train(training)
    weights = {value.untyped_storage()._cdata for value in state.values()}
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
    return sum(size for storage, size in storages.items() if storage not in weights)


def training_need(network: SegmentationNetwork, item_shape: tuple[int, ...], *, bf16: bool) -> MemoryNeed:
    """Return an estimate of what training on items of ``item_shape`` (C, *S) takes, everything included."""
    one, two = (saved_for_backward(network, (size, *item_shape), bf16=bf16) for size in (1, 2))
    weights = 4 * WEIGHT_COPIES * network.parameter_count()
    return MemoryNeed(fixed=2 * one - two + weights + OVERHEAD_BYTES, per_item=BACKWARD_FACTOR * (two - one))


def require_memory(network: SegmentationNetwork, shape: tuple[int, ...], compute: Compute) -> int:
    """Return the estimate in bytes, or refuse a training that would not fit.

    Args:
        network: what will be trained.
        shape: (N, C, *S) of one batch.
        compute: the device it will be trained on, and whether autocast halves activations.
    Raises:
        ResourceError: the estimate is above what is free now; the message says which batch size would fit.
    """
    size, *item = shape
    need = training_need(network, tuple(item), bf16=compute.bf16 or compute.float16)
    free = free_memory(compute.device)
    if need.for_batch(size) > free:
        fits = (free - need.fixed) // need.per_item
        cure = f"--set train.batch_size={fits} would fit" if fits >= 1 else "use smaller pictures or a smaller network"
        raise ResourceError(
            "training would need more memory than is free",
            where=f"batch of {size}, {' x '.join(map(str, item))}",
            expected=f"at most {free / 1e9:.1f} GB",
            got=f"about {need.for_batch(size) / 1e9:.1f} GB",
            cure=cure,
            code="resources.memory",
        )
    return need.for_batch(size)
