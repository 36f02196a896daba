"""Losses: each takes logits and class indices and returns a scalar; low is good.

``logits`` (N, K, X, Y[, Z]); what the K outputs mean, classes or regions, says `metseg.model.activation`.
``labels`` (N, X, Y[, Z]) uint8 class indices, 0 being background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import CLASSES, REGIONS_LOSS, Outputs, outputs_of
from metseg.recipe import Fraction, Frozen, Named, Recipe
from metseg.registry import Registry
from metseg.training.losses.blob import BlobLoss, BlobOptions, Inner
from metseg.training.losses.cross_entropy import BceOptions, FocalOptions, build_bce, build_focal, entropy_term
from metseg.training.losses.overlap import (
    DiceOptions,
    FocalTverskyOptions,
    TverskyOptions,
    build_dice,
    build_focal_tversky,
    build_tversky,
    dice_term,
)
from metseg.training.losses.voxel_loss import Loss, VoxelLoss, Weight

__all__ = ["LOSSES", "Loss", "LossSpec", "build_loss", "deep_supervision_loss", "loss_of"]


class DiceBceOptions(DiceOptions):
    """Weighted sum of Dice and cross-entropy."""

    dice_weight: Weight = 1.0
    bce_weight: Weight = 1.0


class DiceFocalOptions(DiceOptions):
    """Weighted sum of Dice and focal loss."""

    dice_weight: Weight = 1.0
    focal_weight: Weight = 1.0
    gamma: Weight = 2.0
    alpha: Fraction | None = None


class RegionsOptions(Frozen):
    """The inner loss, taught to outputs that are the regions of the label scheme (WT, TC, ET), a sigmoid each."""

    inner: Inner = Named(name="dice_bce")


def build_dice_bce(options: DiceBceOptions, outputs: Outputs) -> VoxelLoss:
    entropy = FocalOptions(gamma=0, class_weights=options.class_weights)
    dice = dice_term(options, outputs, weight=options.dice_weight)
    return VoxelLoss((dice, entropy_term(entropy, outputs, weight=options.bce_weight)), outputs)


def build_dice_focal(options: DiceFocalOptions, outputs: Outputs) -> VoxelLoss:
    focal = FocalOptions(gamma=options.gamma, alpha=options.alpha, class_weights=options.class_weights)
    dice = dice_term(options, outputs, weight=options.dice_weight)
    return VoxelLoss((dice, entropy_term(focal, outputs, weight=options.focal_weight)), outputs)


def build_blob(options: BlobOptions, outputs: Outputs) -> BlobLoss:
    inner = build_loss(options.inner, outputs)
    if not isinstance(inner, VoxelLoss):
        raise UsageError(
            f"'{options.inner.name}' cannot be taken lesion by lesion",
            where="loss.inner",
            cure="wrap a plain loss such as dice_bce; regions go outside: regions(inner = blob)",
            code="usage.loss",
        )
    return BlobLoss(inner, alpha=options.alpha, beta=options.beta)


def build_regions(options: RegionsOptions, outputs: Outputs) -> Loss:
    if not outputs.regions:
        raise UsageError(
            "the loss 'regions' decides what the network's outputs are, so it has to be the outermost",
            where="loss",
            cure='write loss = {name = "regions", inner = ...}',
            code="usage.loss",
        )
    return build_loss(options.inner, outputs)


@dataclass(frozen=True)
class LossSpec:
    """One loss: what builds it from its options and from what the network's outputs mean, and the options."""

    build: Callable[[Any, Outputs], Loss]
    options: type[BaseModel]


LOSSES: Registry[LossSpec] = Registry(
    "loss",
    "losses",
    LossSpec,
    {
        "bce": LossSpec(build_bce, BceOptions),
        "dice": LossSpec(build_dice, DiceOptions),
        "dice_bce": LossSpec(build_dice_bce, DiceBceOptions),
        "focal": LossSpec(build_focal, FocalOptions),
        "tversky": LossSpec(build_tversky, TverskyOptions),
        "focal_tversky": LossSpec(build_focal_tversky, FocalTverskyOptions),
        "dice_focal": LossSpec(build_dice_focal, DiceFocalOptions),
        "blob": LossSpec(build_blob, BlobOptions),
        REGIONS_LOSS: LossSpec(build_regions, RegionsOptions),
    },
    make=LossSpec,
)


def build_loss(named: Named, outputs: Outputs = CLASSES) -> Loss:
    """Return a loss by name.

    Raises:
        UsageError: an unknown loss or option, or losses that cannot be nested so.
    """
    spec = LOSSES.lookup(named.name)
    return spec.build(named.parse(spec.options), outputs)


def loss_of(recipe: Recipe) -> Loss:
    """Return the loss of a recipe, tried once on a few voxels, so that it fails now if it must.

    Raises:
        UsageError: as `build_loss`; also class weights that do not fit the recipe's classes.
    """
    outputs = outputs_of(recipe)
    loss = build_loss(recipe.loss, outputs)
    channels = outputs.channels(len(LABEL_SCHEMES[recipe.data.labels].classes))
    loss(torch.zeros(1, channels, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))
    return loss


def deep_supervision_loss(loss: Loss, outputs: Tensor | list[Tensor], labels: Tensor) -> Tensor:
    """Return the loss of one output, or of several with weights 1, 1/2, 1/4, ... that sum to one.

    The weights are those of nnU-Net (Isensee et al. 2021), whose last one, of the coarsest decoder level, is 0: the
    residual-encoder U-Net has no head there. The loss is computed in float32 always.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), labels)
    weights = [0.5**place for place in range(len(outputs))]
    terms = [weight * loss(output.float(), labels) for weight, output in zip(weights, outputs, strict=True)]
    return torch.stack(terms).sum() / sum(weights)
