"""Table of losses. It does not import torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metseg.recipe import REGIONS_LOSS, Frozen, Named, require_options_class
from metseg.registry import Registry
from metseg.training.losses import loss_options as options

if TYPE_CHECKING:
    from metseg.model.activation import Outputs
    from metseg.training.losses.voxel_loss import Loss

_HERE = "metseg.training.losses"


@dataclass(frozen=True)
class LossSpec:
    """One loss: its options, and the function that builds it from them and from the meaning of the network's outputs.

    ``build`` given as the text "module:function" is imported when the loss is built.
    """

    build: Callable[[Any, Outputs], Loss] | str
    options: type[Frozen]

    def __post_init__(self) -> None:
        require_options_class(self.options, entry="LossSpec")


LOSSES: Registry[LossSpec] = Registry(
    "loss",
    "losses",
    LossSpec,
    {
        "bce": LossSpec(f"{_HERE}.cross_entropy:build_bce", options.BceOptions),
        "dice": LossSpec(f"{_HERE}.overlap:build_dice", options.DiceOptions),
        "dice_bce": LossSpec(f"{_HERE}.loss_factory:build_dice_bce", options.DiceBceOptions),
        "focal": LossSpec(f"{_HERE}.cross_entropy:build_focal", options.FocalOptions),
        "tversky": LossSpec(f"{_HERE}.overlap:build_tversky", options.TverskyOptions),
        "focal_tversky": LossSpec(f"{_HERE}.overlap:build_focal_tversky", options.FocalTverskyOptions),
        "dice_focal": LossSpec(f"{_HERE}.loss_factory:build_dice_focal", options.DiceFocalOptions),
        "blob": LossSpec(f"{_HERE}.loss_factory:build_blob", options.BlobOptions),
        REGIONS_LOSS: LossSpec(f"{_HERE}.loss_factory:build_regions", options.RegionsOptions),
    },
    make=LossSpec,
)


def check_loss(named: Named, *, key: str = "loss") -> None:
    """Check the name and the options of a loss, and of the losses inside it.

    Raises:
        UsageError: an unknown loss or option; the message names the key.
    """
    parsed = named.parse(LOSSES.lookup(named.name).options, key=key)
    inner = getattr(parsed, "inner", None)
    if isinstance(inner, Named):
        check_loss(inner, key=f"{key}.inner")
