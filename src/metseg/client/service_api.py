"""The calls of the service: one method per call, typed with `metseg.schemas`; every failure is a `ServiceError`."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from metseg.client.service_errors import Refusal, ServiceError, Unexpected, Unreachable
from metseg.errors import UsageError
from metseg.follow_up_schemas import FollowUpList, NewFollowUp, StoredFollowUp
from metseg.pacs_schemas import PacsFetch, PacsList, PacsSearch, PacsSend, PacsSent, PacsStudyList
from metseg.schemas import (
    Kind,
    Model,
    ModelChoice,
    ModelList,
    Options,
    Problem,
    Readiness,
    State,
    Study,
    StudyList,
)
from metseg.version_schemas import NewMask, NewVersion, Version, VersionList

#: Address of a service on this machine.
DEFAULT_API_URL: Final = "http://127.0.0.1:8000"

#: Timeouts in seconds: to connect, and between two bytes. Long uploads do not reach the second.
_TIMEOUT: Final = httpx.Timeout(60.0, connect=4.0)
#: For what is done while the caller waits: a follow-up of ten large examinations, a study of a slow PACS.
_LONG_TIMEOUT: Final = httpx.Timeout(900.0, connect=4.0)
#: Number of studies for which the last answer is kept, for conditional requests (ETag).
_REMEMBERED: Final = 32
_CURE: Final = "check that the service runs at this address"
_ERROR: Final = 400
_UNAUTHORISED: Final = 401
_NOT_MODIFIED: Final = 304
_NOT_READY: Final = 503

Answer = TypeVar("Answer", bound=BaseModel)


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


@dataclass(frozen=True)
class FilePart:
    """One file of an upload that is read while it is sent.

    Args:
        field: form field: ``files``, or the sequence of the file.
        name: file name to send; the service looks for the sequence in it and does not store it.
        path: the file.
    """

    field: str
    name: str
    path: Path


def url_from_environment() -> str:
    """Return ``METSEG_API_URL``, else the address of a service on this machine."""
    return os.environ.get("METSEG_API_URL") or DEFAULT_API_URL


def key_from_environment() -> str | None:
    """Return ``METSEG_API_KEY``; None if it is not set."""
    return os.environ.get("METSEG_API_KEY") or None


class ServiceApi:
    """The calls of one service.

    Args:
        url: address of the service.
        key: API key; None: the service needs none.
        transport: HTTP transport, for tests; None: the network.
        names_url: name the address in errors; the page does not, because its users did not choose it.
    Raises:
        UsageError: the address is not an HTTP URL.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        names_url: bool = False,
    ) -> None:
        self.key = key
        self._where = url if names_url else None
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        self._client = httpx.Client(
            base_url=_checked(url),
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=False,  # ignore proxies of the environment, which cannot reach localhost
        )
        self._studies: OrderedDict[str, tuple[str, Study]] = OrderedDict()
        self._asks_for_a_key = False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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

    def may_accept_terms(self) -> bool:
        """Return whether this caller may accept the terms of non-commercial models."""
        return _parsed(ModelList, self._send("GET", "/models")).may_accept

    def choose_model(
        self,
        kind: Kind,
        sequences: Sequence[str] | None = None,
        *,
        is_unnamed: bool = False,
        has_brain_mask: bool = False,
        is_grey: bool | None = None,
    ) -> ModelChoice:
        """Return the model that fits images best, and why.

        Args:
            kind: of the images.
            sequences: that are there; None: not known.
            is_unnamed: whether it is one image, and nothing says of which sequence.
            has_brain_mask: whether a brain mask comes with them.
            is_grey: whether pictures hold one grey image each; None: not known, or volumes.
        """
        # A query without sequences says that they are not known; images without any known one say the same.
        query: dict[str, Any] = {"kind": kind, "sequences": list(sequences or ())}
        query |= {"unnamed": is_unnamed, "brain_mask": has_brain_mask}
        query |= {} if is_grey is None else {"grey": is_grey}
        return _parsed(ModelChoice, self._send("GET", "/models/choice", params=query))

    def accept_terms(self, name: str) -> Model:
        """Accept the non-commercial terms of a model, for all users of the service."""
        return _parsed(Model, self._send("POST", f"/models/{name}/accept"))

    def studies(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        state: State | None = None,
        label: str | None = None,
        model: str | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> StudyList:
        """Return the user's studies, newest first; only those that match all given conditions.

        Args:
            limit: how many at most.
            after: `next` of the page before.
            state: only studies in it.
            label: only studies with these letters in their label.
            model: only studies of this model.
            begin, end: only studies accepted at `begin` or later, and before `end`.
        """
        given: dict[str, str | None] = {"after": after, "state": state, "label": label, "model": model}
        given |= {name: moment.isoformat() for name, moment in (("begin", begin), ("end", end)) if moment is not None}
        query: dict[str, str | int] = {"limit": limit}
        query |= {name: value for name, value in given.items() if value}
        return _parsed(StudyList, self._send("GET", "/studies", params=query))

    def study(self, study_id: str) -> Study:
        """Return the current state of a study; an unchanged one comes from the client's cache (ETag)."""
        seen = self._studies.get(study_id)
        headers = {"If-None-Match": seen[0]} if seen else {}
        response = self._send("GET", f"/studies/{study_id}", headers=headers)
        if response.status_code == _NOT_MODIFIED and seen:
            return seen[1]
        return self._remembered(response)

    def hand_in(
        self, parts: Sequence[Part | FilePart], options: Options, *, idempotency_key: str, label: str = ""
    ) -> Study:
        """Submit a study. A repeated request with the same idempotency key returns the same study."""
        with ExitStack() as stack:
            files = [(part.field, (part.name, _content(part, stack), "application/octet-stream")) for part in parts]
            response = self._send(
                "POST",
                "/studies",
                files=files,
                data={**form_fields(options), **({"label": label} if label else {})},
                headers={"Idempotency-Key": idempotency_key},
            )
        return self._remembered(response)

    def cancel(self, study_id: str) -> Study:
        """Cancel a study."""
        return self._remembered(self._send("POST", f"/studies/{study_id}/cancel"))

    def set_label(self, study_id: str, label: str) -> Study:
        """Change the label of a study."""
        return self._remembered(self._send("PATCH", f"/studies/{study_id}", json={"label": label}))

    def delete(self, study_id: str) -> None:
        """Delete a study and its results."""
        self._send("DELETE", f"/studies/{study_id}")
        self._studies.pop(study_id, None)

    def artifact(self, study_id: str, name: str) -> bytes:
        """Return the content of a result."""
        return self._send("GET", f"/studies/{study_id}/artifacts/{name}").content

    def versions(self, study_id: str) -> VersionList:
        """Return the versions of a study that is done, oldest first; version 0 is the result of the model."""
        return _parsed(VersionList, self._send("GET", f"/studies/{study_id}/versions"))

    def version(self, study_id: str, number: int) -> Version:
        """Return a version with its lesion table."""
        return _parsed(Version, self._send("GET", f"/studies/{study_id}/versions/{number}"))

    def correct(self, study_id: str, new: NewVersion) -> Version:
        """Store edits of the latest version as a new version."""
        body = new.model_dump_json(exclude_none=True)
        headers = {"Content-Type": "application/json"}
        return _parsed(Version, self._send("POST", f"/studies/{study_id}/versions", content=body, headers=headers))

    def upload_mask(self, study_id: str, part: Part | FilePart, new: NewMask) -> Version:
        """Store a corrected mask as a new version."""
        fields = {name: str(value) for name, value in new.model_dump().items() if value != ""}
        with ExitStack() as stack:
            files = [(part.field, (part.name, _content(part, stack), "application/octet-stream"))]
            response = self._send("POST", f"/studies/{study_id}/masks", files=files, data=fields)
        return _parsed(Version, response)

    def version_artifact(self, study_id: str, number: int, name: str) -> bytes:
        """Return the content of a file of a version."""
        return self._send("GET", f"/studies/{study_id}/versions/{number}/artifacts/{name}").content

    def follow_up(self, new: NewFollowUp) -> StoredFollowUp:
        """Compare finished studies of one patient; the result is stored by the service."""
        body = new.model_dump_json(exclude_none=True)
        headers = {"Content-Type": "application/json"}
        answer = self._send("POST", "/follow-ups", content=body, headers=headers, timeout=_LONG_TIMEOUT)
        return _parsed(StoredFollowUp, answer)

    def follow_ups(self, *, limit: int = 50, after: str | None = None) -> FollowUpList:
        """Return the user's follow-ups, newest first.

        Args:
            limit: how many at most.
            after: `next` of the page before.
        """
        query: dict[str, str | int] = {"limit": limit, **({"after": after} if after else {})}
        return _parsed(FollowUpList, self._send("GET", "/follow-ups", params=query))

    def stored_follow_up(self, follow_up_id: str) -> StoredFollowUp:
        """Return a follow-up with all its results."""
        return _parsed(StoredFollowUp, self._send("GET", f"/follow-ups/{follow_up_id}"))

    def follow_up_artifact(self, follow_up_id: str, name: str) -> bytes:
        """Return the content of a file of a follow-up."""
        return self._send("GET", f"/follow-ups/{follow_up_id}/artifacts/{name}").content

    def delete_follow_up(self, follow_up_id: str) -> None:
        """Delete a follow-up; its studies stay."""
        self._send("DELETE", f"/follow-ups/{follow_up_id}")

    def pacs(self) -> tuple[str, ...]:
        """Return the names of the PACS that this caller may search."""
        return _parsed(PacsList, self._send("GET", "/pacs")).pacs

    def search_pacs(self, name: str, asked: PacsSearch) -> PacsStudyList:
        """Return the studies of a PACS that match."""
        return _parsed(PacsStudyList, self._ask_pacs(name, "search", asked))

    def fetch_from_pacs(self, name: str, asked: PacsFetch) -> Study:
        """Take a study from a PACS, to be analysed; fetched again, it is the same study."""
        return self._remembered(self._ask_pacs(name, "fetch", asked))

    def send_to_pacs(self, name: str, study_id: str, *, without_corrections: bool = False) -> PacsSent:
        """Store the DICOM results of a study in a PACS; of a corrected study only ``without_corrections``."""
        asked = PacsSend(study=study_id, without_corrections=without_corrections)
        return _parsed(PacsSent, self._ask_pacs(name, "send", asked))

    def _ask_pacs(self, name: str, action: str, asked: BaseModel) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        content = asked.model_dump_json()
        return self._send("POST", f"/pacs/{name}/{action}", content=content, headers=headers, timeout=_LONG_TIMEOUT)

    def _send(self, method: str, path: str, *, fine: Sequence[int] = (), **content: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **content)
        except httpx.TimeoutException:
            raise Unreachable(
                "the service takes too long to answer", where=self._where, cure=_CURE, code="client.timeout"
            ) from None
        except httpx.TransportError as error:
            raise Unreachable(
                "the service does not answer", where=self._where, got=type(error).__name__, cure=_CURE
            ) from None
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
    fields |= {name: "true" for name in ("stack", "allow_gaps", "uncertainty", "explanation") if getattr(options, name)}
    if options.series:
        fields["series"] = [f"{sequence}={label}" for sequence, label in options.series.items()]
    return fields


def _content(part: Part | FilePart, stack: ExitStack) -> BinaryIO:
    # Bytes as a stream too, which shares them and is sent piece by piece; of bytes, httpx and h11 make whole copies.
    return io.BytesIO(part.content) if isinstance(part, Part) else stack.enter_context(part.path.open("rb"))


def _checked(url: str) -> str:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme in ("http", "https") and address.host:
        return url
    raise UsageError(
        "not an address of a service", expected=f"a URL such as {DEFAULT_API_URL}", got=url, code="usage.url"
    )


def _parsed(kind: type[Answer], response: httpx.Response) -> Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        raise _unexpected(response) from None


def _refusal(response: httpx.Response) -> ServiceError:
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
        cure="check the address, and that both sides have the same version of metseg",
    )
