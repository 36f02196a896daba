"""Inception U-Net: an InceptionV3 encoder with a U-Net decoder, or with a plain one as in course notebooks.

Papers: Szegedy et al. 2016, arXiv:1512.00567 (encoder); Ronneberger et al. 2015, arXiv:1505.04597 (skips, decoder).
The decoder follows the common recipe of segmentation_models (interpolate, join, two convolutions), written for metseg,
Apache-2.0.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from metseg.errors import BundleError
from metseg.model.networks.inception_v3 import FEATURE_CHANNELS, InceptionV3, adapt_checkpoint
from metseg.model.networks.layers import ConvNormAct
from metseg.model.networks.network_options import InceptionUnetOptions
from metseg.model.weights import check_keys, read_checkpoint

CHECKPOINT = "inception_v3_google-0cc3c7bd.pth"


def build(options: InceptionUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:  # noqa: ARG001
    """Return the Inception U-Net, its encoder pretrained where `InceptionUnetOptions.encoder_weights` names a file.

    Raises:
        BundleError: that file is absent, damaged, holds code, or is of another network.
    """
    network = InceptionUNet(options, in_channels=in_channels, out_channels=out_channels)
    if options.encoder_weights is not None:
        load_encoder(network.encoder, Path(options.encoder_weights), in_channels)
    return network


def load_encoder(encoder: InceptionV3, path: Path, in_channels: int) -> None:
    """Load the public checkpoint from a file into an encoder; see `adapt_checkpoint` for other than 3 channels."""
    if not path.is_file():
        raise BundleError(
            "the file of encoder weights does not exist",
            where=path,
            cure=f"download {CHECKPOINT} (torchvision's Inception_V3_Weights.IMAGENET1K_V1) from "
            "download.pytorch.org/models and put it there (metseg does not download it); or leave encoder_weights out "
            "to start from random weights",
            code="model.encoder_weights",
        )
    weights = adapt_checkpoint(read_checkpoint(path), in_channels)
    check_keys(weights, encoder.state_dict(), where=path, architecture="the InceptionV3 of torchvision")
    encoder.load_state_dict(weights)


class InceptionUNet(nn.Module):
    """See the module's text."""

    def __init__(self, options: InceptionUnetOptions, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skips = options.skips
        self.encoder = InceptionV3(in_channels, padded=True)
        self.dropout = nn.Dropout2d(options.dropout)
        *shallow, deepest = FEATURE_CHANNELS
        # The last decoder level works at the whole size, where the encoder has no features.
        skip_channels = [*reversed(shallow), 0] if options.skips else [0] * 5
        widths = [deepest, *options.decoder_channels]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(before + skip, after, dimensions=2),
                ConvNormAct(after, after, dimensions=2),
            )
            for (before, after), skip in zip(pairwise(widths), skip_channels, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Slices come as (X, Y); the encoder learnt on pictures as (rows, columns), and upright ones.
        *skips, features = self.encoder(images.transpose(2, 3))
        features = self.dropout(features)
        for block in self.decoder:
            features = functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            if self.skips and skips:
                features = torch.cat([features, skips.pop()], dim=1)
            features = block(features)
        logits: torch.Tensor = self.head(features)
        return logits.transpose(2, 3)
