"""Versions of finished studies: show them, correct the latest one, and store the correction as a new version.

Computed in the process of the API, without torch: reading the stored maps and measuring lesions takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metseg.headline import Headline, headline_of
from metseg.lesion import Lesion
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.schemas import Artifact, Facts, Study
from metseg.serve.http.serializers import study_of
from metseg.serve.http.uploads import Limits, working_folder
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import VersionRecord
from metseg.serve.storage.folders import sha256_of
from metseg.serve.storage.study_service import Studies
from metseg.serve.storage.version_repository import NewVersionRow, Versions
from metseg.serve.versions.editing import apply_edits, replace_by_mask, with_joined
from metseg.serve.versions.findings import (
    Draft,
    Findings,
    StudyPixels,
    compare,
    measure_draft,
)
from metseg.serve.versions.version_files import (
    artifact_entries,
    read_findings,
    read_model_findings,
    read_pixels,
    read_uploaded_mask,
    write_findings,
)
from metseg.serve.versions.version_report import VersionText, write_documents
from metseg.version_schemas import (
    Grown,
    LesionState,
    NewMask,
    NewVersion,
    Version,
    VersionLesion,
    VersionList,
    VersionSummary,
)

#: Makes the draft of a version from its parent, and the regions that were added.
_Make = Callable[[Findings, StudyPixels], tuple[Draft, tuple[Grown, ...]]]


@dataclass(frozen=True)
class VersionFile:
    """A file of a version.

    Args:
        path: where it is stored.
        artifact: its entry.
    """

    path: Path
    artifact: Artifact


@dataclass(frozen=True)
class Corrections:
    """Versions of studies for their owners.

    Args:
        studies: the repository of studies.
        versions: the repository of versions.
        limits: of uploads; a correction needs the same free disk space.
    """

    studies: Studies
    versions: Versions
    limits: Limits

    def list(self, who: Principal, study_id: str) -> VersionList:
        """Return all versions of a study that is done, version 0 first.

        Raises:
            Refused: ``request.unknown``, ``request.state``.
        """
        records = self.versions.list(who, study_id)
        study = study_of(self.studies.find(who, study_id))
        summaries = (_summary(version_of(study, record)) for record in (None, *records))
        return VersionList(study=study_id, versions=tuple(summaries))

    def find(self, who: Principal, study_id: str, number: int) -> Version:
        """Return a version with its lesion table.

        Raises:
            Refused: ``request.unknown``, ``request.state``.
        """
        return version_of(study_of(self.studies.find(who, study_id)), self._record(who, study_id, number))

    def file(self, who: Principal, study_id: str, number: int, name: str) -> VersionFile | None:
        """Return a file of a version; None if the version has no file of this name."""
        record = self._record(who, study_id, number)
        version = version_of(study_of(self.studies.find(who, study_id)), record)
        found = next((item for item in version.artifacts if item.name == name), None)
        return None if found is None else VersionFile(self._folder(study_id, record) / found.name, found)

    def correct(self, who: Principal, study_id: str, new: NewVersion) -> Version:
        """Apply edits to the latest version, and store the result as a new one.

        Raises:
            Refused: ``request.unknown``, ``request.state``, ``request.results_missing``, ``request.conflict``,
                ``request.too_large``.
            UsageError, InputError: see `apply_edits`.
            ResourceError: ``resources.disk``.
        """
        edits = [edit.model_dump(mode="json") for edit in new.edits]
        return self._store(who, study_id, new, edits, lambda parent, pixels: apply_edits(parent, new.edits, pixels))

    def upload(self, who: Principal, study_id: str, new: NewMask, path: Path) -> Version:
        """Store an uploaded mask as a new version.

        Raises:
            Refused, ResourceError: as `correct`.
            InputError: see `read_uploaded_mask`.
        """
        return self._store(
            who,
            study_id,
            new,
            [],
            lambda parent, pixels: (replace_by_mask(parent, read_uploaded_mask(path, pixels)), ()),
            mask_sha256=sha256_of(path),
        )

    def _store(
        self,
        who: Principal,
        study_id: str,
        new: NewVersion | NewMask,
        edits: Sequence[Any],
        make: _Make,
        mask_sha256: str | None = None,
    ) -> Version:
        self.versions.require_latest(who, study_id, new.parent)
        study = study_of(self.studies.find(who, study_id))
        artifacts = self.studies.folders.study(study_id).artifacts
        pixels = read_pixels(artifacts, study.facts)
        parent = self._findings(who, study, new.parent, pixels)
        draft, grown = make(parent, pixels)
        findings = measure_draft(draft, parent, pixels)
        source = "edits" if mask_sha256 is None else "mask"
        text = VersionText(
            study_id, new.parent + 1, new.parent, source, new.author, _headline(study.facts, findings.counted)
        )
        with working_folder(self.studies.folders.incoming, self.limits) as folder:
            with disk_full_is_an_error(folder):
                write_findings(findings, pixels, folder)
                write_documents(artifacts, folder, findings, pixels, text)
            row = NewVersionRow(
                folder=folder,
                parent=new.parent,
                source=source,
                author=new.author,
                note=new.note,
                edits=[*edits],
                mask_sha256=mask_sha256,
                content={
                    "grown": [region.model_dump(mode="json") for region in with_joined(grown, findings)],
                    "table": [lesion.model_dump(mode="json") for lesion in findings.table],
                    "comparison": compare(parent, findings, pixels.voxel_ml).model_dump(mode="json"),
                },
                artifacts=artifact_entries(folder),
            )
            return version_of(study, self.versions.add(who, study_id, row))

    def _findings(self, who: Principal, study: Study, number: int, pixels: StudyPixels) -> Findings:
        record = self._record(who, study.id, number)
        table = version_of(study, record).table
        folder = self._folder(study.id, record)
        if record is not None:
            return read_findings(folder, table)
        return read_model_findings(folder, table, pixels)

    def _record(self, who: Principal, study_id: str, number: int) -> VersionRecord | None:
        """Return the row of a version; None for version 0."""
        if number:
            return self.versions.find(who, study_id, number)
        self.versions.list(who, study_id)  # raises as for other versions
        return None

    def _folder(self, study_id: str, record: VersionRecord | None) -> Path:
        folder = self.studies.folders.study(study_id)
        return folder.artifacts if record is None else folder.versions / record.folder


def version_of(study: Study, record: VersionRecord | None) -> Version:
    """Return a version of a study; without a record, version 0: the result of the model."""
    if record is None:
        table = tuple(VersionLesion(**item.model_dump(), state=LesionState.UNREVIEWED) for item in study.lesions)
        return Version(
            number=0,
            source="model",
            created_at=study.finished_at or study.updated_at,
            lesions=len(table),
            unreviewed=len(table),
            study=study.id,
            headline=study.headline or _headline(study.facts, study.lesions),
            table=table,
            artifacts=study.artifacts,
        )
    table = tuple(VersionLesion.model_validate(item) for item in record.content["table"])
    counted = [lesion for lesion in table if lesion.state != LesionState.REJECTED]
    return Version.model_validate(
        {
            **record.content,
            "number": record.number,
            "parent": record.parent,
            "source": record.source,
            "created_at": record.created_at,
            "actor": record.actor,
            "author": record.author,
            "note": record.note,
            "lesions": len(counted),
            "unreviewed": sum(lesion.state == LesionState.UNREVIEWED for lesion in table),
            "study": study.id,
            "edits": record.edits,
            "mask_sha256": record.mask_sha256,
            "headline": _headline(study.facts, counted),
            "table": table,
            "artifacts": [
                {**item, "url": f"/studies/{study.id}/versions/{record.number}/artifacts/{item['name']}"}
                for item in record.artifacts
            ],
        }
    )


def _summary(version: Version) -> VersionSummary:
    return VersionSummary(**{name: getattr(version, name) for name in VersionSummary.model_fields})


def _headline(facts: Facts, lesions: Sequence[Lesion]) -> Headline:
    return headline_of(lesions, labels=facts.scheme, pictures=facts.slices or None, fitness=facts.fitness)
