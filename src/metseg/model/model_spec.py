"""`ModelSpec`: an entry of the table of architectures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metseg.recipe import Frozen, require_options_class

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelSpec:
    """One architecture family: how to build it, its options, and what it needs of its input.

    Args:
        build: called as ``build(options, in_channels=, out_channels=, dimensions=)``; returns the bare network, which
            takes (N, C, X, Y[, Z]) of a size divisible by ``divisor`` and returns logits (N, K, X, Y[, Z]), or, in
            training with deep supervision, a list of them, the finest first, coarser ones on their own smaller grid.
            A text "module:function" is imported when the network is built, so that the table needs no torch.
        options: the class of its options, and the only home of their defaults.
        dimensions: 2 for slices, 3 for volumes; what the family can do.
        source: the paper, as ``arXiv:...``, ``doi:...`` or its address.
        divisor: options to the number every side of the input must be a multiple of, or to one number per axis.
        keeps_slices: in volumes the third axis is never halved, so that any number of slices is accepted.
        initial_weights: names of options that point at files which are read before training only; a bundle holds the
            trained weights, so these options are set aside when one is loaded.
        inference_forms: options to the changes of options that make the trained network cheaper to run, the cheapest
            first, the whole network last; validation chooses among them. Empty: there is one form only.
        has_fixed_sizes: tracing writes the sides of the example image into the graph, which is then wrong at other
            sides, so the network is not exported.
        gates: options to the number of attention gates of the network; `metseg.inference.explanation` makes a map of
            each. None: it has none.
    """

    build: Callable[..., nn.Module] | str
    options: type[Frozen]
    dimensions: tuple[int, ...]
    source: str
    divisor: Callable[[Any], int | tuple[int, ...]]
    initial_weights: tuple[str, ...] = ()
    inference_forms: Callable[[Any], tuple[dict[str, Any], ...]] = lambda options: ()  # noqa: ARG005
    has_fixed_sizes: bool = False
    keeps_slices: bool = False
    gates: Callable[[Any], int] | None = None

    def __post_init__(self) -> None:
        require_options_class(self.options, entry="ModelSpec")

    def divisors(self, options: Frozen, dimensions: int) -> tuple[int, ...]:
        """Return the number that each side of the body's input must be a multiple of."""
        divisor = self.divisor(options)
        if not isinstance(divisor, int):
            return tuple(divisor)
        return (divisor, divisor, 1)[:dimensions] if self.keeps_slices else (divisor,) * dimensions
