"""Parse repeated options of the form ``NAME=VALUE``, and groups of options that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.io.splits import PartOfSplit

Meant = TypeVar("Meant", str, Path)

#: Help of options and arguments that take a model.
MODEL_HELP = "A bundle: its name or its folder; or the folder of a training, such as runs/one."


def absolute(path: Path | None) -> str | None:
    """Return an absolute path, for a recipe's data part that is read from other working directories."""
    return None if path is None else str(path.absolute())


def named_paths(predictions: Sequence[str]) -> dict[str, Path]:
    """Return a mapping from name to path, from ``NAME=PATH`` or ``PATH``; the last part of a bare path is its name.

    Raises:
        UsageError: two sets have the same name.

    >>> named_paths(["runs/unet", "ours=runs/attention/predictions"])
    {'unet': PosixPath('runs/unet'), 'ours': PosixPath('runs/attention/predictions')}
    """

    def pair(text: str) -> tuple[str, Path]:
        name, separator, path = text.partition("=")
        # A path with "=" in it is still a path.
        whole = not separator or Path(text).exists()
        return (Path(text).resolve().name, Path(text)) if whole else (name, Path(path))

    found: dict[str, Path] = {}
    for name, path in map(pair, predictions):
        twice = f"two sets of predictions are called '{name}'"
        _put(found, name, path, twice=twice, option="--predictions", cure="give them names: --predictions NAME=PATH")
    return found


def named_sequences(modalities: Sequence[str]) -> dict[str, str]:
    """Return a mapping from sequence to its value, from options such as ``t1c=after.nii.gz``.

    Raises:
        UsageError: an option is not ``NAME=VALUE``, or a sequence is given twice.

    >>> named_sequences(["t1c=after.nii.gz", "t2w=none"])
    {'t1c': 'after.nii.gz', 't2w': 'none'}
    """

    def pair(text: str) -> tuple[str, str]:
        name, _, what = text.partition("=")
        if not (name and what):
            raise UsageError(
                "not of the form SEQUENCE=PATH",
                where="--modality",
                got=text,
                expected="t1c=PATH",
                cure="give the sequence, an equals sign, and a file, folder or series",
            )
        return name, what

    found: dict[str, str] = {}
    for name, what in map(pair, modalities):
        _put(found, name, what, twice=f"sequence {name} is given twice", option="--modality", cure="give it once")
    return found


def named_part(split: Path | None, part: str | None, fold: int | None) -> PartOfSplit | None:
    """Return the requested part of a split; None if no part is requested.

    Raises:
        UsageError: an option without the others, an unknown part, or an unknown fold.
        InputError: the split file cannot be read, or the part is empty.
    """
    if split is None or part is None:
        given = {"--split": split, "--part": part, "--fold": fold}
        if any(value is not None for value in given.values()):
            raise UsageError(
                "--split and --part are required together",
                got=", ".join(name for name, value in given.items() if value is not None),
                expected="--split FILE --part train, validation or test",
                cure="give both options, or neither",
                code="usage.options",
            )
        return None
    from metseg.io.splits import PartOfSplit

    return PartOfSplit.load(split, part, fold)


def _put(found: dict[str, Meant], name: str, meant: Meant, *, twice: str, option: str, cure: str) -> None:
    """Add a name and its value to `found`; raise `UsageError` with the message `twice` if the name is there already."""
    if name in found:
        raise UsageError(twice, where=option, got=f"{found[name]}, {meant}", cure=cure, code="usage.options")
    found[name] = meant
