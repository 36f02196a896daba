"""Swin UNETR: a shifted-window transformer as the encoder of a U-shaped network.

Paper: Hatamizadeh et al. 2022, "Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI Images",
arXiv:2201.01266. Code: MONAI's `SwinUNETR`, Apache-2.0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model.networks.layers import Dropout
from metseg.recipe import Frozen

_Four = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=4, max_length=4)]


class Options(Frozen):
    """Options of Swin UNETR; the paper's volume network has feature size 48."""

    #: Channels of the first stage, a multiple of 12: each stage's channels are shared among 3, 6, 12 and 24 heads.
    feature_size: Annotated[int, Field(gt=0, multiple_of=12)] = 24
    #: Transformer blocks of each stage.
    depths: _Four = (2, 2, 2, 2)
    window_size: Annotated[int, Field(gt=1)] = 7
    dropout: Dropout = 0.0
    attention_dropout: Dropout = 0.0
    drop_path: Dropout = 0.0
    #: Recompute activations in the backward pass: less memory, more time.
    checkpointing: bool = False


def divisor(options: Options) -> int:  # noqa: ARG001 (the same for all)
    """Return what the sides of the input must be a multiple of: patches of 2, then four mergings."""
    return 32


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return MONAI's Swin UNETR."""
    from monai.networks.nets.swin_unetr import SwinUNETR

    network: nn.Module = SwinUNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=options.feature_size,
        depths=options.depths,
        window_size=options.window_size,
        drop_rate=options.dropout,
        attn_drop_rate=options.attention_dropout,
        dropout_path_rate=options.drop_path,
        use_checkpoint=options.checkpointing,
        spatial_dims=dimensions,
    )
    return network
