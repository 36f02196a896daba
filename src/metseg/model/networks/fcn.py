"""FCN-8s: a VGG-like classifier made convolutional; two shallower predictions refine its output.

Paper: Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038,
Section 4.2 and Fig. 3. Reference code: fcn.berkeleyvision.org (BSD-2-Clause); rewritten for metseg, Apache-2.0.
Batch normalisation is added: without a pretrained VGG16, the thirteen convolutions hardly train.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from metseg.model.networks.layers import ConvNormAct
from metseg.model.networks.network_options import FcnOptions

#: Convolutions of VGG16's five stages, and their width in multiples of the first stage's (64 in VGG16).
_CONVOLUTIONS = (2, 2, 3, 3, 3)
_WIDTHS = (1, 2, 4, 8, 8)


def build(options: FcnOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:  # noqa: ARG001
    """Return FCN-8s."""
    return FCN8s(options, in_channels=in_channels, out_channels=out_channels)


class FCN8s(nn.Module):
    """See the module's text."""

    def __init__(self, options: FcnOptions, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [options.width * multiple for multiple in _WIDTHS]
        self.stages = nn.ModuleList(
            _stage(before, after, count)
            for (before, after), count in zip(pairwise((in_channels, *widths)), _CONVOLUTIONS, strict=True)
        )
        hidden = options.classifier_channels
        self.classifier = nn.Sequential(
            ConvNormAct(widths[4], hidden, dimensions=2, kernel_size=7),
            nn.Dropout2d(options.dropout),
            ConvNormAct(hidden, hidden, dimensions=2, kernel_size=1),
            nn.Dropout2d(options.dropout),
            nn.Conv2d(hidden, out_channels, 1),
        )
        self.score_16 = _zeroed(nn.Conv2d(widths[3], out_channels, 1))
        self.score_8 = _zeroed(nn.Conv2d(widths[2], out_channels, 1))
        self.double_32 = _bilinear_doubling(out_channels)
        self.double_16 = _bilinear_doubling(out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images
        pooled: list[torch.Tensor] = []
        for stage in self.stages:
            features = stage(features)
            pooled.append(features)
        _, _, eighth, sixteenth, thirty_second = pooled
        logits = self.double_32(self.classifier(thirty_second)) + self.score_16(sixteenth)
        logits = self.double_16(logits) + self.score_8(eighth)
        # "Final layer deconvolutional filters are fixed to bilinear interpolation."
        return functional.interpolate(logits, scale_factor=8, mode="bilinear", align_corners=False)


def _stage(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    widths = [in_channels] + [out_channels] * count
    return nn.Sequential(
        *(ConvNormAct(before, after, dimensions=2) for before, after in pairwise(widths)), nn.MaxPool2d(2)
    )


def _zeroed(score: nn.Conv2d) -> nn.Conv2d:
    """Return a scoring layer that begins at zero, so that the coarse answer is learnt first (Section 4.2)."""
    nn.init.zeros_(score.weight)
    if score.bias is not None:
        nn.init.zeros_(score.bias)
    return score


def _bilinear_doubling(channels: int) -> nn.ConvTranspose2d:
    """Return a learnt up-sampling by 2 that begins as bilinear interpolation: kernel (1, 3, 3, 1) / 4 on both axes."""
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            layer.weight[channel, channel] = torch.outer(line, line)
    return layer
