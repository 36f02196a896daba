"""Remove the rows of follow-ups with a study: their reports show its images."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from metseg.serve.storage import audit
from metseg.serve.storage.db_models import ExaminationRecord, FollowUpRecord


def drop_follow_ups(session: Session, study_ids: Sequence[str], actor: str) -> list[str]:
    """Remove the rows of the follow-ups that studies are part of, and return their ids.

    Args:
        session: from `Database.write`; the caller removes the files after it.
        study_ids: of the studies.
        actor: of the entries in the audit log.
    """
    of_studies = ExaminationRecord.study_id.in_(study_ids)
    found = list(session.scalars(sa.select(ExaminationRecord.follow_up_id).where(of_studies).distinct()))
    for follow_up_id in found:
        drop_follow_up(session, follow_up_id, actor)
    return found


def drop_follow_up(session: Session, follow_up_id: str, actor: str) -> None:
    """Remove the rows of a follow-up, with an entry in the audit log."""
    session.execute(sa.delete(FollowUpRecord).where(FollowUpRecord.id == follow_up_id))
    audit.append(session, actor, "follow_up.deleted", detail={"follow_up": follow_up_id})
