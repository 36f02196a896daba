"""Who may call: keys, scopes, owners; without a key, this machine only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from fastapi.testclient import TestClient

from metseg.errors import UsageError
from metseg.schemas import Scope
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.rate_limit import RateLimiter
from metseg.serve.service_context import Service
from metseg.serve.settings import Settings
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.database import Database

STUDY = "0" * 32

#: What each call needs; `/health` and `/ready` need nothing.
NEEDED = {
    ("POST", "/predict/"): Scope.PREDICT,
    ("POST", "/studies"): Scope.WRITE,
    ("GET", "/studies"): Scope.READ,
    ("GET", f"/studies/{STUDY}"): Scope.READ,
    ("POST", f"/studies/{STUDY}/cancel"): Scope.WRITE,
    ("DELETE", f"/studies/{STUDY}"): Scope.WRITE,
    ("GET", f"/studies/{STUDY}/artifacts/report.pdf"): Scope.READ,
    ("PATCH", f"/studies/{STUDY}"): Scope.WRITE,
    ("GET", "/models"): Scope.READ,
    ("GET", "/models/choice"): Scope.READ,
    ("POST", "/models/none/accept"): Scope.OPERATE,
    ("POST", "/dicom-web/studies"): Scope.STORE,
    ("POST", "/dicom-web/studies/1.2.3"): Scope.STORE,
    ("GET", "/metrics"): Scope.METRICS,
}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_every_call_needs_a_key_once_there_is_one(client: TestClient, service: Service, method: str, path: str) -> None:
    service.keys.add("ward-7")
    for headers in ({}, bearer("msk_000000000000_" + "x" * 43), bearer("nonsense"), {"Authorization": "Basic eDp5"}):
        response = client.request(method, path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "request.unauthorised")
        assert response.headers["www-authenticate"] == "Bearer"
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 200


@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_every_call_needs_its_scope(client: TestClient, service: Service, method: str, path: str) -> None:
    needed = NEEDED[method, path]
    others = bearer(service.keys.add("ward-7", [scope for scope in Scope if scope != needed]))
    refused = client.request(method, path, headers=others)
    assert (refused.status_code, refused.json()["code"]) == (403, "request.forbidden")
    allowed = client.request(method, path, headers=bearer(service.keys.add("ward-7", [needed])))
    assert allowed.status_code not in (401, 403)


def test_another_owners_study_is_not_there(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    ours, theirs = bearer(service.keys.add("ward-7")), bearer(service.keys.add("ward-8"))
    files = {"t1c": ("a.nii.gz", make.nifti())}
    key = {"Idempotency-Key": "same"}
    study_id = client.post("/studies", files=files, headers={**ours, **key}).json()["id"]
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/artifacts/mask.nii.gz"), ("DELETE", "")):
        theirs_too = client.request(method, f"/studies/{study_id}{path}", headers=theirs)
        nobodys = client.request(method, f"/studies/{STUDY}{path}", headers=theirs)
        assert theirs_too.status_code == nobodys.status_code == 404
        same = ("type", "title", "status", "detail", "code")
        assert [theirs_too.json()[name] for name in same] == [nobodys.json()[name] for name in same]
    assert client.get("/studies", headers=theirs).json()["studies"] == []
    assert client.get(f"/studies?after={study_id}", headers=theirs).status_code == 404
    again = client.post("/studies", files=files, headers={**theirs, **key})
    assert (again.status_code, again.json()["id"] != study_id) == (202, True)
    assert client.get(f"/studies/{study_id}", headers=ours).status_code == 200
    colleague = bearer(service.keys.add("ward-7", ["read"]))
    assert client.get(f"/studies/{study_id}", headers=colleague).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 400, "request.host"),
        ({"Host": ""}, 400, "request.host"),
        ({"Origin": "https://evil.example"}, 403, "request.origin"),
        ({"Origin": "null"}, 403, "request.origin"),
        ({"Origin": "http://["}, 403, "request.origin"),
        ({"Origin": "http://localhost:8501"}, 403, "request.origin"),  # another program of this machine
        ({"Origin": "http://127.0.0.1:8000"}, 200, None),
        ({"Host": "localhost:8000"}, 200, None),
        ({"Host": "[::1]:8000"}, 200, None),
    ],
)
def test_without_a_key_pages_from_elsewhere_are_refused(
    client: TestClient, headers: dict[str, str], status: int, code: str | None
) -> None:
    response = client.get("/studies", headers=headers)
    assert (response.status_code, response.json().get("code")) == (status, code)


def test_with_a_key_any_name_will_do(client: TestClient, service: Service) -> None:
    key = bearer(service.keys.add("ward-7"))
    assert client.get("/studies", headers={**key, "Host": "metseg.example"}).status_code == 200


def test_revoked_and_outdated_keys(client: TestClient, service: Service) -> None:
    key = service.keys.add("ward-7")
    assert client.get("/studies", headers=bearer(key)).status_code == 200
    service.keys.revoke(key.split("_")[1])
    assert client.get("/studies", headers=bearer(key)).status_code == 401
    assert client.get("/studies").status_code == 401  # there was a key: the door stays shut
    Keys(service.database, clock=lambda: datetime.now(UTC) - timedelta(days=2)).add("ward-7", days=3)
    outdated = Keys(service.database, clock=lambda: datetime.now(UTC) - timedelta(days=2)).add("ward-7", days=1)
    assert client.get("/studies", headers=bearer(outdated)).status_code == 401


def test_the_secret_is_nowhere(database: Database, settings: Settings) -> None:
    key = Keys(database).add("ward-7")
    secret = key.split("_", 2)[2]
    database.close()
    content = b"".join(path.read_bytes() for path in settings.home.iterdir() if path.is_file())
    assert b"ward-7" in content
    assert secret.encode() not in content


@pytest.mark.parametrize("owner", ["", "Ward 7", "-x", "a/b", "x" * 64])
def test_owners_are_plain_words(database: Database, owner: str) -> None:
    with pytest.raises(UsageError) as caught:
        Keys(database).add(owner)
    assert caught.value.code == "usage.owner"


def test_unknown_scopes_and_keys(database: Database) -> None:
    with pytest.raises(UsageError, match="Did you mean 'predict'"):
        Keys(database).add("ward-7", ["predcit"])
    with pytest.raises(UsageError) as caught:
        Keys(database).revoke("000000000000")
    assert caught.value.code == "usage.key"


def test_almost_the_key_is_no_key(database: Database) -> None:
    keys = Keys(database)
    key, other = keys.add("ward-7"), keys.add("ward-8")
    assert keys.holder(key) is not None
    swapped = "_".join([*key.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in (swapped, key[:-1], key + "x", key.upper(), "", "msk__"):
        assert keys.holder(wrong) is None


def test_what_keys_do_is_in_the_audit_log(
    client: TestClient, service: Service, make: SimpleNamespace, audited: Callable[[Service], list[str]]
) -> None:
    key = service.keys.add("ward-7")
    key_id = key.split("_")[1]
    client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, headers=bearer(key))
    service.keys.revoke(key_id)
    assert audited(service) == ["operator key.added", f"key {key_id} study.accepted", "operator key.revoked"]


def test_a_key_has_a_number_of_requests_in_a_minute(make_client: Callable[..., TestClient]) -> None:
    client = make_client(key_requests_per_minute=3)
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    one, other = bearer(service.keys.add("ward-7")), bearer(service.keys.add("ward-8"))
    assert [client.get("/studies", headers=one).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.get("/studies", headers=one)
    assert refused.json()["code"] == "request.rate"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert client.get("/studies", headers=other).status_code == 200
    assert client.get("/health", headers=one).status_code == 200


def test_a_minute_later_a_key_may_ask_again() -> None:
    moment = 0.0
    limiter = RateLimiter(2, clock=lambda: moment)
    limiter.count("a")
    moment = 30.0
    limiter.count("a")
    with pytest.raises(Refused) as refused:
        limiter.count("a")
    assert refused.value.headers["Retry-After"] == "30"
    moment = 60.0
    limiter.count("a")  # the first is a minute old; the refused one does not count
    with pytest.raises(Refused):
        limiter.count("a")


def test_without_a_key_there_is_no_limit_of_requests(make_client: Callable[..., TestClient]) -> None:
    client = make_client(key_requests_per_minute=1)
    assert [client.get("/studies").status_code for _ in range(3)] == [200, 200, 200]


def test_an_owner_has_a_number_of_waiting_studies(
    make_client: Callable[..., TestClient], make: SimpleNamespace
) -> None:
    client = make_client(key_queue_limit=2)
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    keys = [bearer(service.keys.add(owner)) for owner in ("ward-7", "ward-7", "ward-8")]
    files = {"t1c": ("a.nii.gz", make.nifti())}

    def submit(headers: dict[str, str]) -> httpx.Response:
        answer: httpx.Response = client.post("/studies", files=files, data={"model": "bright-t1c"}, headers=headers)
        return answer

    first = submit(keys[0])
    assert [first.status_code, submit(keys[1]).status_code] == [202, 202]
    for key in keys[:2]:  # both keys are the same owner's
        refused = submit(key)
        assert (refused.status_code, refused.json()["code"]) == (429, "request.queue")
        assert int(refused.headers["retry-after"]) > 0
    assert submit(keys[2]).status_code == 202
    client.post(f"/studies/{first.json()['id']}/cancel", headers=keys[0])
    assert submit(keys[0]).status_code == 202


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/studies", "/openapi.json"])
def test_every_answer_has_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not any(name.startswith("access-control-") for name in headers)
