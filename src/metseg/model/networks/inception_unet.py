"""Inception U-Net: the InceptionV3 encoder under a U-Net decoder, or under a plain one as course notebooks have it.

Papers: Szegedy et al. 2016, arXiv:1512.00567 (encoder); Ronneberger et al. 2015, arXiv:1505.04597 (skips, decoder).
The decoder follows the common recipe of segmentation_models (interpolate, join, two convolutions), written for metseg,
Apache-2.0.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from metseg.errors import BundleError
from metseg.model.networks.inception_v3 import FEATURE_CHANNELS, InceptionV3, adapt_checkpoint
from metseg.model.networks.layers import ConvNormAct, Dropout
from metseg.model.weights import check_keys, read_checkpoint
from metseg.recipe import Frozen

CHECKPOINT = "inception_v3_google-0cc3c7bd.pth"


class Options(Frozen):
    """Options of the Inception U-Net."""

    #: Channels of the decoder at 1/16, 1/8, 1/4, 1/2 and the whole size.
    decoder_channels: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=5, max_length=5)] = (
        256,
        128,
        64,
        32,
        16,
    )
    #: Join the encoder's features in the decoder; False: the plain decoder.
    skips: bool = True
    #: Dropped feature maps of the deepest level.
    dropout: Dropout = 0.0
    #: A file with the public ImageNet checkpoint, safetensors or ``.pth``, as the encoder's starting point.
    encoder_weights: str | None = None


def divisor(options: Options) -> int:  # noqa: ARG001 (the same for all)
    """Return what the sides of the input must be a multiple of: five halvings."""
    return 32


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:  # noqa: ARG001
    """Return the Inception U-Net, its encoder pretrained where `Options.encoder_weights` names a file.

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
            "no such file of encoder weights",
            where=path,
            cure=f"take {CHECKPOINT} (torchvision's Inception_V3_Weights.IMAGENET1K_V1, which the PyTorch project "
            "publishes under download.pytorch.org/models) and put it there, nothing is downloaded by itself; or leave "
            "encoder_weights out to start from random weights",
            code="model.encoder_weights",
        )
    weights = adapt_checkpoint(read_checkpoint(path), in_channels)
    check_keys(weights, encoder.state_dict(), where=path, architecture="the InceptionV3 of torchvision")
    encoder.load_state_dict(weights)


class InceptionUNet(nn.Module):
    """See the module's text."""

    def __init__(self, options: Options, *, in_channels: int, out_channels: int) -> None:
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
