"""A data loader that starts an epoch with its first batch, not before."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import DataLoader

from metseg.dataset.samples import Batch


class EpochLoader(DataLoader[Batch]):
    """A PyTorch loader that asks its plan for nothing until the first batch is wanted.

    Lightning makes the iterator of a resumed training first and says which epoch it is afterwards; PyTorch's own
    iterator sends the first batches to its processes at once, and these would be of the wrong epoch.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()
