"""Studies go to a real Orthanc and come back, by DIMSE and by DICOMweb."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread

from metseg.errors import ResourceError, UsageError
from metseg.pacs import connect, retrieve_study, send_files
from metseg.pacs.pacs_errors import PacsError

Run = Callable[..., tuple[int, str, str]]
PROTOCOLS = ("dimse", "web")


def content(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return transfer syntax and pixel data of each object by its UID."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            dataset = dcmread(path)
            found[str(dataset.SOPInstanceUID)] = str(dataset.file_meta.TransferSyntaxUID), bytes(dataset.PixelData)
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stored_by_one_found_and_retrieved_by_both(
    run_metseg: Run, orthanc: Any, study: Path, scanner: SimpleNamespace, tmp_path: Path, protocol: str
) -> None:
    server = getattr(orthanc, protocol)
    assert run_metseg("pacs", "echo", "--server", server)[0] == 0
    status, out, _ = run_metseg("pacs", "send", study, "--server", server, "--json")
    assert status == 0, out
    assert (len(json.loads(out)["stored"]), orthanc.count()) == (5, 5)
    assert run_metseg("pacs", "send", study, "--server", server)[1] == "0 objects stored, 5 already there\n"
    assert orthanc.count() == 5
    for other in PROTOCOLS:
        url = getattr(orthanc, other)
        conditions = ("--patient-id", "4711*", "--date", "20240101-20240131", "--description", "Brain*")
        conditions += ("--modality", "MR", "--accession", "A/17", "--patient-name", f"{scanner.PATIENT_NAME[:6]}*")
        _, out, _ = run_metseg("pacs", "find", "--server", url, *conditions, "--json")
        (found,) = json.loads(out)["studies"]
        assert (found["study_uid"], found["date"], found["instances"]) == (scanner.uid("study"), "20240102", 5)
        assert (found["description"], found["modalities"], found["series"]) == ("Brain mets", ["MR"], 2)
        assert found["patient_name"] == scanner.PATIENT_NAME
        status, out, error = run_metseg("pacs", "get", found["study_uid"], "--server", url, "--out", tmp_path / other)
        assert (status, error) == (0, "")
        assert content(tmp_path / other) == content(study)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_retrieval_fetches_only_what_is_missing_or_damaged(
    orthanc: Any, study: Path, scanner: SimpleNamespace, tmp_path: Path, protocol: str
) -> None:
    archive = connect(getattr(orthanc, protocol))
    send_files(archive, [study])
    uid = scanner.uid("study")
    first = retrieve_study(archive, uid, tmp_path)
    assert (first.expected, first.present, first.written) == (5, 0, 5)
    paths = sorted(first.folder.rglob("*.dcm"))
    times = {path: path.stat().st_mtime_ns for path in paths}
    paths[0].unlink()
    paths[-1].write_bytes(b"half an object")
    again = retrieve_study(archive, uid, tmp_path)
    assert (again.expected, again.present, again.written) == (5, 3, 2)
    assert content(tmp_path) == content(study)
    assert {path for path in paths if path.stat().st_mtime_ns == times[path]} == set(paths[1:-1])


def test_a_pacs_without_c_get_sends_by_c_move(
    make_orthanc: Callable[..., Any],
    study: Path,
    scanner: SimpleNamespace,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    """Each object keeps its pixels and transfer syntax; a rejected sender and a port in use are clear errors."""
    port = free_port()
    rights = dict.fromkeys(("AllowEcho", "AllowFind", "AllowStore", "AllowMove"), True)
    known = {"METSEG": {"AET": "METSEG", "Host": "127.0.0.1", "Port": port, "AllowGet": False, **rights}}
    orthanc = make_orthanc(tmp_path / "orthanc", DicomModalities=known)
    send_files(connect(orthanc.web), [study])
    uid = scanner.uid("study")
    with pytest.raises(PacsError) as refused:
        retrieve_study(connect(orthanc.dimse), uid, tmp_path / "get")
    assert "move=PORT" in str(refused.value)
    archive = connect(f"{orthanc.dimse}&move={port}")
    assert retrieve_study(archive, uid, tmp_path / "move").written == 5
    assert content(tmp_path / "move") == content(study)
    next(iter(sorted((tmp_path / "move").rglob("*.dcm")))).unlink()
    assert retrieve_study(archive, uid, tmp_path / "move").written == 1
    with socket.create_server(("", 0)) as taken:
        other = connect(f"{orthanc.dimse}&move={taken.getsockname()[1]}")
        with pytest.raises(ResourceError, match="port for C-MOVE"):
            retrieve_study(other, uid, tmp_path / "again")


@pytest.mark.parametrize("url", ["move=0", "move=x", "move=70000", "move="])
def test_a_port_for_c_move_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="not an address of a PACS"):
        connect(f"dimse://ORTHANC@127.0.0.1:4242?calling=METSEG&{url}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_study_that_the_pacs_does_not_have(run_metseg: Run, orthanc: Any, tmp_path: Path, protocol: str) -> None:
    server = getattr(orthanc, protocol)
    status, out, error = run_metseg("pacs", "get", "1.2.3.4", "--server", server, "--out", tmp_path)
    assert (status, out, list(tmp_path.iterdir())) == (1, "", [])
    assert "no study with this UID" in error
    assert run_metseg("pacs", "find", "--server", server, "--patient-id", "nobody")[1] == "no study found\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pacs_that_is_restarted_has_each_object_once(
    orthanc: Any, study: Path, tmp_path: Path, protocol: str
) -> None:
    archive = connect(getattr(orthanc, protocol), timeout_s=5)
    paths = sorted(path for path in study.rglob("*") if path.is_file())
    send_files(archive, paths[:2])
    orthanc.kill()
    try:
        with pytest.raises(Exception, match="does not answer") as refused:
            send_files(archive, paths)
        assert refused.value.code == "pacs.unreachable"  # type: ignore[attr-defined]
    finally:
        orthanc.start()
    report = send_files(archive, paths)
    assert (len(report.stored), len(report.present), orthanc.count()) == (3, 2, 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_that_ends_between_two_objects_is_an_error_and_can_be_continued(
    orthanc: Any, study: Path, protocol: str
) -> None:
    from metseg.pacs.pacs_errors import PacsError
    from metseg.pacs.sending import read_outgoing

    archive = connect(getattr(orthanc, protocol), timeout_s=5)
    objects = [read_outgoing(path) for path in sorted(study.rglob("*")) if path.is_file()]
    outcomes = archive.store(objects)
    assert next(outcomes)[1] == ""
    orthanc.kill()
    try:
        with pytest.raises(PacsError) as stop:
            next(outcomes)
        assert stop.value.is_transient
    finally:
        orthanc.start()
    report = send_files(archive, [study])
    assert (len(report.stored), len(report.present), orthanc.count()) == (4, 1, 5)
