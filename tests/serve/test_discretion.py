"""No name of a patient and no path of the server in errors, logs, records or file names."""

from __future__ import annotations

import gzip
import io
import logging
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

import metseg
from metseg.errors import BundleError, InputError, MetsegError
from metseg.serve.http.problem_details import STATUS, TITLES, public_text, status_of
from metseg.serve.log_redaction import WITHHELD, RedactingFilter, configure_logs
from metseg.serve.service_context import Service

PACKAGE = Path(metseg.__file__).parent

#: In tags, in names of files and fields, in queries; none of it may come out anywhere.
SECRETS = ("Mustermann", "Erika", "4711-SECRET", "19500607")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Return what is logged, set up as in the service."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("DEBUG")
    yield stream
    root.handlers[:], sys.excepthook = before[0], before[2]
    root.setLevel(before[1])
    logging.getLogger("metseg").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def archive(scanner: SimpleNamespace, folder: Path, **elements: object) -> bytes:
    """Return a study as a zip archive whose members are named after the patient."""
    objects = scanner.slices(
        scanner.pixels(6, size=(16, 14)), SeriesDescription="T1 post Erika", ContrastBolusAgent="Gd", **elements
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path in scanner.write(folder, objects):
            file.write(path, f"Mustermann_Erika/{path.name}")
    return packed.getvalue()


def everything(home: Path, log: io.StringIO, answers: list[str]) -> bytes:
    """Return all that the service wrote and said, names of files included."""
    parts = [log.getvalue().encode(), *(answer.encode() for answer in answers)]
    for path in home.rglob("*"):
        parts.append(str(path.relative_to(home)).encode())
        if path.is_file() and "bundles" not in path.parts:
            content = path.read_bytes()
            parts.append(gzip.decompress(content) if path.suffix == ".gz" else content)
    return b"\n".join(parts)


def find_secrets(content: bytes) -> list[str]:
    """Return the secrets found, in any of the ways in which text is stored."""
    found = [secret for secret in SECRETS if secret.lower().encode() in content.lower()]
    return found + [secret for secret in SECRETS if secret.encode("utf-16-le") in content]


def test_a_planted_name_comes_out_nowhere(
    client: TestClient,
    service: Service,
    scanner: SimpleNamespace,
    work_off: Callable[..., None],
    home: Path,
    tmp_path: Path,
    log: io.StringIO,
) -> None:
    answers = []
    for name, elements in (
        ("good", {}),
        ("odd", {"PatientName": "Mustermann^Erika=?=\\x", "PatientBirthDate": "Mustermann"}),
        ("mixed", {"PixelSpacing": [0.0, 0.0]}),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, while the files are written
            content = archive(scanner, tmp_path / name, **elements)
        data = {"model": "bright-t1c", "series": "t1c=1"}
        response = client.post("/studies", files={"files": ("Mustermann_Erika.zip", content)}, data=data)
        answers.append(response.text)
        if response.status_code == 202:
            study_id = response.json()["id"]
            work_off(service, study_id)
            study = client.get(f"/studies/{study_id}")
            answers.append(study.text)
            answers += [client.get(item["url"]).text for item in study.json()["artifacts"]]
    asked = (
        client.get("/studies?state=Mustermann"),
        client.get("/Mustermann/Erika"),
        client.request("MUSTERMANN", "/studies"),
        client.post("/studies", files={"Mustermann": ("Erika.nii", b"4711-SECRET")}),
        client.post("/studies", data={"Mustermann": "Erika"}, files={"files": ("Mustermann.gif", b"GIF89a Erika")}),
        client.post("/predict/", files={"file": ("../../Mustermann\x00.png", b"Erika")}, data={"model": "Mustermann"}),
        client.get("/studies", headers={"Authorization": "Bearer Mustermann", "X-Patient": "Erika"}),
    )
    answers += [response.text for response in asked]
    assert log.getvalue().count("\n") > len(asked)  # something was logged
    service.database.close()
    assert find_secrets(everything(home, log, answers)) == []
    assert find_secrets(content) != []  # the search finds what is there


def test_answers_hold_no_path(
    client: TestClient, make: SimpleNamespace, home: Path, work_off: Callable[..., None], service: Service
) -> None:
    study_id = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti()[:-20])}).json()["id"]
    work_off(service, study_id)
    study = client.get(f"/studies/{study_id}").json()
    assert study["failure"]["code"] == "input.truncated"
    assert study["failure"]["where"] == "file 1"
    assert str(home) not in str(study)


def test_foreign_loggers_and_exceptions_lose_their_text() -> None:
    formatter = RedactingFilter()

    def formatted(name: str, message: str, error: Exception | None = None) -> str:
        info = None if error is None else (type(error), error, error.__traceback__)
        return formatter.format(logging.LogRecord(name, logging.WARNING, "/x/read.py", 7, message, None, info))

    assert formatted("pydicom", "odd name Erika").endswith(f"{WITHHELD} read:7")
    assert formatted("metseg.serve.jobs", "study 12 done").endswith("study 12 done")
    assert "(path)" in formatted("metseg.serve", "cannot open /srv/data/x")
    try:
        raise InputError("Erika is not a picture", code="input.format")
    except InputError as error:
        text = formatted("metseg.serve", "failed", error)
    assert "Erika" not in text
    assert "InputError input.format at test_discretion.py:" in text


def test_warnings_and_uncaught_errors_are_logged_without_their_text(log: io.StringIO) -> None:
    warnings.warn("odd name Erika", UserWarning, stacklevel=1)
    sys.excepthook(ValueError, ValueError("Erika"), None)
    assert "Erika" not in log.getvalue()
    assert "ValueError" in log.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "'/srv/My Data/x.nii'",
        "C:\\Users\\Erika\\scan.nii",
        "no file at /a/b/c, nor at /d/e",
        "\\\\server\\share\\x",
    ],
)
def test_paths_are_cut_out(text: str) -> None:
    assert not re.search(r"[/\\](etc|srv|Users|a|d|share)\b", public_text(text))


def test_every_status_has_a_title() -> None:
    assert set(STATUS.values()) <= set(TITLES)


def test_every_code_of_the_package_has_a_status_that_says_whose_fault_it_is() -> None:
    """Whatever is wrong with data or a request is 4xx, whatever is wrong with the service 5xx."""
    codes = {
        code
        for path in PACKAGE.rglob("*.py")
        for code in re.findall(r'code="((?:input|request|resources|service|model|usage)\.[a-z_]+)"', path.read_text())
    }
    assert len(codes) > 60
    for code in codes:
        kind = {"input": InputError, "model": BundleError}.get(code.partition(".")[0], MetsegError)
        status = status_of(kind("x", code=code))
        if code.startswith(("input.", "request.")):
            assert 400 <= status < 500, code
        if code.startswith(("resources.", "service.", "model.")):
            assert status >= 500, code
