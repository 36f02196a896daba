"""Measure the statistics that fixed normalisations go by, once, before a training begins.

Cumulative means over batches, each layer given what batch normalisation makes of the layers before it: the "precise
batch normalisation" of Wu and Johnson 2021, arXiv:2105.07576. From random weights it is the data-dependent start of
Mishkin and Matas 2016, arXiv:1511.06422, on whose merits for these networks we know nothing: fixed normalisations are
meant for networks that begin with the weights of another.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch.optim.swa_utils import update_bn

from metseg.dataset import Batch
from metseg.model import SegmentationNetwork
from metseg.model.layers import FIXED_NORM, lacks_statistics, with_classes

#: Batches that are measured.
MEASURED_BATCHES = 32


def measure_norms(network: SegmentationNetwork, batches: Iterable[Batch]) -> None:
    """Fill in the statistics of fixed normalisations, unless they came with the weights of another network.

    Args:
        network: changed in place; without fixed normalisations nothing happens.
        batches: of the training, augmented as there.
    """
    if not lacks_statistics(network):
        return
    moving = {fixed: batch for batch, fixed in FIXED_NORM.items()}
    try:
        update_bn((batch.image for batch in batches), with_classes(network, moving))
    finally:
        with_classes(network, FIXED_NORM)
