"""Checks of what scripts send to the service, and of the files that it sends back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metseg.client.service_errors import Unexpected
from metseg.errors import UsageError
from metseg.runtime.atomic_io import write_bytes
from metseg.schemas import Artifact, Study

Sent = TypeVar("Sent", bound=BaseModel)


def checked_document(kind: type[Sent], **values: object) -> Sent:
    """Return a document for the service.

    Raises:
        UsageError: a value is not allowed in it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        raise UsageError(first["msg"], where=where, got=first["input"], code="usage.options") from None


def chosen_artifacts(
    artifacts: Sequence[Artifact], names: Sequence[str] | None, defaults: tuple[str, ...]
) -> Sequence[Artifact]:
    """Return the artifacts of these names; without names, those with a name that begins like one of the defaults.

    Raises:
        UsageError: the result has no such artifact.
    """
    if names is None:
        return [artifact for artifact in artifacts if artifact.name.startswith(defaults)]
    known = {artifact.name: artifact for artifact in artifacts}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            "the result has no such artifact",
            got=", ".join(unknown),
            expected=", ".join(known),
            cure="give names of this list",
            code="usage.unknown_name",
        )
    return [known[name] for name in names]


def save_artifact(artifact: Artifact, content: bytes, folder: Path) -> Path:
    """Write a result file into a folder, if its content is that of its checksum, and return its path.

    Raises:
        Unexpected: another content, or a name that is no plain file name.
    """
    # The name becomes a path on this machine, so it is not taken on trust.
    if Path(artifact.name).name != artifact.name or hashlib.sha256(content).hexdigest() != artifact.sha256:
        raise Unexpected(
            "a result file is damaged", where=artifact.name, cure="try again; if it fails again, check the service"
        )
    path = folder / artifact.name
    write_bytes(path, content)
    return path


def id_of(study: Study | str) -> str:
    """Return the id of a study."""
    return study if isinstance(study, str) else study.id
