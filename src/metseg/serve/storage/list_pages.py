"""Lists in pages, newest first; a page says where the next one begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from metseg.serve.storage.db_models import FollowUpRecord, StudyRecord

Listed = TypeVar("Listed", StudyRecord, FollowUpRecord)


@dataclass(frozen=True)
class ListPage(Generic[Listed]):
    """A page of a list.

    Args:
        records: at most the number that was requested, newest first.
        next: id of the last of them if the list continues after it, else None.
    """

    records: Sequence[Listed]
    next: str | None


def read_page(
    session: Session, query: sa.Select[Listed], record: type[Listed], *, limit: int, after: Listed | None
) -> ListPage[Listed]:
    """Return a page of the records of a query.

    Args:
        session: that reads.
        query: of records of one owner, without an order.
        record: their class.
        limit: largest number of records.
        after: last record of the previous page; None: from the newest.
    """
    if after is not None:
        query = query.where(sa.tuple_(record.created_at, record.id) < (after.created_at, after.id))
    found = session.scalars(query.order_by(record.created_at.desc(), record.id.desc()).limit(limit + 1)).all()
    shown = found[:limit]
    return ListPage(shown, shown[-1].id if len(found) > limit else None)
