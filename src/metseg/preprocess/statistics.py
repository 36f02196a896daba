"""Over which voxels the statistics of a normalisation are taken: one slice or the case, tissue or everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metseg.preprocess.head import head_mask
from metseg.preprocess.prepared import Prepared
from metseg.recipe import Frozen
from metseg.volume import Array

Float32 = npt.NDArray[np.float32]


class Scope(Frozen):
    """Options shared by the steps that take statistics. Every channel is always treated on its own."""

    #: slice: each picture by itself, as a single picture would be; case: one set of statistics per case.
    scope: Literal["slice", "case"] = "case"
    #: head: tissue only (see `head_mask`); all: every voxel.
    region: Literal["head", "all"] = "head"

    @property
    def wants_head(self) -> bool:
        return self.region == "head"

    @property
    def wants_case(self) -> bool:
        """Return whether a slice's result depends on its neighbours; the head is found in the whole case."""
        return self.scope == "case" or self.region == "head"


def tissue(prepared: Prepared) -> npt.NDArray[np.bool_]:
    """Return (X, Y, Z) bool: the head as seen before any step, or else as the image shows it now."""
    return head_mask(prepared.image) if prepared.head is None else prepared.head


def parts(prepared: Prepared, scope: Scope) -> Iterator[tuple[tuple[Any, ...], Array]]:
    """Yield, channel by channel, an index into the image and the (N,) values there that count for statistics."""
    head = tissue(prepared) if scope.region == "head" else None
    for channel in range(len(prepared.image)):
        if scope.scope == "case":
            values = prepared.image[channel]
            yield (channel,), values.ravel() if head is None else values[head]
            continue
        for z in range(prepared.grid[2]):
            values = prepared.image[channel, :, :, z]
            yield (channel, slice(None), slice(None), z), values.ravel() if head is None else values[head[:, :, z]]


def normalised(
    prepared: Prepared, scope: Scope, function: Callable[[Float32, Array], Float32 | None]
) -> tuple[Float32, int]:
    """Return the image with ``function`` applied to each part, and in how many parts it could not be.

    Args:
        prepared: not changed.
        scope: how the image is divided.
        function: takes a part as float32 and the values that count, at least two of them different; None: cannot.
    Returns:
        (C, X, Y, Z) float32, zero in the parts that are constant or without tissue; the number of those parts.
    """
    out = np.zeros(prepared.image.shape, dtype=np.float32)
    flat = 0
    for index, values in parts(prepared, scope):
        result = None
        if values.size and values.min() < values.max():
            result = function(prepared.image[index].astype(np.float32), values)
        if result is None:
            flat += 1
        else:
            out[index] = result
    return out, flat


def flat_warnings(step: str, flat: int, scope: Scope) -> tuple[str, ...]:
    """Return the warning that parts of the image held nothing to normalise by."""
    if not flat:
        return ()
    what = "channel(s)" if scope.scope == "case" else "slice(s), counted per channel,"
    where = "no contrast within the head" if scope.region == "head" else "one value throughout"
    return (f"{step}: {flat} {what} with {where}; set to zero",)
