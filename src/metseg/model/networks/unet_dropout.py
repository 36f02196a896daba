"""U-Net with dropout, as used for brain metastases on UCSF-BMSR.

Paper: "A Deep Learning Framework for Personalized Brain Metastasis Prognosis and Diagnosis" (2024),
https://eudoxuspress.com/index.php/pub/article/view/1004. It publishes no code; each level is twice convolution, ReLU,
batch normalisation (in that order), then max-pooling and dropout; the way up is up-sampling, joining, dropout and the
same two convolutions; four levels above the bottom. Written for metseg, Apache-2.0.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from metseg.model.networks.layers import BATCH_NORM, CONVOLUTION, DROPOUT, MAX_POOL, upsample
from metseg.model.networks.network_options import UnetDropoutOptions


def build(options: UnetDropoutOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the U-Net with dropout."""
    return UNetDropout(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)


def _twice(in_channels: int, out_channels: int, dimensions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (in_channels, out_channels):
        layers += [
            CONVOLUTION[dimensions](width, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            BATCH_NORM[dimensions](out_channels),
        ]
    return nn.Sequential(*layers)


class UNetDropout(nn.Module):
    """See the module's text."""

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
