"""Shards divide the work, skip what is done, and do not work on one case twice."""

from __future__ import annotations

import json

import pytest

from metseg.errors import UsageError
from metseg.inference.shards import Shard, claimed, finished
from metseg.recipe import PredictPart


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


def test_a_case_is_finished_when_its_document_is_of_this_model_and_these_options(tmp_path):
    document, part = tmp_path / "case.json", PredictPart()
    assert finished(document, model="abc", part=part) is None
    document.write_text(json.dumps({"bundle": "abc", "technique": {"predict": part.model_dump(mode="json")}}), "utf-8")
    assert finished(document, model="abc", part=part)["bundle"] == "abc"
    assert finished(document, model="other", part=part) is None
    assert finished(document, model="abc", part=part.model_copy(update={"threshold": 0.25})) is None
    document.write_text('{"bundle": "abc"}', "utf-8")  # of an earlier version
    assert finished(document, model="abc", part=part) is None
    document.write_text('{"bundle": "ab', "utf-8")
    assert finished(document, model="abc", part=part) is None


def test_a_model_without_a_fingerprint_is_never_taken_for_finished(tmp_path):
    technique = {"predict": PredictPart().model_dump(mode="json")}
    (tmp_path / "case.json").write_text(json.dumps({"bundle": "", "technique": technique}), "utf-8")
    assert finished(tmp_path / "case.json", model="", part=PredictPart()) is None


def test_a_case_is_worked_on_once_at_a_time(tmp_path):
    with claimed(tmp_path, "case") as first, claimed(tmp_path, "case") as second, claimed(tmp_path, "other") as third:
        assert (first, second, third) == (True, False, True)
    with claimed(tmp_path, "case") as again:
        assert again
