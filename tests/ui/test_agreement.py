"""Two results of the same images: how much they agree, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.schemas import Facts, InputFile, Kind, Options, State, StudySummary
from metseg.ui.pages.agreement import compare_masks, difference_layers, most_different, same_images, worth_asking

from .fake import NOW, done_volume, new_id


def masks() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    first, second = np.zeros((10, 10, 4), dtype=bool), np.zeros((10, 10, 4), dtype=bool)
    first[0:4, 0:4, 1] = True  # 16
    second[2:6, 0:4, 1] = True  # 16, of which 8 are common
    first[8:10, 8:10, 2] = True  # 4, in the first alone
    return first, second


def test_figures() -> None:
    found = compare_masks(*masks())
    assert found.dice == pytest.approx(2 * 8 / (20 + 16))
    assert (found.both, found.first_only, found.second_only) == (8, 12, 8)
    assert (found.lesions_first, found.lesions_second) == (1, 0)


def test_two_empty_results_have_nothing_to_agree_on() -> None:
    empty = np.zeros((3, 3, 3), dtype=bool)
    assert compare_masks(empty, empty).dice is None
    assert compare_masks(empty, ~empty).dice == 0


def test_what_is_drawn_is_told_apart() -> None:
    first, second = masks()
    both, first_only, second_only = (layer.mask for layer in difference_layers(first, second))
    assert np.count_nonzero(both) == 8
    assert not (both & first_only).any()
    assert not (first_only & second_only).any()
    np.testing.assert_array_equal(both | first_only | second_only, first | second)


def test_the_slice_to_begin_with() -> None:
    first, second = masks()
    assert most_different(first, second, 2) == 1
    assert most_different(first, first, 2) == 1  # equal: that with the most lesion
    empty = np.zeros((10, 10, 4), dtype=bool)
    assert most_different(empty, empty, 2) == 2  # nothing at all: the middle


def test_only_other_models_results_of_the_same_kind_are_asked_for() -> None:
    study = done_volume()
    base = {"phase": "render", "progress": 1.0, "created_at": NOW, "updated_at": NOW}

    def other(**changes: object) -> StudySummary:
        facts = {"id": new_id(), "state": State.DONE, "kind": Kind.NIFTI, "model": "mets-large", **base, **changes}
        return StudySummary.model_validate(facts)

    wanted = other()
    listed = [
        other(id=study.id),
        other(model="mets-3d"),
        other(kind=Kind.PICTURE),
        other(state=State.FAILED),
        wanted,
    ]
    assert worth_asking(study, listed) == [wanted.id]
    assert len(worth_asking(study, [other() for _ in range(30)])) == 12


def test_same_images_are_the_same_files_whatever_their_order() -> None:
    one = InputFile(number=1, kind=Kind.NIFTI, sequence="t1c", bytes=1, sha256="a")
    two = InputFile(number=2, kind=Kind.NIFTI, sequence="t2f", bytes=1, sha256="b")
    first = done_volume(inputs=(one, two))
    swapped = (two.model_copy(update={"number": 1}), one.model_copy(update={"number": 2}))
    assert same_images(first, done_volume(inputs=swapped, options=Options(model="x")))
    assert not same_images(first, done_volume(inputs=(one,)))
    assert not same_images(first, done_volume(inputs=(one, two), facts=Facts(shape=(1, 2, 3))))
