"""MedNeXt: a U-shaped network of ConvNeXt blocks, depthwise convolutions that widen, act and narrow.

Paper: Roy et al. 2023, "MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image Segmentation",
arXiv:2303.09975. Code: MONAI's `MedNeXt`, Apache-2.0. With deep supervision every level has a head, the coarsest one
included, as the authors train.

The paper's sizes, by ``blocks`` and ``expansion``: S, the defaults; B, (2, 3, 4, 4, 4, 4, 4, 3, 2) as expansion; M,
that and (3, 4, 4, 4, 4, 4, 4, 4, 3) as blocks; L, (3, 4, 8, 8, 8, 8, 8, 4, 3) as both.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from metseg.recipe import Frozen

_PerStage = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=3)]


class Options(Frozen):
    """Options of MedNeXt."""

    #: Channels of the finest level; each level doubles them.
    width: Annotated[int, Field(gt=0)] = 32
    #: Blocks of each stage: down, the bottom, and up again.
    blocks: _PerStage = (2,) * 9
    #: By how much each stage's blocks widen.
    expansion: _PerStage = (2,) * 9
    kernel: Literal[3, 5, 7] = 3
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _down_bottom_up(self) -> Self:
        if len(self.blocks) != len(self.expansion) or len(self.blocks) % 2 == 0:
            raise ValueError("blocks and expansion name as many stages up as down and the bottom between, both alike")
        return self

    @property
    def halvings(self) -> int:
        return len(self.blocks) // 2


def divisor(options: Options) -> int:
    """Return what the sides of the input must be a multiple of: each stage down halves them."""
    return int(2**options.halvings)


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
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
