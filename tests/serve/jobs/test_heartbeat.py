"""A worker that was silent for too long knows it, and asks whether its studies are still its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from metseg.serve.jobs.claim import Claim, Interrupted
from metseg.serve.jobs.heartbeat import Heartbeat, Lease


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_lease_lapses_when_it_is_not_renewed_in_time() -> None:
    clock = Clock()
    lease = Lease(30, clock=clock)
    clock.now_s += 29
    lease.renew()
    clock.now_s += 30
    assert lease.lapses == 0
    clock.now_s += 1
    assert lease.lapses == 1
    assert lease.lapses == 1  # looking is no lapse
    lease.renew()
    clock.now_s += 20
    assert lease.lapses == 1


def test_a_late_renewal_does_not_undo_a_lapse() -> None:
    clock = Clock()
    lease = Lease(30, clock=clock)
    clock.now_s += 31
    lease.renew()
    assert lease.lapses == 1


@pytest.fixture
def hold() -> Callable[..., tuple[Claim, Clock, threading.Event, list[str]]]:
    """Return a function that makes a hold, with all it depends on; the list says what was asked of DBOS."""

    def make(*, given: bool) -> tuple[Claim, Clock, threading.Event, list[str]]:
        clock, stop, asked = Clock(), threading.Event(), []

        def is_given(study_id: str) -> bool:
            asked.append(study_id)
            return given

        lease = Lease(30, clock=clock)
        return Claim("study", lease=lease, stop=stop, is_given=is_given), clock, stop, asked

    return make


def test_work_goes_on_while_heartbeats_do(hold: Callable[..., tuple[Claim, Clock, threading.Event, list[str]]]) -> None:
    held, clock, _, asked = hold(given=False)
    clock.now_s += 30
    held.require()
    assert asked == []


def test_after_a_lapse_only_what_is_still_given_goes_on(
    hold: Callable[..., tuple[Claim, Clock, threading.Event, list[str]]],
) -> None:
    held, clock, _, asked = hold(given=True)
    clock.now_s += 31
    held.require()
    held.require()
    assert asked == ["study"]  # once for each lapse
    clock.now_s += 31
    held.require()
    assert asked == ["study", "study"]

    lost, clock, _, _ = hold(given=False)
    clock.now_s += 31
    with pytest.raises(Interrupted):
        lost.require()
    with pytest.raises(Interrupted):  # and it stays lost
        lost.require()


def test_work_stops_when_the_worker_does(hold: Callable[..., tuple[Claim, Clock, threading.Event, list[str]]]) -> None:
    held, _, stop, _ = hold(given=True)
    stop.set()
    with pytest.raises(Interrupted):
        held.require()


class Records:
    """Answers heartbeats with what is next in a list; an exception is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.beats: list[tuple[str, str, object]] = []
        self.empty = threading.Event()

    def beat(self, worker_id: str, incarnation: str, facts: object) -> bool:
        self.beats.append((worker_id, incarnation, facts))
        answer = self.answers.pop(0) if self.answers else True
        if not self.answers:
            self.empty.set()
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


def run_heartbeat(records: Records, lease: Lease) -> threading.Event:
    """Run a heartbeat until the records have given all their answers, and return whether it was replaced."""
    replaced = threading.Event()
    heartbeat = Heartbeat(
        records,  # type: ignore[arg-type]
        "worker-1",
        "life-1",
        interval_s=0.01,
        lease=lease,
        facts=lambda: {"threads": 1},
        on_replaced=replaced.set,
    )
    heartbeat.start()
    assert records.empty.wait(10)
    heartbeat.stop()
    return replaced


def test_a_database_that_is_away_ends_no_heartbeat() -> None:
    clock = Clock()
    lease = Lease(30, clock=clock)
    clock.now_s += 29
    away = OperationalError("UPDATE", {}, Exception("gone"))
    records = Records(away, MemoryError(), True, True)
    assert not run_heartbeat(records, lease).is_set()
    assert records.beats[0] == ("worker-1", "life-1", {"threads": 1})
    clock.now_s += 29  # it was renewed by those that were written
    assert lease.lapses == 0


def test_whoever_was_replaced_is_told_once() -> None:
    records = Records(True, False)
    replaced = run_heartbeat(records, Lease(30))
    assert replaced.wait(10)
    assert len(records.beats) == 2
