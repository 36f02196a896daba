"""``metseg ui``: the web page."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.io.dicom.series_listing import ListedSeries

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

    def list_series(contents: Sequence[bytes]) -> list[page_settings.SeriesFromHeader]:
        return [page_settings.SeriesFromHeader(**asdict(item)) for item in series_in(contents)]

    # The page must not import the layers that hold these functions; the command may.
    page_settings.use(
        page_settings.settings_from_environment(
            read_names=read_names, describe=describe_steps, list_series=list_series, **given
        )
    )
    print(f"metseg ui serves on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    run_page(listener, memory_bytes, TimedHttpProtocol)


def series_in(contents: Sequence[bytes]) -> list[ListedSeries]:
    """Return the series in DICOM files or archives; none if they cannot be read, which the service then explains.

    Args:
        contents: of each file. They are written to a private temporary folder, since DICOM is read from files.
    """
    from metseg.errors import MetsegError
    from metseg.io.dicom.series_listing import list_series

    with tempfile.TemporaryDirectory(prefix="metseg-") as folder:
        paths = [Path(folder) / f"{number:06d}" for number in range(len(contents))]
        try:
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            return list_series(paths)
        except (MetsegError, OSError):
            return []


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
