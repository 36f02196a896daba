"""A prediction that a bundle keeps, so that any machine can check that it computes the same.

The input is drawn by a formula, so it needs no file and no generator of random numbers. The network runs in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from metseg.errors import BundleError
from metseg.model.activation import outputs_of
from metseg.model.network import SegmentationNetwork
from metseg.recipe import Recipe

#: Largest accepted difference of a probability.
TOLERANCE: Final = 1e-3
_LEAST_SIDE: Final = 32
#: Largest number of probabilities in the file.
_MOST_STORED: Final = 256


def reference_prediction(networks: Sequence[SegmentationNetwork], recipe: Recipe) -> dict[str, Any]:
    """Return the prediction for the reference input, to be written as JSON.

    Args:
        networks: of one bundle, in evaluation mode.
        recipe: how they were made.
    """
    shape = _input_shape(networks[0])
    probabilities = _probabilities(networks, recipe, shape)
    return {"shape": list(shape), "probabilities": [round(float(value), 6) for value in probabilities]}


def largest_difference(kept: Mapping[str, Any], networks: Sequence[SegmentationNetwork], recipe: Recipe) -> float:
    """Return the largest difference between the kept prediction and the one of this machine.

    Args:
        kept: from `reference_prediction`.
        networks: of the bundle, in evaluation mode.
        recipe: how they were made.
    Raises:
        BundleError: ``model.invalid``, what is kept is no prediction of such a network; ``model.prediction``, the
            difference exceeds `TOLERANCE`.
    """
    try:
        shape = tuple(int(side) for side in kept["shape"])
        expected = np.asarray(kept["probabilities"], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        shape, expected = (), np.empty(0)
    if shape != _input_shape(networks[0]):
        raise _not_a_prediction(f"shape {list(shape)}")
    got = _probabilities(networks, recipe, shape)
    if got.shape != expected.shape or not np.isfinite(expected).all():
        raise _not_a_prediction(f"{expected.size} probabilities instead of {got.size}")
    difference = float(np.abs(got - expected).max())
    if not difference <= TOLERANCE:
        raise BundleError(
            "the network's prediction differs from the one that the bundle keeps",
            expected=f"probabilities equal to {TOLERANCE:g}",
            got=f"a difference of {difference:.2g}",
            cure="install the versions of constraints.txt; if it stays, report the machine and its torch version",
            code="model.prediction",
        )
    return difference


def _not_a_prediction(got: str) -> BundleError:
    return BundleError(
        "the kept prediction does not belong to this network",
        got=got,
        cure="copy the bundle again",
        code="model.invalid",
    )


def _input_shape(network: SegmentationNetwork) -> tuple[int, ...]:
    sides = [max(divisor, -(-_LEAST_SIDE // divisor) * divisor) for divisor in network.divisor]
    return (1, network.in_channels, *sides)


def _reference_input(shape: tuple[int, ...]) -> torch.Tensor:
    """Return (1, C, *S) float32: waves that differ between channels, and a bright ball in the middle."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[2:]), indexing="ij")
    ball = np.exp(-8 * sum(axis**2 for axis in axes))
    channels = []
    for channel in range(shape[1]):
        waves = sum(np.sin((3 + channel + place) * axis + place) for place, axis in enumerate(axes))
        channels.append(0.5 * waves + 2 * ball)
    return torch.from_numpy(np.stack(channels)[None].astype(np.float32))


@torch.no_grad()
def _probabilities(networks: Sequence[SegmentationNetwork], recipe: Recipe, shape: tuple[int, ...]) -> Any:
    outputs, images = outputs_of(recipe), _reference_input(shape)
    mean = torch.stack([outputs.probabilities(network(images)) for network in networks]).mean(dim=0).flatten()
    return mean[:: -(-len(mean) // _MOST_STORED)].numpy().astype(np.float64)
