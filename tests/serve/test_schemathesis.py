"""Requests made up from the OpenAPI document, right and wrong ones: no answer that it does not promise, and no 500.

The requests are the same each time: their seed is fixed, and nothing of earlier runs is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import strategies
from schemathesis.checks import load_all_checks
from schemathesis.python import asgi
from schemathesis.schemas import BaseSchema

from metseg.schemas import ARTIFACTS, Scope
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Keys

pytestmark = pytest.mark.slow

MakeClient = Callable[..., TestClient]
BASE_URL = "http://127.0.0.1:8000"

#: Drawn at random for each operation, beside those that follow from the document one by one.
DRAWN = 15
CONFIG: dict[str, Any] = {
    "seed": 8611,
    "cache": {"enabled": False},
    "analysis": {"constants": {"enabled": False}},
    "generation": {"deterministic": True, "database": "none", "with-security-parameters": False},
    # Random bytes are of the form that the document asks for, and are no picture: they are refused, as they should be.
    "operations": [
        {"include-name": upload, "checks": {"positive_data_acceptance": {"enabled": False}}}
        for upload in (
            *("POST /predict/", "POST /studies", "POST /studies/{study_id}/masks"),
            # Studies with made-up ids do not exist.
            "POST /follow-ups",
            "POST /pacs/{name}/search",
            "POST /pacs/{name}/fetch",
            "POST /pacs/{name}/send",
            "POST /dicom-web/studies",
            "POST /dicom-web/studies/{study_uid}",
            # An added lesion has one of two kinds of place, which the document says in words only.
            "POST /studies/{study_id}/versions",
        )
    ],
}

#: Hypothesis would refuse slow drawing and a test's first example that is large; uploads are both.
PATIENT = hypothesis.settings(
    max_examples=DRAWN,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def files_worth_sending(make: SimpleNamespace) -> None:
    """Have the made-up forms hold files that are read as well as such that are not."""
    good = [make.png(make.square()), make.nifti(), make.nifti(packed=False)]
    bad = [make.png(make.square())[:-40], make.nifti()[:60], b"GIF89a", b"PK\x03\x04", b"\x1f\x8b"]
    schemathesis.openapi.format("binary", strategies.sampled_from([*good, *bad]) | strategies.binary(max_size=64))


@schemathesis.serializer("multipart/related")
def related_body(_context: Any, content: Any) -> dict[str, Any]:
    """Return a body of one part, and its header: schemathesis knows no media type of several related parts."""
    raw = content if isinstance(content, bytes) else str(content).encode("utf-8", "replace")
    body = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + raw + b"\r\n--part--\r\n"
    return {"data": body, "headers": {"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'}}


def document_of(client: TestClient, key: str | None = None) -> Iterator[BaseSchema]:
    """Give the document of a service, with the application behind it."""
    auth = {} if key is None else {"auth": {"openapi": {"key": {"bearer": key}}}}
    config = schemathesis.Config.from_dict({**CONFIG, **auth})
    document = schemathesis.openapi.from_dict(client.get("/openapi.json").json(), config=config)
    document.app = client.app
    load_all_checks()
    yield document
    asgi.shutdown_lifespans()


@pytest.fixture
def node_with_an_id(request: pytest.FixtureRequest) -> None:
    """Give the test the attribute in which schemathesis 4.32 looks for its id; pytest 9 keeps it elsewhere."""
    request.node._nodeid = request.node.nodeid


@pytest.fixture
def guarded(make_client: MakeClient, bright: Path, node_with_an_id: None) -> Iterator[BaseSchema]:
    """Give the document of a service that asks for a key, with one that may do everything."""
    client = make_client(queue_limit=10**6, receiver_folder=bright.parent / "received")
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    yield from document_of(client, Keys(service.database).add("somebody", list(Scope)))


@pytest.fixture
def unguarded(make_client: MakeClient, bright: Path, node_with_an_id: None) -> Iterator[BaseSchema]:
    """Give the document of a service as `metseg up` starts it on one's own machine: without keys."""
    yield from document_of(make_client(queue_limit=10**6))


@schemathesis.pytest.from_fixture("guarded").parametrize()
@PATIENT
def test_with_a_key(case: schemathesis.Case) -> None:
    case.call_and_validate(base_url=BASE_URL)


@schemathesis.pytest.from_fixture("unguarded").parametrize()
@PATIENT
def test_without_keys(case: schemathesis.Case) -> None:
    ignored_auth = schemathesis.checks.ignored_auth  # without keys everybody on this machine may come in
    case.call_and_validate(base_url=BASE_URL, excluded_checks=[ignored_auth])


def test_studies_in_every_state_are_as_promised(
    unguarded: BaseSchema,
    make: SimpleNamespace,
    work_off: Callable[[Service, str], None],
) -> None:
    """What is made up never is a study that was worked on; these are."""
    service: Service = unguarded.app.state.service
    client = TestClient(unguarded.app, base_url=BASE_URL)
    done, failed, cancelled = (hand_in(client, content) for content in (make.nifti(), make.nifti()[:-20], make.nifti()))
    work_off(service, done)
    work_off(service, failed)
    client.post(f"/studies/{cancelled}/cancel")
    states = {study["id"]: study["state"] for study in client.get("/studies").json()["studies"]}
    assert states == {done: "done", failed: "failed", cancelled: "cancelled"}

    def ask(method: str, path: str, *, is_part: bool = False, **parts: Any) -> int:
        case = unguarded[path][method].Case(**parts)
        checks = [schemathesis.checks.ignored_auth]
        if is_part:  # a part of a JSON document is none
            checks.append(schemathesis.checks.response_schema_conformance)
        return int(case.call_and_validate(base_url=BASE_URL, excluded_checks=checks).status_code)

    for study_id in states:
        place = {"path_parameters": {"study_id": study_id}}
        assert ask("GET", "/studies/{study_id}", **place) == 200
        assert ask("GET", "/studies/{study_id}", **place, headers={"If-None-Match": "*"}) == 304
        expected = 200 if study_id == cancelled else 409
        assert ask("POST", "/studies/{study_id}/cancel", **place) == expected
    names = [item["name"] for item in client.get(f"/studies/{done}").json()["artifacts"]]
    # A brain mask is stored where metseg made one, DICOM objects where the settings ask for them, maps on request.
    certain = {name for name in ARTIFACTS if "{" not in name and not name.endswith(".dcm")}
    assert certain - {"brain_mask.nii.gz", "gradcam.nii.gz", "uncertainty.nii.gz"} <= set(names)
    for name in names:
        place = {"path_parameters": {"study_id": done, "name": name}}
        where = "/studies/{study_id}/artifacts/{name}"
        assert ask("GET", where, **place) == 200
        assert ask("GET", where, is_part=True, **place, headers={"Range": "bytes=0-9"}) == 206
        assert ask("GET", where, **place, headers={"Range": "bytes=-0"}) == 416
    body = {"parent": 0, "edits": [{"action": "accept", "lesion": 1}]}
    place = {"path_parameters": {"study_id": done}}
    json_body = {"body": body, "media_type": "application/json"}
    assert ask("POST", "/studies/{study_id}/versions", **place, **json_body) == 201
    assert ask("POST", "/studies/{study_id}/versions", **place, **json_body) == 409
    assert ask("GET", "/studies/{study_id}/versions", **place) == 200
    for number in (0, 1):
        where = {"path_parameters": {"study_id": done, "number": number}}
        assert ask("GET", "/studies/{study_id}/versions/{number}", **where) == 200
    place = {"path_parameters": {"study_id": done, "number": 1, "name": "mask.nii.gz"}}
    assert ask("GET", "/studies/{study_id}/versions/{number}/artifacts/{name}", **place) == 200
    assert ask("DELETE", "/studies/{study_id}", path_parameters={"study_id": done}) == 204


def hand_in(client: TestClient, content: bytes) -> str:
    """Hand in a volume and return its id."""
    answer = client.post("/studies", files={"t1c": ("a.nii.gz", content)}, data={"model": "bright-t1c"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])
