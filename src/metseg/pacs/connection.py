"""Open the PACS that an address names."""

from __future__ import annotations

from importlib.util import find_spec

from metseg.errors import UsageError
from metseg.pacs.server_address import DEFAULT_TIMEOUT_S, DimseAddress, TlsFiles, parse_server
from metseg.pacs.study_records import Archive


def connect(server: str, tls: TlsFiles | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Archive:
    """Return the PACS at an address. Nothing is sent before its first method is called.

    Args:
        server: ``https://HOST/dicom-web``, or ``dimse://CALLED_AET@HOST:PORT?calling=AET``.
        tls: files for TLS; None: the authorities of the system.
        timeout_s: seconds to wait for an answer.
    Raises:
        UsageError: not an address, or the extra ``pacs`` is not installed.
    """
    require_extra()
    address, tls = parse_server(server), tls or TlsFiles()
    if isinstance(address, DimseAddress):
        from metseg.pacs.dimse import DimseArchive

        return DimseArchive(address, tls, timeout_s)
    from metseg.pacs.dicomweb import WebArchive

    return WebArchive(address, tls, timeout_s)


def require_extra() -> None:
    """Raise a UsageError unless the packages of the extra ``pacs`` are installed."""
    missing = [name for name in ("pynetdicom", "dicomweb_client") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "the commands for a PACS need packages that are not installed",
            got=f"no {' and no '.join(missing)}",
            cure='install them: pip install "metseg[pacs]"',
            code="usage.missing_extra",
        )
