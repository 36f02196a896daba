"""The space of a search: keys of a recipe, each with a range or a list of choices. Imports no Optuna and no torch."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from metseg.errors import UsageError
from metseg.message_text import pluralize
from metseg.recipe import Recipe, parse_recipe
from metseg.training.recipe_validation import check_recipe

#: Keys of one entry of the space.
ENTRY_KEYS: Final = ("low", "high", "log", "step", "choices")

#: Parts of a recipe that a search must not change, and why.
FIXED_PARTS: Final[Mapping[str, str]] = {
    "name": "it has no effect on the training",
    "description": "it has no effect on the training",
    "source": "it has no effect on the training",
    "split": "all trials are compared on the same validation patients",
    "predict": "it has no effect on the validation Dice of a training",
}

Number = int | float


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole numbers if both are."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def examples(self) -> tuple[Any, ...]:
        """Return values with which a recipe is tried before the search."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Choices:
    """A list of values of any type that TOML has."""

    values: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the values as JSON: Optuna stores plain values only, and lists are common in recipes."""
        return tuple(json.dumps(value) for value in self.values)

    @property
    def examples(self) -> tuple[Any, ...]:
        return self.values


#: Dotted key of the recipe, as for ``--set``, to its values.
SearchSpace = Mapping[str, Range | Choices]


def load_space(path: Path, recipe: Recipe) -> SearchSpace:
    """Return the space in a TOML file, each value checked against the recipe.

    Raises:
        UsageError: ``usage.space``, the file cannot be read, an entry is wrong, or a key must not be changed;
            ``usage.recipe``, the recipe has no such key, or does not accept one of the values; the nearest is named.
    """
    space = parse_space(_read(path), where=str(path))
    check_space(space, recipe, where=str(path))
    return space


def parse_space(text: str, *, where: str) -> SearchSpace:
    """Return the space of a TOML text; see `load_space`.

    >>> parse_space('train.learning_rate = { low = 1e-4, high = 1e-2, log = true }', where="example")
    {'train.learning_rate': Range(low=0.0001, high=0.01, log=True, step=None)}
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(f"not valid TOML: {error}", where, cure="correct that line") from None
    space = {key: _entry(key, entry, where) for key, entry in _entries(raw, where)}
    if not space:
        raise _wrong("the space is empty", where, cure="name a key: train.learning_rate = { low = 1e-4, high = 1e-2 }")
    return space


def check_space(space: SearchSpace, recipe: Recipe, *, where: str) -> None:
    """Try every choice, and both ends of every range, in the recipe. Reads no data.

    Raises:
        UsageError: as `load_space`.
    """
    for key, entry in space.items():
        part = key.split(".")[0]
        if part in FIXED_PARTS:
            raise _wrong(f"'{key}' cannot be searched: {FIXED_PARTS[part]}", where, cure="remove the key")
        for value in entry.examples:
            _check_value(space, recipe, key, value, where=f"{where}, {key}")


def _check_value(space: SearchSpace, recipe: Recipe, key: str, value: Any, *, where: str) -> None:
    """Accept a value that the recipe accepts alone, or together with a value of another key of the space."""
    together = [
        {key: value, other: beside} for other, entry in space.items() if other != key for beside in entry.examples
    ]
    first_error: UsageError | None = None
    for values in ({key: value}, *together):
        try:
            check_recipe(changed_recipe(recipe, values, where=where))
        except UsageError as error:
            first_error = first_error or error
        else:
            return
    assert first_error is not None  # there was at least one attempt
    raise first_error


def changed_recipe(recipe: Recipe, values: Mapping[str, Any], *, where: str) -> Recipe:
    """Return the recipe with other values.

    Args:
        recipe: of the search.
        values: dotted key to value.
        where: for the message.
    Raises:
        UsageError: ``usage.recipe``, an unknown key or a wrong value.
    """
    changes = [f"{key}={_toml(value)}" for key, value in values.items()]
    return parse_recipe(recipe.to_toml(), where=where, changes=changes)


def _toml(value: Any) -> str:
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise _wrong(f"cannot read the space: {what}", str(path), cure="give a TOML file with --space") from None


def _entries(raw: Mapping[str, Any], where: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each entry with its dotted key; a table with a key of `ENTRY_KEYS` is an entry."""
    for name, value in raw.items():
        key = ".".join((*path, name))
        if not isinstance(value, dict):
            raise _wrong(
                f"'{key}' is neither a range nor choices",
                where,
                got=value,
                cure=f"write {key} = {{ low = ..., high = ... }} or {key} = {{ choices = [...] }}",
            )
        if value.keys() & set(ENTRY_KEYS) and not any(isinstance(inner, dict) for inner in value.values()):
            yield key, value
        else:
            yield from _entries(value, where, (*path, name))


def _entry(key: str, raw: Mapping[str, Any], where: str) -> Range | Choices:
    unknown = [name for name in raw if name not in ENTRY_KEYS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], ENTRY_KEYS, n=1)
        cure = f"did you mean {near[0]}?" if near else f"known: {', '.join(ENTRY_KEYS)}"
        raise _wrong(f"'{key}' has an unknown key '{unknown[0]}'", where, cure=cure)
    if "choices" in raw:
        values = raw["choices"]
        if len(raw) > 1 or not isinstance(values, list) or not values:
            raise _wrong(f"'{key}' needs a list of choices and nothing else", where, cure="write choices = [1, 2]")
        return Choices(tuple(values))
    return _range(key, raw, where)


def _range(key: str, raw: Mapping[str, Any], where: str) -> Range:
    low, high, step = (raw.get(name) for name in ("low", "high", "step"))
    numbers = [value for value in (low, high, step) if value is not None]
    if low is None or high is None or not all(_is_number(value) for value in numbers) or low >= high:
        raise _wrong(
            f"'{key}' needs two numbers, low below high",
            where,
            got=dict(raw),
            cure=f"write {key} = {{ low = 1e-4, high = 1e-2, log = true }}",
        )
    log = raw.get("log", False)
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)) or (step is not None and step <= 0):
        raise _wrong(
            f"'{key}': a logarithmic range begins above 0 and has no step, and a step is above 0",
            where,
            got=dict(raw),
            cure="correct log or step",
        )
    return Range(low, high, log, step)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(what: str, where: str, *, cure: str, got: object = None) -> UsageError:
    return UsageError(what, where=where, got=got, cure=cure, code="usage.space")


def describe_space(space: SearchSpace) -> str:
    """Return the size of a space in words.

    >>> describe_space({"train.batch_size": Choices((4, 8))})
    '1 key: train.batch_size'
    """
    return f"{pluralize(len(space), 'key')}: {', '.join(space)}"
