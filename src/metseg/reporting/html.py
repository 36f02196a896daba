"""A page as one HTML file that needs nothing else: style, script and pictures are inside, and it opens offline."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from metseg.atomic_io import write_text
from metseg.errors import UsageError
from metseg.reporting.blocks import Page

#: Ending of a picture to its media type.
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}

TEMPLATE = "page.html"


def write_page(page: Page, path: Path) -> None:
    """Write a page as HTML, whole or not at all."""
    write_text(path, page_html(page))


def page_html(page: Page) -> str:
    """Return a page as HTML; every text is escaped, whatever cases and folders are called.

    Raises:
        UsageError: a picture of another kind than `MEDIA_TYPES`.
        OSError: a picture is not there.
    """
    return _environment().get_template(TEMPLATE).render(page=page)


def data_uri(path: Path) -> str:
    """Return a picture as an address that holds it whole.

    An SVG is given as a picture too and not as elements of the page: the names inside it (clip paths, markers) would
    meet those of the next one.
    """
    media = MEDIA_TYPES.get(path.suffix.lower())
    if media is None:
        raise UsageError("unsupported picture format", where=path, expected=" or ".join(MEDIA_TYPES))
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


#: What stays on one line in a cell with a figure: an interval, and over how many patients the figure is.
UNBROKEN = re.compile(r"\([^()]*\)|\d[\d,]* of \d[\d,]* patients")


def unbroken(text: str) -> str:
    """Return the text of a figure so that it can be broken before its interval and not inside it.

    >>> unbroken("0.5 (0.2 to 0.7), 8 of 9 patients").split(" ")
    ['0.5', '(0.2\\xa0to\\xa00.7),', '8\\xa0of\\xa09\\xa0patients']
    """
    return UNBROKEN.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


#: A name of so many characters is not broken at its hyphens; longer ones may be.
SHORT = 24


def short(text: str) -> str:
    """Return the class, behind another one, of a cell whose words stay on one line; nothing for longer texts."""
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
