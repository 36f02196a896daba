"""Measure the statistics of fixed normalisation once, before a training.

They are cumulative means over batches; the layers before use batch normalisation meanwhile: the "precise batch
normalisation" of Wu and Johnson 2021, arXiv:2105.07576. With random weights this is the data-dependent initialisation
of Mishkin and Matas 2016, arXiv:1511.06422, which is untested for these networks: fixed normalisation is meant for
networks that start from the weights of another model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim.swa_utils import update_bn

from metseg.dataset import Batch
from metseg.inference.device import Compute, in_memory_format, memory_format
from metseg.model import SegmentationNetwork
from metseg.model.networks.layers import FIXED_NORM, has_fixed_norm, with_classes

#: Batches that are measured; fewer where an epoch has fewer.
MEASURED_BATCHES = 32


def measure_norms(network: SegmentationNetwork, batches: Iterable[Batch], compute: Compute) -> None:
    """Fill in the statistics of fixed normalisations, as they are without dropout.

    Args:
        network: changed in place, and left on the CPU; without fixed normalisations nothing happens.
        batches: of the training, augmented as there.
        compute: where; in float32.
    """
    if not has_fixed_norm(network):
        return
    layout = memory_format(compute, dimensions=network.dimensions)
    images = (batch.image.contiguous(memory_format=layout) for batch in batches)
    moving = with_classes(network, {fixed: batch for batch, fixed in FIXED_NORM.items()})
    try:
        with _without_dropout(moving):
            update_bn(images, in_memory_format(moving.to(compute.device), layout), device=compute.device)
    finally:
        with_classes(network, FIXED_NORM)
        in_memory_format(network.to("cpu"), torch.contiguous_format)


@contextmanager
def _without_dropout(network: nn.Module) -> Iterator[None]:
    kept = {module: module.p for module in network.modules() if isinstance(module, _DropoutNd)}
    try:
        for module in kept:
            module.p = 0.0
        yield
    finally:
        for module, probability in kept.items():
            module.p = probability
