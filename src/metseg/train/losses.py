"""Losses: each takes logits and class indices and returns a scalar; low is good.

``logits`` (N, K, X, Y[, Z]); K = 1 is a sigmoid output, K > 1 a softmax over background and classes.
``labels`` (N, X, Y[, Z]) uint8 class indices 0..max(1, K - 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from monai.losses import DiceLoss, TverskyLoss
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from metseg.recipe import Fraction, Frozen, Named
from metseg.tables import lookup

Loss = Callable[[Tensor, Tensor], Tensor]
Weight = Annotated[float, Field(ge=0)]


class BceOptions(Frozen):
    """Cross-entropy: binary for one output, categorical for several."""


class DiceOptions(Frozen):
    """Soft Dice (Milletari et al. 2016). ``batch`` pools the batch, so that empty slices do not swamp it."""

    batch: bool = True
    smooth: Annotated[float, Field(gt=0)] = 1e-5
    include_background: bool = False


class FocalOptions(Frozen):
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): ``alpha`` weighs lesion, ``1 - alpha`` background."""

    gamma: Weight = 2.0
    alpha: Fraction | None = None


class TverskyOptions(DiceOptions):
    """Tversky loss (Salehi et al. 2017, arXiv:1706.05721): ``alpha`` weighs false positives, ``beta`` missed lesion."""

    alpha: Weight = 0.3
    beta: Weight = 0.7


class FocalTverskyOptions(TverskyOptions):
    """Mean over classes of (1 - Tversky index) ** (1 / gamma) (Abraham & Khan 2019, arXiv:1810.07842)."""

    gamma: Annotated[float, Field(ge=1)] = 4 / 3


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


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return class indices (N, *S) as (N, K, *S) float32; with K = 1 the foreground alone."""
    if classes == 1:
        return labels.unsqueeze(1).float()
    return functional.one_hot(labels.long(), classes).movedim(-1, 1).float()


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (N, *S): minus the logarithm of the probability of the true class, voxel by voxel."""
    if logits.shape[1] == 1:
        targets = labels.to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets, reduction="none")
    return functional.cross_entropy(logits, labels.long(), reduction="none")


def build_bce(_: BceOptions) -> Loss:
    return lambda logits, labels: cross_entropies(logits, labels).mean()


def build_dice(options: DiceOptions) -> Loss:
    return _overlap_loss(DiceLoss, options)


def build_tversky(options: TverskyOptions) -> Loss:
    return _overlap_loss(TverskyLoss, options, alpha=options.alpha, beta=options.beta)


def build_focal_tversky(options: FocalTverskyOptions) -> Loss:
    tversky = _overlap_loss(TverskyLoss, options, alpha=options.alpha, beta=options.beta, reduction="none")
    return lambda logits, labels: (_off_zero(tversky(logits, labels)) ** (1 / options.gamma)).mean()


def build_focal(options: FocalOptions) -> Loss:
    # Not MONAI's: with several classes that one divides by their number, so that gamma 0 is not cross-entropy.
    def focal(logits: Tensor, labels: Tensor) -> Tensor:
        entropies = cross_entropies(logits, labels)
        losses = _off_zero(-torch.expm1(-entropies)) ** options.gamma * entropies
        if options.alpha is not None:
            losses = losses * torch.where(labels > 0, options.alpha, 1 - options.alpha)
        return losses.mean()

    return focal


def _off_zero(values: Tensor) -> Tensor:
    """Return values of at least 1e-7: the gradient of x ** p with p < 1 is infinite at 0, where a batch is perfect."""
    return values.clamp_min(1e-7)


def build_dice_bce(options: DiceBceOptions) -> Loss:
    dice, bce = build_dice(options), build_bce(BceOptions())
    return lambda logits, labels: options.dice_weight * dice(logits, labels) + options.bce_weight * bce(logits, labels)


def build_dice_focal(options: DiceFocalOptions) -> Loss:
    dice, focal = build_dice(options), build_focal(FocalOptions(gamma=options.gamma, alpha=options.alpha))
    return lambda logits, labels: (
        options.dice_weight * dice(logits, labels) + options.focal_weight * focal(logits, labels)
    )


def _overlap_loss(kind: type[nn.Module], options: DiceOptions, **settings: Any) -> Loss:
    def overlap(logits: Tensor, labels: Tensor) -> Tensor:
        several = logits.shape[1] > 1
        loss = kind(
            sigmoid=not several,
            softmax=several,
            include_background=options.include_background or not several,
            batch=options.batch,
            smooth_nr=options.smooth,
            smooth_dr=options.smooth,
            **settings,
        )
        return _scalar(loss(logits, one_hot(labels, logits.shape[1])))

    return overlap


def _scalar(value: Any) -> Tensor:
    return torch.as_tensor(value)


@dataclass(frozen=True)
class LossSpec:
    """One loss: its options, and what builds it from them."""

    options: type[BaseModel]
    build: Callable[[Any], Loss]


LOSSES: Mapping[str, LossSpec] = {
    "bce": LossSpec(BceOptions, build_bce),
    "dice": LossSpec(DiceOptions, build_dice),
    "dice_bce": LossSpec(DiceBceOptions, build_dice_bce),
    "focal": LossSpec(FocalOptions, build_focal),
    "tversky": LossSpec(TverskyOptions, build_tversky),
    "focal_tversky": LossSpec(FocalTverskyOptions, build_focal_tversky),
    "dice_focal": LossSpec(DiceFocalOptions, build_dice_focal),
}


def build_loss(named: Named) -> Loss:
    """Return the loss that a recipe names.

    Raises:
        UsageError: an unknown loss or option.
    """
    spec = lookup("loss", LOSSES, named.name)
    return spec.build(named.parse(spec.options))


def deep_supervision_loss(loss: Loss, outputs: Tensor | list[Tensor], labels: Tensor) -> Tensor:
    """Return the loss of one output, or of several with weights 1, 1/2, 1/4, ... that sum to one.

    The weights are those of nnU-Net (Isensee et al. 2021). The loss is computed in float32 always.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), labels)
    weights = [0.5**place for place in range(len(outputs))]
    terms = [weight * loss(output.float(), labels) for weight, output in zip(weights, outputs, strict=True)]
    return torch.stack(terms).sum() / sum(weights)
