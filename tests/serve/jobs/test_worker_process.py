"""Workers as processes on SQLite: killed between and inside steps, ended, started twice; every study ends once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from metseg.schemas import State

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals that cannot be caught"),
]


def test_a_worker_works_off_what_was_accepted_before_it_started(
    make_fleet: Callable[[], Any],
    accept: Callable[..., str],
    volume_files: list[Any],
    picture_files: Callable[[int], list[Any]],
    given: Any,
) -> None:
    fleet = make_fleet()
    studies = [
        accept(volume_files, "bright-two"),
        accept(picture_files(2), "bright-pictures"),
        accept(volume_files[:1], "bright-two"),  # lacks a sequence
    ]
    fleet.start("w1")
    fleet.wait_until_over(studies)
    states = {study.id: study.state for study in fleet.records(studies)}
    assert [states[study] for study in studies] == [State.DONE, State.DONE, State.FAILED]
    mask = nibabel.load(fleet.store.folders.study(studies[0]).artifacts / "mask.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), given.volume_arrays()[0] > given.bright)
    assert fleet.end("w1") == 0
    log = fleet.said()
    assert "Traceback" not in log
    for name in (given.patient, *given.patient.split("^"), str(fleet.home)):
        assert name not in log


@pytest.mark.parametrize("sign", ["read.json", "predict.attempts"], ids=["between steps", "inside a step"])
@pytest.mark.parametrize("again", ["w1", "w2"], ids=["started again", "taken over"])
def test_a_killed_worker_loses_nothing(
    make_fleet: Callable[[], Any], accept: Callable[..., str], long_files: list[Any], sign: str, again: str
) -> None:
    fleet = make_fleet()
    study = accept(long_files, "bright-two")
    work = fleet.store.folders.study(study).work
    fleet.start("w1")
    fleet.wait_for((work / sign).exists, f"there is {sign}")
    fleet.kill("w1")
    (killed,) = fleet.records([study])
    assert killed.state == State.RUNNING
    fleet.start(again)
    fleet.wait_until_over([study])
    (done,) = fleet.records([study])
    assert (done.state, done.lesion_count, done.claims) == (State.DONE, 1, 2)
    assert fleet.endings() == {(study, "study.done"): 1}
    lesions = json.loads((fleet.store.folders.study(study).artifacts / "lesions.json").read_text())["lesions"]
    assert [lesion["voxels"] for lesion in lesions] == [8000]


def test_twenty_studies_and_a_worker_that_is_killed_twice(
    make_fleet: Callable[[], Any], accept: Callable[..., str], picture_files: Callable[[int], list[Any]]
) -> None:
    fleet = make_fleet()
    files = picture_files(1)
    studies = [accept(files, "bright-pictures") for _ in range(20)]
    for done_before in (3, 9):
        fleet.start("w1")
        fleet.wait_for(lambda count=done_before: sum(fleet.endings().values()) >= count, "some are done")
        fleet.wait_for(lambda: fleet.store.running(token_prefix="w1:"), "one is in work")
        fleet.kill("w1")
    fleet.start("w1")
    fleet.wait_until_over(studies)
    assert {study.state for study in fleet.records(studies)} == {State.DONE}
    assert fleet.endings() == {(study, "study.done"): 1 for study in studies}


def test_a_worker_that_is_told_to_end_gives_its_study_back(
    make_fleet: Callable[[], Any], accept: Callable[..., str], long_files: list[Any]
) -> None:
    fleet = make_fleet()
    study = accept(long_files, "bright-two")
    attempts = fleet.store.folders.study(study).work / "predict.attempts"
    fleet.start("w1")
    fleet.wait_for(attempts.exists, "the network is at work")
    assert fleet.end("w1") == 0
    if fleet.records([study])[0].state == State.RUNNING:  # it may have been done just then
        assert not attempts.exists()  # it did not die
    fleet.start("w2")
    fleet.wait_until_over([study])
    assert fleet.endings() == {(study, "study.done"): 1}


def test_two_workers_of_one_name(make_fleet: Callable[[], Any], accept: Callable[..., str]) -> None:
    fleet = make_fleet()
    fleet.start("w1")
    fleet.wait_for(lambda: "works with" in fleet.said(), "it has started")
    second = [sys.executable, "-m", "metseg", "worker", "--name", "w1"]
    ended = subprocess.run(second, capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 6
    assert "worker w1: a worker with this name is already running" in ended.stderr
    assert fleet.end("w1") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory for data")
def test_too_little_memory_fails_the_study_and_no_other(
    make_fleet: Callable[[], Any],
    accept: Callable[..., str],
    volume_files: list[Any],
    given: Any,
    tmp_path: Path,
) -> None:
    fleet = make_fleet()
    data = np.zeros((512, 512, 384), dtype=np.uint8)  # 100 MB for each sequence, and 800 for the network
    path = given.write_volume(tmp_path / "large.nii.gz", data)
    large = accept([file._replace(path=path) for file in volume_files], "bright-two")
    small = accept(volume_files, "bright-two")
    fleet.start("w1", METSEG_WORKER_MEMORY_BYTES=str(600 * 2**20))
    fleet.wait_until_over([large, small])
    states = {study.id: (study.state, (study.failure or {}).get("code")) for study in fleet.records([large, small])}
    assert states == {large: (State.FAILED, "resources.memory"), small: (State.DONE, None)}


def test_what_is_cancelled_while_it_is_worked_on_ends_soon(
    make_fleet: Callable[[], Any], accept: Callable[..., str], long_files: list[Any], volume_files: list[Any]
) -> None:
    from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL
    from metseg.serve.storage.study_service import Studies

    fleet = make_fleet()
    study, next_one = accept(long_files, "bright-two"), accept(volume_files, "bright-two")
    work = fleet.store.folders.study(study).work
    fleet.start("w1")
    fleet.wait_for((work / "read.json").exists, "it is in work")
    Studies(fleet.store.database, fleet.store.settings).cancel(LOCAL_PRINCIPAL, study)
    fleet.wait_until_over([next_one])
    assert {s.id: s.state for s in fleet.records([study, next_one])} == {
        study: State.CANCELLED,
        next_one: State.DONE,
    }
    fleet.wait_for(lambda: not work.exists(), "its scratch is removed")
