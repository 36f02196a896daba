"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, thing: str, things: str | None = None) -> str:
    """Return how many there are of a thing.

    Args:
        count: how many.
        thing: one of them.
        things: several; None: with an s.

    >>> counted(1, "case"), counted(1200, "patient"), counted(0, "study", "studies")
    ('1 case', '1,200 patients', '0 studies')
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"
