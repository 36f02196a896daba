"""Plain convolutional baseline: a stack of 3x3 convolutions at full resolution, no halving, no skips.

Paper: Pereira et al. 2016, "Brain Tumor Segmentation Using Convolutional Neural Networks in MRI Images",
doi:10.1109/TMI.2016.2538465 (small kernels, stacked), made fully convolutional; the "CNN" that papers on metastases
compare with. Written for metseg, Apache-2.0. Its receptive field is small, so it shows how much context helps.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from metseg.model.networks.layers import CONVOLUTION, DROPOUT, ConvNormAct
from metseg.model.networks.network_options import CnnOptions


def build(options: CnnOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the plain network."""
    convolutions = [
        ConvNormAct(before, after, dimensions=dimensions, norm=options.norm)
        for before, after in pairwise((in_channels, *options.channels))
    ]
    return nn.Sequential(
        *convolutions,
        DROPOUT[dimensions](options.dropout),
        CONVOLUTION[dimensions](options.channels[-1], out_channels, 1),
    )
