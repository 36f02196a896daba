"""Options that are given several times, each as a name and what it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.io.splits import PartOfSplit

Meant = TypeVar("Meant", str, Path)


def absolute(path: Path | None) -> str | None:
    """Return a path as it can be kept in a recipe's data part, whatever folder is worked in later."""
    return None if path is None else str(path.absolute())


def named_paths(predictions: Sequence[str]) -> dict[str, Path]:
    """Return each set of predictions by name: ``NAME=PATH``, or a path, whose last part is the name.

    Raises:
        UsageError: two of one name.

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
    """Return sequence to what was given for it, from options such as ``t1c=after.nii.gz``.

    Raises:
        UsageError: no pair of the two, or a sequence that is named twice.

    >>> named_sequences(["t1c=after.nii.gz", "t2w=none"])
    {'t1c': 'after.nii.gz', 't2w': 'none'}
    """

    def pair(text: str) -> tuple[str, str]:
        name, _, what = text.partition("=")
        if not (name and what):
            raise UsageError(
                "not a sequence and what it is",
                where="--modality",
                got=text,
                expected="t1c=PATH",
                cure="give the sequence, an equals sign and a file, a folder or a series",
            )
        return name, what

    found: dict[str, str] = {}
    for name, what in map(pair, modalities):
        _put(found, name, what, twice=f"{name} is named twice", option="--modality", cure="name it once")
    return found


def named_part(split: Path | None, part: str | None, fold: int | None) -> PartOfSplit | None:
    """Return the part of a split that is asked for; None: everything.

    Raises:
        UsageError: one of the options without the others, no such part, or no such fold.
        InputError: no split file, or an empty part.
    """
    if split is None or part is None:
        given = {"--split": split, "--part": part, "--fold": fold}
        if any(value is not None for value in given.values()):
            raise UsageError(
                "a part of a split needs the split and the name of the part",
                got=", ".join(name for name, value in given.items() if value is not None),
                expected="--split FILE --part train, validation or test",
                cure="give both options, or neither",
                code="usage.options",
            )
        return None
    from metseg.io.splits import PartOfSplit

    return PartOfSplit.load(split, part, fold)


def _put(found: dict[str, Meant], name: str, meant: Meant, *, twice: str, option: str, cure: str) -> None:
    """Put what a name stands for into `found`; refuse a second one with the words of `twice`."""
    if name in found:
        raise UsageError(twice, where=option, got=f"{found[name]}, {meant}", cure=cure, code="usage.options")
    found[name] = meant
