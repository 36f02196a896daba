"""Addresses of a PACS: one URL for DICOMweb and for DIMSE; TLS files; credentials from the environment."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from metseg.errors import InputError, UsageError

#: Variables with the credentials of DICOMweb; never options, which other users of the machine could read.
USER_VARIABLE: Final = "METSEG_PACS_USER"
PASSWORD_VARIABLE: Final = "METSEG_PACS_PASSWORD"
TOKEN_VARIABLE: Final = "METSEG_PACS_TOKEN"

#: Title of this side if the address names none.
DEFAULT_TITLE: Final = "METSEG"
#: Seconds to wait for an answer.
DEFAULT_TIMEOUT_S: Final = 30.0

_FORMS: Final = "https://HOST/dicom-web, or dimse://CALLED_AET@HOST:PORT?calling=AET&move=PORT (dimses:// with TLS)"
#: An application entity title: up to 16 characters of ASCII, without backslash and control characters.
_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class TlsFiles:
    """Files for TLS.

    Args:
        authorities: certificates of trusted authorities (PEM); None: those of the system.
        certificate: own certificate (PEM), for servers that require one.
        key: its private key; None: in the file of the certificate.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self, *, for_server: bool = False) -> ssl.SSLContext:
        """Return the settings of TLS connections.

        Args:
            for_server: for a receiver; with `authorities`, it accepts only senders with a certificate of theirs.
        Raises:
            InputError: a file is absent or is no PEM.
        """
        purpose = ssl.Purpose.CLIENT_AUTH if for_server else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=self.authorities)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise InputError(
                "a TLS file cannot be read",
                where=", ".join(str(path) for path in (self.authorities, self.certificate, self.key) if path),
                expected="PEM files",
                got=error.strerror or type(error).__name__,
                cure="check the paths, and that the key belongs to the certificate",
                code="input.tls",
            ) from None
        if for_server and self.authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class DimseAddress:
    """A PACS that speaks DIMSE.

    Args:
        host, port: of the PACS.
        called: its title.
        calling: our title.
        is_encrypted: whether it expects TLS.
        move_port: port of this machine where it sends what C-MOVE asks for; None: C-GET is used.
    """

    host: str
    port: int
    called: str
    calling: str
    is_encrypted: bool
    move_port: int | None = None

    def __str__(self) -> str:
        return f"{self.called}@{self.host}:{self.port}"


@dataclass(frozen=True)
class WebAddress:
    """A PACS that speaks DICOMweb.

    Args:
        url: base address of QIDO-RS, WADO-RS and STOW-RS.
        user, password: for basic authentication.
        token: bearer token.
    """

    url: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.url


def parse_server(url: str) -> DimseAddress | WebAddress:
    """Return the address that a URL names, with the credentials of the environment.

    Raises:
        UsageError: not an address, or credentials would be sent without TLS.

    >>> str(parse_server("dimse://ORTHANC@pacs.example.org:4242?calling=METSEG"))
    'ORTHANC@pacs.example.org:4242'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _wrong_address() from None
    if not host:
        raise _wrong_address()
    if parts.scheme in ("dimse", "dimses"):
        return _dimse(parts.scheme, unquote(parts.username or ""), host, port, parts.query, parts.path)
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise _wrong_address()
    if parts.username is not None:
        raise UsageError(
            "an address with a password in it",
            expected=f"the password in the variable {PASSWORD_VARIABLE}",
            cure=f"set {USER_VARIABLE} and {PASSWORD_VARIABLE}, and remove both from the address",
            code="usage.url",
        )
    return _web(url.rstrip("/"), is_protected=parts.scheme == "https" or host in _LOOPBACK)


def require_title(title: str) -> str:
    """Return an application entity title without outer spaces.

    Raises:
        UsageError: not a title.
    """
    found = title.strip()
    if not _TITLE.fullmatch(found):
        expected = "1 to 16 ASCII characters, without backslash"
        raise UsageError("not an application entity title", expected=expected, got=repr(title), code="usage.title")
    return found


def _dimse(scheme: str, called: str, host: str, port: int | None, query: str, path: str) -> DimseAddress:
    options = parse_qs(query, keep_blank_values=True)
    if not called or port is None or path.strip("/") or set(options) - {"calling", "move"}:
        raise _wrong_address()
    calling = options.get("calling", [DEFAULT_TITLE])[-1]
    return DimseAddress(host, port, require_title(called), require_title(calling), scheme == "dimses", _move(options))


def _move(options: Mapping[str, Sequence[str]]) -> int | None:
    """Return the port for C-MOVE; None if the address has none."""
    if "move" not in options:
        return None
    text = options["move"][-1]
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise _wrong_address()
    return int(text)


def _web(url: str, *, is_protected: bool) -> WebAddress:
    user, password, token = (
        os.environ.get(name) or None for name in (USER_VARIABLE, PASSWORD_VARIABLE, TOKEN_VARIABLE)
    )
    if (password or token) and not is_protected:
        raise UsageError(
            "credentials would be sent without encryption",
            expected="https://",
            got="http://",
            cure=f"use an https address, or unset {PASSWORD_VARIABLE} and {TOKEN_VARIABLE}",
            code="usage.url",
        )
    return WebAddress(url, user, password, token)


def _wrong_address() -> UsageError:
    return UsageError("not an address of a PACS", expected=_FORMS, cure="correct --server", code="usage.url")
