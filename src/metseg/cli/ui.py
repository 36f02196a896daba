"""``metseg ui``: the web page."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from metseg.errors import UsageError

#: Variable with the memory in bytes that the process of the page may use, and its default as a share of the machine's.
MEMORY_VARIABLE: Final = "METSEG_PAGE_MEMORY_BYTES"
MEMORY_SHARE: Final = 0.5


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    api: Annotated[
        str | None, typer.Option("--api", help="URL of the service. (default: METSEG_API_URL, or this machine)")
    ] = None,
) -> None:
    """Serve the page. It talks only to the API that `metseg serve` or `metseg up` started."""
    _require_streamlit()

    from metseg.io.volumes.brain_masks import name_sequences_or_masks
    from metseg.reporting.study.preprocessing_text import describe_steps
    from metseg.runtime.http_protocol import TimedHttpProtocol
    from metseg.serve.bind_address import listen
    from metseg.ui import page_settings
    from metseg.ui.page_server import run_page

    given = {} if api is None else {"api_url": api}

    def read_names(stems: Sequence[str]) -> list[page_settings.SequenceFromName]:
        return [
            page_settings.SequenceFromName(named.modality, named.reason, named.modality is None and not named.is_silent)
            for named in name_sequences_or_masks(stems)
        ]

    memory_bytes = page_memory_bytes()
    listener = listen(host, port)
    # The page must not import the layers that hold these two functions; the command may.
    page_settings.use(page_settings.settings_from_environment(read_names=read_names, describe=describe_steps, **given))
    print(f"metseg ui serves on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    run_page(listener, memory_bytes, TimedHttpProtocol)


def page_memory_bytes() -> int:
    """Return the memory that the page may use: METSEG_PAGE_MEMORY_BYTES, else half of the machine or container.

    Raises:
        UsageError: ``usage.settings``, the variable is not a positive whole number.
    """
    from metseg.runtime.system_info import memory_bytes

    given = os.environ.get(MEMORY_VARIABLE)
    if not given:
        return int(MEMORY_SHARE * memory_bytes())
    if not given.isdigit() or int(given) == 0:
        raise UsageError(
            "not a number of bytes",
            where=MEMORY_VARIABLE,
            expected="a positive whole number",
            got=given,
            cure=f"correct {MEMORY_VARIABLE}",
            code="usage.settings",
        )
    return int(given)


def _require_streamlit() -> None:
    lacking = [name for name in ("streamlit", "plotly") if importlib.util.find_spec(name) is None]
    if lacking:
        raise UsageError(
            "the page needs packages that are not installed",
            got=f"no {', '.join(lacking)}",
            cure="pip install 'metseg[ui]'",
            code="usage.missing_extra",
        )
