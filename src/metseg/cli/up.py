"""``metseg up``: start API, workers and page with one command."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.serve.jobs.supervisor import Child
    from metseg.serve.settings import Settings

#: Seconds that a worker has to release its study at shutdown. After that it is killed, which is safe too.
GRACE_S = 40.0

#: File in the home folder that a running `metseg up` locks; the system releases it when the process ends.
UP_LOCK = "up.lock"

#: The page of `metseg up` is for users of this machine, wherever the API listens. For other users see docs/deploy.md.
PAGE_HOST = "127.0.0.1"


def up(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port of the API. (default: METSEG_PORT, or 8000)")
    ] = None,
    page_port: Annotated[int, typer.Option("--page-port", min=1, max=65535, help="Port of the page.")] = 8501,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=64, help="Number of workers; 0 if they run elsewhere.")
    ] = 1,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Start the page too.")] = True,
) -> None:
    """Start the API, a worker and the page. Ctrl-C stops all of them; a process that crashes is restarted."""
    from metseg.serve.jobs.supervisor import Supervisor, require_free_port
    from metseg.serve.settings import load_settings
    from metseg.serve.storage.folders import keep_files_private

    keep_files_private()
    settings = load_settings(**({} if port is None else {"port": port}))
    has_page = page and page_is_installed()
    require_free_port(settings.host, settings.port, what="the API", option="--port")
    if has_page:
        require_free_port(PAGE_HOST, page_port, what="the page", option="--page-port")
    _require_usable_database(settings)
    children = [api_child(settings), *worker_children(settings, workers)]
    if has_page:
        children.append(page_child(settings, page_port))
    sys.stderr.write(f"API: {address(settings.host, settings.port)}\n")
    if page:
        where = address(PAGE_HOST, page_port) if has_page else "not installed (pip install 'metseg[ui]')"
        sys.stderr.write(f"page: {where}\n")
    sys.stderr.write("Ctrl-C stops all.\n")
    with _warning_of_second(settings.home):
        status = Supervisor(children, grace_s=GRACE_S).run()
    if status:
        raise typer.Exit(status)


def _require_usable_database(settings: Settings) -> None:
    """Refuse a damaged database, or one of another version, once and before anything starts.

    A PostgreSQL server that does not answer yet is no reason: the children try again until it does.
    """
    from metseg.serve.storage.database_check import DatabaseUnreachable, check_database

    try:
        check_database(settings)
    except DatabaseUnreachable:
        if settings.records_url.get_backend_name() == "sqlite":
            raise


@contextmanager
def _warning_of_second(home: Path) -> Iterator[None]:
    """Hold the lock of a home folder; warn if another `metseg up` holds it."""
    from filelock import FileLock, Timeout

    from metseg.serve.storage.folders import Folders

    Folders(home).make()
    lock = FileLock(home / UP_LOCK, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.stderr.write(
            f"warning: another `metseg up` is running with the same METSEG_HOME ({home}): both process the same"
            " studies, and their workers need different names (METSEG_WORKER_ID). Stop one of them, or set"
            " METSEG_HOME.\n"
        )
    try:
        yield
    finally:
        lock.release()


def api_child(settings: Settings) -> Child:
    """Return the child process of the API."""
    return _child("api", "serve", "--port", str(settings.port))


def worker_children(settings: Settings, count: int) -> list[Child]:
    """Return `count` child processes of workers, with names that are stable over restarts."""
    from metseg.serve.jobs.supervisor import Child
    from metseg.serve.jobs.worker_id import machine_name

    if count == 1:
        return [_child("worker", "worker")]
    named = settings.worker_id or machine_name()
    return [
        Child(f"worker-{number}", _command("worker", "--name", f"{named[:60]}-{number}"))
        for number in range(1, count + 1)
    ]


def page_child(settings: Settings, port: int) -> Child:
    """Return the child process of the page, which talks to the API only."""
    from metseg.serve.jobs.supervisor import Child

    environment = {"METSEG_API_URL": address(settings.host, settings.port)}
    return Child("page", _command("ui", "--host", PAGE_HOST, "--port", str(port)), environment)


def page_is_installed() -> bool:
    """Return whether the page and its dependencies are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("metseg.cli.ui", "streamlit"))


def address(host: str, port: int) -> str:
    """Return the URL at which a browser on this machine reaches a host and port.

    >>> address("0.0.0.0", 8000), address("::1", 80)
    ('http://127.0.0.1:8000', 'http://[::1]:80')
    """
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _child(name: str, *arguments: str) -> Child:
    from metseg.serve.jobs.supervisor import Child

    return Child(name, _command(*arguments))


def _command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "metseg", *arguments)
