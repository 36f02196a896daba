"""Cores, necrosis and oedema voxel by voxel; travel times against Dijkstra's algorithm."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from metseg.simulation import SimulatedLesion
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.lesions.lesion_shapes import ET, NETC, SNFH, LesionMaps, add_core
from metseg.simulation.lesions.oedema import add_oedema, travel_time

GRID = Grid((48, 48, 48), 1.0, (0.0, 0.0, 0.0))
INSIDE = np.full(GRID.shape, -50.0, dtype=np.float32)


def lesion(
    number: int = 1,
    *,
    diameter: float = 14.0,
    necrotic: float = 0.0,
    oedema: float = 0.0,
    fluidity: float = 0.0,
    eccentricity: float = 0.0,
    patchiness: float = 0.2,
    lobes: int = 0,
) -> SimulatedLesion:
    return SimulatedLesion(
        lesion_id=number,
        centre_mm=(0.0, 0.0, 0.0),
        diameter_mm=diameter,
        necrotic_share=necrotic,
        oedema_mm=oedema,
        irregularity=0.1,
        uptake=0.6,
        patchiness=patchiness,
        lobes=lobes,
        fluidity=fluidity,
        eccentricity=eccentricity,
    )


def drawn(*lesions: tuple[SimulatedLesion, tuple[float, float, float]]) -> LesionMaps:
    maps = LesionMaps.empty(GRID.shape)
    for one, centre in lesions:
        rng = np.random.default_rng(one.lesion_id)
        add_core(maps, one, np.array(centre), grid=GRID, hull_mm=INSIDE, rng=rng)
    return maps


@pytest.mark.parametrize("diameter", [2.0, 5.0, 9.0, 20.0])
def test_the_core_has_the_volume_of_the_sphere(diameter: float) -> None:
    maps = drawn((lesion(diameter=diameter), (24.2, 23.7, 24.0)))
    assert (maps.labels == ET).sum() == pytest.approx(np.pi / 6 * diameter**3, abs=0.51)
    assert ndimage.label(maps.labels)[1] == 1
    assert ndimage.center_of_mass(maps.labels) == pytest.approx((24.2, 23.7, 24.0), abs=0.15 * diameter)


def test_labels_are_where_the_share_is_half() -> None:
    maps = drawn((lesion(diameter=15, necrotic=0.4), (24, 24, 24)))
    np.testing.assert_array_equal(maps.core >= 0.5, maps.labels > 0)
    np.testing.assert_array_equal((maps.core >= 0.5) & (maps.necrosis >= 0.5), maps.labels == NETC)


def test_necrosis_has_its_share_and_a_closed_rim() -> None:
    maps = drawn((lesion(diameter=18, necrotic=0.4), (24, 24, 24)))
    necrotic = maps.labels == NETC
    assert necrotic.sum() / (maps.labels > 0).sum() == pytest.approx(0.4, abs=0.01)
    beside = ndimage.binary_dilation(necrotic) & ~necrotic
    assert (maps.labels[beside] == ET).all()


def test_a_cyst_is_fluid_where_it_is_necrotic_and_still_has_a_closed_rim() -> None:
    maps = drawn((lesion(diameter=24, necrotic=0.6, fluidity=0.7), (24, 24, 24)))
    necrotic = maps.labels == NETC
    assert necrotic.sum() / (maps.labels > 0).sum() == pytest.approx(0.6, abs=0.01)
    assert (maps.fluidity[maps.labels > 0] == np.float32(0.7)).all()
    beside = ndimage.binary_dilation(necrotic) & ~necrotic
    assert (maps.labels[beside] == ET).all()


def test_an_eccentric_necrosis_leaves_the_rim_thick_on_one_side() -> None:
    off = []
    for eccentricity in (0.0, 0.35):
        maps = drawn((lesion(diameter=20, necrotic=0.4, eccentricity=eccentricity), (24, 24, 24)))
        core, hole = (ndimage.center_of_mass(mask) for mask in (maps.labels > 0, maps.labels == NETC))
        off.append(np.linalg.norm(np.subtract(core, hole)))
    assert off[1] > 1.5 * off[0]


def test_lobes_make_a_lesion_longer_and_leave_its_volume() -> None:
    lengths = []
    for lobes in (0, 2):
        core = drawn((lesion(diameter=20, necrotic=0.4, lobes=lobes), (24, 24, 24))).labels > 0
        assert core.sum() == pytest.approx(np.pi / 6 * 20**3, abs=0.51)
        assert ndimage.label(core)[1] == 1
        points = np.argwhere(core)
        lengths.append(np.sqrt(np.linalg.eigvalsh(np.cov(points.T))[-1]))
    assert lengths[1] > 1.1 * lengths[0]


def test_a_patchy_lesion_takes_contrast_agent_up_unevenly() -> None:
    spread = []
    for patchiness in (0.0, 0.2, 0.5):
        maps = drawn((lesion(diameter=20, patchiness=patchiness), (24, 24, 24)))
        spread.append(float(maps.uptake[maps.labels == ET].std()))
    assert spread[0] == pytest.approx(0, abs=1e-6)
    assert spread[2] > 1.5 * spread[1] > 0.1


def test_lesions_side_by_side_keep_their_own_fluid() -> None:
    one, other = lesion(1, diameter=12, necrotic=0.3, fluidity=0.9), lesion(2, diameter=12, necrotic=0.3)
    maps = drawn((one, (20, 24, 24)), (other, (32.5, 24, 24)))
    assert (maps.fluidity[maps.instances == 1] == np.float32(0.9)).all()
    assert (maps.fluidity[maps.instances == 2] == 0).all()


def test_lesions_side_by_side_stay_two() -> None:
    maps = drawn((lesion(1, diameter=12), (20, 24, 24)), (lesion(2, diameter=12), (29, 24, 24)))
    assert ndimage.label(maps.labels, np.ones((3, 3, 3)))[1] == 2
    assert set(np.unique(maps.instances)) == {0, 1, 2}


def test_the_core_stays_inside_the_brain() -> None:
    hull = np.broadcast_to((np.arange(48, dtype=np.float32) - 24)[:, None, None], GRID.shape)
    maps = LesionMaps.empty(GRID.shape)
    add_core(maps, lesion(), np.array([22.0, 24, 24]), grid=GRID, hull_mm=hull, rng=np.random.default_rng(0))
    assert maps.labels[24:].sum() == 0
    assert (maps.labels > 0).sum() == pytest.approx(np.pi / 6 * 14**3, abs=0.51)


def test_oedema_follows_white_matter() -> None:
    maps = drawn((lesion(diameter=8, oedema=10), (24, 24, 24)))
    white = np.zeros(GRID.shape, dtype=np.float32)
    white[:, 18:31, 18:31] = 1  # a bundle along x, grey matter around it
    rng = np.random.default_rng(1)
    add_oedema(maps, lesion(diameter=8, oedema=10), grid=GRID, white=white, grey=1 - white, rng=rng)
    swollen = maps.labels == SNFH
    x, y, _ = np.nonzero(swollen)
    assert np.ptp(x) > np.ptp(y) + 4
    assert (white[swollen] == 1).all()
    assert (maps.oedema[swollen] > 0.3).all()
    assert ((maps.core >= 0.5) == (np.isin(maps.labels, (NETC, ET)))).all()
    assert (maps.instances[swollen] == 1).all()


def test_no_oedema_unless_planned() -> None:
    maps = drawn((lesion(), (24, 24, 24)))
    ones = np.ones(GRID.shape, dtype=np.float32)
    add_oedema(maps, lesion(), grid=GRID, white=ones, grey=0 * ones, rng=np.random.default_rng(0))
    assert not maps.oedema.any()


def shortest(
    source: npt.NDArray[np.bool_], slowness: npt.NDArray[np.float32], spacing: float
) -> npt.NDArray[np.float64]:
    """Return the same by Dijkstra's algorithm on an explicit graph."""
    index = np.arange(source.size).reshape(source.shape)
    rows, columns, costs = [], [], []
    for voxel in np.ndindex(source.shape):
        for step in product((-1, 0, 1), repeat=3):
            other = tuple(np.add(voxel, step))
            if any(step) and all(0 <= at < size for at, size in zip(other, source.shape, strict=True)):
                rows.append(index[voxel])
                columns.append(index[other])
                costs.append(np.linalg.norm(step) * spacing * (slowness[voxel] + slowness[other]) / 2)
    graph = coo_array((costs, (rows, columns)), shape=(source.size, source.size)).tocsr()
    return dijkstra(graph, indices=index[source], min_only=True).reshape(source.shape)


def test_travel_time_is_the_cheapest_path() -> None:
    rng = np.random.default_rng(2)
    slowness = rng.uniform(0.5, 6, (7, 8, 6)).astype(np.float32)
    source = np.zeros(slowness.shape, dtype=bool)
    source[2, 3, 1:3] = True
    found = travel_time(source, slowness, spacing=1.5, limit=15.0)
    expected = shortest(source, slowness, 1.5)
    near = expected < 15
    assert near.sum() > 100
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-5)
    assert (found[~near] >= 15).all()
