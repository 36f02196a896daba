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

from metseg.model.networks.inception_v3 import FEATURE_CHANNELS, STEM_WEIGHT, InceptionV3, without_classifier
from metseg.model.networks.keras_inception import is_hdf5, read_keras_inception
from metseg.model.networks.layers import ConvNormAct, UprightSlices
from metseg.model.networks.network_options import InceptionUnetOptions
from metseg.model.pretrained_encoder import load_encoder
from metseg.model.weights import read_checkpoint


def build(options: InceptionUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:  # noqa: ARG001
    """Return the Inception network, its encoder pretrained where `InceptionUnetOptions.encoder_weights` names a file.

    Raises:
        BundleError: that file is absent, damaged, holds code, or is of another network.
    """
    family = InceptionPlain if len(options.decoder_channels) == 3 else InceptionUNet
    network = family(options, in_channels=in_channels, out_channels=out_channels)
    if options.encoder_weights is not None:
        load_encoder(
            network.encoder,
            options.encoder_weights,
            without_classifier,
            stem=STEM_WEIGHT,
            public="inception-v3",
            read=_read,
        )
    return network


def _read(path: Path) -> dict[str, torch.Tensor]:
    return read_keras_inception(path) if is_hdf5(path) else read_checkpoint(path)


class InceptionUNet(UprightSlices):
    """See the module's text."""

    def __init__(self, options: InceptionUnetOptions, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skips = options.skips
        self.encoder = InceptionV3(in_channels, padded=True, keras_pooling=options.keras_pooling)
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
        return self.in_image_axes(logits, images.shape[0])


class InceptionPlain(UprightSlices):
    """The encoder under the decoder of course notebooks: three convolutions with ReLU and two up-samplings.

    The notebooks stop at 1/8 of the picture's size (two doublings after five halvings), so that their answer does not
    fit their mask; here the logits are enlarged to the picture.
    """

    def __init__(self, options: InceptionUnetOptions, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = InceptionV3(in_channels, padded=True, keras_pooling=options.keras_pooling)
        self.dropout = nn.Dropout2d(options.dropout)
        widths = (FEATURE_CHANNELS[-1], *options.decoder_channels)
        self.decoder = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        upright = images.transpose(2, 3)
        features = self.dropout(self.encoder(upright)[-1])
        for place, convolution in enumerate(self.decoder):
            if place:
                features = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = functional.relu(convolution(features))
        logits = functional.interpolate(self.head(features), size=upright.shape[2:], mode="bilinear")
        return self.in_image_axes(logits, images.shape[0])
