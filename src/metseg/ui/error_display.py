"""Errors as they are shown: what happened and what to do, and below, folded away, what the service said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from metseg.errors import MetsegError
from metseg.ui.error_messages import Explained, explain_error


@contextmanager
def told() -> Iterator[None]:
    """Show an error of the service in words instead of breaking the page."""
    try:
        yield
    except MetsegError as error:
        show(explain_error(error))


def show(explained: Explained) -> None:
    """Draw an error."""
    where = f" ({_place(explained.where)})" if explained.where else ""
    st.error(f"**{explained.words.title}{where}.** {explained.words.advice}", icon=":material/error:")
    with st.expander("Details for whoever looks after the service"):
        st.code(f"{explained.code}\n{explained.technical}", language=None, wrap_lines=True)


def _place(where: str) -> str:
    """Return where something is wrong, with nothing in it that Markdown would take for its own."""
    return "".join(sign for sign in where if sign.isalnum() or sign in " .-")[:60]
