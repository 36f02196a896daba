"""Base class of losses that are a formula of sums over voxels.

Cross-entropy, focal, Dice and Tversky losses differ only in the summed quantities and the formula. In this form they
can be computed for any part of a volume: the loss of each lesion (see `metseg.training.losses.blob`) costs one more
pass, not one per lesion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metseg.errors import UsageError
from metseg.model.activation import Outputs

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Term:
    """One part of a loss.

    Args:
        quantities: from logits (N, K, *S) and labels (N, *S), what is added up: each (N, K', V) with V voxels and one
            entry per output that is scored, or a single one for all outputs together.
        formula: from as many sums of one shape to losses of that shape.
        weight: its factor in the whole.
        pooled: whether the items of a batch are summed first; otherwise each item has its own loss.
        shares: from K to the weight of each of the K' entries; None: all alike.
    """

    quantities: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    formula: Callable[..., Tensor]
    weight: float = 1.0
    pooled: bool = True
    shares: Callable[[int], tuple[float, ...] | None] = lambda _: None

    def mean(self, losses: Tensor, channels: int) -> Tensor:
        """Return the mean of losses (..., K') over everything, outputs weighted by their shares."""
        shares = self.shares(channels)
        if shares is None:
            return losses.mean()
        weights = losses.new_tensor(shares)
        return (losses * weights).sum(dim=-1).mean() / weights.sum()

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        axes = (0, 2) if self.pooled else (2,)
        losses = self.formula(*(quantity.sum(dim=axes) for quantity in self.quantities(logits, labels)))
        return self.mean(losses, logits.shape[1])


@dataclass(frozen=True)
class VoxelLoss:
    """A weighted sum of terms; a `Loss`."""

    terms: tuple[Term, ...]
    outputs: Outputs

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([term.weight * term(logits, labels) for term in self.terms]).sum()


def check_weights(weights: tuple[float, ...] | None, outputs: Outputs, channels: int) -> None:
    """Check that there are as many class weights as there is something to weigh.

    Raises:
        UsageError: there are not.
    """
    wanted = channels if channels > 1 or outputs.regions else 2
    if weights is not None and len(weights) != wanted:
        raise UsageError(
            "wrong number of class weights",
            where="loss.class_weights",
            expected=f"{wanted}, one per {'region' if outputs.regions else 'class with the background first'}",
            got=len(weights),
            cure="give one weight for each",
            code="usage.class_weights",
        )


def off_zero(values: Tensor) -> Tensor:
    """Return values of at least 1e-7: the gradient of x ** p with p < 1 is infinite at 0, where a batch is perfect."""
    return values.clamp_min(1e-7)
