"""Change single values of a recipe, as ``--set key=value`` does, before it is checked."""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterable
from typing import Any

from metseg.errors import UsageError


def apply_change(raw: dict[str, Any], change: str) -> None:
    """Apply ``key=value`` to a parsed TOML document; ``key=`` removes the key, which restores its default.

    Raises:
        UsageError: not of that form, a list index out of range, or a path through a plain value.

    >>> document = {"train": {"seed": 1}, "augment": [{"name": "flip"}]}
    >>> apply_change(document, "train.seed=")
    >>> apply_change(document, "augment.0.axes=[0, 1]")
    >>> document
    {'train': {}, 'augment': [{'name': 'flip', 'axes': [0, 1]}]}
    """
    key, equals, value = change.partition("=")
    if not equals:
        raise UsageError(
            "a change must have the form key=value",
            where="--set",
            got=change,
            cure="write the key, =, and the value in TOML",
        )
    *parents, leaf = key.strip().split(".")
    node: Any = raw
    for parent in parents:
        node = _child(node, parent, key)
    place: Any = _index(node, leaf, key) if isinstance(node, list) else leaf
    _require_inside(node, key)
    if value.strip():
        node[place] = _toml_value(value)
    elif isinstance(node, dict):
        node.pop(place, None)
    else:
        del node[place]


def refuse_split_changes(changes: Iterable[str], split: object | None, *, used: Container[str] = ()) -> None:
    """Refuse changes of the recipe's split if a split file is given, which overrides them.

    Args:
        changes: each as ``key=value``.
        split: the file; None: there is none, and the changes count.
        used: keys that have an effect with a split file too.
    Raises:
        UsageError: ``usage.split``, the first such change.
    """
    for change in changes if split is not None else ():
        key = change.partition("=")[0].strip()
        if key.split(".")[0] == "split" and key not in used:
            raise UsageError(
                "the split file defines the split, so this change has no effect",
                where=f"--set {key}",
                got=f"--split {split}",
                cure="remove one of the two, or create another split file with `metseg split`",
                code="usage.split",
            )


def _child(node: Any, name: str, key: str) -> Any:
    _require_inside(node, key)
    return node[_index(node, name, key)] if isinstance(node, list) else node.setdefault(name, {})


def _require_inside(node: Any, key: str) -> None:
    if not isinstance(node, dict | list):
        raise UsageError(
            f"'{key}' lies inside a value that has no keys",
            where="--set",
            got=node,
            cure="give the key of a table, such as train.seed",
        )


def _index(node: list[Any], piece: str, key: str) -> int:
    if not piece.isdigit() or int(piece) >= len(node):
        raise UsageError(
            f"'{key}': no element '{piece}' in a list of {len(node)}",
            where="--set",
            expected=f"a number from 0 to {len(node) - 1}" if node else "a list with an element",
            cure="number the elements from 0, as in augment.0.probability",
        )
    return int(piece)


def _toml_value(text: str) -> Any:
    """Return the value parsed as TOML; a bare word is a string (``loss.name=dice``)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
