"""Phase 1: check that all uploaded files are complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from metseg.errors import ResourceError
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.storage.job_repository import WorkInput

_CHUNK_BYTES = 2**22


def receive(job: Job) -> Outcome:
    """Compare size and checksum of every file with the upload.

    Raises:
        ResourceError: ``resources.storage``, a file is missing or was changed: the disk fails, or this worker does not
            see the folder of the service.
    """
    for done, upload in enumerate(job.uploads, start=1):
        if not _is_whole(upload):
            raise ResourceError(
                "a received file is missing or damaged",
                where=f"file {upload.number}",
                cure="upload the study again; administrators: check that all workers use the same METSEG_HOME",
                code="resources.storage",
            )
        job.on_share(done / len(job.uploads))
    return Outcome()


def _is_whole(upload: WorkInput) -> bool:
    try:
        if upload.path.stat().st_size != upload.bytes:
            return False
        digest = hashlib.sha256()
        for chunk in _chunks(upload.path):
            digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == upload.sha256


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
