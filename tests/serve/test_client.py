"""`metseg.Client` and ``metseg submit`` against the service in one process, through its real routes."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import nibabel
import numpy as np
import pytest
from fastapi.testclient import TestClient

import metseg
from metseg.client import study_client as client_module
from metseg.client.service_api import ServiceApi
from metseg.client.service_errors import StudyUnfinished, Unexpected
from metseg.schemas import Scope, State
from metseg.serve.service_context import Service

Run = Callable[..., tuple[int, str, str]]
WorkOff = Callable[[Service, str], None]


class Through(httpx.BaseTransport):
    """Carries requests to a service in this process; a queued study is worked off when its state is asked for."""

    def __init__(self, client: TestClient, service: Service, work_off: WorkOff) -> None:
        self.client, self.service, self.work_off = client, service, work_off
        self.works = True
        self.polls_in_queue = 0
        self.seen: list[str] = []
        self.waiting: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(f"{request.method} {request.url.path}")
        if self.works and request.method == "GET" and self.waiting and request.url.path.endswith(self.waiting[0]):
            self.polls_in_queue -= 1
            if self.polls_in_queue < 0:
                self.work_off(self.service, self.waiting.pop())
        answer = self.client.request(
            request.method, request.url.raw_path.decode(), headers=dict(request.headers), content=request.read()
        )
        if request.method == "POST" and answer.status_code == 202:
            self.waiting = [answer.json()["id"]]
        headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content, request=request)


@pytest.fixture
def through(client: TestClient, service: Service, work_off: WorkOff, monkeypatch: pytest.MonkeyPatch) -> Through:
    """Return the transport, and make it that of every `metseg.Client`."""
    transport = Through(client, service, work_off)

    @functools.wraps(ServiceApi)
    def connected(url: str, key: str | None, **options: object) -> ServiceApi:
        return ServiceApi(url, key, **{**options, "transport": transport})  # type: ignore[arg-type]

    monkeypatch.setattr(client_module, "ServiceApi", connected)
    for name in ("METSEG_API_KEY", "METSEG_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return transport


@pytest.fixture
def scan(tmp_path: Path, make: SimpleNamespace) -> Path:
    path = tmp_path / "after.nii.gz"
    path.write_bytes(make.nifti())
    return path


@pytest.fixture
def damaged(tmp_path: Path, make: SimpleNamespace) -> Path:
    """Return a volume that is accepted and fails when it is read."""
    path = tmp_path / "damaged_t1c.nii.gz"
    path.write_bytes(make.nifti()[:-20])
    return path


def test_a_study_from_the_files_to_the_results(
    through: Through, scan: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    seen: list[str] = []
    with metseg.Client() as client:
        study = client.submit(sequences={"t1c": scan}, model="bright-t1c")
        assert (study.state, study.options.model) == (State.QUEUED, "bright-t1c")
        done = client.wait(study, poll_s=0.01, on_progress=lambda found: seen.append(found.state))
        assert (done.state, [lesion.voxels for lesion in done.lesions]) == (State.DONE, [27])
        assert seen == ["done"]
        assert client.result(study.id) == done
        written = client.save(done, tmp_path / "out")
        assert {path.name for path in written} == {
            "mask.nii.gz", "overlay.png", "lesions.json", "lesions.csv", "report.pdf", "report.html"
        }  # fmt: skip
        mask = nibabel.load(tmp_path / "out" / "mask.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(mask.dataobj), make.volume() == 300)
        assert client.artifact(done, "mask.nii.gz") == (tmp_path / "out" / "mask.nii.gz").read_bytes()
        assert [found.id for found in client.list()] == [study.id]
        assert client.list(state="failed") == ()
        client.delete(done)
        with pytest.raises(metseg.ServiceError) as gone:
            client.get(done)
    assert gone.value.code == "request.unknown"


def test_a_folder_of_slices_is_sent_in_the_order_of_the_numbers(
    through: Through, tmp_path: Path, make: SimpleNamespace
) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for number in (9, 10):
        (folder / f"slice_{number}.png").write_bytes(make.png(make.square(side=number - 6)))
    (folder / ".hidden.png").write_bytes(b"no picture")
    with metseg.Client() as client:
        done = client.wait(client.submit(folder, model="bright-pictures"), poll_s=0.01)
        names = {path.name for path in client.save(done, tmp_path / "out", ["mask-1.png", "probability-2.png"])}
        assert names == {"mask-1.png", "probability-2.png"}
        with pytest.raises(metseg.UsageError, match=r"no such artifact.*mask-3\.png"):
            client.save(done, tmp_path / "out", ["mask-3.png"])
    assert [item.bytes for item in done.inputs] == [
        (folder / name).stat().st_size for name in ("slice_9.png", "slice_10.png")
    ]


def test_a_failed_study_is_an_error_that_names_the_file(through: Through, damaged: Path) -> None:
    with metseg.Client() as client:
        study = client.submit(damaged, model="bright-t1c")
        with pytest.raises(metseg.StudyFailed) as failed:
            client.wait(study, poll_s=0.01)
        with pytest.raises(metseg.StudyFailed):
            client.save(study, "nowhere")
    error = failed.value
    assert (error.code, error.exit_status, error.study.state) == ("input.truncated", 3, State.FAILED)
    assert str(error).startswith("damaged_t1c.nii.gz: ")
    assert not Path("nowhere").exists()


def test_a_cancelled_study_has_no_results(through: Through, scan: Path) -> None:
    through.works = False
    with metseg.Client() as client:
        study = client.submit(sequences={"t1c": scan}, model="bright-t1c")
        with pytest.raises(StudyUnfinished, match="is not finished"):
            client.result(study)
        with pytest.raises(StudyUnfinished):
            client.wait(study, timeout_s=0.0, poll_s=0.01)
        assert client.cancel(study).state == State.CANCELLED
        with pytest.raises(metseg.StudyFailed) as cancelled:
            client.wait(study)
    assert cancelled.value.code == "client.cancelled"


def test_refusals_are_errors_with_the_code_of_the_problem(through: Through, scan: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes_t1c.txt"
    text.write_text("no image")
    with metseg.Client() as client:
        with pytest.raises(metseg.ServiceError) as refused:
            client.submit([scan.rename(tmp_path / "t1c.nii.gz"), text], model="bright-t1c")
        assert (refused.value.code, refused.value.exit_status) == ("input.format", 3)
        assert str(refused.value).startswith("notes_t1c.txt: ")
        with pytest.raises(metseg.ServiceError) as unknown:
            client.submit(tmp_path / "t1c.nii.gz", model="nothing")
        assert (unknown.value.code, unknown.value.exit_status) == ("request.invalid", 2)


def test_what_is_wrong_here_is_not_sent(through: Through, tmp_path: Path, scan: Path) -> None:
    (tmp_path / "empty").mkdir()
    with metseg.Client() as client:
        for paths in (tmp_path / "absent.png", tmp_path / "empty", ()):
            with pytest.raises(metseg.InputError) as absent:
                client.submit(paths)
            assert absent.value.code == "input.missing"
        with pytest.raises(metseg.UsageError, match="unknown sequence"):
            client.submit(sequences={"adc": scan})
        with pytest.raises(metseg.UsageError, match="series"):
            client.submit(scan, series={"t1c": "four"})
        with pytest.raises(metseg.UsageError, match="unknown state"):
            client.list(state="lost")
    assert through.seen == []
    with pytest.raises(metseg.UsageError, match="not an address"):
        metseg.Client("ftp://here")


def test_the_key_comes_from_the_argument_or_the_environment(
    through: Through, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = service.keys.add("radiology", list(Scope))
    with metseg.Client() as client, pytest.raises(metseg.ServiceError) as refused:
        client.models()
    assert refused.value.code == "request.unauthorised"
    with metseg.Client(key=key) as client:
        assert {model.name for model in client.models()} >= {"bright-t1c"}
    monkeypatch.setenv("METSEG_API_KEY", key)
    with metseg.Client() as client:
        assert client.list() == ()


def test_every_page_of_the_list_is_read(
    through: Through, monkeypatch: pytest.MonkeyPatch, make: SimpleNamespace, client: TestClient
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    through.works = False
    files = {"t1c": ("a.nii.gz", make.nifti())}
    made = [client.post("/studies", files=files, data={"model": "bright-t1c"}).json()["id"] for _ in range(5)]
    with metseg.Client() as ours:
        assert {found.id for found in ours.list(state=State.QUEUED)} == set(made)


def test_a_damaged_download_is_not_written(through: Through, scan: Path, tmp_path: Path) -> None:
    with metseg.Client() as client:
        done = client.wait(client.submit(sequences={"t1c": scan}, model="bright-t1c"), poll_s=0.01)
        mask = through.service.folders.study(done.id).artifacts / "mask.nii.gz"
        mask.write_bytes(b"something else")
        with pytest.raises(Unexpected, match=r"mask\.nii\.gz: a result file is damaged"):
            client.save(done, tmp_path / "out", ["mask.nii.gz"])
    assert not (tmp_path / "out" / "mask.nii.gz").exists()


def test_a_service_that_is_updated_meanwhile_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not answer for a minute; a service that stays away is an error."""
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _s: None))
    asked: list[str] = []

    def away(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ConnectError("no", request=request)

    client = metseg.Client("http://127.0.0.1:9", transport=httpx.MockTransport(away))
    with pytest.raises(metseg.ServiceError, match=r"http://127\.0\.0\.1:9: the service does not answer") as error:
        client.wait("0" * 32)
    assert error.value.code == "client.unreachable"
    assert len(asked) == 7


def test_a_busy_service_is_asked_again_when_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(client_module, "time", clock)
    answers = iter([("request.rate", 429, {"Retry-After": "7"}), ("request.unauthorised", 401, {})])

    def refuse(_request: httpx.Request) -> httpx.Response:
        code, status, headers = next(answers)
        problem = {"type": "x", "title": "x", "status": status, "detail": "x", "code": code}
        return httpx.Response(status, headers=headers, json=problem)

    client = metseg.Client("http://127.0.0.1:9", transport=httpx.MockTransport(refuse))
    with pytest.raises(metseg.ServiceError) as refused:
        client.wait("0" * 32)
    assert (refused.value.code, slept) == ("request.unauthorised", [7.0])


def test_submit_writes_the_results(through: Through, run_metseg: Run, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ("submit", "--modality", f"t1c={scan}", "--model", "bright-t1c", "--out", out)
    status, printed, err = run_metseg(*call, "--delete")
    assert status == 0, err
    assert "1 speck" in printed
    assert {str(out / name) for name in ("mask.nii.gz", "lesions.json", "report.pdf")} <= set(printed.splitlines())
    assert len(json.loads((out / "lesions.json").read_text("utf-8"))["lesions"]) == 1
    assert through.seen[-1].startswith("DELETE /studies/")
    status, printed, err = run_metseg(*call)
    assert (status, printed) == (2, "")
    assert "the results folder is not empty" in err
    status, printed, err = run_metseg(*call[:-1], tmp_path / "two", "--artifact", "mask.nii.gz", "--json")
    document = json.loads(printed)
    assert (status, err.count("\n"), document["study"]["state"]) == (0, 1, "done")
    assert document["files"] == [str(tmp_path / "two" / "mask.nii.gz")]
    assert os.listdir(tmp_path / "two") == ["mask.nii.gz"]


def test_texts_and_tables_beside_images_are_not_uploaded_but_named(
    through: Through, run_metseg: Run, tmp_path: Path, make: SimpleNamespace
) -> None:
    study = tmp_path / "P1"
    study.mkdir()
    (study / "P1-t1c.nii.gz").write_bytes(make.nifti())
    (study / "P1-seg.nii.gz").write_bytes(make.nifti())
    (study / "P1.json").write_text('{"lesions": 3}', "utf-8")  # as metseg simulate writes it
    (study / "Notes.TXT").write_text("seen", "utf-8")
    (study / ".DS_Store").write_bytes(b"0")
    status, printed, err = run_metseg("submit", study, "--model", "bright-t1c", "--out", tmp_path / "out")
    assert status == 0, err
    assert "note: not uploaded, no images of the study: Notes.TXT, P1.json, P1-seg.nii.gz\n" in err
    assert "1 speck" in printed
    for name in ("P1-t1c.nii.gz", "P1-seg.nii.gz"):
        (study / name).unlink()
    status, _, err = run_metseg("submit", study, "--model", "bright-t1c", "--out", tmp_path / "two")
    assert (status, "no file to upload" in err) == (3, True)
    # A file that was named itself is sent; the service says what it is not.
    status, _, err = run_metseg("submit", study / "P1.json", "--model", "bright-t1c", "--out", tmp_path / "two")
    assert (status, "P1.json" in err) == (3, True)


def test_masks_beside_pictures_are_not_uploaded(
    through: Through, run_metseg: Run, tmp_path: Path, make: SimpleNamespace
) -> None:
    folder, only = tmp_path / "P1", tmp_path / "only"
    names = (folder / "P1_9.png", folder / "P1_9_mask.png", folder / "P1_10.png", folder / "P1_10_mask.png")
    for path in (*names, only / "label.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(make.png(make.square()))
    call = ("submit", "--model", "bright-pictures", "--json", "--out")
    status, printed, err = run_metseg(*call, tmp_path / "out", folder)
    assert status == 0, err
    assert "note: not uploaded, no images of the study: P1_9_mask.png, P1_10_mask.png\n" in err
    assert len(json.loads(printed)["study"]["inputs"]) == 2
    # Without any other picture it is the image.
    status, _, err = run_metseg(*call, tmp_path / "two", only)
    assert (status, "not uploaded" in err) == (0, False), err


def test_submit_shows_what_it_waits_for(through: Through, run_metseg: Run, scan: Path, tmp_path: Path) -> None:
    through.polls_in_queue = 1
    call = ("submit", "--modality", f"t1c={scan}", "--model", "bright-t1c", "--out", tmp_path / "out")
    status, printed, err = run_metseg(*call)
    assert (status, "waiting" in printed) == (0, False)
    assert err.splitlines()[1:] == ["  0%  waiting for a worker"]


def test_submit_fails_where_the_study_fails(through: Through, run_metseg: Run, damaged: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, printed, err = run_metseg("submit", damaged, "--model", "bright-t1c", "--out", out)
    assert (status, printed, out.exists()) == (3, "", False)
    assert "damaged_t1c.nii.gz" in err.splitlines()[-1]


def test_submit_advises_its_own_options(
    through: Through, service: Service, run_metseg: Run, scan: Path, tmp_path: Path
) -> None:
    doubtful = scan.rename(tmp_path / "T1_post.nii.gz")
    status, printed, err = run_metseg("submit", doubtful, "--model", "bright-t1c", "--out", tmp_path / "out")
    assert (status, printed) == (3, "")
    assert "T1_post.nii.gz" in err
    assert "--modality t1c=FILE" in err
    key = service.keys.add("radiology", list(Scope))
    call = ("submit", "--modality", f"t1c={doubtful}", "--model", "bright-t1c", "--out")
    status, _, err = run_metseg(*call, tmp_path / "out")
    assert (status, "--key" in err) == (2, True)
    assert run_metseg(*call, tmp_path / "out", "--key", key)[0] == 0


def test_submit_without_a_service(run_metseg: Run, scan: Path, tmp_path: Path) -> None:
    status, printed, err = run_metseg("submit", scan, "--server", "http://127.0.0.1:1", "--out", tmp_path / "out")
    assert (status, printed, err.count("\n")) == (1, "", 1)
    assert "http://127.0.0.1:1: the service does not answer" in err


def test_submit_prints_why_the_service_chose_the_model(
    through: Through, scan: Path, tmp_path: Path, run_metseg: Run
) -> None:
    call = ("submit", "--modality", f"t1c={scan}", "--label", "visit 2", "--out", tmp_path / "out", "--json")
    status, printed, err = run_metseg(*call)
    assert status == 0, err
    study = json.loads(printed)["study"]
    assert (study["label"], study["facts"]["model"]) == ("visit 2", "bright-t1c")
    assert f"note: {study['facts']['model_reason']}" in err.splitlines()
    assert "is for volumes, uses t1c, and was trained on data that are not recorded" in study["facts"]["model_reason"]


def test_submit_says_what_each_model_needs_if_none_fits(
    through: Through, scan: Path, tmp_path: Path, run_metseg: Run
) -> None:
    status, _, err = run_metseg("submit", "--modality", f"t1n={scan}", "--out", tmp_path / "out")
    assert status == 3
    assert "bright-t1c: it needs t1c, and only t1n is declared or recognised" in err
    assert "give another --model" in err
