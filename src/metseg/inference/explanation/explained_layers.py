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
from metseg.model.networks.gated_unet import AttentionGate

#: Voxels of the trial image along each axis, before they are rounded up to the divisor.
TRIAL_SIDE = 64


def find_layer(network: SegmentationNetwork, name: str | None) -> tuple[str, nn.Module]:
    """Return a layer of a network and its name; None: the bottleneck.

    Args:
        network: on the CPU, in evaluation mode.
        name: dotted name of a module below the network's body.
    Raises:
        UsageError: ``usage.layer``, there is no such layer, or it returns no features.
    """
    layers = dict(network.body.named_modules())
    if name is None:
        name = bottleneck_name(network)
        return name, layers[name]
    if not name or name not in layers:
        near = difflib.get_close_matches(name, [layer for layer in layers if layer], n=3)
        raise UsageError(
            f"the network has no layer '{name}'",
            where="--layer",
            expected=f"such as {', '.join(near)}" if near else "the name of a module of the network",
            cure="leave --layer out for the bottleneck",
            code="usage.layer",
        )
    if name not in {found for found, _ in _features(network)}:
        raise UsageError(
            f"the layer '{name}' returns no features",
            where="--layer",
            expected="a layer that the network runs, and that returns one map per channel",
            cure="name a layer inside of it, or leave --layer out for the bottleneck",
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
    outputs = [(name, features) for name, features in _features(network) if min(features.shape[2:]) > 1]
    logits = outputs[-1][1] if outputs else None
    hidden = [
        ((features.shape[2:].numel(), -features.shape[1]), name)
        for name, features in outputs
        if name and features is not logits
    ]
    if not hidden:
        raise UsageError(
            "the network has no layer with features", where="--layer", cure="name a layer", code="usage.layer"
        )
    first = min(rank for rank, _ in hidden)
    return [name for rank, name in hidden if rank == first][-1]


def _features(network: SegmentationNetwork) -> list[tuple[str, Tensor]]:
    """Return name and output of each module that returns features of a trial image, as they end.

    The outputs are (1, C, *S), or have the network's own axes: see `SegmentationNetwork.in_image_axes`.
    """
    found: list[tuple[str, Tensor]] = []

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and network.in_image_axes(output, 1).ndim == network.dimensions + 2:
            found.append((name, output))

    image = torch.zeros(1, network.in_channels, *[TRIAL_SIDE] * network.dimensions)
    with _output_hooks(network.body, note), torch.no_grad():
        network(image)
    return found


def gates_of(network: SegmentationNetwork) -> Sequence[nn.Module]:
    """Return the modules that return the weights of attention gates, one per level; none for other networks."""
    from monai.networks.nets.attentionunet import AttentionBlock

    gates: list[nn.Module] = []
    for module in network.body.modules():
        if isinstance(module, AttentionBlock):
            gates.append(module.psi)
        elif isinstance(module, AttentionGate):
            gates.append(module)
    return gates


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
