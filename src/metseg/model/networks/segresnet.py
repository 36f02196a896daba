"""SegResNet: a residual encoder with a light decoder, the network that won BraTS 2018.

Paper: Myronenko 2018, "3D MRI brain tumor segmentation using autoencoder regularization", arXiv:1810.11654 (without
the autoencoder). Code: MONAI's `SegResNet`, Apache-2.0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model.networks.layers import Dropout
from metseg.recipe import Frozen

Count = Annotated[int, Field(gt=0)]


class Options(Frozen):
    """Options of SegResNet; the paper's network has width 32."""

    #: Channels of the finest level, a multiple of the 8 groups of its normalisation; each level doubles them.
    width: Annotated[int, Field(gt=0, multiple_of=8)] = 16
    #: Residual blocks of each encoder level, the finest first.
    blocks: Annotated[tuple[Count, ...], Field(min_length=2)] = (1, 2, 2, 4)
    #: Residual blocks of each decoder level.
    decoder_blocks: Count = 1
    #: Probability of dropping a feature map behind the first convolution; the paper's is 0.2.
    dropout: Dropout = 0.0


def divisor(options: Options) -> int:
    """Return what the sides of the input must be a multiple of: each level but the first halves them."""
    return int(2 ** (len(options.blocks) - 1))


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return MONAI's SegResNet."""
    from monai.networks.nets.segresnet import SegResNet

    network: nn.Module = SegResNet(
        spatial_dims=dimensions,
        init_filters=options.width,
        in_channels=in_channels,
        out_channels=out_channels,
        dropout_prob=options.dropout or None,
        blocks_down=options.blocks,
        blocks_up=(options.decoder_blocks,) * (len(options.blocks) - 1),
    )
    return network
