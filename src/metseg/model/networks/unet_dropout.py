"""U-Net with dropout, as used for brain metastases on UCSF-BMSR.

Paper: "A Deep Learning Framework for Personalized Brain Metastasis Prognosis and Diagnosis" (2024),
https://eudoxuspress.com/index.php/pub/article/view/1004. It publishes no code; each level is twice convolution, ReLU,
batch normalisation (in that order), then max-pooling and dropout; the way up is up-sampling, joining and the same two
convolutions; four levels above the bottom. Its algorithm joins level l with D(l-1), the pooled and dropped features
that enter that level; its text speaks of the encoder's features of high resolution, which is the U-Net of 2015. Both
forms are here (`UnetDropoutOptions.form`). Written for metseg, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn

from metseg.model.networks.layers import (
    BATCH_NORM,
    CONVOLUTION,
    DROPOUT,
    MAX_POOL,
    UPSAMPLED_CONVOLUTION,
    TwoInputSequential,
    upsample,
)
from metseg.model.networks.network_options import UnetDropoutOptions


def build(options: UnetDropoutOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the U-Net with dropout."""
    family = UNetDropoutPrinted if options.form == "printed" else UNetDropout
    return family(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)


def _twice(in_channels: int, out_channels: int, dimensions: int) -> nn.Sequential:
    return nn.Sequential(*_layers(in_channels, out_channels, dimensions))


def _layers(
    in_channels: int, out_channels: int, dimensions: int, *, first: Mapping[int, type[nn.Module]] = CONVOLUTION
) -> list[nn.Module]:
    """Return the layers of a level; ``first`` is the kind of its first convolution."""
    layers: list[nn.Module] = []
    for width, kind in ((in_channels, first), (out_channels, CONVOLUTION)):
        layers += [
            kind[dimensions](width, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            BATCH_NORM[dimensions](out_channels),
        ]
    return layers


class UNetDropout(nn.Module):
    """Skips hold the features of each level; dropout after each halving and each join."""

    def __init__(self, options: UnetDropoutOptions, *, in_channels: int, out_channels: int, dimensions: int) -> None:
        super().__init__()
        channels = options.channels
        self.down = nn.ModuleList(
            _twice(before, after, dimensions) for before, after in pairwise((in_channels, *channels))
        )
        self.pool = nn.Sequential(MAX_POOL[dimensions](2), DROPOUT[dimensions](options.dropout))
        self.dropout = DROPOUT[dimensions](options.dropout)
        self.up = nn.ModuleList(
            _twice(deep + shallow, shallow, dimensions) for shallow, deep in reversed(list(pairwise(channels)))
        )
        self.head = CONVOLUTION[dimensions](channels[0], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.down[0](images)
        skips: list[torch.Tensor] = []
        for block in list(self.down)[1:]:
            skips.append(features)
            features = block(self.pool(features))
        for block in self.up:
            skip = skips.pop()
            features = block(self.dropout(torch.cat([upsample(features, skip), skip], dim=1)))
        logits: torch.Tensor = self.head(features)
        return logits


class UNetDropoutPrinted(nn.Module):
    """The paper's algorithm: skips hold what enters each level; dropout after each halving."""

    def __init__(self, options: UnetDropoutOptions, *, in_channels: int, out_channels: int, dimensions: int) -> None:
        super().__init__()
        levels = list(pairwise((in_channels, *options.channels)))
        self.down = nn.ModuleList(_twice(before, after, dimensions) for before, after in levels)
        self.pool = nn.Sequential(MAX_POOL[dimensions](2), DROPOUT[dimensions](options.dropout))
        deeper = options.channels[1:]
        self.up = nn.ModuleList(
            TwoInputSequential(*_layers(deep + entering, width, dimensions, first=UPSAMPLED_CONVOLUTION))
            for (entering, width), deep in reversed(list(zip(levels[:-1], deeper, strict=True)))
        )
        self.head = CONVOLUTION[dimensions](options.channels[0], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images
        skips: list[torch.Tensor] = []
        for block in list(self.down)[:-1]:
            skips.append(features)
            features = self.pool(block(features))
        features = self.down[-1](features)
        for block in self.up:
            features = block(features, skips.pop())
        logits: torch.Tensor = self.head(features)
        return logits
