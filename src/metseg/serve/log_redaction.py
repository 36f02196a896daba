"""Logs without personal data: metseg's messages contain ids, codes, routes and numbers; other texts are withheld.

Libraries quote header values and file names in their messages (pydicom quotes a name that it warns of), and no filter
can tell a name from a word. So only loggers known to be safe keep their text. For other loggers and for exceptions, the
log shows only the place in the code.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Final

from metseg.errors import MetsegError
from metseg.serve.http.problem_details import public_text

#: Loggers with messages of metseg, or with messages known to contain no data.
TRUSTED: Final = ("metseg.serve", "metseg.worker", "uvicorn.error", "alembic.runtime")

WITHHELD: Final = "(text withheld)"
_FRAMES: Final = 12


class RedactingFilter(logging.Formatter):
    """Formats records without patient names and paths."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, followed by the class and the code locations of an exception."""
        trusted = record.name.startswith(TRUSTED)
        text = public_text(record.getMessage()) if trusted else f"{WITHHELD} {record.module}:{record.lineno}"
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        return f"{moment} {record.levelname} {record.name} {text}{_places(record.exc_info)}"


def _places(info: object) -> str:
    """Return the class of an exception and its code locations, without its message, which may contain names."""
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
    logging.getLogger("uvicorn.access").disabled = True  # it logs full paths and queries of clients
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("metseg.serve").critical("uncaught", exc_info=(kind, error, trace))
