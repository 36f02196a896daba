"""Ask a PACS for recent studies, and retrieve what a receiver lacks: images that the PACS did not or could not send."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from metseg.errors import MetsegError
from metseg.pacs.receiver_state import ReceiverState
from metseg.pacs.retrieval import retrieve_study, stored_objects
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.study_records import Archive, StudyQuery, StudyRecord, require_uid

_NO_ANSWER: Final = "pacs.unreachable"


class StudyPoller:
    """Retrieves studies for a receiver.

    Args:
        folder: of the receiver.
        state: of the receiver; it remembers when the last object of each study arrived.
        rules: which studies are processed; a rule is compared with the description of the study only.
        archive: the PACS.
        days: studies of today and so many days before are asked for.
        audit: records events, without names.
    """

    def __init__(
        self,
        folder: Path,
        state: ReceiverState,
        rules: RoutingRules,
        archive: Archive,
        *,
        days: int,
        audit: Callable[..., None],
    ) -> None:
        self._studies, self._state, self._rules, self._archive = folder / "studies", state, rules, archive
        self._days, self._audit = days, audit

    def poll(self, now: float, today: date) -> None:
        """Retrieve what is missing of recent studies. What fails is tried again by the next call.

        A study that fails does not hold up the others: it can stay as it is in the PACS for days. Without an answer of
        the PACS the others are not tried, because each would wait for the timeout.

        Args:
            now: time in seconds.
            today: date of the newest studies.
        """
        try:
            recent = self._recent(today)
        except (MetsegError, OSError) as error:
            self._audit("not_polled", code=_code_of(error))
            return
        for study in recent:
            try:
                self._complete(study, now)
            except (MetsegError, OSError) as error:
                self._audit("not_retrieved", code=_code_of(error), objects=study.instances)
                if _code_of(error) == _NO_ANSWER:
                    return

    def _recent(self, today: date) -> list[StudyRecord]:
        """Return the recent studies that a rule applies to, each once."""
        dates = f"{today - timedelta(days=self._days):%Y%m%d}-"
        found: dict[str, StudyRecord] = {}
        for rule in self._rules.rule:
            for study in self._archive.find_studies(StudyQuery(dates=dates, modality=rule.modality)):
                if rule.matches({study.description}):
                    found.setdefault(study.study_uid, study)
        return list(found.values())

    def _complete(self, study: StudyRecord, now: float) -> None:
        folder, written = self._studies / require_uid(study.study_uid), 0
        if study.instances is None or len(stored_objects(folder)) < study.instances:
            written = retrieve_study(self._archive, study.study_uid, self._studies).written
        # The second is a study that was complete when the process was killed, before its arrival was recorded.
        if written or not self._state.knows(study.study_uid):
            self._state.add_arrival(study.study_uid, now)
            self._audit("retrieved", objects=written)


def _code_of(error: MetsegError | OSError) -> str:
    return error.code if isinstance(error, MetsegError) else "resources.system"
