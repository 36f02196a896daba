"""The corrected studies of a service folder, for its operator: of all owners, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from metseg.schemas import Scope, State, Study
from metseg.serve.http.serializers import study_of
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import StudyRecord
from metseg.version_schemas import Version, VersionSummary

#: Actor of the entries in the audit log.
OPERATOR = "operator"


@dataclass
class HomeSource:
    """Corrected studies of an open service; see `metseg.client.training_export.CorrectedStudies`.

    Args:
        service: the components; its background threads need not run.
    """

    service: Service

    def studies(self) -> Iterator[tuple[Study, tuple[VersionSummary, ...]]]:
        """Yield each study that is done, newest first, with its versions."""
        done = (StudyRecord.state == State.DONE, StudyRecord.deleted_at.is_(None))
        query = sa.select(StudyRecord.id).where(*done).order_by(StudyRecord.created_at.desc(), StudyRecord.id.desc())
        with self.service.database.read() as session:
            known = list(session.scalars(query))
        for study_id in known:
            who = self._owner(study_id)
            study = study_of(self.service.studies.find(who, study_id))
            yield study, self.service.corrections.list(who, study_id).versions

    def version(self, study: Study, number: int) -> Version:
        """Return a version."""
        return self.service.corrections.find(self._owner(study.id), study.id, number)

    def content(self, study: Study, version: int, name: str) -> bytes:
        """Return the content of a file of a version, and record it in the audit log."""
        who = self._owner(study.id)
        found = self.service.corrections.file(who, study.id, version, name)
        assert found is not None, "the caller took the name from the version"
        self.service.studies.note(who, "artifact.read", study.id, {"version": version, "name": name})
        return found.path.read_bytes()

    def _owner(self, study_id: str) -> Principal:
        """Return the operator in the place of the study's owner."""
        with self.service.database.read() as session:
            owner = session.get_one(StudyRecord, study_id).owner
        return Principal(owner=owner, actor=OPERATOR, scopes=frozenset((Scope.READ,)))
