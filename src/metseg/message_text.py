"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence

#: Maximum number of names listed in a message; the others are counted.
SHOWN_NAMES = 6


def pluralize(count: int, thing: str, things: str | None = None) -> str:
    """Return a count with its noun.

    Args:
        count: how many.
        thing: singular.
        things: plural; None: the singular with an s.

    >>> pluralize(1, "case"), pluralize(1200, "patient"), pluralize(0, "study", "studies")
    ('1 case', '1,200 patients', '0 studies')
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def examples_text(names: Sequence[object]) -> str:
    """Return the first few names and the number of the others.

    >>> examples_text(["a", "b"]), examples_text(range(8)), examples_text([])
    ('a, b', '0, 1, 2, 3, 4, 5 and 2 more', 'nothing')
    """
    shown = ", ".join(map(str, names[:SHOWN_NAMES])) or "nothing"
    return f"{shown} and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else shown
