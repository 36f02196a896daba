"""Losses of single voxels: cross-entropy and focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metseg.model.activation import Outputs
from metseg.training.losses.loss_options import BceOptions, FocalOptions
from metseg.training.losses.voxel_loss import Term, VoxelLoss, check_weights, off_zero


def build_bce(options: BceOptions, outputs: Outputs) -> VoxelLoss:
    return VoxelLoss((entropy_term(FocalOptions(gamma=0, class_weights=options.class_weights), outputs),), outputs)


def build_focal(options: FocalOptions, outputs: Outputs) -> VoxelLoss:
    return VoxelLoss((entropy_term(options, outputs),), outputs)


def entropy_term(options: FocalOptions, outputs: Outputs, *, weight: float = 1.0) -> Term:
    """Return the focal loss as a term; without focus and alpha it is cross-entropy.

    Not MONAI's: with several classes that one divides by their number, so that gamma 0 is not cross-entropy.
    """

    def quantities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        check_weights(options.class_weights, outputs, logits.shape[1])
        entropies = cross_entropies(logits, labels, outputs)
        if options.gamma > 0:
            entropies = off_zero(-torch.expm1(-entropies)) ** options.gamma * entropies
        if options.alpha is not None:
            entropies = entropies * torch.where(_lesion(logits, labels, outputs), options.alpha, 1 - options.alpha)
        weights = _voxel_weights(options.class_weights, labels, outputs).expand_as(entropies)
        return entropies * weights, weights

    def shares(_: int) -> tuple[float, ...] | None:
        return options.class_weights if outputs.regions else None

    return Term(quantities, lambda losses, weights: losses / weights, weight=weight, shares=shares)


def cross_entropies(logits: Tensor, labels: Tensor, outputs: Outputs) -> Tensor:
    """Return (N, K', V): minus the logarithm of the probability of the truth; K' is 1 for classes, else K."""
    if outputs.exclusive(logits):
        return functional.cross_entropy(logits, labels.long(), reduction="none").flatten(1).unsqueeze(1)
    targets = outputs.targets(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(2)


def _lesion(logits: Tensor, labels: Tensor, outputs: Outputs) -> Tensor:
    """Return (N, K', V) bool: where there is something to find."""
    if outputs.exclusive(logits):
        return (labels > 0).flatten(1).unsqueeze(1)
    return outputs.targets(labels, logits.shape[1]).flatten(2)


def _voxel_weights(weights: tuple[float, ...] | None, labels: Tensor, outputs: Outputs) -> Tensor:
    """Return (N, 1, V) or a single 1: the weight of the class of each voxel; regions are weighed as a whole."""
    if weights is None or outputs.regions:
        return torch.ones((1, 1, 1), device=labels.device)
    return torch.tensor(weights, device=labels.device)[labels.long()].flatten(1).unsqueeze(1)
