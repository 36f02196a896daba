"""``metseg worker``: a process that works on the studies of the service."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer


def worker(
    name: Annotated[
        str | None,
        typer.Option("--name", help="Stable over restarts; two on one machine need two. (default: the machine's)"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="How many compute. (default: as many as processors)")
    ] = None,
) -> None:
    """Work on studies that the service has accepted, one at a time, until Ctrl-C; start as many as you like.

    Reads METSEG_HOME and METSEG_DATABASE_URL as `metseg serve` does; all of them need the same ones. A worker that is
    ended or killed, and started again under its name, goes on where it was; if it is not, another takes its studies.
    """
    from metseg.malloc_tuning import give_back_freed_memory
    from metseg.serve.jobs.limits import limit_threads, yield_to_others
    from metseg.serve.settings import load_settings
    from metseg.system_info import processors

    given = {"worker_id": name, "worker_threads": threads}
    settings = load_settings(**{key: value for key, value in given.items() if value is not None})
    os.environ["METSEG_HOME"] = str(settings.home)  # bundles are looked for there
    count = settings.worker_threads or processors()
    # Before torch and its like are loaded: they look once.
    limit_threads(count)
    give_back_freed_memory()
    yield_to_others(settings.worker_nice)

    from metseg.serve.jobs.worker import Worker
    from metseg.serve.log_redaction import configure_logs

    configure_logs(settings.log_level)
    Worker(settings, threads=count).run()
    logging.shutdown()
    # A thread that is deep in a library's code, and has not heard that all is over, is not waited for: its work is
    # done again, and nothing of it is half-written.
    os._exit(0)
