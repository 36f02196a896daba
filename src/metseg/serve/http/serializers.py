"""Convert database records to the schemas of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metseg.headline import Headline, headline_of
from metseg.lesion import Lesion
from metseg.schemas import Artifact, Facts, Failure, InputFile, Options, State, Study, StudySummary, Warned
from metseg.serve.storage.db_models import StudyRecord

#: Artifact with the small picture of lists.
THUMBNAIL: Final = "thumbnail.png"


def study_of(record: StudyRecord) -> Study:
    """Return a study with all its details."""
    facts = Facts.model_validate(record.facts)
    lesions = tuple(Lesion.model_validate(lesion.content) for lesion in record.lesions)
    return Study(
        id=record.id,
        state=record.state,
        phase=record.phase,
        progress=record.progress,
        kind=record.kind,
        label=record.label,
        created_at=record.created_at,
        updated_at=record.updated_at,
        finished_at=record.finished_at,
        expires_at=record.expires_at,
        options=Options.model_validate(record.options),
        inputs=tuple(
            InputFile(number=item.number, kind=item.kind, sequence=item.sequence, bytes=item.bytes, sha256=item.sha256)
            for item in record.inputs
        ),
        facts=facts,
        headline=_headline(facts, lesions) if record.state == State.DONE else None,
        warnings=tuple(Warned(phase=warning.phase, text=warning.text) for warning in record.warnings),
        lesions=lesions,
        failure=_failure(record),
        artifacts=artifacts_of(record),
    )


def _headline(facts: Facts, lesions: Sequence[Lesion]) -> Headline:
    return headline_of(lesions, labels=facts.scheme, pictures=facts.slices or None, fitness=facts.fitness)


def summary_of(record: StudyRecord, *, has_thumbnail: bool) -> StudySummary:
    """Return the summary of a study for lists.

    Args:
        record: the row; its parts need not be loaded.
        has_thumbnail: whether the worker has made one; studies of older versions have none.
    """
    return StudySummary(
        id=record.id,
        state=record.state,
        phase=record.phase,
        progress=record.progress,
        kind=record.kind,
        label=record.label,
        thumbnail=_artifact_url(record, THUMBNAIL) if has_thumbnail and record.state == State.DONE else None,
        created_at=record.created_at,
        updated_at=record.updated_at,
        lesions=record.lesion_count if record.state == State.DONE else None,
        model=record.options.get("model"),
        failure=_failure(record),
    )


def artifacts_of(record: StudyRecord) -> tuple[Artifact, ...]:
    """Return the artifacts of a study that is done; none before, because they would be incomplete."""
    if record.state != State.DONE:
        return ()
    return tuple(
        Artifact(
            name=item.name,
            media_type=item.media_type,
            bytes=item.bytes,
            sha256=item.sha256,
            url=_artifact_url(record, item.name),
        )
        for item in record.artifacts
    )


def _artifact_url(record: StudyRecord, name: str) -> str:
    return f"/studies/{record.id}/artifacts/{name}"


def _failure(record: StudyRecord) -> Failure | None:
    return None if record.failure is None else Failure.model_validate(record.failure)
