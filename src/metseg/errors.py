"""Errors for users: each states what is wrong, where, what was expected, what was found and how to fix it.

There is one class per exit status of the command line and one stable `code` per cause. The service returns the same
codes in problem documents, so a published code never changes its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import ClassVar

#: A command-line option in the text of a cure.
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

#: Another command in the text of a cure; the options after it are that command's.
_COMMAND = re.compile(r"metseg [a-z][a-z-]*")

#: A remark in parentheses, and the separators of alternative cures.
_PARENTHESES = re.compile(r" ?\([^()]*\)")
_ALTERNATIVES = re.compile(r"(; |, or )")

#: Code to cure, for commands without the option that the usual cure names: few commands can name a single file.
CURES_WITHOUT_OPTIONS: Mapping[str, str] = {
    "input.missing_sequence": "name NIfTI files after their sequences (t1n, t1c, t2w, t2f), or move the case away",
    "input.duplicate_sequence": "move all of them but one away",
    "input.brain_mask": "put a NIfTI file called ..._brain_mask beside the images, or remove the skull",
    "input.no_patient": "put each patient in a separate folder, or set data.patients in the recipe to a table (CSV, "
    "columns file and patient)",
    "input.layout": "arrange and name the files as expected",
    "input.missing_prediction": "add or rename the files",
    "input.missing_truth": "add or rename the files",
    "input.affine_mismatch": "resample the prediction to the truth's grid; metseg does not resample it",
}


def _has_only(text: str, options: Collection[str]) -> bool:
    """Return whether a text names no option but these, and those of a command that it names before."""
    command = _COMMAND.search(text)
    return set(_OPTION.findall(text[: command.start()] if command else text)) <= set(options)


def _alternatives_with(cure: str, options: Collection[str]) -> str | None:
    """Return a cure without the remarks and alternatives that name other options; None if nothing is left.

    >>> _alternatives_with("free some space; resume a training with --resume", ["--out"])
    'free some space'
    >>> _alternatives_with("choose another --out, or replace it with --overwrite", ["--overwrite"])
    'replace it with --overwrite'
    >>> _alternatives_with("predict again (metseg predict --format mask)", [])
    'predict again (metseg predict --format mask)'
    """
    text = _PARENTHESES.sub(lambda remark: remark[0] if _has_only(remark[0], options) else "", cure)
    first, *others = _ALTERNATIVES.split(text)
    left = first if _has_only(first, options) else ""
    for separator, alternative in zip(others[::2], others[1::2], strict=True):
        if _has_only(alternative, options):
            left += f"{separator if left else ''}{alternative}"
    return left or None


class MetsegError(Exception):
    """Base of every error that metseg raises on purpose.

    Args:
        what: what is wrong, one clause, no full stop.
        where: the file, case, key or option concerned.
        expected: what is accepted.
        got: what was found instead.
        cure: how the user can fix it, an imperative clause.
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
        return self._line(self.cure)

    def _line(self, cure: str | None) -> str:
        place = "" if self.where is None else f"{self.where}: "
        facts = [
            f"{name} {value}" for name, value in (("expected", self.expected), ("got", self.got)) if value is not None
        ]
        detail = f" ({', '.join(facts)})" if facts else ""
        return " ".join(f"{place}{self.what}{detail}{f'; {cure}' if cure else ''}".split())

    def cure_among(self, options: Collection[str], cures: Mapping[str, str] = CURES_WITHOUT_OPTIONS) -> str | None:
        """Return the cure. If it names an option that does not exist here, return the one in `cures` instead.

        Without one there, return what is left without that option, or None.

        Args:
            options: those that exist, such as ``--modality``.
            cures: code to cure.

        >>> error = InputError("two files are t1c", cure="give --modality t1c=FILE", code="input.duplicate_sequence")
        >>> error.cure_among(["--modality"]), error.cure_among([])
        ('give --modality t1c=FILE', 'move all of them but one away')
        >>> MetsegError("the disk is full", cure="free some space; resume with --resume").cure_among(["--out"])
        'free some space'
        """
        if self.cure is None or set(_OPTION.findall(self.cure)) <= set(options):
            return self.cure
        return cures[self.code] if self.code in cures else _alternatives_with(self.cure, options)

    def data_set_line(self) -> str:
        """Return `one_line` for a case of a data set, with a cure that names no option."""
        return self._line(self.cure_among(()))


class UsageError(MetsegError):
    """The command, a recipe or an option is wrong; no data were read."""

    exit_status = 2
    default_code = "usage"


class InputError(MetsegError):
    """The user's data cannot be used."""

    exit_status = 3
    default_code = "input.invalid"


class GeometryError(InputError):
    """Shapes, affines or spacings that do not fit together."""

    default_code = "input.geometry"


class BundleError(MetsegError):
    """A model bundle or checkpoint is damaged, has another architecture, or is not one at all."""

    exit_status = 4
    default_code = "model.invalid"


class ResourceError(MetsegError):
    """Memory or disk space is not sufficient."""

    exit_status = 5
    default_code = "resources"


class LockedError(MetsegError):
    """Another process has locked the run folder."""

    exit_status = 6
    default_code = "locked"
