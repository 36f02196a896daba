"""Process received studies with the service, and store the results in a PACS: each study and each result once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from metseg.client.service_errors import Refusal, StudyFailed, StudyUnfinished
from metseg.errors import InputError, MetsegError
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.receiver_state import JobState, ReceivedJob, ReceiverState
from metseg.pacs.retrieval import stored_objects
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.sending import read_outgoing, send_files
from metseg.pacs.study_records import Archive

if TYPE_CHECKING:
    from metseg.client.study_client import Client

#: Seconds between two questions whether a study is finished.
_POLL_S: Final = 2.0
#: Longest pause in seconds after failures.
_LONGEST_PAUSE_S: Final = 600.0
#: Refusals of the service that another attempt may not have: keys, consent, limits.
_TRANSIENT_STATUS: Final = (401, 403, 408, 429)
_CLIENT_ERRORS: Final = range(400, 500)
_BLOCK: Final = 2**20


@dataclass(frozen=True)
class _Image:
    """A received file: its path below the folder of the study, and what the rules ask for."""

    name: str
    modality: str
    descriptions: tuple[str, str]
    digest: str


class StudyProcessor:
    """Takes received studies through the service and to the PACS, one small step at a time.

    Args:
        folder: of the receiver.
        state: what is done.
        rules: which studies are processed.
        client: of the service.
        archive: the PACS for the results.
        quiet_s: seconds without a new object after which a study is complete.
        audit: records events, without names.
        first_pause_s: pause in seconds after a failure; each further failure doubles it.
    """

    def __init__(
        self,
        folder: Path,
        state: ReceiverState,
        rules: RoutingRules,
        client: Client,
        archive: Archive,
        *,
        quiet_s: float,
        audit: Callable[..., None],
        first_pause_s: float = 10.0,
    ) -> None:
        self._studies, self._results = folder / "studies", folder / "results"
        self._state, self._rules, self._client, self._archive = state, rules, client, archive
        self._quiet_s, self._audit, self._first_pause_s = quiet_s, audit, first_pause_s

    def step(self, now: float) -> None:
        """Do what is due at a time in seconds: close quiet studies, and take each job one state further."""
        for study_uid in self._state.quiet_studies(now - self._quiet_s):
            try:
                self._close(study_uid, now - self._quiet_s)
            except OSError:  # the disk: look again after another quiet time
                self._state.add_arrival(study_uid, now)
                self._audit("not_read", code="resources.system")
        for job in self._state.jobs(due=now):
            try:
                self._advance(job)
            except StudyUnfinished:
                self._state.postpone(job.key, now + _POLL_S, None)
            except (MetsegError, OSError) as error:
                self._record_failure(job, error, now)

    def _close(self, study_uid: str, before: float) -> None:
        job = self._job_of(study_uid)
        added = self._state.close_study(study_uid, before, job)
        if added and job is not None:
            self._audit("complete", job=job.key, images=len(job.files), model=job.model or "automatic")
        elif job is None:
            self._audit("no_rule")

    def _job_of(self, study_uid: str) -> ReceivedJob | None:
        """Return the job of the first rule that matches; None if there is none.

        Results that the PACS sends on to this receiver are no images of a rule, so they start no job.
        """
        images = _read_images(self._studies / study_uid)
        for rule in self._rules.rule:
            wanted = [image for image in images if image.modality == rule.modality]
            if wanted and rule.matches({text for image in wanted for text in image.descriptions}):
                digests = "".join(image.digest for image in wanted)
                key = hashlib.sha256(f"{study_uid} {digests}".encode()).hexdigest()[:32]
                return ReceivedJob(key, study_uid, tuple(image.name for image in wanted), rule.model)
        return None

    def _advance(self, job: ReceivedJob) -> None:
        if job.state == JobState.COMPLETE:
            paths = [self._studies / job.study_uid / name for name in job.files]
            # A repeated request with the same key returns the same study, so it is processed once.
            study = self._client.submit(paths, model=job.model, idempotency_key=job.key)
            self._state.advance(job.key, JobState.SUBMITTED, service_study=study.id)
            self._audit("submitted", job=job.key, study=study.id)
        elif job.state == JobState.SUBMITTED:
            self._fetch(job)
        else:
            self._send(job)

    def _fetch(self, job: ReceivedJob) -> None:
        done = self._client.result(job.service_study or "")
        names = [artifact.name for artifact in done.artifacts if artifact.name.endswith(".dcm")]
        if not names:
            raise InputError(
                "the service made no DICOM objects",
                cure="set METSEG_DICOM_EXPORTS in the service; warnings of the study may have another reason",
                code="input.no_dicom_results",
            )
        for path in self._client.save(done, self._results / job.key, names):
            if read_outgoing(path).reference.study_uid != job.study_uid:
                raise InputError(
                    "the results belong to a pseudonymous study",
                    cure="set METSEG_DICOM_IDENTITY=keep in the service, so that the PACS files them under the study",
                    code="input.identity",
                )
        self._state.advance(job.key, JobState.FETCHED)
        self._audit("fetched", job=job.key, objects=len(names))

    def _send(self, job: ReceivedJob) -> None:
        sent = self._state.sent(job.key)
        uids = {path: read_outgoing(path).reference.sop_uid for path in sorted((self._results / job.key).glob("*.dcm"))}
        # What was stored before a kill and was not recorded is found by the query of `send_files`.
        report = send_files(self._archive, [path for path, uid in uids.items() if uid not in sent])
        for path in (*report.stored, *report.present):
            self._state.add_sent(job.key, uids[path])
        if report.error is not None:
            raise report.error
        if report.failed:
            raise PacsError(
                report.failed[0][1], where=str(self._archive), cure="see the log of the PACS", code="pacs.refused"
            )
        self._state.advance(job.key, JobState.DONE)
        self._audit("sent", job=job.key, stored=len(report.stored), present=len(report.present))

    def _record_failure(self, job: ReceivedJob, error: MetsegError | OSError, now: float) -> None:
        code = error.code if isinstance(error, MetsegError) else "resources.system"
        if _is_permanent(error):
            self._state.advance(job.key, JobState.FAILED, code=code)
            self._audit("failed", job=job.key, code=code, cure=getattr(error, "cure", None))
            return
        pause_s = min(self._first_pause_s * 2**job.attempts, _LONGEST_PAUSE_S)
        self._state.postpone(job.key, now + pause_s, code)
        self._audit("postponed", job=job.key, code=code, seconds=round(pause_s, 1))


def _is_permanent(error: Exception) -> bool:
    """Return whether another attempt would fail too: the study cannot be processed, or its results cannot be used."""
    if isinstance(error, Refusal):
        return error.problem.status in _CLIENT_ERRORS and error.problem.status not in _TRANSIENT_STATUS
    return isinstance(error, StudyFailed | InputError)


def _read_images(folder: Path) -> list[_Image]:
    """Return the files of a study in the order of their names."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["Modality", "StudyDescription", "SeriesDescription"]
    found = []
    for path in stored_objects(folder):
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        except InvalidDicomError:  # put there by others: the receiver writes complete objects only
            continue
        descriptions = (_text(header, "StudyDescription"), _text(header, "SeriesDescription"))
        name = path.relative_to(folder).as_posix()
        found.append(_Image(name, _text(header, "Modality"), descriptions, f"{path.stem}:{_digest(path)}"))
    return found


def _text(header: Any, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
