"""`metseg.Client` for versions, and ``metseg corrections export``, against the service in one process."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import nibabel
import numpy as np
import pytest
from fastapi.testclient import TestClient

import metseg
from metseg.client import study_client
from metseg.client.service_api import ServiceApi
from metseg.client.training_export import ClientSource, export_corrections
from metseg.serve.service_context import Service
from metseg.serve.versions import version_report

from .finished_study import LARGE, MISSED, finished, scan

Run = Callable[..., tuple[int, str, str]]


class Inside(httpx.BaseTransport):
    """Carries requests to a service in this process."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        path = request.url.raw_path.decode()
        answer = self.client.request(request.method, path, headers=dict(request.headers), content=self.bodies[-1])
        headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content, request=request)


@pytest.fixture
def inside(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Return the transport, and make it that of every `metseg.Client`; reports are short files."""
    for name in ("write_study_html", "write_study_pdf"):
        monkeypatch.setattr(version_report, name, lambda _report, path: path.write_text("report"))
    transport = Inside(client)

    @functools.wraps(ServiceApi)
    def connected(url: str, key: str | None, **options: object) -> ServiceApi:
        return ServiceApi(url, key, **{**options, "transport": transport})  # type: ignore[arg-type]

    monkeypatch.setattr(study_client, "ServiceApi", connected)
    for name in ("METSEG_API_KEY", "METSEG_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return transport


@pytest.fixture
def study(inside: Inside, service: Service, make: SimpleNamespace) -> str:
    return finished(inside.client, service, make)


def read(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def test_a_client_corrects_and_saves_a_version(study: str, tmp_path: Path) -> None:
    with metseg.Client() as client:
        made = client.correct(study, [{"action": "reject", "lesion": 2}], note="a vessel", author="reader 1")
        assert (made.number, made.parent, [item.state for item in made.table]) == (1, 0, ["unreviewed", "rejected"])
        again = client.correct(study, [{"action": "accept", "lesion": 1}])
        assert (again.number, again.parent) == (2, 1)
        assert [item.number for item in client.versions(study)] == [0, 1, 2]
        assert client.version(study, 1) == made
        written = client.save(study, tmp_path, version=1)
        assert {path.name for path in written} == {
            "mask.nii.gz", "lesions.csv", "lesions.json", "report.html", "report.pdf"
        }  # fmt: skip
        assert np.count_nonzero(read(tmp_path / "mask.nii.gz")) == 27
        assert client.artifact(study, "mask.nii.gz", version=1) == (tmp_path / "mask.nii.gz").read_bytes()
        with pytest.raises(metseg.ServiceError) as conflict:
            client.correct(study, [{"action": "accept", "lesion": 1}], parent=0)
        assert conflict.value.code == "request.conflict"
        with pytest.raises(metseg.UsageError, match="overlay"):
            client.save(study, tmp_path, ["overlay.png"], version=1)
        with pytest.raises(metseg.UsageError):
            client.correct(study, [{"action": "erase", "lesion": 1}])


def test_a_client_uploads_a_mask_without_its_name(
    inside: Inside, study: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "MILLER_mask.nii.gz"
    mask = np.zeros(make.volume().shape, np.uint8)
    mask[LARGE] = mask[MISSED] = 1
    path.write_bytes(make.nifti(mask))
    with metseg.Client() as client:
        made = client.upload_mask(study, path, note="see: report", author="reader 2")
        assert (made.number, made.source, made.note, made.lesions) == (1, "mask", "see: report", 2)
        assert not any(b"MILLER" in body for body in inside.bodies)
        path.write_bytes(make.nifti(mask[:-1]))
        with pytest.raises(metseg.ServiceError) as refused:
            client.upload_mask(study, path)
        assert (refused.value.code, refused.value.where) == ("input.mask_grid", "MILLER_mask.nii.gz")
        with pytest.raises(metseg.InputError, match="no such file"):
            client.upload_mask(study, tmp_path / "absent.nii.gz")


def test_an_export_is_a_training_set_that_metseg_reads(
    study: str, tmp_path: Path, run_metseg: Run, make: SimpleNamespace
) -> None:
    from metseg.api.reading import load_all

    with metseg.Client() as client:
        client.correct(study, [{"action": "reject", "lesion": 2}])
    status, printed, err = run_metseg("corrections", "export", "--out", tmp_path / "out")
    assert status == 0, err
    assert "1 case with images and mask" in printed
    (case,) = load_all(tmp_path / "out" / "binary")
    assert case.case_id.endswith(study)
    assert list(case.images) == ["t1c"]
    np.testing.assert_array_equal(case.images["t1c"].data, scan(make))
    assert case.labels is not None
    expected = np.zeros(make.volume().shape, np.uint8)
    expected[LARGE] = 1
    np.testing.assert_array_equal(case.labels.data, expected)
    manifest = json.loads((tmp_path / "out" / "corrections.json").read_text("utf-8"))
    (entry,) = manifest["cases"]
    assert (entry["study"], entry["version"], entry["complete"]) == (study, 1, True)
    status, _, err = run_metseg("corrections", "export", "--out", tmp_path / "out")
    assert (status, "not empty" in err) == (2, True)


def test_studies_without_a_fitting_version_are_left_out(study: str, tmp_path: Path) -> None:
    with metseg.Client() as client:
        assert export_corrections(ClientSource(client), tmp_path / "a")["cases"] == []
        client.correct(study, [{"action": "accept", "lesion": 2}])
        assert export_corrections(ClientSource(client), tmp_path / "b", reviewed_only=True)["cases"] == []
        client.correct(study, [{"action": "accept", "lesion": 1}])
        client.correct(study, [{"action": "remove", "lesion": 1}])
        (entry,) = export_corrections(ClientSource(client), tmp_path / "c", reviewed_only=True)["cases"]
        assert entry["version"] == 3


def test_sequences_that_are_not_kept_are_found_by_checksum(
    inside: Inside, service: Service, tmp_path: Path, make: SimpleNamespace
) -> None:
    second = gzip.compress(make.nifti(make.volume() + 1, packed=False), mtime=5)
    files = {"t2f": ("b.nii.gz", second)}
    study = finished(inside.client, service, make, more=files, sequences=("t1c", "t2f"))
    images = tmp_path / "archive" / "deep"
    images.mkdir(parents=True)
    (images / "MILLER.nii.gz").write_bytes(second)
    (images / "same size.nii.gz").write_bytes(second[:-1] + b"x")
    with metseg.Client() as client:
        client.correct(study, [{"action": "accept", "lesion": 1}])
        source = ClientSource(client)
        (alone,) = export_corrections(source, tmp_path / "alone")["cases"]
        assert (alone["complete"], alone["reason"]) == (False, "no image of t2f")
        assert alone["mask"] == f"masks_only/study-{study}.nii.gz"
        assert {item["sequence"]: item["bytes"] for item in alone["inputs"]}["t2f"] == len(second)
        assert not (tmp_path / "alone" / "binary").exists()
        (whole,) = export_corrections(source, tmp_path / "whole", images=tmp_path / "archive")["cases"]
    assert whole["complete"]
    folder = tmp_path / "whole" / "binary"
    assert (folder / "imagesTr" / f"study-{study}_0001.nii.gz").read_bytes() == second
    assert json.loads((folder / "dataset.json").read_text("utf-8"))["channel_names"] == {"0": "t1c", "1": "t2f"}
    assert not any("MILLER" in str(path) for path in (tmp_path / "whole").rglob("*"))


def test_of_studies_of_the_same_files_the_newest_is_exported(
    inside: Inside, service: Service, study: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    newer = finished(inside.client, service, make)
    with metseg.Client() as client:
        for one in (study, newer):
            client.correct(one, [{"action": "accept", "lesion": 1}])
        (entry,) = export_corrections(ClientSource(client), tmp_path / "out")["cases"]
    assert entry["study"] == newer


def test_an_operator_exports_from_the_folder_of_the_service(
    study: str, service: Service, tmp_path: Path, run_metseg: Run, audited: Callable[..., list[str]]
) -> None:
    with metseg.Client() as client:
        client.correct(study, [{"action": "accept", "lesion": 1}])
    call = ("corrections", "export", "--home", service.settings.home, "--out")
    status, printed, err = run_metseg(*call, tmp_path / "out", "--json")
    assert status == 0, err
    assert [case["study"] for case in json.loads(printed)["cases"]] == [study]
    assert (tmp_path / "out" / "binary" / "labelsTr" / f"study-{study}.nii.gz").is_file()
    assert "operator artifact.read" in audited(service)
    assert run_metseg(*call, tmp_path / "two", "--key", "k")[0] == 2
    assert run_metseg("corrections", "export", "--home", tmp_path, "--out", tmp_path / "three")[0] == 2
