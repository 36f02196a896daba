"""``metseg worker``: a process that processes the studies of the service."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer


def worker(
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name, stable over restarts; unique on a machine. (default: the machine's name)"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Number of compute threads. (default: number of processors)")
    ] = None,
) -> None:
    """Process the studies that the service has accepted, one at a time, until Ctrl-C. Several workers can run.

    All workers and `metseg serve` need the same METSEG_HOME and METSEG_DATABASE_URL. A worker that stops and is started
    again under its name resumes its study; if it does not come back, another worker takes over.
    """
    from metseg.runtime.malloc_tuning import give_back_freed_memory
    from metseg.runtime.system_info import processors
    from metseg.serve.jobs.limits import limit_threads, yield_to_others
    from metseg.serve.settings import load_settings, share_settings
    from metseg.serve.storage.folders import keep_files_private

    keep_files_private()
    given = {"worker_id": name, "worker_threads": threads}
    settings = load_settings(**{key: value for key, value in given.items() if value is not None})
    share_settings(settings)
    count = settings.worker_threads or processors()
    # Before torch and similar libraries are imported: they read the limit once.
    limit_threads(count)
    give_back_freed_memory()
    yield_to_others(settings.worker_nice)

    from metseg.serve.jobs.worker import Worker
    from metseg.serve.log_redaction import configure_logs

    configure_logs(settings.log_level)
    Worker(settings, threads=count).run()
    logging.shutdown()
    # Do not wait for a thread that is still inside library code: its work is
    # repeated later, and all its files are written atomically.
    os._exit(0)
