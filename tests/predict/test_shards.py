"""Shards divide the work, skip what is done, and do not work on one case twice."""

from __future__ import annotations

import json

import pytest

from metseg.errors import UsageError
from metseg.predict.shards import Shard, claimed, is_finished


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shards_together_are_everything_once(count):
    items = list(range(13))
    parts = [Shard(number, count).select(items) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/3", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="not a shard"):
        Shard.parse(text)


def test_a_case_is_finished_when_its_document_is_of_this_model(tmp_path):
    document = tmp_path / "case.json"
    assert not is_finished(document, model="abc")
    document.write_text(json.dumps({"bundle": "abc"}), "utf-8")
    assert is_finished(document, model="abc")
    assert not is_finished(document, model="other")
    document.write_text('{"bundle": "ab', "utf-8")
    assert not is_finished(document, model="abc")


def test_a_model_without_a_fingerprint_is_never_taken_for_finished(tmp_path):
    (tmp_path / "case.json").write_text(json.dumps({"bundle": ""}), "utf-8")
    assert not is_finished(tmp_path / "case.json", model="")


def test_a_case_is_worked_on_once_at_a_time(tmp_path):
    with claimed(tmp_path, "case") as first, claimed(tmp_path, "case") as second, claimed(tmp_path, "other") as third:
        assert (first, second, third) == (True, False, True)
    with claimed(tmp_path, "case") as again:
        assert again
