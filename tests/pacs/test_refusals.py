"""What a PACS refuses has a reason and a cure, and no message names a patient or a password."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread

from metseg.cli.pacs import WIDTH, study_table
from metseg.errors import InputError, UsageError
from metseg.pacs import StudyRecord, connect, parse_server, send_files
from metseg.pacs.pacs_errors import PacsError

Run = Callable[..., tuple[int, str, str]]


def code_of(server: str, timeout_s: float = 3) -> str:
    with pytest.raises(PacsError) as refusal:
        connect(server, timeout_s=timeout_s).echo()
    assert refusal.value.cure
    return refusal.value.code


def test_each_cause_has_a_code(orthanc: Any) -> None:
    assert code_of(f"dimse://OTHER@127.0.0.1:{orthanc.dicom}") == "pacs.title"
    assert code_of(f"dimse://ORTHANC@127.0.0.1:{orthanc.dicom}?calling=STRANGER") == "pacs.title"
    assert code_of("dimse://ORTHANC@127.0.0.1:1") == "pacs.unreachable"
    assert code_of("http://127.0.0.1:1/dicom-web") == "pacs.unreachable"
    assert code_of(f"http://127.0.0.1:{orthanc.http}/elsewhere") == "pacs.absent"
    assert code_of(f"dimse://ORTHANC@127.0.0.1:{orthanc.http}", 1) == "pacs.timeout"


def test_a_rejection_names_the_titles(orthanc: Any) -> None:
    with pytest.raises(PacsError, match="does not know our title STRANGER") as refusal:
        connect(f"dimse://ORTHANC@127.0.0.1:{orthanc.dicom}?calling=STRANGER").echo()
    assert "enter STRANGER" in str(refusal.value.cure)


def test_password_and_token_come_from_the_environment(
    make_orthanc: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    monkeypatch.setattr(httpx, "get", lambda *_, **__: SimpleNamespace(status_code=200))
    server = make_orthanc(tmp_path, AuthenticationEnabled=True, RegisteredUsers={"ward": "a secret"})
    monkeypatch.undo()
    for _ in range(200):
        if code_of(server.web) == "pacs.unauthorised":
            break
    assert code_of(server.web) == "pacs.unauthorised"
    monkeypatch.setenv("METSEG_PACS_USER", "ward")
    monkeypatch.setenv("METSEG_PACS_PASSWORD", "a secret")
    archive = connect(server.web)
    archive.echo()
    assert "secret" not in repr(parse_server(server.web)) + str(archive)
    server.kill()


def test_an_object_that_one_of_several_syntaxes_is_refused_for(
    make_orthanc: Callable[..., Any], study: Path, tmp_path: Path
) -> None:
    server = make_orthanc(tmp_path, AcceptedTransferSyntaxes=["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
    report = send_files(connect(server.dimse), [study])
    assert (len(report.stored), server.count()) == (3, 3)
    assert {reason for _, reason in report.failed} == {
        "the PACS refuses MR Image Storage with the transfer syntax RLE Lossless"
    }
    with pytest.raises(PacsError, match="MR Image Storage with RLE Lossless") as refusal:
        list(connect(server.dimse).store([item for item in _outgoing(study / "packed")]))
    assert refusal.value.code == "pacs.presentation_context"
    server.kill()


def _outgoing(folder: Path) -> list[Any]:
    from metseg.pacs.sending import read_outgoing

    return [read_outgoing(path) for path in sorted(folder.iterdir())]


def test_a_file_that_fails_is_named_and_the_status_says_so(
    run_metseg: Run, orthanc: Any, study: Path, tmp_path: Path
) -> None:
    for path in (study / "plain").iterdir():
        dataset = dcmread(path)
        (tmp_path / dataset.SOPInstanceUID[-6:]).write_bytes(path.read_bytes())
    strange = dcmread(next((study / "plain").iterdir()))
    strange.SOPClassUID = strange.file_meta.MediaStorageSOPClassUID = "1.2.3.4.5"
    strange.SOPInstanceUID = strange.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.6"
    strange.save_as(tmp_path / "strange")
    status, out, error = run_metseg("pacs", "send", tmp_path, "--server", orthanc.dimse)
    assert (status, out) == (3, "3 objects stored, 0 already there\n")
    assert f"{tmp_path / 'strange'}: the PACS refuses" in error
    assert "Mustermann" not in out + error


def test_what_is_no_dicom_object_is_refused_before_a_connection(tmp_path: Path) -> None:
    archive = connect("dimse://ORTHANC@127.0.0.1:1")
    with pytest.raises(InputError, match="no DICOM file to send"):
        send_files(archive, [tmp_path])
    (tmp_path / "a.dcm").write_text("not DICOM")
    with pytest.raises(InputError, match="not a DICOM file"):
        send_files(archive, [tmp_path / "a.dcm"])
    with pytest.raises(InputError, match="not a DICOM file"):
        send_files(archive, [tmp_path / "absent.dcm"])


@pytest.mark.parametrize(
    "url",
    ["", "orthanc", "ftp://a/b", "dimse://127.0.0.1:4242", "dimse://A@127.0.0.1", "dimse://A@h:99999", "dimse://A@h:1/x",
     "dimse://A@h:1?called=B", "dimse://SEVENTEENLETTERSS@h:1", "https://a/b?c=d", "http://[::1"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError):
        parse_server(url)


def test_credentials_are_neither_in_the_address_nor_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="password in it") as refusal:
        parse_server("https://ward:hunter2@pacs.example.org/dicom-web")
    assert "hunter2" not in str(refusal.value)
    monkeypatch.setenv("METSEG_PACS_TOKEN", "hunter2")
    with pytest.raises(UsageError, match="without encryption"):
        parse_server("http://pacs.example.org/dicom-web")
    assert "hunter2" not in repr(parse_server("https://pacs.example.org/dicom-web"))


@pytest.mark.parametrize("dates", ["2024", "-", "20240101 20240102", "last week"])
def test_what_is_no_date(run_metseg: Run, dates: str) -> None:
    status, _, error = run_metseg("pacs", "find", "--server", "dimse://A@127.0.0.1:1", f"--date={dates}")
    assert status == 2
    assert "not a date" in error


def test_a_search_without_a_condition_is_refused(run_metseg: Run) -> None:
    assert run_metseg("pacs", "find", "--server", "dimse://A@127.0.0.1:1")[0] == 2


def test_the_table_fits_and_shows_no_control_characters() -> None:
    long = StudyRecord(
        "1." * 31 + "1", "20240102", "P" * 40, "\x1b[31m" + "d" * 90, ("MR", "SEG", "RTSTRUCT"), "", 3, 9
    )
    lines = study_table((long, long))
    assert max(map(len, lines)) <= WIDTH
    assert "\x1b" not in "".join(lines)
    assert lines[2].strip() == long.study_uid
    assert lines[-1] == "2 studies"
