"""The cache: what is read is what was prepared, and only what changed is prepared again."""

from __future__ import annotations

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metseg.errors import InputError, ResourceError, UsageError
from metseg.preprocess.cache import Cache, build_cache, cache_arrays, cache_entry, cache_key, cache_reader
from metseg.preprocess.pipeline import prepare

STEPS = ({"name": "pad_or_crop", "size": [16, 16]}, {"name": "zscore"})


def build(sources, recipe, tmp_path: Path, **options) -> Cache:
    return build_cache(sources, recipe, tmp_path / "cache", workers=0, quiet=True, **options)


def written(tmp_path: Path) -> dict[str, int]:
    """Return when each array file of the cache was written."""
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.b2nd")}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name[0] for name in after if after[name] != before.get(name)}


@pytest.fixture
def three(make_source):
    return [make_source(name, seed=seed) for seed, name in enumerate("abc")]


def test_slices_and_cases_are_what_was_prepared(three, make_recipe, tmp_path):
    recipe = make_recipe(*STEPS)
    cache = build(three, recipe, tmp_path)
    assert [e.case_id for e in cache.entries] == ["a", "b", "c"]
    for number, source in enumerate(three):
        wanted = prepare(source.load(), recipe)
        image, labels = cache.read_case(number)
        assert image.dtype == np.float16
        assert np.abs(image - wanted.image).max() < 2e-3
        assert np.array_equal(labels, wanted.labels)
        for z in range(4):
            one, mask = cache.read_slice(number, z)
            assert np.array_equal(one, image[..., z])
            assert np.array_equal(mask, labels[..., z])
            assert mask.dtype == np.uint8


def test_entries_say_what_is_there(three, make_recipe, tmp_path):
    found = build(three, make_recipe(*STEPS), tmp_path).entries[1]
    assert (found.case_id, found.patient, found.shape) == ("b", "patient of b", (2, 16, 16, 4))
    assert found.slice_names == ("b/0", "b/1", "b/2", "b/3")
    assert found.lesion_slices == (2,)
    assert found.label_counts == ({}, {}, {1: 16}, {})
    assert [record.step for record in found.records] == ["pad_or_crop", "zscore"]
    assert found.spacing_mm is None
    again = build(three, make_recipe(*STEPS), tmp_path).entries[1]  # read back from JSON
    assert replace(again, stamped_ns=found.stamped_ns) == found


def test_neighbours_repeat_the_ends(three, make_recipe, tmp_path):
    cache = build(three, make_recipe(*STEPS), tmp_path)
    slices = [cache.read_slice(0, z)[0] for z in range(4)]
    for z, wanted in ((0, [0, 0, 0, 1, 2]), (2, [0, 1, 2, 3, 3])):
        image, labels = cache.read_slice(0, z, neighbours=2)
        assert np.array_equal(image, np.concatenate([slices[k] for k in wanted]))
        assert np.array_equal(labels, cache.read_slice(0, z)[1])
    with pytest.raises(IndexError):
        cache.read_slice(0, 4)
    with pytest.raises(IndexError):
        cache.read_slice(0, -1)


def test_nothing_is_prepared_twice(three, make_recipe, tmp_path):
    build(three, make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    build(three, make_recipe(*STEPS), tmp_path)
    assert written(tmp_path) == before


def test_a_default_written_out_is_no_change(three, make_recipe, tmp_path):
    build(three, make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    build(three, make_recipe(STEPS[0], {"name": "zscore", "scope": "case", "region": "head"}), tmp_path)
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    "other",
    [
        {"steps": (STEPS[0], {"name": "zscore", "scope": "slice"})},
        {"steps": (STEPS[1], STEPS[0])},
        {"steps": STEPS[:1]},
        {"steps": STEPS, "modalities": ["t2f"]},
    ],
)
def test_a_changed_recipe_makes_every_case_anew(three, make_recipe, tmp_path, other):
    build(three, make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    recipe = make_recipe(*other.pop("steps"), **other)
    cache = build(three, recipe, tmp_path)
    assert changed(before, written(tmp_path)) == {"a", "b", "c"}
    assert np.abs(cache.read_case(2)[0] - prepare(three[2].load(), recipe).image).max() < 0.2


@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_file_makes_its_case_anew_even_with_its_old_time(three, make_recipe, tmp_path, which):
    build(three, make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    file = three[1].files[which]
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[-400] ^= 255
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    build(three, make_recipe(*STEPS), tmp_path)
    assert changed(before, written(tmp_path)) == {"b"}


def test_a_touched_file_is_no_change(three, make_recipe, tmp_path):
    build(three, make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    os.utime(three[1].files[0], ns=(1, 1))
    cache = build(three, make_recipe(*STEPS), tmp_path)
    assert written(tmp_path) == before
    assert cache.entries[1].files[0][2] == 1


def test_contents_are_not_read_again_where_times_can_be_trusted(three, make_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_key, "now_ns", lambda: three[0].files[0].stat().st_mtime_ns + 60_000_000_000)
    build(three, make_recipe(*STEPS), tmp_path)
    monkeypatch.setattr(cache_key, "content_hash", lambda file: pytest.fail(f"{file} was read"))
    assert len(build(three, make_recipe(*STEPS), tmp_path)) == 3


def test_checksums_that_are_known_are_not_computed_again(three, make_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_key, "now_ns", lambda: three[0].files[0].stat().st_mtime_ns + 60_000_000_000)
    contents = {source.case_id: cache_key.read_content(source) for source in three}
    hashed = []
    original = cache_key.content_hash
    monkeypatch.setattr(cache_key, "content_hash", lambda file: hashed.append(file) or original(file))
    three[2].files[0].touch()  # no longer as it was
    cache = build(three, make_recipe(*STEPS), tmp_path, contents=contents)
    assert hashed == list(three[2].files)
    assert [one.files for one in cache.entries] == [cache_key.file_times(source) for source in three]
    stamps = [one.stamp for one in cache.entries]
    assert stamps == [one.stamp for one in build(three, make_recipe(*STEPS), tmp_path / "again").entries]


def test_a_copied_cache_is_read_for_its_checksums_once(three, make_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_key, "now_ns", lambda: three[0].files[0].stat().st_mtime_ns + 60_000_000_000)
    build(three, make_recipe(*STEPS), tmp_path)
    for path in (tmp_path / "cache").glob("*.b2nd"):
        os.utime(path, ns=(1, 1))
    read = []
    original = cache_arrays._crc32
    monkeypatch.setattr(cache_arrays, "_crc32", lambda path: read.append(path) or original(path))
    build(three, make_recipe(*STEPS), tmp_path)
    assert len(read) == 6
    build(three, make_recipe(*STEPS), tmp_path)
    assert len(read) == 6


def test_a_checksum_is_that_of_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_arrays, "CHECKSUM_BLOCK", 4)
    (tmp_path / "file").write_bytes(b"123456789")
    assert cache_arrays._crc32(tmp_path / "file") == 0xCBF43926  # the check value of CRC-32


def test_where_the_table_of_patients_lies_changes_no_case(make_recipe):
    stamps = {cache_key.recipe_stamp(make_recipe(*STEPS, patients=name)) for name in (None, "a.csv", "elsewhere/a.csv")}
    assert len(stamps) == 1


def test_a_new_case_is_added_and_a_moved_data_set_keeps_its_cache(three, make_source, make_recipe, tmp_path):
    build(three[:2], make_recipe(*STEPS), tmp_path)
    before = written(tmp_path)
    build(three, make_recipe(*STEPS), tmp_path)
    assert changed(before, written(tmp_path)) == {"c"}
    before = written(tmp_path)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = [type(source)(source.case_id, source.patient, tmp_path / "moved") for source in three]
    build(moved, make_recipe(*STEPS), tmp_path)
    assert written(tmp_path) == before


def test_interrupted_anywhere_the_next_build_is_whole(three, make_recipe, tmp_path, monkeypatch):
    move, wanted = os.replace, build(three, make_recipe(*STEPS), tmp_path / "other")
    for stop in range(9):
        folder = tmp_path / str(stop)
        left = [stop]

        def replace_or_stop(source, target, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            move(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace_or_stop)
            with pytest.raises(KeyboardInterrupt):
                build(three, make_recipe(*STEPS), folder)
        names = {path.name for path in (folder / "cache").iterdir()}
        assert len([name for name in names if name.endswith(".json")]) == stop // 3
        assert not [name for name in names if name.startswith(".") and name != ".lock"]
        cache = build(three, make_recipe(*STEPS), folder)
        for number in range(3):
            assert np.array_equal(cache.read_case(number)[0], wanted.read_case(number)[0])


def test_interrupted_by_another_recipe_and_back_again(three, make_recipe, tmp_path, monkeypatch):
    """Half of a case made anew under an old entry must not be taken for the old case."""
    slicewise = make_recipe(STEPS[0], {"name": "zscore", "scope": "slice"})
    wanted = build(three, make_recipe(*STEPS), tmp_path).read_case(0)[0]
    move, left = os.replace, [1]

    def replace_once(source, target):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_once)
        with pytest.raises(KeyboardInterrupt):
            build(three, slicewise, tmp_path)
    # Equal sizes and trusted times: only the entry that was taken away first tells.
    monkeypatch.setattr(cache_entry.CaseEntry, "whole_since", lambda self, folder: self.stored_ns)
    monkeypatch.setattr(cache_key, "settled", lambda times, at: True)
    assert np.array_equal(build(three, make_recipe(*STEPS), tmp_path).read_case(0)[0], wanted)


def test_full_disk(three, make_recipe, tmp_path, monkeypatch):
    build(three[:1], make_recipe(*STEPS), tmp_path)
    write_bytes = Path.write_bytes

    def write_half(self, data):
        write_bytes(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write_half)
        with pytest.raises(ResourceError, match="the disk is full") as caught:
            build(three, make_recipe(*STEPS), tmp_path)
    assert caught.value.code == "resources.disk"
    assert caught.value.exit_status == 5
    names = {path.name[0] for path in (tmp_path / "cache").iterdir() if path.name != ".lock"}
    assert names == {"a"}, "nothing half-written stays"
    assert len(build(three, make_recipe(*STEPS), tmp_path)) == 3


def test_one_bad_case_is_named(three, make_recipe, tmp_path):
    three[1].files[0].write_bytes(b"no array")
    with pytest.raises(InputError, match="not an array") as caught:
        build(three, make_recipe(*STEPS), tmp_path)
    assert caught.value.code == "input.truncated"
    assert changed({}, written(tmp_path)) == {"a", "c"}, "the good cases are kept for the next build"


def test_many_bad_cases_are_listed_up_to_ten(make_source, make_recipe, tmp_path):
    sources = [make_source(f"case-{number:02}") for number in range(13)]
    for source in sources[1:]:
        source.files[0].write_bytes(b"no array")
    with pytest.raises(InputError, match="12 cases cannot be used") as caught:
        build(sources, make_recipe(*STEPS), tmp_path)
    message = caught.value.one_line()
    assert "[case-01]" in message
    assert "[case-10]" in message
    assert "[case-11]" not in message
    assert "and 2 more" in message


def test_a_file_that_is_gone_is_named(three, make_recipe, tmp_path):
    build(three, make_recipe(*STEPS), tmp_path)
    three[2].files[1].unlink()
    with pytest.raises(InputError, match=r"labels\.npy: cannot read the file \(got No such file"):
        build(three, make_recipe(*STEPS), tmp_path)


def test_two_cases_with_one_id(three, make_recipe, tmp_path):
    with pytest.raises(InputError, match="two cases have the name 'a'"):
        build([three[0], three[0]], make_recipe(*STEPS), tmp_path)


def test_a_folder_that_is_a_file(three, make_recipe, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write to the cache folder"):
        build(three, make_recipe(*STEPS), tmp_path)


def test_ids_that_are_no_file_names(make_recipe):
    keys = {cache_entry.case_key(name) for name in ("a/b", "a b", "../a", "x" * 500, "", "ä")}
    assert len(keys) == 6
    assert all(len(key) < 100 and key.replace("-", "").replace(".", "").isalnum() for key in keys)


def test_a_case_without_truth(make_source, make_recipe, tmp_path):
    cache = build([make_source("a", has_truth=False)], make_recipe(*STEPS), tmp_path)
    assert cache.read_image(0, 1).shape == (2, 16, 16)
    assert cache.read_case(0)[1] is None
    with pytest.raises(InputError, match="a: the case has no mask"):
        cache.read_slice(0, 1)


def test_values_too_large_for_half_keep_their_digits(make_source, make_recipe, tmp_path):
    source = make_source("a")
    image = np.random.default_rng(0).integers(0, 65535, (1, 9, 9, 4)).astype(np.uint16)
    image[0, 0, 0, 0] = 65535
    np.save(source.files[0], image)
    np.save(source.files[1], np.zeros((9, 9, 4), np.uint8))
    assert np.array_equal(build([source], make_recipe(), tmp_path).read_case(0)[0], image)


def test_goes_into_worker_processes_without_open_files(three, make_recipe, tmp_path):
    cache = build(three, make_recipe(*STEPS), tmp_path)
    wanted = cache.read_slice(0, 0)[0]
    copy = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(copy.read_slice(0, 0)[0], wanted)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_files_are_closed_again(three, make_recipe, tmp_path, monkeypatch):
    cache = build(three, make_recipe(*STEPS), tmp_path)
    monkeypatch.setattr(cache_reader, "OPEN_CASES", 1)
    at_first = len(os.listdir("/proc/self/fd"))
    for number in (0, 1, 2, 0, 2, 1):
        cache.read_slice(number, 0)
        assert len(os.listdir("/proc/self/fd")) == at_first + 2


def test_another_recipes_arrays_are_not_read_as_ours(three, make_recipe, tmp_path):
    old = build(three, make_recipe(*STEPS), tmp_path)
    build(three, make_recipe(STEPS[0]), tmp_path)
    with pytest.raises(InputError, match="another recipe has overwritten the cached case") as caught:
        old.read_slice(0, 0)
    assert caught.value.code == "input.cache"


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_truncated_array_is_made_anew(three, make_recipe, tmp_path, kind):
    cache = build(three, make_recipe(*STEPS), tmp_path)
    path = next((tmp_path / "cache").glob(f"b-*.{kind}.b2nd"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot read the cached case"):
        cache.read_slice(1, 0)
    build(three, make_recipe(*STEPS), tmp_path).read_slice(1, 0)
    assert path.read_bytes() == whole


def test_a_damaged_entry_is_made_anew(three, make_recipe, tmp_path):
    build(three, make_recipe(*STEPS), tmp_path)
    next((tmp_path / "cache").glob("b-*.json")).write_text('{"case_id": "b"}')
    before = written(tmp_path)
    build(three, make_recipe(*STEPS), tmp_path)
    assert changed(before, written(tmp_path)) == {"b"}
