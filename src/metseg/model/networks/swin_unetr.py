"""Swin UNETR: a shifted-window transformer as the encoder of a U-shaped network.

Paper: Hatamizadeh et al. 2022, "Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI Images",
arXiv:2201.01266. Code: MONAI's `SwinUNETR`, Apache-2.0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model.networks.network_options import SwinUnetrOptions

_Four = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=4, max_length=4)]


def build(options: SwinUnetrOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
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
