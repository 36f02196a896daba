"""Initialise a network with the weights of another model."""

from __future__ import annotations

import sys

from metseg.errors import BundleError
from metseg.model import SegmentationNetwork
from metseg.model.bundle import Bundle

#: A bundle that fits less than this share of the tensors has another architecture.
LEAST_SHARE = 0.5


def initialise(network: SegmentationNetwork, bundle: Bundle) -> bool:
    """Copy the weights of a bundle into a network wherever name and shape agree; say what begins afresh.

    A head for other classes or a stem for other sequences begins afresh, the rest is kept.

    Args:
        network: changed in place.
        bundle: the first of its networks counts.
    Returns:
        Whether everything came from the bundle, statistics of normalisations included.
    Raises:
        BundleError: it has another architecture.
    """
    weights = bundle.networks[0].state_dict()
    own = network.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    # Statistics of normalisations are no weights; what they are when they do not come along is found out in training.
    learned = [key for key, _ in network.named_parameters()]
    fresh = [key for key in learned if key not in fitting]
    kept = len(learned) - len(fresh)
    if kept < LEAST_SHARE * len(learned):
        raise BundleError(
            "the bundle has another architecture",
            where=bundle.folder,
            expected=f"most of {len(learned)} tensors",
            got=f"{kept} that fit; the first that do not: {', '.join(fresh[:5])}",
            cure="use the recipe of the bundle, and change it with --set",
            code="model.architecture",
        )
    network.load_state_dict({**own, **fitting})
    if fresh:
        sys.stderr.write(f"initial weights: {kept} tensors from {bundle.folder}; random: {', '.join(fresh)}\n")
    return fitting.keys() == own.keys()
