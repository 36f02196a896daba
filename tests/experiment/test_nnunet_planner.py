"""nnU-Net's rules, against plans that nnU-Net printed for public data sets, and by hand."""

from __future__ import annotations

import math

import pytest

from metseg.errors import ResourceError
from metseg.experiment.nnunet_planner import (
    NETWORKS,
    fit_batch,
    fit_patch,
    make_levels,
    median_shape,
    plan_topology,
    target_spacing,
)

PLAIN, RESIDUAL = NETWORKS["dynunet"], NETWORKS["resenc_unet"]


def test_hippocampus_is_planned_as_nnunet_plans_it() -> None:
    # Medical Segmentation Decathlon, Task 4, 260 cases; nnU-Net's issue 148 shows batch 9, patch 40 x 56 x 40, 3 pools.
    plan = plan_topology([(1.0, 1.0, 1.0)] * 260, [(35, 50, 36)] * 260, network=PLAIN, outputs=3)
    assert plan.patch_size == (40, 56, 40)
    assert plan.batch_size == 9
    assert plan.levels.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert plan.levels.kernels == ((3, 3, 3),) * 4
    assert plan.levels.channels == (32, 64, 128, 256)
    assert plan.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("spacing", "shape", "patch"),
    [
        # What nnU-Net 2 prints while it looks for a low resolution, issues 1768 and 2094: z, y, x.
        ((1.545, 0.80669916, 0.80669916), (139, 497, 497), (56, 224, 192)),
        ((1.28232938, 0.80871094, 0.80871094), (245, 497, 497), (80, 192, 160)),
    ],
)
def test_patches_are_those_that_nnunet_prints(
    spacing: tuple[float, ...], shape: tuple[float, ...], patch: tuple[int, ...]
) -> None:
    _, found, size = fit_patch(spacing, shape, network=PLAIN, memory_gb=8, outputs=2)
    assert found == patch
    assert size <= PLAIN.reference


def test_thick_slices_are_halved_and_convolved_in_plane_first() -> None:
    # 3.6 mm slices of 0.625 mm pixels: 5.76 times as thick, then 2.88, then 1.44 (below two: convolved and halved).
    levels, patch = make_levels((0.625, 0.625, 3.6), (320, 256, 20))
    assert levels.strides[:4] == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2))
    assert levels.kernels[:3] == ((3, 3, 1), (3, 3, 1), (3, 3, 3))
    assert levels.divisor == (64, 64, 4)
    assert patch == (320, 256, 20)
    assert levels.channels == (32, 64, 128, 256, 320, 320, 320)


def test_plain_feature_maps_by_hand() -> None:
    levels, patch = make_levels((1, 1, 1), (16, 16, 16))
    assert (patch, levels.channels) == ((16, 16, 16), (32, 64, 128))
    down = 2 * (32 * 16**3 + 64 * 8**3 + 128 * 4**3)
    up = 3 * (32 * 16**3 + 64 * 8**3)
    assert PLAIN.feature_maps(patch, levels, 4) == down + up + 4 * 16**3


def test_residual_feature_maps_by_hand() -> None:
    levels, patch = make_levels((1, 1, 1), (16, 16, 16))
    stem = 32 * 16**3
    down = 2 * 32 * 16**3 + (2 * 3 + 1) * 64 * 8**3 + (2 * 4 + 1) * 128 * 4**3
    up = 2 * (32 * 16**3 + 64 * 8**3)
    assert RESIDUAL.feature_maps(patch, levels, 4) == stem + down + up + 4 * 16**3


def test_the_target_is_the_median_spacing() -> None:
    spacings = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (0.5, 0.5, 5.0)]
    assert target_spacing(spacings, [(200, 200, 150)] * 3) == (1.0, 1.0, 2.0)


def test_thick_slices_are_resampled_to_the_thinner_ones() -> None:
    spacings = [(0.5, 0.5, 3.0 + 0.1 * case) for case in range(11)]
    assert target_spacing(spacings, [(300, 300, 30)] * 11) == pytest.approx((0.5, 0.5, 3.1))
    # As many slices as rows: not thick in nnU-Net's sense.
    assert target_spacing(spacings, [(300, 300, 150)] * 11) == pytest.approx((0.5, 0.5, 3.5))
    thin = [(0.5, 0.5, 0.2)] * 2 + [(0.5, 0.5, 4.0)] * 9
    assert target_spacing(thin, [(300, 300, 30)] * 11) == pytest.approx((0.5, 0.5, 0.5))


def test_shapes_follow_the_spacing() -> None:
    assert median_shape([(1, 1, 2), (1, 1, 1), (2, 2, 1)], [(10, 10, 5)] * 3, (1, 1, 1)) == (10, 10, 5)
    assert median_shape([(0.5, 0.5, 3)], [(300, 301, 40)], (1, 1, 1)) == (150, 150, 120)


def test_a_plan_does_not_depend_on_the_order_of_axes() -> None:
    usual = plan_topology([(0.5, 0.5, 5.0)] * 20, [(320, 400, 30)] * 20, network=PLAIN)
    turned = plan_topology([(5.0, 0.5, 0.5)] * 20, [(30, 320, 400)] * 20, network=PLAIN)
    assert turned.patch_size == (usual.patch_size[2], *usual.patch_size[:2])
    assert turned.levels.strides == tuple((z, x, y) for x, y, z in usual.levels.strides)
    assert usual.levels.kernels[0] == (3, 3, 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_more_memory_makes_larger_patches_that_still_fit(network: str) -> None:
    rules = NETWORKS[network]
    sizes = []
    for memory_gb in (2, 4, 8, 24):
        levels, patch, maps = fit_patch((1, 1, 1), (140, 171, 137), network=rules, memory_gb=memory_gb, outputs=4)
        assert maps <= rules.reference * memory_gb / 8
        assert all(side % multiple == 0 for side, multiple in zip(patch, levels.divisor, strict=True))
        sizes.append(math.prod(patch))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_batch_shows_at_most_a_twentieth_of_the_data() -> None:
    shared = {"network": PLAIN, "memory_gb": 8}
    assert fit_batch((32, 32, 32), 28_000_000, voxels=1e12, **shared) == 40
    assert fit_batch((32, 32, 32), 28_000_000, voxels=32**3 * 100, **shared) == 5
    assert fit_batch((32, 32, 32), 28_000_000, voxels=32**3, **shared) == 2


def test_memory_for_nothing_is_refused() -> None:
    with pytest.raises(ResourceError, match="too little for any network") as caught:
        fit_patch((1, 1, 1), (100, 100, 100), network=PLAIN, memory_gb=1e-5, outputs=2)
    assert caught.value.exit_status == 5
