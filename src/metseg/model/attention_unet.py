"""Attention U-Net: skip connections weighted by what the decoder is looking for.

Paper: Oktay et al. 2018, "Attention U-Net: Learning Where to Look for the Pancreas", arXiv:1804.03999.
Code: MONAI's `AttentionUnet`, Apache-2.0.
"""

from __future__ import annotations

from torch import nn

from metseg.model.layers import Channels, Dropout
from metseg.recipe import Frozen


class Options(Frozen):
    """Options of the Attention U-Net."""

    channels: Channels = (32, 64, 128, 256)
    dropout: Dropout = 0.0


def divisor(options: Options) -> int:
    """Return what the sides of the input must be a multiple of: each level but the first halves them."""
    return int(2 ** (len(options.channels) - 1))


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return MONAI's Attention U-Net."""
    from monai.networks.nets.attentionunet import AttentionUnet

    network: nn.Module = AttentionUnet(
        spatial_dims=dimensions,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=options.channels,
        strides=(2,) * (len(options.channels) - 1),
        dropout=options.dropout,
    )
    return network
