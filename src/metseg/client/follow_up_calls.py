"""The calls of `metseg.Client` that compare finished studies of one patient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from metseg.client.checks import checked_document, chosen_artifacts, id_of, save_artifact
from metseg.client.service_api import ServiceApi
from metseg.errors import UsageError
from metseg.follow_up_schemas import FollowUpSummary, NewFollowUp, StoredFollowUp
from metseg.schemas import Study

#: Follow-ups in one page of the list: the most that the service sends.
_PAGE = 200


class FollowUpCalls:
    """Follow-ups of patients over studies that the service has finished."""

    _api: ServiceApi

    def follow(
        self,
        studies: Sequence[Study | str],
        *,
        dates: Sequence[str | date] = (),
        versions: Sequence[int | None] = (),
        steroids: Sequence[str] = (),
        clinical: Sequence[str] = (),
        repeatability_mm: float | None = None,
        label: str = "",
        allow_different_ids: bool = False,
    ) -> StoredFollowUp:
        """Compare finished studies of one patient, and return what changed; the service stores the result.

        Args:
            studies: studies or their ids in order of time; the first is the baseline.
            dates: one per study, such as ``"2024-05-31"``; empty: not known.
            versions: number of the version of each study, None for the latest one; empty: the latest of each.
            steroids: ``none``, ``decreased``, ``stable`` or ``increased`` at each study after the first; empty: not
                known.
            clinical: ``improved``, ``stable`` or ``worse`` at each study after the first; empty: not known.
            repeatability_mm: standard deviation of a lesion's radius when it is outlined again; None: the error of
                measurement is that of the voxel grid alone.
            label: a few words to find the result again; never the name of a patient.
            allow_different_ids: compare the studies although their DICOM headers have different patient ids, as those
                of two hospitals have.
        Raises:
            UsageError: a value that is not allowed, or a number of values that is not that of the studies.
            ServiceError: a study is not known or not done, or the studies cannot be compared.

        Examples:
            Compare two studies, and write the report::

                followed = client.follow([first, second], dates=["2024-01-10", "2024-04-12"])
                print(followed.headline)
                client.save_follow_up(followed, "followed")
        """
        count = len(studies)
        fields = {
            "study": [id_of(study) for study in studies],
            "version": _each("versions", versions, count),
            "day": [_day(value) for value in _each("dates", dates, count)],
            "steroids": [None, *_each("steroids", steroids, count - 1)],
            "clinical": [None, *_each("clinical", clinical, count - 1)],
        }
        examinations = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
        new = checked_document(
            NewFollowUp,
            examinations=tuple(examinations),
            repeatability_mm=repeatability_mm,
            label=label,
            allow_different_ids=allow_different_ids,
        )
        return self._api.follow_up(new)

    def follow_ups(self) -> tuple[FollowUpSummary, ...]:
        """Return all follow-ups of the key, newest first."""
        page = self._api.follow_ups(limit=_PAGE)
        found = page.follow_ups
        while page.next is not None:
            page = self._api.follow_ups(limit=_PAGE, after=page.next)
            found += page.follow_ups
        return found

    def follow_up(self, follow_up: FollowUpSummary | str) -> StoredFollowUp:
        """Return a follow-up with its ``document``: examinations, lesions over time, and response.

        Args:
            follow_up: the follow-up or its id.
        """
        return self._api.stored_follow_up(_id(follow_up))

    def save_follow_up(
        self, follow_up: FollowUpSummary | str, folder: str | Path, names: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write files of a follow-up into a folder, and return their paths.

        Args:
            follow_up: the follow-up or its id.
            folder: made if absent; existing files of the same names are replaced.
            names: of the artifacts; None: all.
        Raises:
            UsageError: the follow-up has no such artifact.
            ServiceError: a content differs from its checksum (``client.unexpected``).
        """
        stored = self.follow_up(follow_up)
        return tuple(
            save_artifact(artifact, self._api.follow_up_artifact(stored.id, artifact.name), Path(folder))
            for artifact in chosen_artifacts(stored.artifacts, names, defaults=("",))
        )

    def delete_follow_up(self, follow_up: FollowUpSummary | str) -> None:
        """Delete a follow-up on the service; its studies stay.

        Args:
            follow_up: the follow-up or its id.
        """
        self._api.delete_follow_up(_id(follow_up))


def _each(name: str, values: Sequence[Any], count: int) -> Sequence[Any]:
    """Return one value per examination; None for each if there are none.

    Raises:
        UsageError: another number of values.
    """
    if values and len(values) != count:
        raise UsageError(
            f"the number of {name} is not that of the studies",
            where=name,
            expected=count,
            got=len(values),
            cure=f"give {count}, or none" if count > 0 else "give two studies or more",
            code="usage.options",
        )
    return values or [None] * max(count, 0)


def _day(value: str | date | None) -> date | None:
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise UsageError(
            "not a date",
            where="dates",
            expected="year, month and day",
            got=value,
            cure="write it like 2024-05-31",
            code="usage.dates",
        ) from None


def _id(follow_up: FollowUpSummary | str) -> str:
    return follow_up if isinstance(follow_up, str) else follow_up.id
