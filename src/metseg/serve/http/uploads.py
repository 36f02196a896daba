"""Stream uploads to disk, with limits on size and time, and never whole in memory.

The folder of an upload is always removed at the end; accepted files have been moved out of it before.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from metseg.errors import ResourceError
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.serve.http.multipart import reader_for
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import Upload, UploadReader

#: Bytes to collect before a thread writes them.
_BATCH_BYTES: Final = 512 * 1024

#: What the body of a JSON request is.
Sent = TypeVar("Sent", bound=BaseModel)


class MakeReader(Protocol):
    """Returns the reader for a media type."""

    def __call__(self, content_type: str | None, folder: Path, *, max_files: int) -> UploadReader:
        """Return a reader that writes at most `max_files` files to a folder.

        Raises:
            Refused: ``request.media_type``, ``request.malformed``.
        """


@dataclass(frozen=True)
class Limits:
    """Limits of one upload.

    Args:
        max_bytes: maximum size of the body.
        max_files: maximum number of files.
        deadline_s: maximum seconds for the whole upload.
        idle_s: maximum seconds without a byte.
        reserve_bytes: disk space in bytes that must stay free.
    """

    max_bytes: int
    max_files: int
    deadline_s: float
    idle_s: float
    reserve_bytes: int


@asynccontextmanager
async def receiving(
    request: Request, incoming: Path, limits: Limits, make_reader: MakeReader = reader_for
) -> AsyncIterator[Upload]:
    """Receive an upload into a new folder, and remove the folder at the end.

    Args:
        request: with the files.
        incoming: parent of the folders of uploads.
        limits: limits of the upload.
        make_reader: returns the reader of a media type; by default of ``multipart/form-data``, or of one file as the
            body itself.
    Raises:
        Refused: ``request.too_large``, ``request.timeout``, and what the reader refuses.
        ResourceError: ``resources.disk``.
    """
    folder = incoming / secrets.token_hex(16)
    try:
        yield await _receive(request, folder, limits, make_reader)
    finally:
        # Not in a thread: after a disconnect or at shutdown, nothing can be awaited any more.
        shutil.rmtree(folder, ignore_errors=True)


async def _receive(request: Request, folder: Path, limits: Limits, make_reader: MakeReader) -> Upload:
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limits.max_bytes:
        raise _too_large(limits)
    await run_in_threadpool(_make_folder, folder, limits)
    reader = make_reader(request.headers.get("content-type"), folder, max_files=limits.max_files)
    try:
        async with asyncio.timeout(limits.deadline_s):
            async for batch in _batches(request, limits):
                await run_in_threadpool(reader.feed, batch)
            return await run_in_threadpool(reader.end)
    except TimeoutError:
        raise _too_slow(f"{limits.deadline_s:g} s in all") from None
    finally:
        reader.close()


async def _batches(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body in batches; raise if it is too long or too slow."""
    gathered, total = bytearray(), 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.idle_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise _too_slow(f"{limits.idle_s:g} s without a byte") from None
        total += len(chunk)
        if total > limits.max_bytes:
            raise _too_large(limits)
        gathered += chunk
        if len(gathered) >= _BATCH_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


@contextmanager
def working_folder(incoming: Path, limits: Limits) -> Iterator[Path]:
    """Yield an empty folder with a random name below ``incoming``, and remove what is left of it.

    Raises as `receiving`.
    """
    folder = incoming / secrets.token_hex(16)
    try:
        _make_folder(folder, limits)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(folder: Path, limits: Limits) -> None:
    """Create the folder of an upload, if there is disk space; raises as `receiving`."""
    with disk_full_is_an_error(folder):
        folder.mkdir(parents=True, mode=0o700)
    free = shutil.disk_usage(folder).free
    if free < limits.reserve_bytes:
        raise ResourceError(
            "there is not enough free disk space for uploads",
            expected=f"{limits.reserve_bytes / 1e6:.0f} MB free",
            got=f"{free / 1e6:.0f} MB",
            cure="delete studies, or give the service a larger disk",
            code="resources.disk",
        )


def _too_large(limits: Limits) -> Refused:
    return Refused(
        "request.too_large",
        "the upload is too large",
        expected=f"at most {limits.max_bytes / 2**20:g} MiB",
        cure="upload one study at a time",
    )


def _too_slow(expected: str) -> Refused:
    return Refused(
        "request.timeout",
        "the upload took too long",
        expected=f"at most {expected}",
        cure="try again with a faster connection",
        headers={"Connection": "close"},
    )


async def read_json(request: Request, limits: Limits, model: type[Sent]) -> Sent:
    """Return the body of a small JSON request, read with limits on size and time.

    FastAPI reads a declared body itself, whole and without limits, before it looks for a key.

    Args:
        request: with the media type JSON.
        limits: limits of the body.
        model: what the body is.
    Raises:
        Refused: ``request.media_type``, ``request.too_large``, ``request.timeout``.
        RequestValidationError: the body is not valid.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(
            "request.media_type",
            "the media type of the body is not supported",
            where="header Content-Type",
            expected="application/json",
        )
    try:
        async with asyncio.timeout(limits.deadline_s):
            body = b"".join([batch async for batch in _batches(request, limits)])
    except TimeoutError:
        raise _too_slow(f"{limits.deadline_s:g} s in all") from None
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None


def invalid_body(error: ValidationError) -> RequestValidationError:
    """Return the error that is answered like any other invalid request."""
    return RequestValidationError(error.errors(include_url=False, include_context=False))
