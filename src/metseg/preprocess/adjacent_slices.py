"""Adjacent slices as additional input channels of a slice network.

Training reads them from the cache, prediction from the prepared image; both use the order defined here: all sequences
of slice ``z - n`` come first, then all of ``z - n + 1``, and so on up to ``z + n``. Channel ``n * C + c`` is sequence
``c`` of the slice itself. Beyond the ends of the volume, its last slice is repeated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.volume import Array


def neighbour_slices(z: int, neighbours: int, depth: int) -> npt.NDArray[np.int64]:
    """Return which slices stand for ``z - n .. z + n`` in a volume of ``depth`` slices.

    >>> neighbour_slices(1, 2, 4).tolist()
    [0, 0, 1, 2, 3]
    """
    return np.clip(np.arange(z - neighbours, z + neighbours + 1), 0, depth - 1)


def with_neighbours(image: Array, neighbours: int, first: int = 0, stop: int | None = None) -> Array:
    """Return slices of a volume, each with its neighbours: what a slice network takes as a batch.

    Args:
        image: (C, X, Y, Z).
        neighbours: n, how many slices on each side.
        first, stop: which slices, as in ``range``, as far as there are any; None: to the end. A few take little memory.
    Returns:
        (slices, C (2 n + 1), X, Y), C-contiguous, of the image's type; the order of the channels is said above.

    >>> with_neighbours(np.arange(3).reshape(1, 1, 1, 3), 1)[:, :, 0, 0].tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 2]]
    """
    channels, x, y, depth = image.shape
    chosen = range(depth)[first:stop]
    wanted = np.array([neighbour_slices(z, neighbours, depth) for z in chosen], dtype=np.int64)
    stacks = np.moveaxis(image[..., wanted.ravel()], -1, 0)
    return np.ascontiguousarray(stacks).reshape(len(chosen), channels * (2 * neighbours + 1), x, y)
