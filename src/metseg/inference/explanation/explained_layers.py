"""Layers of a network that are explained: the bottleneck by default, and attention gates."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from metseg.errors import UsageError
from metseg.model import SegmentationNetwork

#: Voxels of the trial image along each axis, before they are rounded up to the divisor.
TRIAL_SIDE = 64


def find_layer(network: SegmentationNetwork, name: str | None) -> tuple[str, nn.Module]:
    """Return a layer of a network and its name; None: the bottleneck.

    Raises:
        UsageError: ``usage.layer``, there is no such layer.
    """
    layers = dict(network.body.named_modules())
    if name is None:
        name = bottleneck_name(network)
    if not name or name not in layers:
        near = difflib.get_close_matches(name, [layer for layer in layers if layer], n=3)
        raise UsageError(
            f"the network has no layer '{name}'",
            where="--layer",
            expected=f"such as {', '.join(near)}" if near else "the name of a module of the network",
            cure="leave --layer out for the bottleneck",
            code="usage.layer",
        )
    return name, layers[name]


def bottleneck_name(network: SegmentationNetwork) -> str:
    """Return the name of the bottleneck: the layer that ends the coarsest level, found by running a trial image.

    Of the modules with the fewest voxels in their output, and of these with the most channels, it is the last one to
    end, which is the outermost: a decoder often begins by reducing the channels. The logits do not count, so that a
    network without coarser levels is explained by a hidden layer.

    Raises:
        UsageError: ``usage.layer``, no module returns features.
    """
    outputs: list[tuple[int, str, Tensor]] = []

    def note(name: str, features: Any) -> None:
        if isinstance(features, Tensor) and features.ndim == network.dimensions + 2 and min(features.shape[2:]) > 1:
            outputs.append((features.shape[2:].numel(), name, features))

    image = torch.zeros(1, network.in_channels, *[TRIAL_SIDE] * network.dimensions)
    with _output_hooks(network.body, note), torch.no_grad():
        network(image)
    logits = outputs[-1][2] if outputs else None
    hidden = [
        ((voxels, -features.shape[1]), name) for voxels, name, features in outputs if name and features is not logits
    ]
    if not hidden:
        raise UsageError(
            "the network has no layer with features", where="--layer", cure="name a layer", code="usage.layer"
        )
    first = min(rank for rank, _ in hidden)
    return [name for rank, name in hidden if rank == first][-1]


def gates_of(network: SegmentationNetwork) -> Sequence[nn.Module]:
    """Return the modules with the outputs of the attention gates, the finest level first; none for other networks."""
    from monai.networks.nets.attentionunet import AttentionBlock

    # The outermost layer, which is the finest level, comes first.
    return [module.psi for module in network.body.modules() if isinstance(module, AttentionBlock)]


@contextmanager
def _output_hooks(body: nn.Module, note: Any) -> Iterator[None]:
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in body.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
