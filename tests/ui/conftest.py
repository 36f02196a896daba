"""The page, opened as a browser would, against a service that is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from metseg.schemas import Study
from metseg.ui import app, page_settings
from metseg.ui.page_settings import PageSettings, SequenceFromName

from . import fake


@pytest.fixture
def service() -> Iterator[fake.FakeApi]:
    """Return the service that the page talks to in this test."""
    known = fake.FakeApi()
    known_names = {"P1_T1_gd": "t1c", "P1_FLAIR": "t2f"}

    def read_name(stem: str) -> SequenceFromName:
        if stem == "P1_T1_post":
            return SequenceFromName(None, "the name says T1 and 'post', which is ambiguous", is_doubtful=True)
        return SequenceFromName(known_names.get(stem), "the name says so" if stem in known_names else "")

    page_settings.use(
        PageSettings(
            transport=httpx.MockTransport(known),
            read_names=lambda stems: [read_name(stem) for stem in stems],
            poll_s=3600,
        )
    )
    yield known
    page_settings.use(None)


@pytest.fixture
def page(service: fake.FakeApi) -> Callable[..., AppTest]:
    """Return a function that opens the page as a browser would, at a study or at the beginning."""

    def open_page(shown: Study | None = None, **query: str) -> AppTest:
        opened = AppTest.from_file(Path(str(app.__file__)), default_timeout=120)
        for name, value in {**({} if shown is None else {"study": shown.id}), **query}.items():
            opened.query_params[name] = value
        return opened.run()

    return open_page
