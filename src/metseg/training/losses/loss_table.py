"""The table of losses. It needs no torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from metseg.recipe import REGIONS_LOSS, Named
from metseg.registry import lookup
from metseg.training.losses import loss_options as options

if TYPE_CHECKING:
    from metseg.model.activation import Outputs
    from metseg.training.losses.voxel_loss import Loss

_HERE = "metseg.training.losses"


@dataclass(frozen=True)
class LossSpec:
    """One loss: its options, and what builds it from them and from what the network's outputs mean.

    ``build`` given as the text "module:function" is imported when the loss is built.
    """

    options: type[BaseModel]
    build: Callable[[Any, Outputs], Loss] | str


LOSSES: Mapping[str, LossSpec] = {
    "bce": LossSpec(options.BceOptions, f"{_HERE}.cross_entropy:build_bce"),
    "dice": LossSpec(options.DiceOptions, f"{_HERE}.overlap:build_dice"),
    "dice_bce": LossSpec(options.DiceBceOptions, f"{_HERE}.loss_factory:build_dice_bce"),
    "focal": LossSpec(options.FocalOptions, f"{_HERE}.cross_entropy:build_focal"),
    "tversky": LossSpec(options.TverskyOptions, f"{_HERE}.overlap:build_tversky"),
    "focal_tversky": LossSpec(options.FocalTverskyOptions, f"{_HERE}.overlap:build_focal_tversky"),
    "dice_focal": LossSpec(options.DiceFocalOptions, f"{_HERE}.loss_factory:build_dice_focal"),
    "blob": LossSpec(options.BlobOptions, f"{_HERE}.loss_factory:build_blob"),
    REGIONS_LOSS: LossSpec(options.RegionsOptions, f"{_HERE}.loss_factory:build_regions"),
}


def check_loss(named: Named, *, key: str = "loss") -> None:
    """Check the name and the options of a loss, and of the losses inside it.

    Raises:
        UsageError: an unknown loss or option; the message names the key.
    """
    parsed = named.parse(lookup("loss", LOSSES, named.name).options, key=key)
    inner = getattr(parsed, "inner", None)
    if isinstance(inner, Named):
        check_loss(inner, key=f"{key}.inner")
