"""Options of every loss. They do not import torch, so that a recipe is checked without it.

The first paragraph of a class's docstring describes the loss.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from metseg.recipe import Fraction, Frozen, Named

Weight = Annotated[float, Field(ge=0)]


def _named(raw: Any) -> Any:
    return {"name": raw} if isinstance(raw, str) else raw


#: A loss by name, or with options: ``inner = "dice"``, ``inner = {name = "tversky", beta = 0.8}``.
Inner = Annotated[Named, BeforeValidator(_named)]


class WeightedOptions(Frozen):
    """Options of all voxel losses."""

    #: One weight per class, background first, or one per region; None: equal weights. Means are weighted, so
    #: (2, 2, 2) equals (1, 1, 1).
    class_weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] | None = None


class BceOptions(WeightedOptions):
    """Cross-entropy: binary for one output and for regions, categorical for several classes."""


class FocalOptions(WeightedOptions):
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): cross-entropy in which easy voxels count less."""

    #: How much less easy voxels count: each has the weight (1 - probability of the truth) to this power; 0: equal.
    gamma: Weight = 2.0
    #: Weight of lesion voxels; background voxels get one minus it. None: equal weights.
    alpha: Fraction | None = None


class DiceOptions(WeightedOptions):
    """Soft Dice (Milletari et al. 2016)."""

    #: Pool the batch, so that empty slices do not dominate the loss; False: a Dice of each image, averaged.
    batch: bool = True
    #: Voxels added above and below the fraction, so that an image without lesion has a defined loss.
    smooth: Annotated[float, Field(gt=0)] = 1e-5
    #: For a softmax: score the background as a class too.
    include_background: bool = False


class TverskyOptions(DiceOptions):
    """Tversky loss (Salehi et al. 2017, arXiv:1706.05721): Dice with weights for the two kinds of error."""

    #: Weight of false positive voxels.
    alpha: Weight = 0.3
    #: Weight of missed lesion voxels; 0.5 for both is Dice.
    beta: Weight = 0.7


class FocalTverskyOptions(TverskyOptions):
    """Mean over classes of (1 - Tversky index) ** (1 / gamma) (Abraham & Khan 2019, arXiv:1810.07842)."""

    #: Focus: the larger, the more a class that is already good still counts; 1 is the Tversky loss.
    gamma: Annotated[float, Field(ge=1)] = 4 / 3


class DiceBceOptions(DiceOptions):
    """Weighted sum of Dice and cross-entropy."""

    #: Factor of the Dice term.
    dice_weight: Weight = 1.0
    #: Factor of the cross-entropy.
    bce_weight: Weight = 1.0


class DiceFocalOptions(DiceOptions):
    """Weighted sum of Dice and focal loss."""

    #: Factor of the Dice term.
    dice_weight: Weight = 1.0
    #: Factor of the focal loss.
    focal_weight: Weight = 1.0
    #: How much less easy voxels count: each has the weight (1 - probability of the truth) to this power; 0: equal.
    gamma: Weight = 2.0
    #: Weight of lesion voxels; background voxels get one minus it. None: equal weights.
    alpha: Fraction | None = None


class BlobOptions(Frozen):
    """Blob loss: ``alpha`` x the inner loss of the image + ``beta`` x its mean over lesions; weights of the paper."""

    #: The loss of the image and of each lesion: a name, or a table with a name and options.
    inner: Inner = Named(name="dice_bce")
    #: Factor of the loss of the whole image.
    alpha: Weight = 2.0
    #: Factor of the mean over lesions.
    beta: Weight = 1.0


class RegionsOptions(Frozen):
    """The inner loss on outputs for the regions of the label scheme (WT, TC, ET), with a sigmoid each."""

    #: The loss of each region: a name, or a table with a name and options.
    inner: Inner = Named(name="dice_bce")
