"""``metseg ui``: the web page."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from metseg.errors import UsageError

#: Largest file of an upload, in megabytes; the service has its own limits.
_UPLOAD_MB = 2048
#: Largest message to the browser, in megabytes: a large volume for the viewer.
_MESSAGE_MB = 512


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    api: Annotated[
        str | None, typer.Option("--api", help="URL of the service. (default: METSEG_API_URL, or this machine)")
    ] = None,
) -> None:
    """Serve the page. It talks only to the API that `metseg serve` or `metseg up` started."""
    _require_streamlit()
    from streamlit.web import bootstrap

    from metseg.io.volumes.brain_masks import name_sequences_or_masks
    from metseg.reporting.study.preprocessing_text import describe_steps
    from metseg.ui import page_settings

    given = {} if api is None else {"api_url": api}

    def read_names(stems: Sequence[str]) -> list[page_settings.SequenceFromName]:
        return [
            page_settings.SequenceFromName(named.modality, named.reason, named.modality is None and not named.is_silent)
            for named in name_sequences_or_masks(stems)
        ]

    # The page must not import the layers that hold these two functions; the command may.
    page_settings.use(page_settings.settings_from_environment(read_names=read_names, describe=describe_steps, **given))
    _ask_nobody_for_our_address()
    options = streamlit_options(host, port)
    bootstrap.load_config_options(flag_options=options)
    print(f"metseg ui serves on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    # The parts of the page are first imported when somebody opens it, and Streamlit is there to take them in.
    bootstrap.run(str(Path(page_settings.__file__).with_name("app.py")), False, [], options)


def _ask_nobody_for_our_address() -> None:
    """Keep Streamlit from asking a server on the internet for this machine's public address.

    It asks at the start where it listens beyond localhost, and at each connection from another origin.
    """
    from streamlit import net_util

    net_util._external_ip = ""


def streamlit_options(host: str, port: int) -> dict[str, Any]:
    """Return Streamlit's options by the names of its flags, as `load_config_options` takes them."""
    from metseg.ui.theme import OPTIONS

    options = {
        **OPTIONS,
        "server.address": host,
        "server.port": port,
        "server.maxUploadSize": _UPLOAD_MB,
        "server.maxMessageSize": _MESSAGE_MB,
    }
    return {name.replace(".", "_"): value for name, value in options.items()}


def _require_streamlit() -> None:
    lacking = [name for name in ("streamlit", "niivue_component") if importlib.util.find_spec(name) is None]
    if lacking:
        raise UsageError(
            "the page needs packages that are not installed",
            got=f"no {', '.join(lacking)}",
            cure="pip install 'metseg[ui]'",
            code="usage.missing_extra",
        )
