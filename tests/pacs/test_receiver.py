"""A receiver takes what it should, once, and answers nonsense; its state outlives its process."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from metseg.client.study_client import Client
from metseg.errors import InputError
from metseg.pacs import connect
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.received_objects import ReceivedObjects
from metseg.pacs.receiver_state import JobState, ReceivedJob, ReceiverState
from metseg.pacs.routing_rules import RoutingRules, read_rules
from metseg.pacs.sending import read_outgoing
from metseg.pacs.study_processing import StudyProcessor
from metseg.pacs.study_receiver import StudyReceiver

RULES = RoutingRules.model_validate({"rule": [{"description": "*brain*", "modality": "MR", "model": "mets"}]})


class Events(list[tuple[str, dict[str, Any]]]):
    """Collects audit events."""

    def __call__(self, event: str, **facts: Any) -> None:
        self.append((event, facts))

    def count(self, event: str) -> int:  # type: ignore[override]
        return sum(name == event for name, _ in self)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[ReceiverState]:
    state = ReceiverState(tmp_path / "in" / "receiver.sqlite")
    yield state
    state.close()


@pytest.fixture
def receiver(tmp_path: Path, state: ReceiverState, events: Events) -> Iterator[StudyReceiver]:
    receiver = StudyReceiver("METSEG", 0, ReceivedObjects(tmp_path / "in", state), allowed=("SCANNER",), audit=events)
    yield receiver
    receiver.close()


@pytest.fixture
def processor(tmp_path: Path, state: ReceiverState, events: Events) -> Iterator[StudyProcessor]:
    """Return a processor with a service and a PACS that do not answer."""
    archive = connect("dimse://ORTHANC@127.0.0.1:1")
    with Client("http://127.0.0.1:1") as client:
        yield StudyProcessor(tmp_path / "in", state, RULES, client, archive, quiet_s=0, audit=events)


def address(receiver: StudyReceiver, *, called: str = "METSEG", calling: str = "SCANNER") -> str:
    return f"dimse://{called}@127.0.0.1:{receiver.port}?calling={calling}"


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.dcm"))


def send(receiver: StudyReceiver, folder: Path) -> list[str]:
    objects = [read_outgoing(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [reason for _, reason in connect(address(receiver)).store(objects)]


def test_objects_are_stored_once_with_their_pixels_and_syntax(
    receiver: StudyReceiver, events: Events, study: Path, tmp_path: Path
) -> None:
    assert send(receiver, study) == [""] * 5
    stored = files_below(tmp_path / "in")
    assert len(stored) == 5
    times = [path.stat().st_mtime_ns for path in stored]
    assert send(receiver, study) == [""] * 5
    assert [path.stat().st_mtime_ns for path in files_below(tmp_path / "in")] == times
    originals = {dcmread(path).SOPInstanceUID: dcmread(path) for path in study.rglob("*") if path.is_file()}
    for path in stored:
        dataset = dcmread(path)
        original = originals[dataset.SOPInstanceUID]
        assert dataset.PixelData == original.PixelData
        assert dataset.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    assert not any(word in repr(list(events)) for word in ("4711", "Mustermann", *map(str, originals)))


def test_only_allowed_titles_may_send(receiver: StudyReceiver, events: Events) -> None:
    connect(address(receiver)).echo()
    for wrong in ({"calling": "STRANGER"}, {"called": "OTHER"}):
        with pytest.raises(PacsError) as refusal:
            connect(address(receiver, **wrong)).echo()
        assert refusal.value.code == "pacs.title"
    assert events.count("rejected") == 2


def test_a_pacs_without_c_get_says_so(receiver: StudyReceiver, study: Path) -> None:
    wanted = [read_outgoing(path).reference for path in (study / "plain").iterdir()]
    with pytest.raises(PacsError, match="Study Root Query/Retrieve Information Model - GET") as refusal:
        connect(address(receiver)).fetch(wanted, True, lambda _dataset: None)
    assert refusal.value.code == "pacs.presentation_context"


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning")
@pytest.mark.parametrize("uid", ["../../../../tmp/x", "1..2", "1." * 40 + "1", ""])
def test_an_object_with_a_wrong_uid_is_refused(
    receiver: StudyReceiver, events: Events, scanner: SimpleNamespace, tmp_path: Path, uid: str
) -> None:
    (dataset,) = scanner.slices(scanner.pixels(1))
    dataset.StudyInstanceUID = uid
    before = sorted(tmp_path.rglob("*"))
    status = _store(receiver, dataset)
    assert status == 0xC000
    assert sorted(tmp_path.rglob("*")) == before
    assert events.count("refused") == 1


def test_an_object_other_than_announced_is_refused(
    receiver: StudyReceiver, scanner: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pynetdicom import association

    announced, other = scanner.slices(scanner.pixels(2))
    encode = association.encode
    monkeypatch.setattr(association, "encode", lambda _dataset, *options: encode(other, *options))
    assert _store(receiver, announced) == 0xA900
    assert files_below(tmp_path / "in") == []


def test_half_an_image_is_refused_and_the_whole_one_stored_later(
    receiver: StudyReceiver, events: Events, scanner: SimpleNamespace, tmp_path: Path
) -> None:
    (dataset,) = scanner.slices(scanner.pixels(1))
    whole = dataset.PixelData
    dataset.PixelData = whole[: len(whole) // 2]
    assert _store(receiver, dataset) == 0xC000
    assert [facts["code"] for event, facts in events if event == "refused"] == ["input.truncated"]
    assert files_below(tmp_path / "in") == []
    dataset.PixelData = whole
    assert _store(receiver, dataset) == 0
    assert len(files_below(tmp_path / "in")) == 1


def test_deflated_data_sets_are_not_accepted(receiver: StudyReceiver) -> None:
    entity = AE("SCANNER")
    entity.add_requested_context(MRImageStorage, [DeflatedExplicitVRLittleEndian])
    association = entity.associate("127.0.0.1", receiver.port, ae_title="METSEG")
    assert association.accepted_contexts == []
    association.abort()


def _store(receiver: StudyReceiver, dataset: Dataset) -> int:
    entity = AE("SCANNER")
    entity.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="METSEG")
    assert association.is_established
    status = int(association.send_c_store(dataset).Status)
    association.release()
    return status


def test_a_truncated_association_leaves_nothing_and_others_are_served(
    receiver: StudyReceiver, study: Path, tmp_path: Path
) -> None:
    for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00" + struct.pack(">I", 500) + b"\x00\x01", bytes(5000)):
        with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
            connection.sendall(noise)
    entity = AE("SCANNER")
    entity.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="METSEG")
    # The head of a P-DATA-TF with 60,000 bytes, and a few of them.
    association.dul.socket.send(b"\x04\x00" + struct.pack(">I", 60_000) + bytes(300))
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    association.abort()
    assert files_below(tmp_path / "in") == []
    assert send(receiver, study) == [""] * 5


def test_a_quiet_study_becomes_one_job_and_a_late_object_another(
    receiver: StudyReceiver, state: ReceiverState, processor: StudyProcessor, events: Events, study: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    send(receiver, study / "plain")
    series = files_below(tmp_path / "in")[0].parent
    (series / "notes.dcm").write_text("no object: put there by a person")
    for _ in range(2):
        processor.step(9e9)
    (job,) = state.jobs()
    assert (len(job.files), job.model, job.state) == (3, "mets", JobState.COMPLETE)
    send(receiver, study / "plain")  # once more, nothing new
    processor.step(9e9)
    assert len(state.jobs()) == 1
    send(receiver, study / "packed")
    processor.step(9e9)
    assert [len(job.files) for job in state.jobs()] == [3, 5]
    assert events.count("complete") == 2


def test_a_study_without_a_rule_is_left_out(
    receiver: StudyReceiver, state: ReceiverState, processor: StudyProcessor, events: Events,
    scanner: SimpleNamespace, tmp_path: Path,
) -> None:  # fmt: skip
    scanner.write(tmp_path / "ct", scanner.slices(scanner.pixels(1), Modality="CT", StudyDescription="Brain"))
    scanner.write(tmp_path / "knee", scanner.slices(scanner.pixels(1), series="k", StudyDescription="Knee",
                                                    StudyInstanceUID="1.2.3"))  # fmt: skip
    send(receiver, tmp_path / "ct")
    send(receiver, tmp_path / "knee")
    processor.step(9e9)
    processor.step(9e9)
    assert state.jobs() == []
    assert events.count("no_rule") == 2


def test_pauses_between_attempts_grow(
    receiver: StudyReceiver, processor: StudyProcessor, events: Events, study: Path
) -> None:
    send(receiver, study)
    now = 9e9
    for _ in range(8):
        processor.step(now)
        now += 1200
    pauses = [facts["seconds"] for event, facts in events if event == "postponed"]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600]
    assert {facts["code"] for event, facts in events if event == "postponed"} == {"client.unreachable"}


def test_a_study_with_a_new_object_is_not_closed(state: ReceiverState) -> None:
    state.add_arrival("1.2", 100.0)
    assert state.quiet_studies(99.0) == []
    assert state.quiet_studies(100.0) == ["1.2"]
    state.add_arrival("1.2", 101.0)  # between the question and the answer
    job = ReceivedJob("key", "1.2", ("a",), None)
    assert not state.close_study("1.2", 100.0, job)
    assert state.close_study("1.2", 101.0, job)
    state.add_arrival("1.2", 102.0)
    assert not state.close_study("1.2", 102.0, job)
    assert [job.key for job in state.jobs()] == ["key"]


def test_a_file_that_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "receiver.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="not the state of a receiver"):
        ReceiverState(tmp_path / "receiver.sqlite")


@pytest.mark.parametrize("text", ["", "rule = 3", "[[rule]]\nmodle = 'x'", "[[rule]", "rule = []"])
def test_wrong_rules(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_rules(path)


def test_rules_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\ndescription = "*Mets*"\nmodel = "mets-3d"\n[[rule]]\n')
    first, second = read_rules(path).rule
    assert (first.matches(["MR METS follow-up"]), first.matches(["Knee"]), first.matches([])) == (True, False, False)
    assert (second.matches([]), second.modality, second.model) == (True, "MR", None)


def test_the_command_needs_rules_and_a_certificate_for_tls(
    run_metseg: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    options = ["--port", "0", "--folder", tmp_path / "in", "--allow", "A", "--rules", tmp_path / "rules.toml"]
    options += ["--server", "dimse://A@127.0.0.1:1"]
    assert run_metseg("pacs", "receive", *options, "--tls")[0] == 2
    status, _, error = run_metseg("pacs", "receive", *options)
    assert status == 3
    assert "the rules cannot be read" in error
