"""Overlap losses: Dice and Tversky."""

from __future__ import annotations

from torch import Tensor

from metseg.errors import UsageError
from metseg.model.activation import Outputs
from metseg.training.losses.loss_options import DiceOptions, FocalTverskyOptions, TverskyOptions
from metseg.training.losses.voxel_loss import Term, VoxelLoss, check_weights, off_zero


def build_dice(options: DiceOptions, outputs: Outputs) -> VoxelLoss:
    return VoxelLoss((dice_term(options, outputs),), outputs)


def build_tversky(options: TverskyOptions, outputs: Outputs) -> VoxelLoss:
    return VoxelLoss((_tversky_term(options, outputs),), outputs)


def build_focal_tversky(options: FocalTverskyOptions, outputs: Outputs) -> VoxelLoss:
    return VoxelLoss((_tversky_term(options, outputs, power=1 / options.gamma),), outputs)


def dice_term(options: DiceOptions, outputs: Outputs, *, weight: float = 1.0) -> Term:
    """Return 1 - Dice as a term: 1 - (2 hit + smooth) / (found + there + smooth)."""

    def formula(hit: Tensor, found: Tensor, there: Tensor) -> Tensor:
        return 1 - (2 * hit + options.smooth) / (found + there + options.smooth)

    return _overlap_term(options, outputs, formula, weight)


def _tversky_term(options: TverskyOptions, outputs: Outputs, *, power: float = 1.0) -> Term:
    def formula(hit: Tensor, found: Tensor, there: Tensor) -> Tensor:
        errors = options.alpha * (found - hit) + options.beta * (there - hit)
        loss = 1 - (hit + options.smooth) / (hit + errors + options.smooth)
        return loss if power == 1 else off_zero(loss) ** power

    return _overlap_term(options, outputs, formula, 1.0)


def _overlap_term(options: DiceOptions, outputs: Outputs, formula: object, weight: float) -> Term:
    def first(channels: int) -> int:
        """Return the first output that is scored: of a softmax, the background only when asked for."""
        return int(channels > 1 and not outputs.regions and not options.include_background)

    def quantities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        channels = logits.shape[1]
        check_weights(options.class_weights, outputs, channels)
        _check_background(options, outputs, channels)
        chances = outputs.probabilities(logits)[:, first(channels) :].flatten(2)
        truth = outputs.targets(labels, channels)[:, first(channels) :].flatten(2).to(chances.dtype)
        return chances * truth, chances, truth

    def shares(channels: int) -> tuple[float, ...] | None:
        # A single output is all there is to weigh.
        several = channels > 1 or bool(outputs.regions)
        return options.class_weights[first(channels) :] if options.class_weights and several else None

    return Term(quantities, formula, weight=weight, pooled=options.batch, shares=shares)  # type: ignore[arg-type]


def _check_background(options: DiceOptions, outputs: Outputs, channels: int) -> None:
    if options.include_background and (outputs.regions or channels == 1):
        raise UsageError(
            "include_background needs a background channel, but every output has its own sigmoid",
            where="options of the loss",
            expected="a softmax over several classes",
            cure="leave include_background out",
            code="usage.recipe",
        )
