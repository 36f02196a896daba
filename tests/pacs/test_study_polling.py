"""A receiver asks a real Orthanc for recent studies: what is missing is retrieved, once, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metseg.pacs import connect, retrieve_study, send_files, study_polling
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.receiver_state import ReceiverState
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.study_polling import StudyPoller
from metseg.pacs.study_records import StudyRecord

RULES = RoutingRules.model_validate({"rule": [{"description": "brain*"}, {"description": "*mets", "modality": "MR"}]})
#: The study is of 2 January 2024.
TODAY = date(2024, 1, 3)


@pytest.fixture
def events() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def state(tmp_path: Path) -> Iterator[ReceiverState]:
    state = ReceiverState(tmp_path / "in" / "receiver.sqlite")
    yield state
    state.close()


@pytest.fixture
def poller(tmp_path: Path, state: ReceiverState, events: list[Any]) -> Callable[..., StudyPoller]:
    """Return a function that makes a poller of a PACS."""

    def make(server: str, rules: RoutingRules = RULES) -> StudyPoller:
        def audit(event: str, **facts: object) -> None:
            events.append((event, facts))

        return StudyPoller(tmp_path / "in", state, rules, connect(server, timeout_s=5), days=1, audit=audit)

    return make


@pytest.mark.parametrize("protocol", ["dimse", "web"])
def test_what_did_not_arrive_is_retrieved_once(
    orthanc: Any, poller: Any, state: ReceiverState, study: Path, scanner: SimpleNamespace, tmp_path: Path,
    events: list[Any], protocol: str,
) -> None:  # fmt: skip
    server, uid = getattr(orthanc, protocol), scanner.uid("study")
    send_files(connect(orthanc.web), [study])
    asking = poller(server)
    asking.poll(100.0, TODAY)
    assert len(list((tmp_path / "in" / "studies" / uid).rglob("*.dcm"))) == 5
    assert state.quiet_studies(100.0) == [uid]
    asking.poll(200.0, TODAY)
    assert state.quiet_studies(100.0) == [uid]  # nothing new has arrived
    lost = next((tmp_path / "in").rglob("*.dcm"))
    lost.rename(lost.with_name(f".{lost.name}.abcd1234.dcm"))  # as a process leaves it that is killed while it writes
    asking.poll(300.0, TODAY)
    assert (state.quiet_studies(299.0), state.quiet_studies(300.0)) == ([], [uid])
    assert events == [("retrieved", {"objects": 5}), ("retrieved", {"objects": 1})]


def test_a_study_that_was_complete_when_the_process_was_killed_is_processed(
    orthanc: Any, poller: Any, state: ReceiverState, study: Path, scanner: SimpleNamespace, tmp_path: Path
) -> None:
    """Its files are there, and its arrival was not recorded."""
    send_files(connect(orthanc.web), [study])
    retrieve_study(connect(orthanc.dimse), scanner.uid("study"), tmp_path / "in" / "studies")
    poller(orthanc.dimse).poll(100.0, TODAY)
    assert state.quiet_studies(100.0) == [scanner.uid("study")]
    assert state.close_study(scanner.uid("study"), 100.0, None) is False


def test_older_studies_and_those_without_a_rule_stay_in_the_pacs(
    orthanc: Any, poller: Any, study: Path, tmp_path: Path, events: list[Any]
) -> None:
    send_files(connect(orthanc.web), [study])
    poller(orthanc.dimse).poll(100.0, date(2024, 1, 4))
    others = RoutingRules.model_validate({"rule": [{"description": "knee*"}, {"modality": "CT"}]})
    poller(orthanc.dimse, others).poll(100.0, TODAY)
    assert events == []
    assert not (tmp_path / "in" / "studies").exists()


def test_a_pacs_that_does_not_answer_is_asked_again_later(poller: Any, events: list[Any]) -> None:
    asking = poller("dimse://ORTHANC@127.0.0.1:1")
    asking.poll(100.0, TODAY)
    asking.poll(200.0, TODAY)
    assert events == [("not_polled", {"code": "pacs.unreachable"})] * 2


@pytest.mark.parametrize(
    ("failing_uid", "code", "continues"),
    [
        ("1.2.1", "pacs.incomplete", True),
        ("../2", "input.uid", True),
        ("1.2.1", "pacs.unreachable", False),
    ],
)
def test_a_study_that_fails_does_not_hold_up_the_others(
    tmp_path: Path, state: ReceiverState, events: list[Any], monkeypatch: pytest.MonkeyPatch, failing_uid: str,
    code: str, continues: bool,
) -> None:  # fmt: skip
    found = [study_record(failing_uid), study_record("1.2.2")]

    def retrieve(_archive: Any, study_uid: str, _folder: Path) -> SimpleNamespace:
        if study_uid == failing_uid:
            raise PacsError("it failed", code=code)
        return SimpleNamespace(written=5)

    monkeypatch.setattr(study_polling, "retrieve_study", retrieve)
    archive: Any = SimpleNamespace(find_studies=lambda _query: found)
    rules = RoutingRules.model_validate({"rule": [{"description": "brain*"}]})
    poller = StudyPoller(
        tmp_path / "in", state, rules, archive, days=1, audit=lambda event, **facts: events.append((event, facts))
    )
    poller.poll(100.0, TODAY)
    failed = ("not_retrieved", {"code": code, "objects": 5})
    assert events == ([failed, ("retrieved", {"objects": 5})] if continues else [failed])
    assert state.quiet_studies(100.0) == (["1.2.2"] if continues else [])


def study_record(uid: str) -> StudyRecord:
    return StudyRecord(uid, "20240102", "4711", "brain", ("MR",), "", series=1, instances=5)
