"""``/studies``: every verb, for success and for each error."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from metseg.schemas import ARTIFACTS, PROBLEM_MEDIA_TYPE, State, Study, StudyList
from metseg.serve.service_context import Service
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store, StudyWithdrawn

MakeClient = Callable[..., TestClient]
NOBODY = "0" * 32


def hand_in(client: TestClient, make: SimpleNamespace, headers: dict[str, str] | None = None, **data: Any) -> str:
    """Hand in a volume and return its id."""
    files = {"t1c": ("a.nii.gz", make.nifti())}
    response = client.post("/studies", files=files, data={"model": "bright-t1c", **data}, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_a_volume_from_upload_to_report(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    work_off: Callable[..., None],
    audited: Callable[[Service], list[str]],
    home: Path,
) -> None:
    response = client.post("/studies", files={"t1c": ("x.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    assert response.status_code == 202
    accepted = Study.model_validate(response.json())
    assert response.headers["location"] == f"/studies/{accepted.id}"
    assert accepted.state == State.QUEUED
    assert [(item.number, item.kind, item.sequence) for item in accepted.inputs] == [(1, "nifti", "t1c")]
    inputs = service.folders.study(accepted.id).inputs
    assert [path.name for path in inputs.iterdir()] == ["0001.nii.gz"]
    assert (inputs / "0001.nii.gz").read_bytes() == make.nifti()
    assert list((home / "incoming").iterdir()) == []

    work_off(service, accepted.id)
    done = Study.model_validate(client.get(f"/studies/{accepted.id}").json())
    assert (done.state, done.progress) == (State.DONE, 1.0)
    assert [lesion.voxels for lesion in done.lesions] == [27]
    wanted = {name for name in ARTIFACTS if "{" not in name and not name.endswith(".dcm")}  # these only on request
    wanted -= {"uncertainty.nii.gz", "gradcam.nii.gz"}  # and these
    assert wanted <= {artifact.name for artifact in done.artifacts} | {"prepared.nii.gz", "brain_mask.nii.gz"}
    mask = client.get(f"/studies/{accepted.id}/artifacts/mask.nii.gz")
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(mask.content))
    np.testing.assert_array_equal(np.asarray(image.dataobj), make.volume() == 300)
    np.testing.assert_allclose(image.affine, make.affine)
    assert audited(service) == ["local study.accepted", "worker study.done", "local artifact.read"]


def test_pictures_are_one_study(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: Callable[..., None]
) -> None:
    files = [("files", (f"{number}.png", make.png(make.square(side)))) for number, side in enumerate((3, 0, 2))]
    study_id = client.post("/studies", files=files, data={"model": "bright-pictures"}).json()["id"]
    work_off(service, study_id)
    done = Study.model_validate(client.get(f"/studies/{study_id}").json())
    assert done.state == State.DONE, done.failure
    assert [(lesion.voxels, lesion.slice_index) for lesion in done.lesions] == [(9, 0), (4, 2)]
    names = {artifact.name for artifact in done.artifacts}
    assert {"mask-1.png", "mask-2.png", "mask-3.png", "overlay-1.png", "report.pdf"} <= names


@pytest.mark.parametrize(
    ("field", "name", "sequence"),
    [
        ("t2f", "x.nii.gz", "t2f"),
        ("t2f", "patient_t1ce.nii.gz", "t2f"),
        ("flair", "x.nii.gz", "t2f"),
        ("files", "P7_T1_AX_POST_GAD.nii.gz", "t1c"),
        ("files", "C:\\data\\sub_T2.nii", "t2w"),
        ("files", "scan.nii.gz", None),
    ],
)
def test_the_sequence_is_declared_or_in_the_name(
    client: TestClient, make: SimpleNamespace, field: str, name: str, sequence: str | None
) -> None:
    response = client.post("/studies", files={field: (name, make.nifti())}, data={"model": "bright-t1c"})
    assert response.json()["inputs"][0]["sequence"] == sequence


def test_a_patients_id_makes_no_upload_another_kind_of_image(client: TestClient, make: SimpleNamespace) -> None:
    files = [("files", (f"PD_012_{name}.nii.gz", make.nifti())) for name in ("T1_GAD", "FLAIR")]
    inputs = client.post("/studies", files=files, data={"model": "bright-two"}).json()["inputs"]
    assert [one["sequence"] for one in inputs] == ["t1c", "t2f"]


def test_a_long_name_holds_no_worker(client: TestClient, make: SimpleNamespace) -> None:
    for digits in (60, 10_000):
        name = "sub-1_acq-" + "1" * digits + "x_T1w.nii.gz"
        response = client.post("/studies", files={"files": (name, make.nifti())}, data={"model": "bright-t1c"})
        assert response.status_code in (202, 422)


def test_why_a_file_shows_its_sequence_is_told(client: TestClient, make: SimpleNamespace) -> None:
    files = [
        ("files", ("T1_without_contrast.nii.gz", make.nifti())),
        ("t2f", ("x.nii.gz", make.nifti())),
    ]
    response = client.post("/studies", files=files, data={"model": "bright-two"})
    assert response.json()["facts"]["sequence_records"] == [
        {"sequence": "t1n", "source": "file 1", "reason": "the name says T1 without contrast agent"},
        {"sequence": "t2f", "source": "file 2", "reason": "the form declares it (t2f)"},
    ]


def test_what_the_page_sends_of_a_name_is_the_reason_with_the_result(
    client: TestClient, make: SimpleNamespace, service: Service, work_off: Callable[..., None]
) -> None:
    """The page sends a file in the field of its sequence, with a number and what the name said as its name."""
    files = [("t1c", ("file-1-t1c.nii.gz", make.nifti())), ("t2f", ("file-2-t2w.nii.gz", make.nifti()))]
    study_id = client.post("/studies", files=files, data={"model": "bright-two"}).json()["id"]
    work_off(service, study_id)
    records = client.get(f"/studies/{study_id}").json()["facts"]["sequence_records"]
    assert [(record["source"], record["reason"]) for record in records] == [
        ("file 1", "the name says T1 with contrast agent"),
        ("file 2", "the form declares it (t2f), and its name says t2w"),
    ]


def test_a_volume_for_a_model_of_pictures_is_refused_for_what_it_is(
    client: TestClient, make: SimpleNamespace, service: Service, work_off: Callable[..., None]
) -> None:
    files = {"t1c": ("scan.nii.gz", make.nifti())}
    study_id = client.post("/studies", files=files, data={"model": "bright-pictures"}).json()["id"]
    work_off(service, study_id)
    failure = client.get(f"/studies/{study_id}").json()["failure"]
    assert failure["code"] == "input.dimensions"
    assert "the model takes 2D images, but the input is a volume" in failure["detail"]
    assert failure["cure"] == "choose a model for volumes (see GET /models), or send slices as pictures"


def test_a_file_declared_against_its_name_is_marked_before_the_number(
    client: TestClient, make: SimpleNamespace, service: Service, work_off: Callable[..., None]
) -> None:
    """T1 without contrast agent in the field t1c: it is read, and the result says what the name says."""
    files = {"t1c": ("P1_T1_without_contrast.nii.gz", make.nifti())}
    study_id = client.post("/studies", files=files, data={"model": "bright-t1c"}).json()["id"]
    work_off(service, study_id)
    first = client.get(f"/studies/{study_id}").json()["warnings"][0]
    assert first["text"] == "file 1 is read as t1c: the form declares it (t1c), and its name says t1n"


@pytest.mark.parametrize("name", ["ADC", "P7_T1_AX_POST", "T1_map", "T2star"])
def test_a_name_that_is_not_plain_is_refused_at_once(client: TestClient, make: SimpleNamespace, name: str) -> None:
    response = client.post("/studies", files={"files": (f"{name}.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["where"]) == (422, "input.unknown_sequence", "file 1")
    assert problem["cure"] == "send it in the field of its sequence, such as t1c"
    declared = client.post("/studies", files={"t1c": (f"{name}.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    assert declared.status_code == 202


def test_a_missing_sequence_is_cured_by_what_the_service_has(
    client: TestClient, make: SimpleNamespace, service: Service, work_off: Callable[..., None]
) -> None:
    study_id = client.post(
        "/studies", files={"files": ("T1_without_contrast.nii.gz", make.nifti())}, data={"model": "bright-t1c"}
    ).json()["id"]
    work_off(service, study_id)
    failure = client.get(f"/studies/{study_id}").json()["failure"]
    assert failure["code"] == "input.missing_sequence"
    assert "field" in failure["cure"]
    assert "--modality" not in failure["cure"]


def test_options_are_kept(client: TestClient, make: SimpleNamespace) -> None:
    data = {"model": "bright-t1c", "stack": "true", "allow_gaps": "True", "series": ["t1ce=3", "flair=2.1"]}
    response = client.post("/studies", files={"t1c": ("a.nii", make.nifti(packed=False))}, data=data)
    assert response.json()["options"] == {
        "model": "bright-t1c",
        "stack": True,
        "allow_gaps": True,
        "series": {"t1c": "3", "t2f": "2.1"},
        "uncertainty": False,
        "explanation": False,
    }


@pytest.mark.parametrize(
    "data",
    [
        {"model": "no such"},
        {"model": ["bright-t1c", "bright-two"]},
        {"stack": "perhaps"},
        {"allow_gaps": "0"},
        {"series": "t1c"},
        {"series": "t1c=last"},
        {"colour": "red"},
    ],
)
def test_wrong_fields_are_refused(client: TestClient, make: SimpleNamespace, home: Path, data: dict[str, Any]) -> None:
    response = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data=data)
    assert (response.status_code, response.json()["code"]) == (422, "request.invalid")
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert list((home / "incoming").iterdir()) == []


def test_nothing_to_work_on(client: TestClient, make: SimpleNamespace) -> None:
    empty = client.post("/studies", files={"model": (None, "bright-t1c")})
    assert (empty.status_code, empty.json()["code"]) == (422, "request.invalid")
    unchosen = client.post("/studies", files=[("files", ("", b"")), ("t1c", ("a.nii.gz", make.nifti()))])
    assert len(unchosen.json()["inputs"]) == 1
    mixed = client.post(
        "/studies", files=[("files", ("a.png", make.png(make.square()))), ("files", ("b", make.nifti()))]
    )
    assert (mixed.status_code, mixed.json()["code"]) == (422, "input.mixed_kinds")
    unknown = client.post("/studies", files={"t7": ("a.nii.gz", make.nifti())})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "request.invalid")


PART = b"--x\r\nContent-Disposition: form-data"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=x",
            PART + b'; name="files"; filename="a"\r\n\r\nabc',
        ),
        ("multipart/form-data; boundary=x", PART + b"\r\n\r\nabc\r\n--x--\r\n"),
    ],
)
def test_forms_that_cannot_be_taken_apart(client: TestClient, home: Path, kind: str, body: bytes) -> None:
    response = client.post("/studies", content=body, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (400, "request.malformed")
    assert list((home / "incoming").iterdir()) == []


def test_other_bodies(client: TestClient) -> None:
    response = client.post("/studies", json={"files": []})
    assert (response.status_code, response.json()["code"]) == (415, "request.media_type")


def test_limits_of_an_upload(make_client: MakeClient, make: SimpleNamespace, home: Path) -> None:
    small = make_client(upload_max_bytes=1000)
    files = {"t1c": ("a.nii", make.nifti(packed=False))}
    response = small.post("/studies", files=files)
    assert (response.status_code, response.json()["code"]) == (413, "request.too_large")

    def chunks() -> Any:
        yield b"--x\r\n"
        for _ in range(10):
            yield bytes(500)

    unannounced = small.post("/studies", content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (unannounced.status_code, unannounced.json()["code"]) == (413, "request.too_large")
    few = make_client(upload_max_files=2)
    three = [("files", (f"{number}.png", make.png(make.square()))) for number in range(3)]
    assert few.post("/studies", files=three).json()["code"] == "request.too_large"
    field = few.post("/studies", files={"model": (None, "x" * 5000)})
    assert (field.status_code, field.json()["code"]) == (413, "request.too_large")
    assert list((home / "incoming").iterdir()) == []


def test_the_list_is_newest_first_and_goes_on(client: TestClient, make: SimpleNamespace) -> None:
    handed_in = [hand_in(client, make) for _ in range(5)]
    first = StudyList.model_validate(client.get("/studies?limit=2").json())
    assert [study.id for study in first.studies] == handed_in[:2:-1]
    second = StudyList.model_validate(client.get(f"/studies?limit=2&after={first.next}").json())
    third = StudyList.model_validate(client.get(f"/studies?limit=2&after={second.next}").json())
    assert [study.id for study in (*first.studies, *second.studies, *third.studies)] == handed_in[::-1]
    assert third.next is None
    client.post(f"/studies/{handed_in[0]}/cancel")
    cancelled = client.get("/studies?state=cancelled").json()["studies"]
    assert [study["id"] for study in cancelled] == handed_in[:1]


@pytest.mark.parametrize(("query", "code"), [("limit=0", 422), ("limit=x", 422), ("state=lost", 422), ("after=1", 422)])
def test_wrong_questions(client: TestClient, query: str, code: int) -> None:
    response = client.get(f"/studies?{query}")
    assert (response.status_code, response.json()["code"]) == (code, "request.invalid")
    assert client.get(f"/studies?after={NOBODY}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/studies/{NOBODY}"),
        ("DELETE", f"/studies/{NOBODY}"),
        ("POST", f"/studies/{NOBODY}/cancel"),
        ("GET", f"/studies/{NOBODY}/artifacts/mask.nii.gz"),
        ("GET", "/nothing"),
        ("GET", "/studies/"),
    ],
)
def test_what_is_not_there(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (404, "request.unknown")
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_other_methods(client: TestClient) -> None:
    for method, path in (("PUT", "/studies"), ("POST", f"/studies/{NOBODY}"), ("DELETE", "/health")):
        response = client.request(method, path)
        assert (response.status_code, response.json()["code"]) == (405, "request.method")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/predict/", "POST"),
        ("/predict", "POST"),
        ("/studies", "GET, HEAD, POST"),
        (f"/studies/{NOBODY}", "DELETE, GET, HEAD, PATCH"),
        (f"/studies/{NOBODY}/cancel", "POST"),
        (f"/studies/{NOBODY}/artifacts/mask.nii.gz", "GET, HEAD"),
        ("/models", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/ready", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_ones(client: TestClient, path: str, methods: str) -> None:
    for method in {"PATCH", "OPTIONS", "HEAD"} - set(methods.split(", ")):
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, methods)


def test_head_is_get_without_the_body(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    work_off: Callable[[Service, str], None],
    audited: Callable[[Service], list[str]],
) -> None:
    study_id = hand_in(client, make)
    work_off(service, study_id)
    mask = f"/studies/{study_id}/artifacts/mask.nii.gz"
    before = len(audited(service))
    assert client.head(mask).status_code == 200
    assert len(audited(service)) == before  # nothing of the study was read
    for path in ("/studies", f"/studies/{study_id}", mask, "/models", "/health", "/ready", "/openapi.json"):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        names = ("content-type", "content-length", "etag", "cache-control")
        assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names], path
    assert client.head(f"/studies/{NOBODY}").status_code == 404
    part = client.head(mask, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


def test_etag_tells_whether_anything_changed(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study_id = hand_in(client, make)
    first = client.get(f"/studies/{study_id}")
    assert first.headers["retry-after"] == "1"
    tag = {"If-None-Match": first.headers["etag"]}
    again = client.get(f"/studies/{study_id}", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/studies/{study_id}", headers={"If-None-Match": f"W/{tag['If-None-Match']}"}).status_code == 304
    Store(service.database, service.settings).claim(study_id, "a-worker")
    changed = client.get(f"/studies/{study_id}", headers=tag)
    assert (changed.status_code, changed.json()["state"]) == (200, "running")
    assert changed.headers["etag"] != first.headers["etag"]


def test_idempotency_key(make_client: MakeClient, make: SimpleNamespace, home: Path) -> None:
    client = make_client(queue_limit=1)
    key = {"Idempotency-Key": "abc-1"}
    study_id = hand_in(client, make, key)
    files = {"t1c": ("another name.nii.gz", make.nifti())}
    again = client.post("/studies", files=files, data={"model": "bright-t1c"}, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, study_id)  # although the queue is full
    assert again.headers["idempotent-replayed"] == "true"
    other = client.post("/studies", files=files, data={"model": "bright-t1c", "stack": "true"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "request.idempotency")
    wrong = client.post("/studies", files=files, headers={"Idempotency-Key": "a b"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "request.invalid")
    assert len(list((home / "studies").glob("*/*"))) == 1
    client.delete(f"/studies/{study_id}")
    assert hand_in(client, make, key) != study_id


@pytest.mark.parametrize("made", [True, False])
def test_a_commit_whose_answer_is_lost(
    client: TestClient, service: Service, make: SimpleNamespace, home: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """Where it was made, the study is accepted: its files must be there, and the same key finds it."""
    write = service.database.write

    @contextmanager
    def losing() -> Iterator[Session]:
        lost = sa.exc.OperationalError("COMMIT", {}, OSError("the connection is gone"))
        with write() as session:
            yield session
            if not made:
                raise lost
        raise lost

    files, key = {"t1c": ("a.nii.gz", make.nifti())}, {"Idempotency-Key": "abc-1"}
    with monkeypatch.context() as patched:
        patched.setattr(service.database, "write", losing)
        answer = client.post("/studies", files=files, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (503, "resources.database")
    kept = {path.name for path in (home / "studies").glob("*/*")}
    again = client.post("/studies", files=files, headers=key)
    assert again.headers.get("idempotent-replayed") == ("true" if made else None)
    assert kept == ({again.json()["id"]} if made else set())
    work = Store(service.database, service.settings).claim(again.json()["id"], "w")
    assert work.inputs[0].path.read_bytes() == make.nifti()


def test_a_full_queue(make_client: MakeClient, make: SimpleNamespace, home: Path) -> None:
    client = make_client(queue_limit=2, retry_after_s=7)
    first, _ = hand_in(client, make), hand_in(client, make)
    refused = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())})
    assert (refused.status_code, refused.json()["code"]) == (503, "service.busy")
    assert refused.headers["retry-after"] == "7"
    assert list((home / "incoming").iterdir()) == []
    client.post(f"/studies/{first}/cancel")
    assert hand_in(client, make)


def test_cancel(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study_id = hand_in(client, make)
    store = Store(service.database, service.settings)
    work = store.claim(study_id, "a-worker")
    response = client.post(f"/studies/{study_id}/cancel")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    with pytest.raises(StudyWithdrawn, match="cancelled"):
        store.require(work)
    assert client.post(f"/studies/{study_id}/cancel").status_code == 200
    assert client.get(f"/studies/{study_id}/artifacts/mask.nii.gz").status_code == 404


def test_what_is_finished_cannot_be_cancelled(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study_id = hand_in(client, make)
    store = Store(service.database, service.settings)
    store.finish(store.claim(study_id, "a-worker"))
    response = client.post(f"/studies/{study_id}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "request.state")


def test_delete_takes_everything_at_once(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study_id = hand_in(client, make)
    store = Store(service.database, service.settings)
    work = store.claim(study_id, "a-worker")
    assert client.delete(f"/studies/{study_id}").status_code == 204
    assert not service.folders.study(study_id).root.exists()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        assert client.request(method, f"/studies/{study_id}{path}").status_code == 404
    assert client.get("/studies").json()["studies"] == []
    with pytest.raises(StudyWithdrawn, match="deleted"):
        store.finish(work)


def finished(service: Service, study_id: str, name: str, content: bytes) -> None:
    """Have a study done with one more result."""
    store = Store(service.database, service.settings)
    work = store.claim(study_id, "a-worker")
    with store.artifact(work, name) as path:
        path.write_bytes(content)
    store.finish(work)


def test_artifacts(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study_id = hand_in(client, make)
    path = f"/studies/{study_id}/artifacts"
    store = Store(service.database, service.settings)
    with store.artifact(store.claim(study_id, "a-worker"), "report.html") as file:
        file.write_bytes(b"<p>half")
    assert client.get(f"{path}/report.html").status_code == 404  # not before all is done
    with store.artifact(store.claim(study_id, "a-worker"), "report.pdf") as file:
        file.write_bytes(b"%PDF-")
    finished(service, study_id, "report.html", b"<p>0123456789")
    response = client.get(f"{path}/report.html")
    assert (response.status_code, response.content) == (200, b"<p>0123456789")
    assert response.headers["content-type"].startswith("text/html")
    assert "sandbox" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"{path}/report.pdf").headers["content-security-policy"] == "frame-ancestors 'none'"
    tag = {"If-None-Match": response.headers["etag"]}
    assert client.get(f"{path}/report.html", headers=tag).status_code == 304
    part = client.get(f"{path}/report.html", headers={"Range": "bytes=3-5"})
    assert (part.status_code, part.content) == (206, b"012")
    for wrong in ("bytes=13-", "bytes=5-3", "lines=1-2", "bytes=-0", "bytes=0-1,3-4"):
        refused = client.get(f"{path}/report.html", headers={"Range": wrong})
        assert (refused.status_code, refused.json()["code"]) == (416, "request.range")
    for name in ("mask.nii.gz", "work.json", "%2e%2e%2finputs%2f0001.nii.gz", "mask-0.png"):
        assert client.get(f"{path}/{name}").status_code == 404


def test_an_unforeseen_error_says_nothing(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Jane Doe in /srv/secret")

    monkeypatch.setattr(service.studies, "page", fail)
    response = client.get("/studies")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "Jane" not in response.text
    assert response.json()["request"] == response.headers["x-request-id"]


def test_the_database_is_away(client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT name FROM patients", {}, OSError("10.1.2.3 refused"))

    monkeypatch.setattr(service.studies, "page", fail)
    monkeypatch.setattr(service.studies, "counts", fail)
    response = client.get("/studies")
    assert (response.status_code, response.json()["code"]) == (503, "resources.database")
    assert "retry-after" in response.headers
    assert "10.1.2.3" not in response.text
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, False)


def test_operations(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    assert client.get("/health").json()["status"] == "ok"
    hand_in(client, make)
    service.workers.enter("worker-1", "life-1")
    ready = client.get("/ready").json()
    assert (ready["ready"], ready["queued"], ready["running"], ready["workers"]) == (True, 1, 0, 1)
    client.get("/nothing/Jane%20Doe")
    client.request("JANE", "/studies")
    text = client.get("/metrics").text
    assert 'metseg_studies{state="queued"} 1.0' in text
    assert "metseg_workers 1.0" in text
    assert 'metseg_requests_total{method="POST",route="/studies",status="202"} 1.0' in text
    assert 'metseg_problems_total{code="request.unknown"} 1.0' in text
    assert "jane" not in text.lower()
    assert "metseg_upload_bytes_total" in text


def test_models(make_client: MakeClient) -> None:
    models = {model["name"]: model for model in make_client().get("/models").json()["models"]}
    assert models["bright-pictures"]["default_for"] == ["pictures"]
    assert models["bright-two"]["sequences"] == ["t1c", "t2f"]
    assert models["bright-t1c"]["card"].startswith("# bright-t1c")
    assert models["bright-t1c"]["metrics"] == {"dice": 0.5}
    assert len(models["bright-t1c"]["fingerprint"]) == 16
    assert (models["bright-pictures"]["data"], models["bright-t1c"]["data"]) == ("Made-up squares", "")
    other = make_client(volume_model="bright-two").get("/models").json()["models"]
    assert next(model for model in other if model["name"] == "bright-two")["default_for"] == ["volumes"]


def test_a_damaged_bundle_is_left_out(client: TestClient, home: Path) -> None:
    (home / "bundles" / "bright-two" / "recipe.toml").write_text("name = ")
    (home / "bundles" / "bright-two" / "sha256").touch()
    names = [model["name"] for model in client.get("/models").json()["models"]]
    assert "bright-two" not in names
    assert "bright-t1c" in names


def test_a_replayed_study_is_read_as_json(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    """The options in the records are what the worker reads."""
    study_id = hand_in(client, make, stack="true")
    with service.database.read() as session:
        record = session.get_one(StudyRecord, study_id)
        assert json.loads(json.dumps(record.options))["stack"] is True
    work = Store(service.database, service.settings).claim(study_id, "w")
    assert work.options.stack
    assert [item.path.name for item in work.inputs] == ["0001.nii.gz"]
    assert io.BytesIO(work.inputs[0].path.read_bytes()).read(2) == b"\x1f\x8b"
