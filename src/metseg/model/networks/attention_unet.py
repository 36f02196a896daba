"""Attention U-Net: skip connections weighted by what the decoder is looking for.

Paper: Oktay et al. 2018, "Attention U-Net: Learning Where to Look for the Pancreas", arXiv:1804.03999.
Code: MONAI's `AttentionUnet`, Apache-2.0.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from metseg.model.networks.layers import Channels, ConvNormAct, Dropout
from metseg.recipe import Frozen


class Options(Frozen):
    """Options of the Attention U-Net."""

    channels: Channels = (32, 64, 128, 256)
    dropout: Dropout = 0.0
    #: Normalisation where gated skip and decoder are joined. ``instance`` is what MONAI builds: it takes from the last
    #: features of each picture their size, so small lesions are learnt slowly, and it is slow in bfloat16.
    merge: Literal["batch", "instance"] = "batch"


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
    if options.merge == "batch":
        _merge_with_batch_norm(network, dimensions, dropout=options.dropout)
    return network


def _merge_with_batch_norm(network: nn.Module, dimensions: int, *, dropout: float) -> None:
    """Replace each join of MONAI's, convolution, instance norm and PReLU, by convolution, batch norm and ReLU."""
    from monai.networks.nets.attentionunet import AttentionLayer

    layers: list[Any] = [module for module in network.modules() if isinstance(module, AttentionLayer)]
    for layer in layers:
        convolution = layer.merge.conv
        layer.merge = ConvNormAct(convolution.in_channels, convolution.out_channels, dimensions=dimensions)
        if dropout:
            layer.merge.append(nn.Dropout(dropout))
