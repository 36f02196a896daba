"""Errors of the HTTP client: the service does not answer, refuses a request, or could not process a study."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from metseg.errors import BundleError, InputError, LockedError, MetsegError, ResourceError, UsageError
from metseg.schemas import Problem, State, Study

#: Exit status by the first part of a code, as if the error had been raised by a command on this machine.
_EXIT_STATUS: Final[Mapping[str, int]] = {
    "request": UsageError.exit_status,
    "usage": UsageError.exit_status,
    "licence": UsageError.exit_status,
    "input": InputError.exit_status,
    "model": BundleError.exit_status,
    "resources": ResourceError.exit_status,
    "locked": LockedError.exit_status,
}
_FILE_NUMBER: Final = re.compile(r"\bfile (\d{1,6})\b")


class ServiceError(MetsegError):
    """The service does not answer, refuses a request, or could not process a study."""

    default_code = "client"

    def name_files(self, names: Sequence[str]) -> None:
        """Replace numbers of uploaded files by their names on this machine: the service knows only the numbers.

        Args:
            names: of the uploaded files, in order.
        """
        if self.where is not None:
            self.where = _FILE_NUMBER.sub(lambda found: _name(int(found[1]), names) or found[0], str(self.where))
            self.args = (self.one_line(),)


class Unreachable(ServiceError):
    """The service does not answer."""

    default_code = "client.unreachable"


class Unexpected(ServiceError):
    """The service sent an answer that does not match its schema: another program, or another version."""

    default_code = "client.unexpected"


class Refusal(ServiceError):
    """The service refused a request.

    Args:
        problem: the problem document (RFC 9457).
        retry_after_s: seconds after which to try again.
    """

    def __init__(self, problem: Problem, retry_after_s: int | None = None) -> None:
        super().__init__(problem.detail, where=problem.where, cure=problem.cure, code=problem.code)
        self.exit_status = exit_status_of(problem.code)
        self.problem = problem
        self.retry_after_s = retry_after_s


class StudyFailed(ServiceError):
    """A study failed or was cancelled: it has no results.

    Args:
        study: the study; `code`, `where` and `cure` of the error are those of its failure.
    """

    def __init__(self, study: Study) -> None:
        failure = study.failure
        if failure is None:
            how = "was cancelled" if study.state == State.CANCELLED else "failed"
            super().__init__(f"study {study.id} {how}", code=f"client.{study.state}")
        else:
            super().__init__(failure.detail, where=failure.where, cure=failure.cure, code=failure.code)
            self.exit_status = exit_status_of(failure.code)
        self.study = study


class StudyUnfinished(ServiceError):
    """A study is not finished yet.

    Args:
        study: the study as it is now.
    """

    default_code = "client.unfinished"

    def __init__(self, study: Study) -> None:
        super().__init__(
            f"study {study.id} is not finished",
            got=f"{study.state}, {study.phase}, {study.progress:.0%}",
            cure="wait longer; the service continues with it",
        )
        self.study = study


def exit_status_of(code: str) -> int:
    """Return the exit status of the command line for a code of the service.

    >>> [exit_status_of(code) for code in ("input.truncated", "licence.not_accepted", "service.busy")]
    [3, 2, 1]
    """
    return _EXIT_STATUS.get(code.partition(".")[0], MetsegError.exit_status)


def _name(number: int, names: Sequence[str]) -> str | None:
    return names[number - 1] if 1 <= number <= len(names) else None
