"""From the PACS, through the service, and back: a real Orthanc, the service in this process, results once each."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("pynetdicom")

from metseg.client.study_client import Client
from metseg.pacs import StudyQuery, connect, retrieve_study, send_files
from metseg.pacs.received_objects import ReceivedObjects
from metseg.pacs.receiver_state import JobState, ReceiverState
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.sending import read_outgoing
from metseg.pacs.study_polling import StudyPoller
from metseg.pacs.study_processing import StudyProcessor
from metseg.pacs.study_receiver import StudyReceiver

from .fleet import PATIENCE_S

TESTS = Path(__file__).parents[1]
DEPLOY = TESTS.parent / "deploy"
#: Title of the receiver, and the name under which the script of ``deploy`` forwards to it.
RECEIVER = "receiver"
#: Settings of the service and its workers for results that a PACS files under the study.
EXPORTS = {"METSEG_DICOM_EXPORTS": "seg,sr", "METSEG_DICOM_IDENTITY": "keep"}
RULES = RoutingRules.model_validate({"rule": [{"modality": "MR", "model": "bright-t1c"}]})


class Killed(BaseException):
    """Ends a step where a SIGKILL would."""


@pytest.fixture
def scanner() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(TESTS / "io" / "dicom" / "scanner.py")))


@pytest.fixture
def pacs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Return an Orthanc that knows a receiver and a scanner, and the receiver's port.

    The parameter says whether it forwards what it gets by the script of ``deploy``.
    """
    module = runpy.run_path(str(TESTS / "pacs" / "orthanc.py"))
    if reason := module["missing_programs"]():
        pytest.skip(reason)
    port = module["free_port"]()
    settings = {"LuaScripts": [str(DEPLOY / "forward.lua")]} if getattr(request, "param", False) else {}
    titles = {RECEIVER: port, "SCANNER": module["free_port"]()}
    server = module["Orthanc"](tmp_path / "orthanc", titles, **settings)
    server.start()
    yield SimpleNamespace(server=server, port=port)
    server.kill()


@pytest.fixture
def process(
    tmp_path: Path, make_client: Callable[..., Any], pacs: SimpleNamespace
) -> Iterator[Callable[..., tuple[StudyProcessor, ReceiverState]]]:
    """Return a function that starts the processor as a new process does: from the state in the folder."""
    states: list[ReceiverState] = []
    service = make_client(dicom_exports=("seg", "sr"), dicom_identity="keep", volume_model="bright-t1c")

    def start(audit: Callable[..., None]) -> tuple[StudyProcessor, ReceiverState]:
        state = ReceiverState(tmp_path / "in" / "receiver.sqlite")
        states.append(state)
        client = Client("http://127.0.0.1:8000", transport=service._transport)
        archive = connect(pacs.server.dimse, timeout_s=10)
        return StudyProcessor(tmp_path / "in", state, RULES, client, archive, quiet_s=0, audit=audit), state

    start.service = service.app.state.service  # type: ignore[attr-defined]
    yield start
    for state in states:
        state.close()


def bright_study(scanner: SimpleNamespace, folder: Path) -> list[Path]:
    stored = np.zeros((10, 24, 20), dtype=np.uint16)
    stored[1:9, 2:22, 2:18], stored[3:6, 5:8, 4:7] = 100, 300
    described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1"}
    return scanner.write(folder, scanner.slices(stored, **described))


@pytest.mark.slow
def test_a_study_is_processed_once_and_each_result_is_stored_once(
    tmp_path: Path, pacs: SimpleNamespace, process: Any, work_off: Any, scanner: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    events: list[str] = []

    def audit(event: str, **facts: object) -> None:
        events.append(event)
        assert "4711" not in repr(facts)

    later = iter(time.time() + 10_000 * number for number in range(1, 1000))
    uid, server = scanner.uid("study"), pacs.server
    send_files(connect(server.web), bright_study(scanner, tmp_path / "study"))
    processor, state = process(audit)
    receiver = StudyReceiver(
        RECEIVER, pacs.port, ReceivedObjects(tmp_path / "in", state), allowed=("ORTHANC",), audit=audit
    )
    forward(server)
    assert events.count("received") == 10

    # Killed after the upload, before the state was written: the service gets the same upload again.
    monkeypatch.setattr(state, "advance", killed)
    with pytest.raises(Killed):
        processor.step(next(later))
    processor, state = process(audit)
    processor.step(next(later))
    (job,) = state.jobs()
    assert job.state == JobState.SUBMITTED
    assert len(processor._client.list()) == 1
    processor.step(next(later))  # not finished yet
    work_off(process.service, job.service_study)

    processor.step(next(later))
    assert state.jobs()[0].state == JobState.FETCHED
    server.kill()
    processor.step(next(later))
    assert (state.jobs()[0].state, state.jobs()[0].code) == (JobState.FETCHED, "pacs.unreachable")
    server.start()

    # Killed after the PACS has stored the first result, before the state was written.
    monkeypatch.setattr(state, "add_sent", killed)
    with pytest.raises(Killed):
        processor.step(next(later))
    assert server.count() == 12
    processor, state = process(audit)
    processor.step(next(later))
    assert state.jobs()[0].state == JobState.DONE
    assert server.count() == 12

    for archive in (connect(server.web), connect(server.dimse)):
        (found,) = archive.find_studies(StudyQuery(study_uid=uid))
        assert set(found.modalities) == {"MR", "SEG", "SR"}
        assert found.instances == 12
    assert retrieve_study(connect(server.web), uid, tmp_path / "back").written == 12

    # The PACS sends the whole study on, results too: nothing is processed again.
    receiver.close()
    receiver = StudyReceiver(
        RECEIVER, pacs.port, ReceivedObjects(tmp_path / "in", state), allowed=("ORTHANC",), audit=audit
    )
    forward(server)
    receiver.close()
    processor.step(next(later))
    assert [job.state for job in state.jobs()] == [JobState.DONE]
    assert server.count() == 12


@pytest.mark.slow
@pytest.mark.parametrize("pacs", [True], indirect=True, ids=["forwarding"])
def test_twenty_studies_while_pacs_worker_and_receiver_are_killed(
    tmp_path: Path, bright: Path, pacs: SimpleNamespace, process: Any, make_fleet: Any, scanner: SimpleNamespace
) -> None:
    """Half arrives by DIMSE and half by STOW-RS; the PACS forwards it, and the receiver asks for what did not arrive.

    No study and no result is lost, and none is there twice.
    """
    server, folder, count, images = pacs.server, tmp_path / "in", 20, 4
    events: list[str] = []

    def audit(event: str, **_: object) -> None:
        events.append(event)

    processor, state = process(audit)
    uids = [small_study(scanner, tmp_path / "studies" / f"{number}", number) for number in range(count)]
    scanned = connect(f"dimse://ORTHANC@127.0.0.1:{server.dicom}?calling=SCANNER")
    send_files(scanned, [tmp_path / "studies" / "0"])  # the receiver is not there yet
    receiver = StudyReceiver(RECEIVER, pacs.port, ReceivedObjects(folder, state), allowed=("ORTHANC",), audit=audit)
    for number in range(1, count):
        send_files(connect(server.web) if number % 2 else scanned, [tmp_path / "studies" / f"{number}"])
    poller = StudyPoller(folder, state, RULES, connect(server.dimse), days=1, audit=audit)

    def all_are_here() -> bool:
        poller.poll(time.time(), date(2024, 1, 3))
        return len(list(folder.rglob("*.dcm"))) == count * images

    wait_for(lambda: events.count("received") >= (count - 1) * images // 2, "the PACS forwards images")
    wait_for(all_are_here, "all images are here")
    receiver.close()
    assert "retrieved" in events

    later = iter(time.time() + 10_000 * number for number in range(1, 100_000))

    def work_until(condition: Callable[[list[Any]], object], what: str) -> None:
        def is_reached() -> bool:
            processor.step(next(later))
            return bool(condition(state.jobs()))

        wait_for(is_reached, what, pause_s=0.3)  # each look asks for every open study

    fleet = make_fleet()
    fleet.start("w1", **EXPORTS)
    work_until(lambda jobs: sum(job.state == JobState.DONE for job in jobs) >= 4, "some results are in the PACS")
    server.kill()
    work_until(lambda jobs: any(job.code == "pacs.unreachable" for job in jobs), "a result could not be sent")
    fleet.wait_for(lambda: fleet.store.running(token_prefix="w1:"), "a study is in work")
    fleet.kill("w1")
    processor, state = process(audit)  # the receiver's process is new, too
    work_until(lambda jobs: any(job.code == "pacs.unreachable" for job in jobs), "the new one has tried")
    server.start()
    fleet.start("w1", **EXPORTS)
    work_until(lambda jobs: all(job.state == JobState.DONE for job in jobs), "all results are in the PACS")

    jobs = state.jobs()
    assert sorted(job.study_uid for job in jobs) == sorted(uids)
    assert fleet.endings() == {(job.service_study, "study.done"): 1 for job in jobs}
    assert len(processor._client.list()) == count
    found = connect(server.web).find_studies(StudyQuery(patient_id="*"))
    assert {study.study_uid: (set(study.modalities), study.instances) for study in found} == {
        uid: ({"MR", "SEG", "SR"}, images + 2) for uid in uids
    }
    assert server.count() == count * (images + 2)


def test_the_orthanc_of_the_compose_file_forwards_images_and_keeps_results(tmp_path: Path, scanner: Any) -> None:
    module = runpy.run_path(str(TESTS / "pacs" / "orthanc.py"))
    if reason := module["missing_programs"]():
        pytest.skip(reason)
    settings = json.loads((DEPLOY / "orthanc.json").read_text())
    state = ReceiverState(tmp_path / "in" / "receiver.sqlite")
    receiver = StudyReceiver(
        "METSEG", 0, ReceivedObjects(tmp_path / "in", state), allowed=("ORTHANC",), audit=lambda *_, **__: None
    )
    settings["DicomModalities"]["receiver"] |= {"Host": "127.0.0.1", "Port": receiver.port}
    settings["LuaScripts"] = [str(DEPLOY / Path(settings["LuaScripts"][0]).name)]
    for name in ("StorageDirectory", "IndexDirectory", "DicomPort", "HttpServerEnabled"):
        del settings[name]
    server = module["Orthanc"](tmp_path / "orthanc", **settings)
    server.start()
    try:
        paths = scanner.write(tmp_path / "study", scanner.slices(scanner.pixels(3)))
        send_files(connect(server.dimse), paths[:1])  # METSEG sends results, which stay
        scanned = connect(f"dimse://ORTHANC@127.0.0.1:{server.dicom}?calling=SCANNER")
        assert [reason for _, reason in scanned.store([read_outgoing(path) for path in paths[1:]])] == ["", ""]
        deadline = time.monotonic() + 60
        while len(found := list((tmp_path / "in").rglob("[!.]*.dcm"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        uids = {read_outgoing(path).reference.sop_uid for path in paths[1:]}
        assert {path.stem for path in found} == uids
        assert server.count() == 3
    finally:
        server.kill()
        receiver.close()
        state.close()


def small_study(scanner: SimpleNamespace, folder: Path, number: int) -> str:
    """Write a study of four slices with a bright lesion, and return its UID."""
    stored = np.zeros((4, 24, 20), dtype=np.uint16)
    stored[:, 2:22, 2:18], stored[1:3, 5:8, 4:7] = 100, 300
    uid = scanner.uid("study", number)
    described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1"}
    scanner.write(folder, scanner.slices(stored, series=f"series {number}", StudyInstanceUID=uid, **described))
    return str(uid)


def wait_for(condition: Callable[[], bool], what: str, *, pause_s: float = 0.05) -> None:
    deadline = time.monotonic() + 4 * PATIENCE_S  # twenty studies on a machine that runs all tests at once
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(pause_s)


def killed(*_: object, **__: object) -> None:
    raise Killed


def forward(server: Any) -> None:
    """Let Orthanc send its study to the receiver."""
    url = f"http://127.0.0.1:{server.http}"
    (study,) = httpx.get(f"{url}/studies", trust_env=False).json()
    answer = httpx.post(f"{url}/modalities/{RECEIVER}/store", content=study, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
