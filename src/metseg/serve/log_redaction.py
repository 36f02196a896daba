"""Logs that name nobody: our own lines hold ids, codes, routes and numbers, and what others write is withheld.

Libraries put values of headers and names of files into their messages (pydicom warns of a name it finds odd by quoting
it), and no filter can tell a name from a word. So only loggers that are known to be harmless keep their text; of the
others, and of every exception, the log says where it came from.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Final

from metseg.errors import MetsegError
from metseg.serve.http.problem_details import public_text

#: Loggers whose messages are written by us, or are known to hold no data.
TRUSTED: Final = ("metseg.serve", "metseg.worker", "uvicorn.error", "alembic.runtime")

WITHHELD: Final = "(text withheld)"
_FRAMES: Final = 12


class RedactingFilter(logging.Formatter):
    """Formats a record without anything that could name a patient or a place on the disk."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with the places of an exception behind it."""
        trusted = record.name.startswith(TRUSTED)
        text = public_text(record.getMessage()) if trusted else f"{WITHHELD} {record.module}:{record.lineno}"
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        return f"{moment} {record.levelname} {record.name} {text}{_places(record.exc_info)}"


def _places(info: object) -> str:
    """Return the class of an exception and where it was raised; its own words may name somebody."""
    if not isinstance(info, tuple) or info[0] is None or not isinstance(info[1], BaseException):
        return ""
    error = info[1]
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    code = f" {error.code}" if isinstance(error, MetsegError) else ""
    return f" [{type(error).__name__}{code} at {where or 'an unknown place'}]"


def configure_logs(level: str = "INFO") -> None:
    """Send all logs of this process, warnings and uncaught exceptions too, to stderr through `RedactingFilter`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("metseg").setLevel(level)
    logging.captureWarnings(True)
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and not name.startswith("metseg"):
            logger.handlers.clear()
            logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # whole paths and queries, as clients wrote them
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("metseg.serve").critical("uncaught", exc_info=(kind, error, trace))
