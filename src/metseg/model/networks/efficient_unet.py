"""EfficientNet U-Net: an EfficientNet-Lite0 encoder, which can begin with weights of ImageNet, under a U-Net decoder.

Papers: Tan and Le 2019, arXiv:1905.11946 (encoder); Ronneberger et al. 2015, arXiv:1505.04597 (skips, decoder).
Written for metseg, Apache-2.0.

Most computation of a U-Net on a CPU is at full size. The encoder begins at half size, so at full size there are only a
thin convolution of the image itself and the last convolution of the decoder.

A volume is seen as axial slices, since the public weights are of pictures. Slices see one another twice: in the
encoder by shifted channels (`metseg.model.networks.efficientnet_lite.shift_channels`), in the decoder by convolutions
across them.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from metseg.model.networks.efficientnet_lite import (
    FEATURE_CHANNELS,
    STEM_WEIGHT,
    EfficientNetLite,
    adapt_checkpoint,
)
from metseg.model.networks.layers import (
    ConvNormAct,
    ThreeSlicesConv2d,
    TwoInputSequential,
    UpBlock,
    UprightSlices,
    make_norm,
)
from metseg.model.networks.network_options import EfficientUnetOptions
from metseg.model.pretrained_encoder import load_encoder


def build(options: EfficientUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the network, its encoder pretrained where `EfficientUnetOptions.encoder_weights` names a file.

    Raises:
        BundleError: that file is absent, damaged, holds code, or is of another network.
    """
    network = EfficientUNet(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)
    if options.encoder_weights is not None:
        load_encoder(
            network.encoder,
            options.encoder_weights,
            adapt_checkpoint,
            stem=STEM_WEIGHT,
            public="efficientnet-lite0",
        )
    return network


class EfficientUNet(UprightSlices):
    """See the module's text."""

    def __init__(
        self, options: EfficientUnetOptions, *, in_channels: int, out_channels: int, dimensions: int = 2
    ) -> None:
        super().__init__()
        self.dimensions = dimensions
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
        self.across = nn.ModuleList(
            AcrossSlices(channels) if dimensions == 3 else WithinSlice() for channels in options.decoder_channels
        )
        self.head = nn.Conv2d(finest, out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Slices come as (X, Y); the encoder learnt on pictures as (rows, columns), and upright ones.
        if images.ndim == 4:
            return self.in_image_axes(self._of_slices(images.transpose(2, 3), 1), images.shape[0])
        upright = images.permute(0, 4, 1, 3, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.in_image_axes(self._of_slices(upright, images.shape[-1]), images.shape[0])

    def in_image_axes(self, features: torch.Tensor, images: int) -> torch.Tensor:
        """Return features (N · slices, C, rows, columns) as (N, C, X, Y[, Z]); others are unchanged."""
        if self.dimensions == 2 or features.ndim != 4:
            return super().in_image_axes(features, images)
        return features.reshape(images, -1, *features.shape[1:]).permute(0, 2, 4, 3, 1)

    def folded(self) -> EfficientUNet:
        """Return a copy for predictions, with batch normalisation folded into the convolutions."""
        twin = copy.deepcopy(self).eval()  # shared weights would go to a device with it
        for block in list(twin.modules()):
            for (place, convolution), (behind, norm) in pairwise(list(block.named_children())):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, _BatchNorm):
                    setattr(block, place, fuse_conv_bn_eval(convolution, norm))
                    setattr(block, behind, nn.Identity())
        return twin

    def _of_slices(self, images: torch.Tensor, slices: int) -> torch.Tensor:
        skips: list[torch.Tensor] = [self.full_size(images), *self.encoder(images, slices)]
        features = self.dropout(skips.pop())
        for up, across in zip(self.ups, self.across, strict=True):
            features = across(up(features, skips.pop()), slices)
        logits: torch.Tensor = self.head(features)
        return logits


class AcrossSlices(nn.Module):
    """Convolution over a slice and its two neighbours, added to the slice; beyond the ends there are zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = TwoInputSequential(
            ThreeSlicesConv2d(channels, channels),
            make_norm("batch", channels, dimensions=2),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: torch.Tensor, slices: int) -> torch.Tensor:
        """Return features of the shape (N · slices, C, rows, columns) that they have."""
        mixed: torch.Tensor = self.mix(features, slices)
        return features + mixed


class WithinSlice(nn.Module):
    """What `AcrossSlices` is for single slices: nothing."""

    def forward(self, features: torch.Tensor, slices: int) -> torch.Tensor:  # noqa: ARG002
        return features
