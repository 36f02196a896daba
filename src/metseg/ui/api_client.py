"""API client of the page: one method per call, typed with `metseg.schemas`; every failure is a `MetsegError`."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from metseg.errors import MetsegError
from metseg.schemas import Model, ModelList, Options, Problem, Readiness, Study, StudyList
from metseg.ui.page_settings import PageSettings

#: Timeouts in seconds: to connect, and between two bytes. Long uploads do not reach the second.
_TIMEOUT: Final = httpx.Timeout(60.0, connect=4.0)
#: Number of studies for which the last answer is kept, for conditional requests (ETag).
_REMEMBERED: Final = 32
_ERROR: Final = 400
_UNAUTHORISED: Final = 401
_NOT_MODIFIED: Final = 304
_NOT_READY: Final = 503

Answer = TypeVar("Answer", bound=BaseModel)


class Unreachable(MetsegError):
    """The API does not answer."""

    default_code = "page.unreachable"


class Unexpected(MetsegError):
    """The API sent an answer that does not match its schema: another program, or another version."""

    default_code = "page.unexpected"


class Refusal(MetsegError):
    """The API refused a request.

    Args:
        problem: the problem document (RFC 9457).
        retry_after_s: seconds after which to try again.
    """

    def __init__(self, problem: Problem, retry_after_s: int | None = None) -> None:
        super().__init__(problem.detail, where=problem.where, cure=problem.cure, code=problem.code)
        self.problem = problem
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Part:
    """One file of an upload.

    Args:
        field: form field: ``files``, or the sequence of the file.
        name: neutral file name to send; never the user's file name.
        content: bytes of the file.
    """

    field: str
    name: str
    content: bytes


class Api:
    """API client for one session.

    Args:
        settings: settings with the address of the API.
        key: the user's API key; None: the key of the settings.
    """

    def __init__(self, settings: PageSettings, key: str | None = None) -> None:
        self.settings = settings
        self.key = key or settings.api_key
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        self._client = httpx.Client(
            base_url=settings.api_url,
            headers=headers,
            timeout=_TIMEOUT,
            transport=settings.transport,
            trust_env=False,  # ignore proxies of the environment, which cannot reach localhost
        )
        self._studies: OrderedDict[str, tuple[str, Study]] = OrderedDict()
        self._asks_for_a_key = False

    def ready(self) -> Readiness:
        """Return whether studies can be accepted; needs no key."""
        response = self._send("GET", "/ready", fine=(_NOT_READY,))
        return _parsed(Readiness, response)

    def asks_for_a_key(self) -> bool:
        """Return whether the service requires an API key. It keeps requiring one once a key was created."""
        if not self._asks_for_a_key:
            without = self._send(
                "GET", "/studies", params={"limit": 1}, headers={"Authorization": ""}, fine=(_UNAUTHORISED,)
            )
            self._asks_for_a_key = without.status_code == _UNAUTHORISED
        return self._asks_for_a_key

    def models(self) -> tuple[Model, ...]:
        """Return the installed models."""
        return _parsed(ModelList, self._send("GET", "/models")).models

    def studies(self, *, limit: int = 50, after: str | None = None) -> StudyList:
        """Return the user's studies, newest first."""
        query: dict[str, str | int] = {"limit": limit, **({} if after is None else {"after": after})}
        return _parsed(StudyList, self._send("GET", "/studies", params=query))

    def study(self, study_id: str) -> Study:
        """Return the current state of a study; an unchanged one comes from the client's cache (ETag)."""
        seen = self._studies.get(study_id)
        headers = {"If-None-Match": seen[0]} if seen else {}
        response = self._send("GET", f"/studies/{study_id}", headers=headers)
        if response.status_code == _NOT_MODIFIED and seen:
            return seen[1]
        return self._remembered(response)

    def hand_in(self, parts: Sequence[Part], options: Options, *, idempotency_key: str) -> Study:
        """Submit a study. A repeated request with the same idempotency key returns the same study."""
        # As streams, which share the bytes and are sent piece by piece; of bytes, httpx and h11 make whole copies.
        files = [(part.field, (part.name, io.BytesIO(part.content), "application/octet-stream")) for part in parts]
        response = self._send(
            "POST",
            "/studies",
            files=files,
            data=form_fields(options),
            headers={"Idempotency-Key": idempotency_key},
        )
        return self._remembered(response)

    def cancel(self, study_id: str) -> Study:
        """Cancel a study."""
        return self._remembered(self._send("POST", f"/studies/{study_id}/cancel"))

    def delete(self, study_id: str) -> None:
        """Delete a study and its results."""
        self._send("DELETE", f"/studies/{study_id}")
        self._studies.pop(study_id, None)

    def artifact(self, study_id: str, name: str) -> bytes:
        """Return the content of a result."""
        return self._send("GET", f"/studies/{study_id}/artifacts/{name}").content

    def _send(self, method: str, path: str, *, fine: Sequence[int] = (), **content: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **content)
        except httpx.TimeoutException:
            raise Unreachable("the service takes too long to answer", code="page.timeout") from None
        except httpx.TransportError as error:
            raise Unreachable("the service does not answer", got=type(error).__name__) from None
        if response.status_code >= _ERROR and response.status_code not in fine:
            raise _refusal(response)
        return response

    def _remembered(self, response: httpx.Response) -> Study:
        study = _parsed(Study, response)
        etag = response.headers.get("ETag")
        if etag:
            self._studies[study.id] = (etag, study)
            self._studies.move_to_end(study.id)
            while len(self._studies) > _REMEMBERED:
                self._studies.popitem(last=False)
        return study


def form_fields(options: Options) -> Mapping[str, str | list[str]]:
    """Return options as form fields; options with default values are left out.

    >>> form_fields(Options(model="mets", allow_gaps=True, series={"t1c": "3"}))
    {'model': 'mets', 'allow_gaps': 'true', 'series': ['t1c=3']}
    """
    fields: dict[str, str | list[str]] = {}
    if options.model is not None:
        fields["model"] = options.model
    fields |= {name: "true" for name in ("stack", "allow_gaps") if getattr(options, name)}
    if options.series:
        fields["series"] = [f"{sequence}={label}" for sequence, label in options.series.items()]
    return fields


def _parsed(kind: type[Answer], response: httpx.Response) -> Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        raise _unexpected(response) from None


def _refusal(response: httpx.Response) -> MetsegError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return _unexpected(response)
    seconds = response.headers.get("Retry-After", "")
    return Refusal(problem, int(seconds) if seconds.isdigit() else None)


def _unexpected(response: httpx.Response) -> Unexpected:
    return Unexpected(
        "the answer does not match the API of this version",
        got=f"status {response.status_code}",
        cure="check that METSEG_API_URL is the address of the service, and that page and service have the same version",
    )
