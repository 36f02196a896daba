"""The errors a user meets: each says what is wrong, where, what was expected, what was found and how to cure it.

One class per exit status of the command line, one stable `code` per cause. The service answers with the same
codes as problem documents, so a code, once published, never changes its meaning.
"""

from __future__ import annotations

from typing import ClassVar


class MetsegError(Exception):
    """Base of every error that metseg raises on purpose.

    Args:
        what: what is wrong, one clause, no full stop.
        where: the file, case, key or option concerned.
        expected: what would have been right.
        got: what was found instead.
        cure: what the user can do about it, an imperative clause.
        code: stable machine-readable name of the cause, such as ``input.truncated``.
    """

    exit_status: ClassVar[int] = 1
    default_code: ClassVar[str] = "internal"

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        cure: str | None = None,
        code: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.cure = cure
        self.code = code or self.default_code
        super().__init__(self.one_line())

    def one_line(self) -> str:
        """Return the whole message on one line, as the command line prints it.

        >>> print(InputError("wrong shape", where="a.png", expected=(2, 2), got=(3, 3), cure="resize it"))
        a.png: wrong shape (expected (2, 2), got (3, 3)); resize it
        """
        place = "" if self.where is None else f"{self.where}: "
        facts = [
            f"{name} {value}" for name, value in (("expected", self.expected), ("got", self.got)) if value is not None
        ]
        detail = f" ({', '.join(facts)})" if facts else ""
        cure = f"; {self.cure}" if self.cure else ""
        return " ".join(f"{place}{self.what}{detail}{cure}".split())


class UsageError(MetsegError):
    """The command, a recipe or an option is wrong: nothing was read yet."""

    exit_status = 2
    default_code = "usage"


class InputError(MetsegError):
    """Data given by the user cannot be used."""

    exit_status = 3
    default_code = "input.invalid"


class GeometryError(InputError):
    """Shapes, affines or spacings that do not fit together."""

    default_code = "input.geometry"


class BundleError(MetsegError):
    """A model bundle or checkpoint is damaged, of another architecture, or not one at all."""

    exit_status = 4
    default_code = "model.invalid"


class ResourceError(MetsegError):
    """Memory or disk does not suffice."""

    exit_status = 5
    default_code = "resources"


class LockedError(MetsegError):
    """Another process holds the run folder."""

    exit_status = 6
    default_code = "locked"
