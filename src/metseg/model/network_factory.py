"""Build a network from its name and options, or from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import outputs_of
from metseg.model.architectures import MODELS, require_dimensions
from metseg.model.network import SegmentationNetwork
from metseg.model.networks.layers import pick_before_pointwise
from metseg.recipe import Recipe, validated
from metseg.registry import resolve_function


def build_model(
    name: str,
    options: Mapping[str, Any],
    *,
    in_channels: int,
    out_channels: int,
    dimensions: int = 2,
    initial_weights: bool = True,
) -> SegmentationNetwork:
    """Return a network with fresh weights.

    Args:
        name: a key of `MODELS`.
        options: options of that family, as a recipe gives them.
        in_channels: number of sequences; 1 or more.
        out_channels: number of logits per pixel; 1 or more.
        dimensions: 2 for slices, 3 for volumes.
        initial_weights: read the files that options name as a starting point, such as an encoder pretrained elsewhere;
            False where trained weights are about to be loaded, so that those files are not asked for.
    Raises:
        UsageError: unknown name, wrong option, or a family that cannot do these dimensions.
        BundleError: a file of initial weights that is missing or unusable.
    """
    spec = MODELS.lookup(name)
    parsed = validated(spec.options, dict(options), where=f"options of '{name}'")
    if not initial_weights:
        parsed = parsed.model_copy(update=dict.fromkeys(spec.initial_weights))
    require_dimensions(name, dimensions)
    if in_channels < 1 or out_channels < 1:
        raise UsageError(
            f"'{name}' needs at least one input channel and one output channel",
            got=(in_channels, out_channels),
            code="usage.channels",
        )
    body = resolve_function(spec.build)(
        parsed, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions
    )
    pick_before_pointwise(body)
    return SegmentationNetwork(
        body,
        in_channels=in_channels,
        out_channels=out_channels,
        dimensions=dimensions,
        divisor=spec.divisors(parsed, dimensions),
    )


def channels_of(recipe: Recipe) -> tuple[int, int]:
    """Return (channels in, channels out) of a recipe's network.

    One input per sequence, and per neighbouring slice where a slice network sees several. One class needs one logit
    (sigmoid); several share a softmax with the background, or each region has its own sigmoid: see
    `metseg.model.activation`.

    Raises:
        UsageError: the recipe does not name the inputs of the network.
    """
    inputs = len(recipe.seen)
    if inputs == 0:
        raise UsageError(
            "the recipe does not name the inputs of the network",
            where=f"recipe {recipe.name}",
            cure='name the sequences, or the channels of the pictures: data.channels = ["t1c", "t2f"]',
            code="usage.channels",
        )
    slices = 2 * recipe.data.neighbours + 1 if recipe.data.dimensions == 2 else 1
    return inputs * slices, outputs_of(recipe).channels(len(LABEL_SCHEMES[recipe.data.labels].classes))


def build_from_recipe(recipe: Recipe, *, initial_weights: bool = True) -> SegmentationNetwork:
    """Return the network that a recipe describes, with fresh weights; see `build_model`."""
    in_channels, out_channels = channels_of(recipe)
    return build_model(
        recipe.model.name,
        recipe.model.options,
        in_channels=in_channels,
        out_channels=out_channels,
        dimensions=recipe.data.dimensions,
        initial_weights=initial_weights,
    )
