"""A PACS by DICOMweb: QIDO-RS, WADO-RS and STOW-RS, by `dicomweb-client`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset, dcmread
from requests.adapters import HTTPAdapter

from metseg.pacs.pacs_errors import PacsError, timed_out, unreachable
from metseg.pacs.server_address import PASSWORD_VARIABLE, TOKEN_VARIABLE, USER_VARIABLE, TlsFiles, WebAddress
from metseg.pacs.study_records import (
    STUDY_KEYWORDS,
    InstanceReference,
    OutgoingObject,
    StudyQuery,
    StudyRecord,
    record_of,
    reference_of,
)

#: Objects as they are stored, without a change of the transfer syntax.
_AS_STORED: Final = (("application/dicom", "*"),)
_STUDY_UID: Final = "0020000D"
_SOP_UID: Final = "00080018"
#: Code of an address or an object that the server does not have.
_ABSENT: Final = "pacs.absent"
_BUSY: Final = (408, 429, 502, 503, 504)


# It logs the exceptions of requests, with addresses that can hold the id of a patient.
logging.getLogger("retrying").setLevel(logging.CRITICAL)


class _TimeoutAdapter(HTTPAdapter):
    """Gives every request a timeout, which requests does not, and leaves ``*`` and ``/`` in a query as they are.

    They need no encoding there (RFC 3986), and Orthanc's plugin (1.7) does not decode a query.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        super().__init__()

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        address, mark, query = request.url.partition("?")
        request.url = address + mark + query.replace("%2A", "*").replace("%2F", "/").replace("+", "%20")
        return super().send(request, **{**options, "timeout": self._timeout_s})


class WebArchive:
    """A PACS that speaks DICOMweb.

    Args:
        address: its address, with credentials.
        tls: files for TLS.
        timeout_s: seconds to wait for a connection, and between two parts of an answer.
    """

    def __init__(self, address: WebAddress, tls: TlsFiles, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        if address.url.startswith("https"):
            tls.context()  # names a wrong file; requests would only fail
        session = requests.Session()
        session.trust_env = False  # no proxies and no .netrc of the environment, which would replace our credentials
        session.verify = str(tls.authorities) if tls.authorities else True
        if tls.certificate is not None:
            session.cert = (str(tls.certificate), str(tls.key)) if tls.key else str(tls.certificate)
        if address.token:
            session.headers["Authorization"] = f"Bearer {address.token}"
        elif address.user:
            session.auth = (address.user, address.password or "")
        for scheme in ("http://", "https://"):
            session.mount(scheme, _TimeoutAdapter(timeout_s))
        self._client = DICOMwebClient(address.url, session=session)
        self._client.set_http_retry_params(retry=False)

    def __str__(self) -> str:
        return str(self._address)

    def echo(self) -> None:
        """Ask for one study, which tests address and credentials."""
        with self._errors():
            self._client.search_for_studies(limit=1)

    def find_studies(self, query: StudyQuery) -> tuple[StudyRecord, ...]:
        """Return the studies that match."""
        filters, fields = dict(query.filters()), list(STUDY_KEYWORDS)
        found = self._pages(
            lambda offset: self._client.search_for_studies(search_filters=filters, fields=fields, offset=offset),
            _STUDY_UID,
        )
        return tuple(record_of(Dataset.from_json(item)) for item in found)

    def find_instances(self, study_uid: str) -> tuple[InstanceReference, ...]:
        """Return the objects of a study."""
        try:
            found = self._pages(lambda offset: self._client.search_for_instances(study_uid, offset=offset), _SOP_UID)
        except PacsError as error:
            if error.code == _ABSENT:
                return ()
            raise
        study = {_STUDY_UID: {"vr": "UI", "Value": [study_uid]}}
        return tuple(reference_of(Dataset.from_json({**study, **item})) for item in found)

    def fetch(self, wanted: Sequence[InstanceReference], whole_series: bool, keep: Callable[[Any], None]) -> None:
        """Retrieve objects of one series, in the transfer syntax in which they are stored."""
        first = wanted[0]
        with self._errors():
            if whole_series:
                for dataset in self._client.iter_series(first.study_uid, first.series_uid, media_types=_AS_STORED):
                    keep(dataset)
                return
            for item in wanted:
                uids = (item.study_uid, item.series_uid, item.sop_uid)
                keep(self._client.retrieve_instance(*uids, media_types=_AS_STORED))

    def store(self, objects: Sequence[OutgoingObject]) -> Iterator[tuple[OutgoingObject, str]]:
        """Store objects one by one, so that each failure has a name."""
        for item in objects:
            try:
                with self._errors():
                    answer = self._client.store_instances([dcmread(item.path)])
            except PacsError as error:
                if error.is_transient or error.code == "pacs.unauthorised":
                    raise
                yield item, error.what
            else:
                yield item, _failure(answer)

    def _pages(self, search: Callable[[int], list[dict[str, Any]]], key: str) -> list[dict[str, Any]]:
        """Return the answers of all pages, each once: some servers, Orthanc among them, ignore the offset."""
        found: dict[str, dict[str, Any]] = {}
        offset = 0
        while True:
            with self._errors():
                page = {item[key]["Value"][0]: item for item in search(offset)}
            if not page.keys() - found.keys():
                return list(found.values())
            found |= page
            offset += len(page)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except requests.HTTPError as error:
            raise self._refusal(error) from None
        except requests.exceptions.SSLError as error:
            raise PacsError(
                "the TLS connection failed",
                where=str(self),
                got=_reason(error),
                cure="check the certificates: --ca-file, --certificate and --key",
                code="pacs.tls",
            ) from None
        except requests.Timeout:
            raise timed_out(str(self), self._timeout_s) from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise unreachable(str(self), _reason(error)) from None
        except (requests.RequestException, ValueError, KeyError) as error:
            raise PacsError(
                "the answer is not DICOMweb",
                where=str(self),
                got=type(error).__name__,
                cure="check the address: it often ends in /dicom-web",
                code="pacs.unexpected",
            ) from None

    def _refusal(self, error: requests.HTTPError) -> PacsError:
        status = error.response.status_code if error.response is not None else 0
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            cure = f"set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or {TOKEN_VARIABLE}"
            return PacsError(
                "the PACS refuses the credentials", where=str(self), got=status, cure=cure, code="pacs.unauthorised"
            )
        if status in _BUSY:
            return PacsError("the PACS is busy", where=str(self), got=status, cure="try again later", code="pacs.busy")
        if status == requests.codes.not_found:
            cure = "check the address (it often ends in /dicom-web) and the UID"
            return PacsError("the PACS does not have this", where=str(self), got=status, cure=cure, code=_ABSENT)
        cure = "see the log of the PACS"
        return PacsError(f"the PACS refused the request with status {status}", where=str(self), cure=cure)


def _failure(answer: Any) -> str:
    """Return why an object was not stored; empty if it was."""
    failed = answer.get("FailedSOPSequence") or ()
    return "; ".join(f"the PACS refused it with reason 0x{int(item.get('FailureReason', 0)):04X}" for item in failed)


def _reason(error: Exception) -> str:
    """Return the innermost cause of an error of requests: its text has the URL, which can hold a patient's id."""
    cause: Any = error
    while True:
        inner = getattr(cause, "reason", None) or next(
            (argument for argument in getattr(cause, "args", ()) if isinstance(argument, Exception)), None
        )
        if not isinstance(inner, Exception):
            return type(cause).__name__
        cause = inner
