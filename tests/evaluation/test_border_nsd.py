"""Border voxels and their agreement, against medpy's distances and a plain implementation with scipy's erosion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric import binary as medpy
from scipy import ndimage

from metseg.evaluation.metrics.border_nsd import border_dice, border_voxels

#: The challenge's own; outside of a class, the name is not mangled.
medpy_distances = vars(medpy)["__surface_distances"]


def plain_border(mask: np.ndarray) -> np.ndarray:
    """Return the border as medpy finds it: the mask without its erosion by the six neighbours."""
    return mask & ~ndimage.binary_erosion(mask, structure=ndimage.generate_binary_structure(3, 1), iterations=1)


def plain_share(start: np.ndarray, goal: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> float:
    distances = ndimage.distance_transform_edt(~plain_border(goal), sampling=spacing)[plain_border(start)]
    return float((distances <= tolerance * (1 + 1e-6)).mean())  # as `metseg.evaluation.metrics.surface_distance.within`


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(
        0, 2**32 - 1
    ),  # No multiple of a spacing is a tolerance: which side of it a rounded distance falls is nobody's fault.
    spacing=st.tuples(*[st.floats(0.2, 5).map(lambda mm: round(mm, 3) + 0.00037)] * 3),
    tolerance=st.sampled_from([0.5, 1.0]),
)
def test_equals_the_plain_implementation(seed: int, spacing: tuple[float, float, float], tolerance: float) -> None:
    generator = np.random.default_rng(seed)
    shape = generator.integers(1, 12, 3)
    truth, prediction = (generator.random(shape) < 0.6 for _ in range(2))
    truth.flat[0] = prediction.flat[-1] = True
    assert np.array_equal(border_voxels(truth), np.argwhere(plain_border(truth)))
    expected = (
        plain_share(truth, prediction, spacing, tolerance) + plain_share(prediction, truth, spacing, tolerance)
    ) / 2
    assert border_dice(truth, prediction, spacing, tolerance) == pytest.approx(expected, abs=1e-12)


def test_by_hand_and_empty() -> None:
    truth = np.zeros((6, 3, 3), dtype=bool)
    truth[1:3, 1, 1] = True
    prediction = np.zeros_like(truth)
    prediction[2, 1, 1] = True
    # of the truth's two border voxels one is met; the prediction's only one is met
    assert border_dice(truth, prediction, (1.0, 1.0, 1.0), 0.5) == pytest.approx(0.75)
    assert border_dice(truth, prediction, (1.0, 1.0, 1.0), 1.0) == 1.0
    nothing = np.zeros_like(truth)
    assert border_dice(nothing, nothing, (1.0, 1.0, 1.0), 1.0) == 1.0
    assert border_dice(truth, nothing, (1.0, 1.0, 1.0), 1.0) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    # No multiple of a spacing is a tolerance: which side of it a rounded distance falls is nobody's fault.
    spacing=st.tuples(*[st.floats(0.2, 5).map(lambda mm: round(mm, 3) + 0.00037)] * 3),
    tolerance=st.sampled_from([0.5, 1.0, 2.0]),
    rough=st.booleans(),
)
def test_equals_medpys_distances(seed: int, spacing: tuple[float, float, float], tolerance: float, rough: bool) -> None:
    generator = np.random.default_rng(seed)
    shape = generator.integers(2, 12, 3)
    fields = [generator.normal(size=shape) for _ in range(2)]
    fields = fields if rough else [ndimage.gaussian_filter(field, 1.5) for field in fields]
    truth, prediction = (field >= np.quantile(field, generator.choice([0.3, 0.8, 0.97])) for field in fields)
    there, back = (medpy_distances(*pair, spacing, 1) for pair in ((truth, prediction), (prediction, truth)))
    expected = ((there <= tolerance).mean() + (back <= tolerance).mean()) / 2
    assert border_dice(truth, prediction, spacing, tolerance) == pytest.approx(expected, abs=1e-6)
