"""Attention U-Net: skip connections weighted by attention gates.

Paper: Oktay et al. 2018, "Attention U-Net: Learning Where to Look for the Pancreas", arXiv:1804.03999.
Code: MONAI's `AttentionUnet`, Apache-2.0.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from metseg.model.networks.layers import ConvNormAct
from metseg.model.networks.network_options import AttentionUnetOptions


def build(options: AttentionUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
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
