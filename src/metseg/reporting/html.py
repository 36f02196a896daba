"""Write a page as one self-contained HTML file with style, script and pictures, which opens offline."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from metseg.errors import UsageError
from metseg.reporting.blocks import Page
from metseg.runtime.atomic_io import write_text

#: Suffix of a picture to its media type.
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}

TEMPLATE = "page.html"


def write_page(page: Page, path: Path) -> None:
    """Write a page as HTML, atomically."""
    write_text(path, page_html(page))


def page_html(page: Page) -> str:
    """Return a page as HTML. All text is escaped, including names of cases and folders.

    Raises:
        UsageError: a picture format that is not in `MEDIA_TYPES`.
        OSError: a picture is missing.
    """
    return _environment().get_template(TEMPLATE).render(page=page)


def data_uri(path: Path) -> str:
    """Return a picture as a data URL.

    An SVG is embedded as a picture too and not as elements of the page, because its ids (clip paths, markers) would
    clash with those of other SVGs.
    """
    media = MEDIA_TYPES.get(path.suffix.lower())
    if media is None:
        raise UsageError("unsupported picture format", where=path, expected=" or ".join(MEDIA_TYPES))
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


#: Parts of a cell that stay on one line: an interval, and the number of patients.
UNBROKEN = re.compile(r"\([^()]*\)|\d[\d,]* of \d[\d,]* patients")


def unbroken(text: str) -> str:
    """Return a value's text with line breaks allowed before its interval and not inside it.

    >>> unbroken("0.5 (0.2 to 0.7), 8 of 9 patients").split(" ")
    ['0.5', '(0.2\\xa0to\\xa00.7),', '8\\xa0of\\xa09\\xa0patients']
    """
    return UNBROKEN.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


#: Names up to this length are not broken at hyphens.
SHORT = 24


def short(text: str) -> str:
    """Return the additional CSS class of a cell that stays on one line; empty for longer texts."""
    return " short" if len(text) <= SHORT else ""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("metseg.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=data_uri, unbroken=unbroken, short=short)
    return environment
