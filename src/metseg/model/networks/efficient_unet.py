"""EfficientNet U-Net: an EfficientNet-Lite0 encoder, which can begin with weights of ImageNet, under a U-Net decoder.

Papers: Tan and Le 2019, arXiv:1905.11946 (encoder); Ronneberger et al. 2015, arXiv:1505.04597 (skips, decoder).
Written for metseg, Apache-2.0.

Most computation of a U-Net on a CPU is at full size. The encoder begins at half size, so at full size there are only a
thin convolution of the image itself and the last convolution of the decoder.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from metseg.model.networks.efficientnet_lite import FEATURE_CHANNELS, STEM_WEIGHT, EfficientNetLite, adapt_checkpoint
from metseg.model.networks.layers import ConvNormAct, UpBlock
from metseg.model.networks.network_options import EfficientUnetOptions
from metseg.model.pretrained_encoder import load_encoder


def build(options: EfficientUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:  # noqa: ARG001
    """Return the network, its encoder pretrained where `EfficientUnetOptions.encoder_weights` names a file.

    Raises:
        BundleError: that file is absent, damaged, holds code, or is of another network.
    """
    network = EfficientUNet(options, in_channels=in_channels, out_channels=out_channels)
    if options.encoder_weights is not None:
        load_encoder(
            network.encoder,
            options.encoder_weights,
            adapt_checkpoint,
            stem=STEM_WEIGHT,
            public="efficientnet-lite0",
        )
    return network


class EfficientUNet(nn.Module):
    """See the module's text."""

    def __init__(self, options: EfficientUnetOptions, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(in_channels)
        self.dropout = nn.Dropout2d(options.dropout)
        *shallow, deepest = FEATURE_CHANNELS
        finest = options.decoder_channels[-1]
        self.full_size = ConvNormAct(in_channels, finest, dimensions=2)
        self.ups = nn.ModuleList(
            UpBlock(before, skip, after, dimensions=2)
            for (before, after), skip in zip(
                pairwise((deepest, *options.decoder_channels)), (*reversed(shallow), finest), strict=True
            )
        )
        self.head = nn.Conv2d(finest, out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Slices come as (X, Y); the encoder learnt on pictures as (rows, columns), and upright ones.
        upright = images.transpose(2, 3)
        skips: list[torch.Tensor] = [self.full_size(upright), *self.encoder(upright)]
        features = self.dropout(skips.pop())
        for up in self.ups:
            features = up(features, skips.pop())
        logits: torch.Tensor = self.head(features)
        return logits.transpose(2, 3)
