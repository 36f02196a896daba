"""Losses: each takes logits and class indices and returns a scalar; lower is better.

``logits`` (N, K, X, Y[, Z]); the K outputs are classes or regions, see `metseg.model.activation`.
``labels`` (N, X, Y[, Z]) uint8 class indices; 0 is background.

The table and the options load without torch; the losses are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metseg.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from metseg.training.losses.loss_factory import build_loss, deep_supervision_loss, loss_of
    from metseg.training.losses.loss_table import LOSSES, LossSpec
    from metseg.training.losses.voxel_loss import Loss

__all__ = ["LOSSES", "Loss", "LossSpec", "build_loss", "deep_supervision_loss", "loss_of"]

__getattr__ = lazy_exports(
    __name__,
    {
        "loss_factory": ("build_loss", "deep_supervision_loss", "loss_of"),
        "loss_table": ("LOSSES", "LossSpec"),
        "voxel_loss": ("Loss",),
    },
)
