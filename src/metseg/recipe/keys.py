"""The keys of a recipe: their places, their descriptions, and the nearest key to a misspelt one."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, get_args

from pydantic import BaseModel

#: Smallest similarity (`difflib`'s ratio) for suggesting a key of another part; for the same part it is 0.6.
ALIKE_ELSEWHERE = 0.8


def part_in(annotation: Any) -> type[BaseModel] | None:
    """Return the class of the part that a key holds, alone or in a list; None if it holds a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := part_in(inner))), None)


def all_keys(part: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every key of a part and of the parts inside it, dotted."""
    for name, field in part.model_fields.items():
        yield ".".join((*path, name))
        inner = part_in(field.annotation)
        if inner is not None:
            yield from all_keys(inner, (*path, name))


def part_at(root: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the class of the part at a location, ignoring list indices; None if there is no part."""
    part: type[BaseModel] | None = root
    for piece in location:
        if part is not None and isinstance(piece, str):
            part = part_in(part.model_fields[piece].annotation) if piece in part.model_fields else None
    return part


def nearest_key(root: type[BaseModel], location: Sequence[int | str]) -> str | None:
    """Return the known key nearest to an unknown one, dotted; None if none is similar.

    Args:
        root: the class of the whole recipe.
        location: pydantic's location of the unknown key.
    """
    *parents, name = [str(piece) for piece in location]
    part = part_at(root, location[:-1])
    near = difflib.get_close_matches(name, part.model_fields, n=1) if part is not None else []
    if near:
        return ".".join((*parents, near[0]))
    by_last_name = {key.rpartition(".")[2]: key for key in all_keys(root)}
    near = difflib.get_close_matches(name, by_last_name, n=1, cutoff=ALIKE_ELSEWHERE)
    return by_last_name[near[0]] if near else None


def nearest_value(got: object, expected: str) -> str | None:
    """Return the value nearest to a wrong one among those that a message lists; None if none is similar.

    >>> nearest_value("float23", "'auto', 'float32' or 'bf16'")
    'float32'
    """
    near = difflib.get_close_matches(str(got), re.findall(r"'([^']*)'", expected), n=1)
    return near[0] if near else None


def descriptions(part: type[BaseModel]) -> dict[str, str]:
    """Return the description of each key of a part: its ``#:`` comment, or else the description of its field.

    A key without either is left out, and the comments of a class without source, such as one of a compiled package. The
    comments are those of the class and its bases; a class that changes the default of an inherited key does not have
    to repeat its comment.
    """
    found = {name: field.description for name, field in part.model_fields.items() if field.description}
    for owner in reversed(part.__mro__):
        if owner is not BaseModel and issubclass(owner, BaseModel):
            with suppress(OSError, TypeError):  # no source
                found |= comments_in(inspect.getsource(owner).splitlines())
    return {name: found[name] for name in part.model_fields if name in found}


def comments_in(lines: Iterable[str]) -> dict[str, str]:
    """Return the ``#:`` comment above each field in the source of a class."""
    found, above = {}, []
    for line in map(str.strip, lines):
        if line.startswith("#:"):
            above.append(line.removeprefix("#:").strip())
            continue
        if above and (field := re.match(r"(\w+)\s*:", line)):
            found[field[1]] = " ".join(above)
        above = []
    return found
