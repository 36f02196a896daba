"""Errors of a PACS. They name servers, titles and transfer syntaxes, and no patient."""

from __future__ import annotations

from typing import Final

from metseg.errors import MetsegError

#: Codes that another attempt may not have: the PACS was off, restarted or busy.
TRANSIENT: Final = frozenset({"pacs.unreachable", "pacs.timeout", "pacs.rejected", "pacs.busy", "pacs.interrupted"})


class PacsError(MetsegError):
    """The PACS does not answer, refuses a request, or lacks what was requested."""

    default_code = "pacs.refused"

    @property
    def is_transient(self) -> bool:
        """Return whether the same request can succeed later."""
        return self.code in TRANSIENT


def unreachable(server: str, got: object) -> PacsError:
    """Return the error of a server that does not accept connections."""
    return PacsError(
        "the PACS does not answer",
        where=server,
        got=got,
        cure="check host, port and firewall, and that the PACS runs",
        code="pacs.unreachable",
    )


def timed_out(server: str, timeout_s: float) -> PacsError:
    """Return the error of a server that did not answer in time."""
    return PacsError(
        "the PACS takes too long to answer",
        where=server,
        expected=f"an answer within {timeout_s:g} s",
        cure="try again, or give it more time with --timeout",
        code="pacs.timeout",
    )


def no_such_study(server: str) -> PacsError:
    """Return the error of a study that the PACS does not have. The UID is the caller's own and is not repeated."""
    return PacsError(
        "the PACS has no study with this UID",
        where=server,
        cure="search for the study with metseg pacs find --server URL",
        code="pacs.not_found",
    )
