"""The process of ``metseg pacs receive``: a receiver and a processor on one state, until a signal ends them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from metseg.client.study_client import Client
from metseg.errors import LockedError
from metseg.pacs.received_objects import ReceivedObjects
from metseg.pacs.receiver_state import ReceiverState
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.server_address import TlsFiles
from metseg.pacs.study_polling import StudyPoller
from metseg.pacs.study_processing import StudyProcessor
from metseg.pacs.study_receiver import StudyReceiver
from metseg.pacs.study_records import Archive

#: Seconds between two looks for work.
_TICK_S: Final = 0.5


def run_receiver(
    title: str,
    port: int,
    folder: Path,
    *,
    host: str,
    allowed: tuple[str, ...],
    rules: RoutingRules,
    archive: Archive,
    service: str | None,
    quiet_s: float,
    tls: TlsFiles | None,
    poll_s: float,
    poll_days: int,
) -> None:
    """Receive and process studies until SIGINT or SIGTERM; see its parts for the arguments.

    Args:
        poll_s: seconds between two questions to the PACS for recent studies; 0: it is not asked.
        poll_days: days that they go back.

    Raises:
        LockedError: another receiver uses the folder.
    """
    os.umask(0o077)  # images name patients: other accounts must not read them
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    lock = FileLock(folder / "receiver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError("another receiver uses this folder", where=folder, cure="choose another --folder") from None
    state = ReceiverState(folder / "receiver.sqlite")
    try:
        objects = ReceivedObjects(folder, state)
        receiver = StudyReceiver(title, port, objects, allowed=allowed, audit=audit, host=host, tls=tls)
        try:
            with Client(service) as client:
                processor = StudyProcessor(folder, state, rules, client, archive, quiet_s=quiet_s, audit=audit)
                poller = StudyPoller(folder, state, rules, archive, days=poll_days, audit=audit)
                due = time.monotonic()
                audit("listening", title=title, host=host, port=receiver.port)
                while not stop.wait(_TICK_S):
                    if poll_s and time.monotonic() >= due:
                        poller.poll(time.time(), date.today())
                        due = time.monotonic() + poll_s
                    processor.step(time.time())
        finally:
            receiver.close()
    finally:
        state.close()
        lock.release()


def audit(event: str, **facts: object) -> None:
    """Print one line of JSON on standard output. Facts never name a person."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stdout.write(json.dumps({"time": now, "event": event, **facts}) + "\n")
    sys.stdout.flush()
