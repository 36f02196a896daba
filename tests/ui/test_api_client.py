"""The client: what it sends, what it remembers, and what it makes of every kind of answer."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from metseg.client.service_api import Part, form_fields
from metseg.client.service_errors import Refusal, Unexpected, Unreachable
from metseg.schemas import Options, State
from metseg.ui.api_client import Api
from metseg.ui.page_settings import PageSettings

from .fake import FakeApi, done_volume, problem, queued_study, volume_files

Handler = Callable[[httpx.Request], httpx.Response]


def api_of(handler: Handler, key: str | None = None) -> Api:
    return Api(PageSettings(transport=httpx.MockTransport(handler)), key)


def test_a_study_that_has_not_changed_is_not_sent_again() -> None:
    fake = FakeApi()
    study = fake.add(queued_study())
    api = api_of(fake)
    first, second = api.study(study.id), api.study(study.id)
    assert first == study
    assert second is first
    assert fake.not_modified == 1
    fake.add(done_volume(id=study.id), volume_files())
    assert api.study(study.id).state == State.DONE


def test_what_is_remembered_has_an_end() -> None:
    fake = FakeApi()
    api = api_of(fake)
    studies = [fake.add(queued_study()) for _ in range(40)]
    for study in studies:
        api.study(study.id)
    api.study(studies[0].id)  # long forgotten
    assert fake.not_modified == 0
    api.study(studies[-1].id)
    assert fake.not_modified == 1


def test_hand_in_sends_files_and_choices() -> None:
    fake = FakeApi()
    parts = [Part("t1c", "file-1.nii", b"one"), Part("files", "file-2.nii", b"two")]
    options = Options(model="mets-3d", allow_gaps=True, series={"t1c": "3", "t2f": "4"})
    made = api_of(fake).hand_in(parts, options, idempotency_key="abc")
    assert made.id in fake.studies
    assert fake.keys_of_uploads == ["abc"]
    assert sorted(fake.handed[0], key=str) == sorted(
        [
            ("model", None, b"mets-3d"),
            ("allow_gaps", None, b"true"),
            ("series", None, b"t1c=3"),
            ("series", None, b"t2f=4"),
            ("t1c", "file-1.nii", b"one"),
            ("files", "file-2.nii", b"two"),
        ],
        key=str,
    )


def test_nothing_asked_for_is_nothing_sent() -> None:
    assert form_fields(Options()) == {}


def test_the_key_is_sent_and_not_shown() -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(204)

    api_of(handler, "secret").delete("0" * 32)
    Api(PageSettings(transport=httpx.MockTransport(handler), api_key="of-the-page")).delete("0" * 32)
    api_of(handler).delete("0" * 32)
    assert seen == ["Bearer secret", "Bearer of-the-page", None]
    assert "of-the-page" not in repr(PageSettings(api_key="of-the-page"))


def test_a_refusal_keeps_code_and_reason() -> None:
    def busy(_request: httpx.Request) -> httpx.Response:
        refused = problem("service.busy", 503, "the queue is full")
        refused.headers["Retry-After"] = "10"
        return refused

    with pytest.raises(Refusal, match="the queue is full") as caught:
        api_of(busy).models()
    assert caught.value.code == "service.busy"
    assert caught.value.retry_after_s == 10
    assert caught.value.problem.request == "ab12"


def test_not_ready_is_an_answer_and_no_error() -> None:
    def handler(_request: httpx.Request) -> httpx.Response:
        body = '{"ready": false, "checks": {"disk": false}, "queued": 0, "running": 0, "workers": 0}'
        return httpx.Response(503, content=body)

    found = api_of(handler).ready()
    assert not found.ready
    assert found.checks == {"disk": False}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.ConnectError, "client.unreachable"),
        (httpx.ReadError, "client.unreachable"),
        (httpx.ReadTimeout, "client.timeout"),
    ],
)
def test_no_answer(failure: type[httpx.TransportError], code: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise failure("no", request=request)

    with pytest.raises(Unreachable) as caught:
        api_of(handler).ready()
    assert caught.value.code == code


@pytest.mark.parametrize("status", [200, 404, 500, 502])
def test_another_program_at_the_address_is_recognised(status: int) -> None:
    def handler(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=b"<html>It works!</html>", headers={"Content-Type": "text/html"})

    with pytest.raises(Unexpected) as caught:
        api_of(handler).models()
    assert caught.value.code == "client.unexpected"
    assert str(status) in caught.value.one_line()
