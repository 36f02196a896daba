"""Architectures: one table, one way to build, one wrapper that takes any input size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import outputs_of
from metseg.model.model_spec import ModelSpec
from metseg.model.network import SegmentationNetwork
from metseg.model.networks import (
    attention_unet,
    cnn,
    dynunet,
    fcn,
    inception_unet,
    mednext,
    resenc_unet,
    segresnet,
    swin_unetr,
    unet,
    unet_dropout,
    unet_plus_plus,
)
from metseg.model.networks.layers import pick_before_pointwise
from metseg.recipe import Recipe, validated
from metseg.registry import Registry

__all__ = ["MODELS", "ModelSpec", "SegmentationNetwork", "build_from_recipe", "build_model", "channels_of"]

MODELS: Registry[ModelSpec] = Registry(
    "model",
    "models",
    ModelSpec,
    {
        "unet": ModelSpec(
            build=unet.build,
            options=unet.Options,
            dimensions=(2, 3),
            source="arXiv:1505.04597",
            divisor=unet.divisor,
        ),
        "attention_unet": ModelSpec(
            build=attention_unet.build,
            options=attention_unet.Options,
            dimensions=(2, 3),
            source="arXiv:1804.03999",
            divisor=attention_unet.divisor,
        ),
        "unet_plus_plus": ModelSpec(
            build=unet_plus_plus.build,
            options=unet_plus_plus.Options,
            dimensions=(2, 3),
            source="arXiv:1807.10165",
            divisor=unet_plus_plus.divisor,
            inference_forms=unet_plus_plus.inference_forms,
        ),
        "inception_unet": ModelSpec(
            build=inception_unet.build,
            options=inception_unet.Options,
            dimensions=(2,),
            source="arXiv:1512.00567",
            divisor=inception_unet.divisor,
            initial_weights=("encoder_weights",),
        ),
        "unet_dropout": ModelSpec(
            build=unet_dropout.build,
            options=unet_dropout.Options,
            dimensions=(2, 3),
            source="https://eudoxuspress.com/index.php/pub/article/view/1004",
            divisor=unet_dropout.divisor,
        ),
        "cnn": ModelSpec(
            build=cnn.build,
            options=cnn.Options,
            dimensions=(2, 3),
            source="doi:10.1109/TMI.2016.2538465",
            divisor=cnn.divisor,
        ),
        "fcn": ModelSpec(
            build=fcn.build,
            options=fcn.Options,
            dimensions=(2,),
            source="arXiv:1411.4038",
            divisor=fcn.divisor,
        ),
        "swin_unetr": ModelSpec(
            build=swin_unetr.build,
            options=swin_unetr.Options,
            dimensions=(2, 3),
            source="arXiv:2201.01266",
            divisor=swin_unetr.divisor,
        ),
        "dynunet": ModelSpec(
            build=dynunet.build,
            options=dynunet.Options,
            dimensions=(2, 3),
            source="arXiv:1809.10486",
            divisor=dynunet.divisor,
        ),
        "resenc_unet": ModelSpec(
            build=resenc_unet.build,
            options=resenc_unet.Options,
            dimensions=(2, 3),
            source="arXiv:2404.09556",
            divisor=resenc_unet.divisor,
        ),
        "segresnet": ModelSpec(
            build=segresnet.build,
            options=segresnet.Options,
            dimensions=(2, 3),
            source="arXiv:1810.11654",
            divisor=segresnet.divisor,
        ),
        "mednext": ModelSpec(
            build=mednext.build,
            options=mednext.Options,
            dimensions=(2, 3),
            source="arXiv:2303.09975",
            divisor=mednext.divisor,
        ),
    },
    make=ModelSpec,
)


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
    if dimensions not in spec.dimensions:
        raise UsageError(
            f"'{name}' has no {dimensions}D form",
            expected=" or ".join(f"{able}D" for able in spec.dimensions),
            cure=f"choose one of {', '.join(key for key, other in MODELS.items() if dimensions in other.dimensions)}",
            code="usage.dimensions",
        )
    if in_channels < 1 or out_channels < 1:
        raise UsageError(
            f"'{name}' needs at least one channel in and one out",
            got=(in_channels, out_channels),
            code="usage.channels",
        )
    body = spec.build(parsed, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)
    pick_before_pointwise(body)
    return SegmentationNetwork(
        body,
        in_channels=in_channels,
        out_channels=out_channels,
        dimensions=dimensions,
        divisor=spec.divisor(parsed),
    )


def channels_of(recipe: Recipe) -> tuple[int, int]:
    """Return (channels in, channels out) of a recipe's network.

    One input per sequence, and per neighbouring slice where a slice network sees several. One class needs one logit
    (sigmoid); several share a softmax with the background, or each region has a sigmoid of its own: see
    `metseg.model.activation`.

    Raises:
        UsageError: the recipe does not say which sequences the network sees.
    """
    inputs = len(recipe.seen)
    if inputs == 0:
        raise UsageError(
            "the recipe does not say what the network sees",
            where=f"recipe {recipe.name}",
            cure='name the channels of a picture, or the sequences: data.channels = ["t1c", "t2f"]',
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
