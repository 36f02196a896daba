"""MedNeXt: a U-shaped network of ConvNeXt blocks: depthwise convolution, expansion, activation, compression.

Paper: Roy et al. 2023, "MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image Segmentation",
arXiv:2303.09975. Code: MONAI's `MedNeXt`, Apache-2.0. With deep supervision every level has a head, the coarsest one
included, as the authors train.

The paper's sizes, by ``blocks`` and ``expansion``: S, the defaults; B, (2, 3, 4, 4, 4, 4, 4, 3, 2) as expansion; M,
that and (3, 4, 4, 4, 4, 4, 4, 4, 3) as blocks; L, (3, 4, 8, 8, 8, 8, 8, 4, 3) as both.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model.networks.network_options import MednextOptions

_PerStage = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=3)]


def build(options: MednextOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return MONAI's MedNeXt."""
    from monai.networks.nets.mednext import MedNeXt

    depth = options.halvings
    network: nn.Module = MedNeXt(
        spatial_dims=dimensions,
        init_filters=options.width,
        in_channels=in_channels,
        out_channels=out_channels,
        encoder_expansion_ratio=options.expansion[:depth],
        decoder_expansion_ratio=options.expansion[depth + 1 :],
        bottleneck_expansion_ratio=options.expansion[depth],
        kernel_size=options.kernel,
        deep_supervision=options.deep_supervision,
        use_residual_connection=True,
        blocks_down=options.blocks[:depth],
        blocks_bottleneck=options.blocks[depth],
        blocks_up=options.blocks[depth + 1 :],
    )
    return network
