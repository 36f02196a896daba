"""The process of ``/predict/``: its own, kept warm, and replaced when it dies or dawdles."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metseg.serve.http.problem_details import Refused
from metseg.serve.settings import load_settings
from metseg.serve.sync_predict.client import SyncPredictor
from metseg.serve.sync_predict.messages import Ask, Form, Refusal, Result

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bright")]


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., SyncPredictor]]:
    started: list[SyncPredictor] = []

    def make(**changes: Any) -> SyncPredictor:
        instant = SyncPredictor(load_settings(picture_model="bright-pictures", predict_threads=1, **changes))
        started.append(instant)
        instant.start()
        return instant

    yield make
    for instant in started:
        instant.stop()


@pytest.fixture
def picture(tmp_path: Path, make: SimpleNamespace) -> Path:
    path = tmp_path / "0001.png"
    path.write_bytes(make.png(make.square()))
    return path


def ask(instant: SyncPredictor, path: Path) -> Result | Refusal:
    return asyncio.run(instant.ask(Ask(str(path), "bright-pictures", Form.JSON)))


def pid_of(instant: SyncPredictor) -> int:
    process = instant._process
    assert process is not None
    assert process.pid is not None
    return process.pid


def test_answers_come_from_another_process_which_stays(start: Callable[..., SyncPredictor], picture: Path) -> None:
    instant = start()
    first = ask(instant, picture)
    assert isinstance(first, Result)
    assert sum(map(sum, json.loads(first.body)["segmentation"])) == 9
    child = pid_of(instant)
    assert child != os.getpid()
    second = ask(instant, picture)
    assert isinstance(second, Result)
    assert pid_of(instant) == child
    picture.write_bytes(b"no picture")
    refusal = ask(instant, picture)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.failure.code) == (415, "input.format")
    assert pid_of(instant) == child
    instant.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_killed_child_is_replaced(start: Callable[..., SyncPredictor], picture: Path) -> None:
    instant = start()
    assert isinstance(ask(instant, picture), Result)
    child = pid_of(instant)
    os.kill(child, signal.SIGKILL)
    while instant.is_warm:
        time.sleep(0.01)
    assert isinstance(ask(instant, picture), Result)
    assert pid_of(instant) != child


def test_a_child_that_dawdles_is_killed(start: Callable[..., SyncPredictor], picture: Path) -> None:
    instant = start(predict_deadline_s=0.5)
    instant._line.submit(lambda: None).result()  # the child has started
    child = pid_of(instant)
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(Refused) as caught:
        ask(instant, picture)
    assert caught.value.code == "service.predictor"
    assert not instant.is_warm


def test_only_so_many_may_wait(start: Callable[..., SyncPredictor], picture: Path) -> None:
    instant = start(predict_queue=2)

    async def all_at_once() -> list[object]:
        asks = [instant.ask(Ask(str(picture), "bright-pictures", Form.MASK)) for _ in range(5)]
        return list(await asyncio.gather(*asks, return_exceptions=True))

    answers = asyncio.run(all_at_once())
    assert [isinstance(answer, Result) for answer in answers] == [True, True, False, False, False]
    assert all(isinstance(answer, Refused) and answer.code == "service.busy" for answer in answers[2:])
