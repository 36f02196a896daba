"""SegResNet: a residual encoder with a light decoder, the network that won BraTS 2018.

Paper: Myronenko 2018, "3D MRI brain tumor segmentation using autoencoder regularization", arXiv:1810.11654 (without
the autoencoder). Code: MONAI's `SegResNet`, Apache-2.0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model.networks.network_options import SegresnetOptions

Count = Annotated[int, Field(gt=0)]


def build(options: SegresnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
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
