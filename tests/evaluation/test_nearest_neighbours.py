"""Nearest points against all pairs: next door, by the tree, and by the map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from metseg.evaluation.metrics import nearest_neighbours
from metseg.evaluation.metrics.nearest_neighbours import nearest_points

spacings = st.tuples(*[st.sampled_from([0.1, 0.7, 1.0, 5.0])] * 3)


def grid_points(generator: np.random.Generator, *, low: int, high: int, number: int) -> np.ndarray:
    """Return different grid points between two numbers along every axis."""
    return generator.permutation(np.unique(generator.integers(low, high, (number, 3)), axis=0))


def check(start: np.ndarray, goal: np.ndarray, spacing: tuple[float, float, float]) -> None:
    distances, which = nearest_points(start, goal, spacing)
    expected = cdist(start * np.array(spacing), goal * np.array(spacing)).min(axis=1)
    assert np.allclose(distances, expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(np.linalg.norm((goal[which] - start) * np.array(spacing), axis=1), expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spacing=spacings, shift=st.sampled_from([0, 3, 40]))
def test_equals_all_pairs(seed: int, spacing: tuple[float, float, float], shift: int) -> None:
    """Points among each other, partly beside each other, and far away, of negative coordinates too."""
    generator = np.random.default_rng(seed)
    start = grid_points(generator, low=-6, high=12, number=int(generator.integers(1, 300)))
    goal = grid_points(generator, low=-4, high=9, number=int(generator.integers(1, 300))) + shift
    check(start, goal, spacing)


def test_in_several_parts_and_with_points_next_door_and_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "_POINTS_AT_ONCE", 7)
    generator = np.random.default_rng(0)
    goal = grid_points(generator, low=0, high=20, number=400)
    start = np.concatenate([goal[:50], goal[50:90] + np.array([0, 1, 2]), goal[:40] + 9])
    found = nearest_neighbours._next_door(start, goal, (1.0, 1.0, 2.0))
    assert (found[:50] == np.arange(50)).all()
    assert 0 < (found < 0).sum() < len(start)
    check(start, goal, (1.0, 1.0, 2.0))


def test_a_distance_map_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "_TREE_LIMIT", 0)
    generator = np.random.default_rng(5)
    start, goal = (grid_points(generator, low=low, high=12, number=200) for low in (-3, 2))
    check(start, goal, (0.7, 1.3, 2.9))


@settings(max_examples=30, deadline=None)
@given(spacing=spacings)
def test_no_step_left_out_is_shorter(spacing: tuple[float, float, float]) -> None:
    steps = nearest_neighbours._shortest_steps(spacing)
    lengths = np.linalg.norm(steps * np.array(spacing), axis=1)
    every = np.stack(np.meshgrid(*[np.arange(-80, 81)] * 2, [0]), axis=-1).reshape(-1, 3)
    every = np.concatenate([np.roll(every, turn, axis=1) for turn in range(3)])
    shorter = np.unique(every[np.linalg.norm(every * np.array(spacing), axis=1) < lengths[-1] * (1 - 1e-9)], axis=0)
    assert {tuple(step) for step in shorter} <= {tuple(step) for step in steps}
    assert (np.diff(lengths) > -1e-12).all()
