"""Which item comes when: every item as often as every other, the share of lesion kept, every epoch repeatable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from metseg.dataset.sampling_plan import BatchPlan, Draw, EndlessShuffle, random_generator
from metseg.errors import UsageError
from metseg.recipe import load_recipe


def mixed(lesion: int, without: int) -> np.ndarray:
    """Return flags: the first ``lesion`` items hold lesion."""
    return np.arange(lesion + without) < lesion


def plan(flags: np.ndarray, **options) -> BatchPlan:
    return BatchPlan(flags, **{"batch_size": 4, "steps": None, "lesion_share": None, "seed": 7, **options})


def epoch(chosen: BatchPlan, number: int = 0) -> list[list[Draw]]:
    chosen.set_epoch(number)
    return list(chosen)


def items(batches: list[list[Draw]]) -> list[int]:
    return [draw.item for batch in batches for draw in batch]


def test_one_pass_sees_every_item_once_and_may_end_short():
    for number in range(3):
        batches = epoch(plan(mixed(3, 7)), number)
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert sorted(items(batches)) == list(range(10))
    assert len(plan(mixed(3, 7))) == 3


def test_positions_number_the_items_of_an_epoch():
    draws = [draw for batch in epoch(plan(mixed(3, 7), steps=3), 5) for draw in batch]
    assert [draw.position for draw in draws] == list(range(12))
    assert {draw.epoch for draw in draws} == {5}


def test_an_epoch_can_be_repeated_alone_and_others_differ():
    for options in ({}, {"steps": 6}, {"steps": 6, "lesion_share": 0.5}):
        going_on = plan(mixed(10, 30), **options)
        seen = [epoch(going_on, number) for number in range(4)]
        assert epoch(plan(mixed(10, 30), **options), 3) == seen[3]
        assert epoch(going_on, 1) == seen[1]
        assert len({tuple(items(batches)) for batches in seen}) == 4
        assert items(epoch(plan(mixed(10, 30), **options, seed=8), 0)) != items(seen[0])


def test_an_epoch_stays_itself_when_the_next_is_chosen_meanwhile():
    chosen = plan(mixed(4, 12), steps=4)
    whole = epoch(chosen, 2)
    chosen.set_epoch(2)
    running = iter(chosen)
    begun = [next(running)]
    chosen.set_epoch(3)
    assert begun + list(running) == whole


@pytest.mark.parametrize("share", [None, 0.5])
def test_short_epochs_go_on_where_the_last_one_ended(share):
    chosen = plan(mixed(20, 20), steps=3, lesion_share=share)  # 12 of 40 items an epoch
    seen = Counter(item for number in range(10) for item in items(epoch(chosen, number)))  # 120 draws
    assert set(seen) == set(range(40))
    assert set(seen.values()) == {3}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_every_batch_has_its_share_of_lesion(share):
    flags = mixed(3, 40)
    for batch in epoch(plan(flags, batch_size=8, steps=50, lesion_share=share)):
        assert sum(flags[draw.item] for draw in batch) == 8 * share


@pytest.mark.parametrize(("share", "size"), [(0.3, 8), (1 / 3, 4), (0.5, 1), (0.1, 2), (0.5, 5)])
def test_a_share_that_is_no_whole_number_is_kept_over_all_batches(share, size):
    flags = mixed(5, 11)
    chosen = plan(flags, batch_size=size, steps=15, lesion_share=share)
    drawn = np.array([[sum(flags[d.item] for d in batch) for batch in epoch(chosen, number)] for number in range(4)])
    assert drawn.min() >= np.floor(share * size)
    assert drawn.max() <= np.ceil(share * size)
    assert drawn.sum() == pytest.approx(share * size * drawn.size, abs=1)


def test_lesion_is_spread_evenly_over_the_lesion_slices():
    flags = mixed(6, 100)
    chosen = plan(flags, batch_size=4, steps=9, lesion_share=0.5)  # 18 lesion items an epoch: each of the six 3 times
    seen = Counter(item for item in items(epoch(chosen, 1)) if flags[item])
    assert seen == dict.fromkeys(range(6), 3)


@pytest.mark.parametrize("flags", [np.ones(10, bool), np.zeros(10, bool)], ids=["only lesion", "no lesion"])
def test_one_kind_fills_the_batch_where_there_is_no_other(flags):
    batches = epoch(plan(flags, lesion_share=0.5))
    assert sorted(items(batches)) == list(range(10))
    assert [len(batch) for batch in epoch(plan(flags, lesion_share=0.5, steps=5))] == [4] * 5


def test_fewer_items_than_a_batch():
    assert items(epoch(plan(np.array([True])))) == [0]
    assert items(epoch(plan(np.array([True, False]), steps=2, lesion_share=0.5))) == [0, 0, 1, 1, 0, 0, 1, 1]


def test_shuffle_is_addressable_anywhere():
    shuffle = EndlessShuffle(np.array([3, 5, 8]), (1, 2))
    long = shuffle.take(0, 30)
    assert all(sorted(long[start : start + 3]) == [3, 5, 8] for start in range(0, 30, 3))
    for start in (0, 1, 4, 17):
        assert np.array_equal(shuffle.take(start, 9), long[start : start + 9])
    assert len(shuffle.take(4, 0)) == 0


def test_every_order_comes_up():
    shuffle = EndlessShuffle(np.arange(3), (0,))
    orders = Counter(tuple(shuffle.take(3 * number, 3)) for number in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60


def test_generators_follow_from_the_triple():
    numbers = {
        triple: tuple(random_generator(*triple).random(3))
        for triple in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    }
    assert len(set(numbers.values())) == 5
    assert tuple(random_generator(1, 1, 1).random(3)) == numbers[1, 1, 1]


@pytest.mark.parametrize("part", ["train", "split"])
def test_seeds_that_no_generator_takes_are_refused(part):
    with pytest.raises(UsageError, match=rf"'{part}\.seed'"):
        load_recipe("lgg-fast", [f"{part}.seed=-1"])


def test_shuffles_and_augmentation_do_not_share_random_numbers():
    """The shuffle of kind 1, round 2 and the augmentation of epoch 1, position 2 are draws of their own."""
    items_drawn = EndlessShuffle(np.arange(50), (7, 1)).take(100, 50)
    assert not np.array_equal(items_drawn, random_generator(7, 1, 2).permutation(50))


@pytest.mark.parametrize("share", [None, 0.25, 0.5])
def test_processes_share_the_batches_of_one(share):
    flags = np.arange(23) % 3 == 0
    whole = plan(flags, batch_size=6, steps=5, lesion_share=share)
    parts = [plan(flags, batch_size=2, steps=5, lesion_share=share, share=(rank, 3)) for rank in range(3)]
    for number in (0, 4):
        together = list(zip(*(epoch(part, number) for part in parts), strict=True))
        for batch, pieces in zip(epoch(whole, number), together, strict=True):
            assert sorted(batch) == sorted(draw for piece in pieces for draw in piece)
            assert {len(piece) for piece in pieces} == {2}


def test_among_several_processes_the_last_batch_is_full():
    parts = [plan(np.zeros(9, bool), batch_size=2, share=(rank, 2)) for rank in range(2)]
    assert [[len(batch) for batch in epoch(part)] for part in parts] == [[2, 2, 2]] * 2
