"""`Sample` and `Batch` of slices or patches, and the interface of a set of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from metseg.dataset.sampling_plan import Draw


class Sample(NamedTuple):
    """One slice or patch: image (C, X, Y[, Z]) float32, labels (X, Y[, Z]) uint8 class indices, and its case."""

    image: Tensor
    labels: Tensor
    case: int


class Batch(NamedTuple):
    """Several of them: image (N, C, X, Y[, Z]) float32, labels (N, X, Y[, Z]) uint8 class indices, case (N,) int64."""

    image: Tensor
    labels: Tensor
    case: Tensor


class TrainingSet(Protocol):
    """What is drawn from by a `BatchPlan`."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Draw) -> Sample: ...

    def has_lesion(self) -> npt.NDArray[np.bool_]:
        """Return (N,) bool: which items hold lesion, without reading them."""

    def largest_shape(self) -> tuple[int, ...]:
        """Return (C, X, Y[, Z]): what every image fits into."""


class ValidationSet(Protocol):
    """What is gone through by number, always the same."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: int) -> Sample: ...

    def shapes(self) -> list[tuple[int, ...]]:
        """Return (X, Y[, Z]) of each sample, without reading it."""


def collate(samples: Sequence[Sample]) -> Batch:
    """Return samples as a batch; smaller ones are padded at the end with their edge values and background labels.

    Sizes differ only where a recipe neither resizes nor crops; the network itself takes any size.
    """
    size = [max(sample.labels.shape[axis] for sample in samples) for axis in range(samples[0].labels.ndim)]
    grown = [_grow(sample, size) for sample in samples]
    return Batch(
        torch.stack([sample.image for sample in grown]),
        torch.stack([sample.labels for sample in grown]),
        torch.tensor([sample.case for sample in grown]),
    )


def _grow(sample: Sample, size: Sequence[int]) -> Sample:
    missing = [wanted - have for wanted, have in zip(size, sample.labels.shape, strict=True)]
    if not any(missing):
        return sample
    after = [amount for gap in reversed(missing) for amount in (0, gap)]
    return Sample(pad(sample.image[None], after, mode="replicate")[0], pad(sample.labels, after), sample.case)
