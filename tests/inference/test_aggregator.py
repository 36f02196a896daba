"""What a network says, gathered piece by piece, is what it says of the whole: decided and brought back to the case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.inference.windows.aggregator import Aggregator
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import CLASSES, Outputs, region_outputs
from metseg.preprocess import check_steps
from metseg.preprocess.pipeline import restore, run_steps
from metseg.preprocess.prepared_case import Record, stack_case
from metseg.recipe import Named
from metseg.volume import Case, Volume

SHAPE = (14, 9, 7)


def records_of(*steps: Named) -> tuple[tuple[int, ...], tuple[Record, ...]]:
    """Return the grid and the records of a case after spatial steps."""
    image = np.zeros(SHAPE, np.float32)
    image[3:12, 2:8] = np.random.default_rng(0).uniform(1, 2, (9, 6, 7))
    prepared = run_steps(stack_case(Case("c", "p", {"t1c": Volume(image)})), check_steps(steps), where="c")
    return prepared.grid, prepared.records


def gathered(chances: np.ndarray, outputs: Outputs, records: tuple[Record, ...], *, axis: int, step: int):
    whole = Aggregator(
        chances.shape[1:],
        channels=len(chances),
        outputs=outputs,
        records=records,
        threshold=0.5,
        dtype=np.float32,
    )
    for start in range(0, chances.shape[1 + axis], step):
        piece = np.take(chances, range(start, min(start + step, chances.shape[1 + axis])), axis=1 + axis)
        whole.put(torch.from_numpy(np.ascontiguousarray(piece)), axis=axis, start=start)
    return whole.restored()


def softmax(shape: tuple[int, ...], classes: int) -> np.ndarray:
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(classes, *shape)).astype(np.float32))
    return torch.softmax(2 * logits, dim=0).numpy()


@pytest.mark.parametrize(("axis", "step"), [(0, 4), (2, 3), (0, 100)])
def test_moved_voxels_are_decided_where_they_were(axis, step):
    grid, records = records_of(Named(name="crop_to_head", options={"margin": 1}))
    chances = softmax(grid, 4)
    indices, lesion = gathered(chances, CLASSES, records, axis=axis, step=step)
    best = np.where(1 - chances[0] >= 0.5, chances[1:].argmax(axis=0) + 1, 0).astype(np.uint8)
    np.testing.assert_array_equal(indices, restore(best, records))
    np.testing.assert_allclose(lesion, restore(1 - chances[:1], records)[0], atol=1e-6)
    assert indices.shape == SHAPE


def test_resampled_probabilities_are_interpolated_before_they_are_decided_on():
    grid, records = records_of(Named(name="resize", options={"size": [7, 5]}))
    chances = softmax(grid, 3)
    indices, lesion = gathered(chances, CLASSES, records, axis=0, step=3)
    finer = np.stack([restore(one[None], records)[0] for one in chances])
    assert finer.shape[1:] == SHAPE
    wanted = np.where(finer[1:].sum(axis=0) >= 0.5, finer[1:].argmax(axis=0) + 1, 0)
    np.testing.assert_array_equal(indices, wanted)
    np.testing.assert_allclose(lesion, finer[1:].sum(axis=0), atol=1e-6)


def test_regions_are_painted_from_the_largest_to_the_smallest():
    outputs = region_outputs(LABEL_SCHEMES["brats-met-2023"])  # whole tumour, core, enhancing
    chances = np.array([[0.2, 0.9, 0.9, 0.9], [0.1, 0.4, 0.8, 0.8], [0.0, 0.1, 0.3, 0.7]], dtype=np.float32)
    indices, lesion = gathered(chances.reshape(3, 4, 1, 1), outputs, (), axis=0, step=2)
    assert indices.ravel().tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(lesion.ravel(), [0.2, 0.9, 0.9, 0.9])
