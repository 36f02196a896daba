"""Table of architectures. It does not import torch: each network is imported when it is built."""

from __future__ import annotations

from collections.abc import Mapping

from metseg.errors import UsageError
from metseg.model.model_spec import ModelSpec
from metseg.model.networks import network_options as options
from metseg.model.networks.nnunet_options import divisor_of_strides
from metseg.registry import Registry

MODELS: Registry[ModelSpec] = Registry(
    "model",
    "models",
    ModelSpec,
    {
        "unet": ModelSpec(
            build="metseg.model.networks.unet:build",
            options=options.UnetOptions,
            dimensions=(2, 3),
            source="arXiv:1505.04597",
            divisor=options.halved_per_level,
        ),
        "attention_unet": ModelSpec(
            build="metseg.model.networks.attention_unet:build",
            options=options.AttentionUnetOptions,
            dimensions=(2, 3),
            source="arXiv:1804.03999",
            divisor=options.halved_per_level,
            gates=options.gate_per_skip,
        ),
        "gated_unet": ModelSpec(
            build="metseg.model.networks.gated_unet:build",
            options=options.GatedUnetOptions,
            dimensions=(2, 3),
            source="arXiv:1804.03999",
            divisor=options.halved_per_level,
            gates=options.gate_per_skip,
        ),
        "unet_plus_plus": ModelSpec(
            build="metseg.model.networks.unet_plus_plus:build",
            options=options.UnetPlusPlusOptions,
            dimensions=(2, 3),
            source="arXiv:1807.10165",
            divisor=lambda _: 2**options.DEPTH,
            inference_forms=options.unet_plus_plus_forms,
        ),
        "inception_unet": ModelSpec(
            build="metseg.model.networks.inception_unet:build",
            options=options.InceptionUnetOptions,
            dimensions=(2,),
            source="arXiv:1512.00567",
            divisor=lambda _: 2**5,  # halvings of the encoder
            initial_weights=("encoder_weights",),
        ),
        "efficient_unet": ModelSpec(
            build="metseg.model.networks.efficient_unet:build",
            options=options.EfficientUnetOptions,
            dimensions=(2, 3),
            source="arXiv:1905.11946",
            divisor=lambda _: 2**5,  # halvings of the encoder
            keeps_slices=True,
            initial_weights=("encoder_weights",),
        ),
        "unet_dropout": ModelSpec(
            build="metseg.model.networks.unet_dropout:build",
            options=options.UnetDropoutOptions,
            dimensions=(2, 3),
            source="https://eudoxuspress.com/index.php/pub/article/view/1004",
            divisor=options.halved_per_level,
        ),
        "cnn": ModelSpec(
            build="metseg.model.networks.cnn:build",
            options=options.CnnOptions,
            dimensions=(2, 3),
            source="doi:10.1109/TMI.2016.2538465",
            divisor=lambda _: 1,  # nothing is halved
        ),
        "fcn": ModelSpec(
            build="metseg.model.networks.fcn:build",
            options=options.FcnOptions,
            dimensions=(2,),
            source="arXiv:1411.4038",
            divisor=lambda _: 2**5,  # stages of VGG16
        ),
        "swin_unetr": ModelSpec(
            build="metseg.model.networks.swin_unetr:build",
            options=options.SwinUnetrOptions,
            dimensions=(2, 3),
            source="arXiv:2201.01266",
            divisor=lambda _: 2**5,  # patches of 2, then four mergings
            has_fixed_sizes=True,  # of its windows and their masks
        ),
        "dynunet": ModelSpec(
            build="metseg.model.networks.dynunet:build",
            options=options.DynUnetOptions,
            dimensions=(2, 3),
            source="arXiv:1809.10486",
            divisor=divisor_of_strides,
        ),
        "resenc_unet": ModelSpec(
            build="metseg.model.networks.resenc_unet:build",
            options=options.ResencUnetOptions,
            dimensions=(2, 3),
            source="arXiv:2404.09556",
            divisor=divisor_of_strides,
        ),
        "segresnet": ModelSpec(
            build="metseg.model.networks.segresnet:build",
            options=options.SegresnetOptions,
            dimensions=(2, 3),
            source="arXiv:1810.11654",
            divisor=lambda chosen: 2 ** (len(chosen.blocks) - 1),
        ),
        "mednext": ModelSpec(
            build="metseg.model.networks.mednext:build",
            options=options.MednextOptions,
            dimensions=(2, 3),
            source="arXiv:2303.09975",
            divisor=lambda chosen: 2**chosen.halvings,
        ),
    },
    make=ModelSpec,
)


def architectures_in(dimensions: int) -> Mapping[str, ModelSpec]:
    """Return the architectures that exist for slices (2) or volumes (3)."""
    return {name: spec for name, spec in MODELS.items() if dimensions in spec.dimensions}


def require_dimensions(name: str, dimensions: int, *, where: object = None) -> None:
    """Check that an architecture exists for slices (2) or volumes (3).

    Args:
        name: a key of `MODELS`.
        dimensions: 2 or 3.
        where: the recipe, for the message.
    Raises:
        UsageError: ``usage.dimensions``, it does not.
    """
    able = MODELS.lookup(name).dimensions
    if dimensions not in able:
        raise UsageError(
            f"'{name}' has no {dimensions}D form",
            where=where,
            expected=" or ".join(f"{number}D" for number in able),
            cure=f"choose one of {', '.join(architectures_in(dimensions))}",
            code="usage.dimensions",
        )


def first_weights(name: str, options: Mapping[str, object]) -> str:
    """Return where the weights of a network that can begin with public ones come from; empty for other networks.

    Args:
        name: a key of `MODELS`.
        options: of a recipe's model.

    >>> first_weights("inception_unet", {}), first_weights("inception_unet", {"encoder_weights": "w/inception-v3.pth"})
    ('random weights', 'weights of inception-v3.pth')
    >>> first_weights("unet", {})
    ''
    """
    names = MODELS.lookup(name).initial_weights
    given = [str(options[key]).replace("\\", "/").rpartition("/")[2] for key in names if options.get(key)]
    return f"weights of {', '.join(given)}" if given else "random weights" if names else ""
