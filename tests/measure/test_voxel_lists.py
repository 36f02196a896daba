"""Voxels lesion by lesion against the functions that measure in the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.measure import (
    VoxelGroups,
    diameters_mm,
    instance_boxes,
    label_instances,
    lesion_centres,
    lesion_diameters_mm,
    lesion_voxels,
    voxel_groups,
)


def groups_of(instances: np.ndarray, count: int) -> VoxelGroups:
    voxels = np.nonzero(instances)
    return voxel_groups(voxels, instances[voxels], count)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.0, 0.02, 0.1, 0.5]))
def test_equals_what_is_measured_in_the_image(seed: int, density: float) -> None:
    generator = np.random.default_rng(seed)
    instances, count = label_instances(generator.random(generator.integers(1, 14, 3)) < density)
    groups = groups_of(instances, count)
    assert len(groups) == count
    assert groups.counts.tolist() == lesion_voxels(instances).tolist()
    assert groups.boxes == instance_boxes(instances)
    assert np.array_equal(groups.centres, lesion_centres(instances))
    assert np.array_equal(diameters_mm(groups.masks(), np.eye(4)), lesion_diameters_mm(instances, np.eye(4)))
    for number, (mask, box) in enumerate(zip(groups.masks(), groups.boxes, strict=True), start=1):
        assert np.array_equal(mask, instances[box] == number)


def test_several_lesions_in_a_box() -> None:
    instances = np.zeros((5, 6, 7), dtype=np.uint32)
    instances[1, 2, 3], instances[1, 2, 5], instances[4, 4, 4] = 3, 1, 2
    box = (slice(1, 5), slice(2, 6), slice(2, 6))
    assert np.array_equal(groups_of(instances, 3).mask([1, 2], box), np.isin(instances[box], [1, 2]))


def test_more_lesions_than_a_byte_can_number() -> None:
    instances = np.zeros((40, 40, 1), dtype=np.uint32)
    instances[::2, ::2] = np.random.default_rng(0).permutation(400).reshape(20, 20, 1) + 1
    groups = groups_of(instances, 400)
    assert groups.boxes == instance_boxes(instances)


def test_a_gap_in_the_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        groups_of(np.array([[[1, 3]]]), 3)
