"""Show errors: what happened and what to do; the service's message is in an expander below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from metseg.errors import MetsegError
from metseg.ui.error_messages import Explained, explain_error


@contextmanager
def told() -> Iterator[None]:
    """Show an error of the service as a text instead of breaking the page."""
    try:
        yield
    except MetsegError as error:
        show(explain_error(error))


def show(explained: Explained) -> None:
    """Draw an error."""
    where = f" ({_place(explained.where)})" if explained.where else ""
    st.error(f"**{explained.words.title}{where}.** {explained.words.advice}", icon=":material/error:")
    with st.expander("Details for the administrator"):
        st.code(f"{explained.code}\n{explained.technical}", language=None, wrap_lines=True)


def _place(where: str) -> str:
    """Return the place of an error without characters that Markdown interprets."""
    return "".join(sign for sign in where if sign.isalnum() or sign in " .-")[:60]
