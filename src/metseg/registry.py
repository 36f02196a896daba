"""Look a name up in one of metseg's tables, and say what was meant when it is not there."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from metseg.errors import UsageError

Entry = TypeVar("Entry")


def lookup(kind: str, table: Mapping[str, Entry], name: str) -> Entry:
    """Return ``table[name]``.

    Args:
        kind: what the table holds, in the singular, for the message ("model", "loss").
        table: name to entry.
        name: the name asked for.
    Raises:
        UsageError: the name is not in the table; the message offers the nearest one and lists all.

    >>> lookup("model", {"attention_unet": 1}, "atention_unet")
    Traceback (most recent call last):
    ...
    metseg.errors.UsageError: Unknown model 'atention_unet'. Did you mean 'attention_unet'? Known: attention_unet
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(table)}", code="usage.unknown_name")


def resolved(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return a function that a table names, imported now if it is named as ``package.module:function``.

    >>> resolved("math:hypot")(3, 4)
    5.0
    """
    return pkgutil.resolve_name(function) if isinstance(function, str) else function
