"""Volumes in the cache: laid out for patches, read by boxes, and what is noted of lesions and of the head."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metseg.io.case_source import CaseSource
from metseg.labels import LABEL_SCHEMES
from metseg.preprocess.adjacent_slices import with_neighbours
from metseg.preprocess.cache import Cache, build_cache, cache_build, cache_reader
from metseg.preprocess.cache.cache_arrays import FORMS, whole
from metseg.preprocess.cache.cache_key import recipe_stamp
from metseg.preprocess.cache.case_index import content_of, lesion_boxes
from metseg.preprocess.prepared_case import Prepared
from metseg.recipe import DataPart, Named
from metseg.volume import Case, Volume

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (70, 37, 40)


@dataclass(frozen=True)
class VolumeSource(CaseSource):
    """A case of two sequences that follow from its id, with a lesion of 5 x 4 x 3 voxels."""

    shape: tuple[int, int, int] = SHAPE

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.root / "data",)

    def load(self) -> Case:
        rng = np.random.default_rng(ord(self.case_id))
        images = {}
        for name in ("t1c", "t2f"):
            data = np.zeros(self.shape, np.uint16)  # air around the head, one voxel wide
            data[1:-1, 1:-1] = rng.integers(1000, 2000, (self.shape[0] - 2, self.shape[1] - 2, self.shape[2]))
            images[name] = Volume(data, AFFINE)
        labels = np.zeros(self.shape, np.uint8)
        labels[3:8, 4:8, 5:8] = 1
        return Case(self.case_id, self.patient, images, Volume(labels, AFFINE))


@pytest.fixture
def sources(tmp_path) -> list[VolumeSource]:
    (tmp_path / "data").write_text("the same for all")
    return [VolumeSource(name, name, tmp_path) for name in "abc"]


def cached(sources, make_recipe, tmp_path, **data) -> Cache:
    recipe = make_recipe(channels=["t1c", "t2f"], **data)
    return build_cache(sources, recipe, tmp_path / "cache", workers=0, quiet=True)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_way_of_reading_gives_the_same_voxels(sources, make_recipe, tmp_path, dimensions):
    cache = cached(sources[:1], make_recipe, tmp_path, dimensions=dimensions)
    case = sources[0].load()
    image = np.stack([volume.data for volume in case.images.values()]).astype(np.float32)
    labels = case.labels.data
    found, truth = cache.read_case(0)
    assert found.dtype == np.float16
    assert np.array_equal(found, image)
    assert np.array_equal(truth, labels)
    for box in (((0, 70), (0, 37), (0, 40)), ((60, 70), (5, 37), (13, 14)), ((2, 66), (1, 2), (30, 40))):
        inside = tuple(slice(*side) for side in box)
        voxels, ids = cache.read_box(0, box)
        assert np.array_equal(voxels, image[:, *inside])
        assert np.array_equal(ids, labels[inside])
        assert ids.dtype == np.uint8
    for neighbours in (0, 1, 2):
        stacks = with_neighbours(image, neighbours)
        for z in (0, 1, 6, 39):
            plane, mask = cache.read_slice(0, z, neighbours)
            assert np.array_equal(plane, stacks[z])
            assert np.array_equal(mask, labels[..., z])


def test_files_are_laid_out_for_what_is_read(sources, make_recipe, tmp_path):
    slices = cached(sources[:1], make_recipe, tmp_path / "2")._arrays(0)
    patches = cached(sources[:1], make_recipe, tmp_path / "3", dimensions=3)._arrays(0)
    assert [array.shape for array in slices] == [(40, 2, 70, 37), (40, 70, 37)]
    assert [array.chunks for array in slices] == [(1, 2, 70, 37), (1, 70, 37)]
    assert [array.shape for array in patches] == [(2, 70, 37, 40), (70, 37, 40)]
    assert [array.chunks for array in patches] == [(2, 64, 37, 40), (64, 37, 40)]
    assert [array.blocks for array in patches] == [(1, 16, 16, 32), (16, 16, 32)]


def test_forms_take_what_they_store():
    array = np.random.default_rng(0).normal(size=(2, 5, 6, 7))
    for form in FORMS.values():
        stored = form.stored(array)
        assert stored.flags.c_contiguous
        assert np.array_equal(form.take(stored, whole(array.shape)), array)
        assert np.array_equal(form.take(stored, ((1, 3), (0, 6), (6, 7))), array[:, 1:3, :, 6:7])
    assert FORMS[2].stored(array).shape == (7, 2, 5, 6)


def test_entries_of_volumes_survive_json(sources, make_recipe, tmp_path):
    first = cached(sources, make_recipe, tmp_path, dimensions=3).entries[1]
    again = cached(sources, make_recipe, tmp_path, dimensions=3).entries[1]
    assert replace(again, stamped_ns=first.stamped_ns) == first
    assert again.lesion_boxes == (((3, 8), (4, 8), (5, 8)),)
    assert again.lesion_slices == (5, 6, 7)
    assert again.head_slices == tuple(range(40))
    assert again.head_box == again.head_extent == ((1, 69), (1, 36), (0, 40))
    assert (again.dimensions, again.grid, again.spacing_mm) == (3, SHAPE, (1.0, 1.0, 2.0))


def test_lesions_are_pieces_that_touch_nowhere():
    labels = np.zeros((10, 9, 8), np.uint8)
    labels[0:2, 0:2, 0:2] = 1
    labels[2, 2, 2] = 1  # touches the first by a corner
    labels[5:9, 8, 3:5] = 1
    assert set(lesion_boxes(labels, LABEL_SCHEMES["binary"])) == {
        ((0, 3), (0, 3), (0, 3)),
        ((5, 9), (8, 9), (3, 5)),
    }
    assert lesion_boxes(np.zeros_like(labels), LABEL_SCHEMES["binary"]) == ()


def test_oedema_joins_no_metastases():
    labels = np.zeros((20, 9, 8), np.uint8)
    labels[0:12, 2:5, 2:5] = 2  # one oedema
    labels[1:3, 3, 3], labels[8:10, 3, 3] = 3, 1  # with an enhancing and a necrotic core
    labels[16:18, 2:4, 5] = 2  # oedema alone
    assert set(lesion_boxes(labels, LABEL_SCHEMES["brats-met-2023"])) == {
        ((1, 3), (3, 4), (3, 4)),
        ((8, 10), (3, 4), (3, 4)),
        ((16, 18), (2, 4), (5, 6)),
    }


def prepared(head: np.ndarray | None) -> Prepared:
    image = np.zeros((1, 6, 6, 5), np.float32)
    image[0, 1:5, 2:5, 1:3] = 7  # what looks like the head
    return Prepared(image=image, modalities=("t1c",), head=head)


def test_the_head_is_what_preparation_says_or_what_is_not_background():
    head = np.zeros((6, 6, 5), bool)
    head[2, 3, 1] = head[4, 3, 4] = True
    for data in (DataPart(), DataPart(dimensions=3), DataPart(with_brain=True)):
        told = content_of(prepared(head), data)
        assert told.head_slices == (1, 4)
        assert told.head_box == ((2, 5), (3, 4), (1, 5))
    for data in (DataPart(dimensions=3), DataPart(with_brain=True)):
        found = content_of(prepared(None), data)
        assert found.head_slices == (1, 2)
        assert found.head_box == ((1, 5), (2, 5), (1, 3))
    nobody_asked = content_of(prepared(None), DataPart())
    assert (nobody_asked.head_slices, nobody_asked.head_box) == (None, None)
    nothing = content_of(prepared(np.zeros((6, 6, 5), bool)), DataPart(dimensions=3))
    assert (nothing.head_slices, nothing.head_box) == ((), None)
    assert nothing.lesion_boxes == nothing.label_counts == ()


def test_what_is_read_later_makes_no_case_anew(make_recipe):
    plain = recipe_stamp(make_recipe())
    assert recipe_stamp(make_recipe(slice_range=(2, 5), neighbours=1, licence="CC0")) == plain
    for change in ({"dimensions": 3}, {"with_brain": True}, {"labels": "brats-gli-2021"}, {"reference": "t1c"}):
        assert recipe_stamp(make_recipe(**change)) != plain


def test_what_stands_for_a_missing_sequence_makes_cases_anew(make_recipe):
    data = {"channels": ["t1c", "t2f"]}
    hiding = (Named(name="missing_sequence", options={"fill": "zero"}),)

    def stamps(**more: object) -> list[str]:
        recipe = make_recipe(**data, **more)
        return [recipe_stamp(recipe), recipe_stamp(recipe.model_copy(update={"augment": hiding}))]

    plain, hidden = stamps()
    assert plain == hidden, "nothing may be missing, so nothing is filled in"
    plain, hidden = stamps(optional=["t2f"])
    assert plain != hidden


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_little_is_mapped_at_once(sources, make_recipe, tmp_path, monkeypatch):
    cache = cached(sources, make_recipe, tmp_path, dimensions=3)
    monkeypatch.setattr(cache_reader, "MAPPED_BYTES", int(2.5 * sum(cache.entries[0].stored_bytes)))
    before = len(os.listdir("/proc/self/fd"))
    for case, opened in ((0, 1), (1, 2), (2, 2), (0, 2), (2, 2)):
        cache.read_box(case, ((0, 9), (0, 9), (0, 9)))
        assert len(os.listdir("/proc/self/fd")) == before + 2 * opened
    monkeypatch.setattr(cache_reader, "MAPPED_BYTES", 1)  # one case may always be open
    cache.read_box(1, ((0, 9), (0, 9), (0, 9)))
    assert len(os.listdir("/proc/self/fd")) == before + 2


def test_no_more_processes_than_memory_has_room_for(sources, make_recipe, monkeypatch):
    monkeypatch.setattr(cache_build, "processors", lambda: 16)
    tasks = [cache_build._Task(source, make_recipe(), "", Path()) for source in sources]
    for free_gb, wanted in ((100, 16), (4.6, 3), (0.2, 1)):
        free = SimpleNamespace(available=free_gb * 1e9)
        monkeypatch.setattr(cache_build.psutil, "virtual_memory", lambda free=free: free)
        assert cache_build._processes(tasks) == wanted
    stacks = [SimpleNamespace(source=SimpleNamespace(slice_names=("a/1",)))]
    assert cache_build._processes(stacks) == 16, "pictures are small"
