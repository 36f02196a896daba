"""Build losses by name; combined losses from their parts."""

from __future__ import annotations

import torch
from torch import Tensor

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import CLASSES, Outputs, outputs_of
from metseg.recipe import Named, Recipe
from metseg.registry import resolve_function
from metseg.training.losses.blob import BlobLoss
from metseg.training.losses.cross_entropy import entropy_term
from metseg.training.losses.loss_options import (
    BlobOptions,
    DiceBceOptions,
    DiceFocalOptions,
    FocalOptions,
    RegionsOptions,
)
from metseg.training.losses.loss_table import LOSSES
from metseg.training.losses.overlap import dice_term
from metseg.training.losses.voxel_loss import Loss, VoxelLoss


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
            f"'{options.inner.name}' cannot be computed per lesion",
            where="loss.inner",
            cure="wrap a plain loss such as dice_bce; put regions outside: regions(inner = blob)",
            code="usage.loss",
        )
    return BlobLoss(inner, alpha=options.alpha, beta=options.beta)


def build_regions(options: RegionsOptions, outputs: Outputs) -> Loss:
    if not outputs.regions:
        raise UsageError(
            "the loss 'regions' must be the outermost: it determines the outputs of the network",
            where="loss",
            cure='write loss = {name = "regions", inner = ...}',
            code="usage.loss",
        )
    return build_loss(options.inner, outputs)


def build_loss(named: Named, outputs: Outputs = CLASSES) -> Loss:
    """Return a loss by name.

    Raises:
        UsageError: an unknown loss or option, or losses that cannot be nested so.
    """
    spec = LOSSES.lookup(named.name)
    loss: Loss = resolve_function(spec.build)(named.parse(spec.options, key="loss"), outputs)
    return loss


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

    The weights are those of nnU-Net (Isensee et al. 2021). The last one, of the coarsest decoder level, is 0: the
    residual-encoder U-Net has no head there. The loss is always computed in float32.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), labels)
    weights = [0.5**place for place in range(len(outputs))]
    terms = [weight * loss(output.float(), labels) for weight, output in zip(weights, outputs, strict=True)]
    return torch.stack(terms).sum() / sum(weights)
