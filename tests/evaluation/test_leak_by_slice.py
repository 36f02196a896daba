"""``benchmarks/on_data/leak_by_slice.py``: what it counts, and what it compares on the same slices."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "on_data"))

from leak_by_slice import SIDES, differences, figures, shared_slices, slice_sums, table


def stack(*sizes: int) -> np.ndarray:
    """Return slices of 10 pixels; the given number of first pixels of each are lesion."""
    return np.stack([np.arange(10)[:, None] < size for size in sizes], axis=-1)


def test_figures_pool_voxels_or_average_slices() -> None:
    # Dice of the slices: 2*2/(4+2), 1 (both empty), 0 (one false pixel), 1.
    sums = slice_sums(stack(4, 0, 0, 2), stack(2, 0, 1, 2))
    means = [interval.mean for interval in figures({"a": sums}) if interval is not None]
    assert means == pytest.approx([2 * 4 / (6 + 5), (2 / 3 + 1) / 2, (2 / 3 + 1 + 0 + 1) / 4])


def test_only_slices_in_both_parts_are_shared() -> None:
    assert shared_slices({"a": (0, 1, 2), "b": (0,), "c": (4,)}, {"a": (2, 1, 7), "b": (3,)}) == {"a": (1, 2)}


def test_a_difference_is_of_the_same_patients_and_has_an_interval_over_them() -> None:
    first = {name: slice_sums(stack(4), stack(2)) for name in "abc"}
    second = {name: slice_sums(stack(4), stack(4)) for name in "cba"}
    pooled, *_ = differences(first, second)
    assert pooled is not None
    assert (pooled.mean, pooled.low, pooled.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert pooled.patients == 3


def test_the_table_marks_the_split_that_leaks() -> None:
    counts = {"a": slice_sums(stack(4), stack(2)), "b": slice_sums(stack(3, 1), stack(3, 0))}
    text = table({side: {"own": counts, "shared": counts} for side in SIDES})
    marked = [line for line in text.splitlines() if "leaks patients" in line]
    assert len(marked) == 2
    assert all(line.startswith("| by slice") for line in marked)
    assert text.splitlines()[-1].startswith("| the leak alone: difference on the shared slices | 0.000 ")
