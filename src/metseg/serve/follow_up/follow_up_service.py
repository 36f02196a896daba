"""Compare finished studies of one patient, and store the result.

Computed in the process of the API, without torch, while the caller waits: a few seconds for each pair of examinations.
Nothing is stored before all is done, so a process that ends meanwhile leaves nothing behind.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from metseg.errors import MetsegError
from metseg.follow_up_document import FollowUpDocument, follow_up_csv
from metseg.follow_up_schemas import (
    FOLLOW_UP_ARTIFACTS,
    FollowedExamination,
    FollowUpList,
    FollowUpSummary,
    NewExamination,
    NewFollowUp,
    StoredFollowUp,
)
from metseg.longitudinal.change_text import change_sentence, changes_at
from metseg.longitudinal.follow_up import FollowUp, FollowUpOptions, follow_timepoints
from metseg.reporting.follow_up.follow_up_page import changed_lesion_pictures, follow_up_page
from metseg.reporting.study.formats import write_page
from metseg.reporting.study.study_report import KeyImage
from metseg.runtime.atomic_io import disk_full_is_an_error, write_bytes, write_text
from metseg.schemas import Artifact, State, Study
from metseg.serve.follow_up.examination_files import ExaminationFiles, read_examination
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.serializers import study_of
from metseg.serve.http.uploads import Limits, working_folder
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import FollowUpRecord
from metseg.serve.storage.folders import sha256_of
from metseg.serve.storage.follow_up_repository import ExaminationRow, FollowUpRows, NewFollowUpRow
from metseg.serve.storage.patient_identity import differ
from metseg.serve.storage.study_service import Studies
from metseg.serve.storage.version_repository import Versions

_DOCUMENT: Final = "follow-up.json"
_REPORT_FORMATS: Final = ("pdf", "html")


@dataclass(frozen=True)
class _Chosen:
    """An examination of a request: its study, the files of its version, and its name."""

    study: Study
    files: ExaminationFiles
    asked: NewExamination
    name: str

    @property
    def row(self) -> ExaminationRow:
        return ExaminationRow(self.study.id, self.files.version, self.name, self.asked.day)


@dataclass(frozen=True)
class FollowUps:
    """Follow-ups for the owners of studies.

    Args:
        studies: the repository of studies.
        versions: the repository of corrected versions.
        rows: the repository of follow-ups.
        limits: of uploads; a follow-up needs the same free disk space.
    """

    studies: Studies
    versions: Versions
    rows: FollowUpRows
    limits: Limits

    def create(self, who: Principal, new: NewFollowUp) -> StoredFollowUp:
        """Compare examinations, store the result, and return it.

        Raises:
            Refused: ``request.unknown``, a study or version that does not exist or has another owner;
                ``request.state``, a study that is not done; ``request.results_missing``, one without its mask;
                ``request.different_patients``, studies with different patient ids.
            InputError, GeometryError, UsageError: see `follow_timepoints` and `read_examination`.
            ResourceError: ``resources.disk``.
        """
        chosen = self._chosen(who, new)
        hashes = [one.files.patient_hash for one in chosen]
        if differ(hashes) and not new.allow_different_ids:
            raise _different_patients()
        follow_up_id = uuid.uuid4().hex
        timepoints = [
            read_examination(one.files, one.name, one.asked.day, patient)
            for one, patient in zip(chosen, _patient_names(hashes), strict=True)
        ]
        follow_up = follow_timepoints(timepoints, new.label or follow_up_id[:8], _options(new))
        pictures = changed_lesion_pictures(follow_up)
        with working_folder(self.studies.folders.incoming, self.limits) as folder:
            with disk_full_is_an_error(folder):
                _write(follow_up, pictures, folder)
            row = NewFollowUpRow(
                folder=folder,
                label=new.label,
                examinations=[one.row for one in chosen],
                headline=[*follow_up.document.headline],
                changes=_changes(follow_up.document, pictures),
                artifacts=_artifact_entries(folder),
            )
            return self._stored(self.rows.add(who, follow_up_id, row))

    def find(self, who: Principal, follow_up_id: str) -> StoredFollowUp:
        """Return a follow-up with all its results.

        Raises:
            Refused: ``request.unknown``.
        """
        return self._stored(self.rows.find(who, follow_up_id))

    def page(self, who: Principal, *, limit: int, after: str | None) -> FollowUpList:
        """Return the follow-ups of an owner, newest first.

        Raises:
            Refused: ``request.unknown``.
        """
        page = self.rows.page(who, limit=limit, after=after)
        return FollowUpList(
            follow_ups=tuple(FollowUpSummary(**_summary(record)) for record in page.records), next=page.next
        )

    def file(self, who: Principal, follow_up_id: str, name: str) -> tuple[Path, Artifact] | None:
        """Return a file of a follow-up and its entry; None if it has no file of this name.

        Raises:
            Refused: ``request.unknown``.
        """
        record = self.rows.find(who, follow_up_id)
        found = next((one for one in _artifacts(record) if one.name == name), None)
        return None if found is None else (self._folder(record) / found.name, found)

    def delete(self, who: Principal, follow_up_id: str) -> None:
        """Remove a follow-up and its files.

        Raises:
            Refused: ``request.unknown``.
        """
        self.rows.delete(who, follow_up_id)

    def _chosen(self, who: Principal, new: NewFollowUp) -> list[_Chosen]:
        found = []
        for place, one in enumerate(new.examinations):
            with _named(f"examinations.{place}"):
                record = self.studies.find(who, one.study)
                study = study_of(record)
                files = replace(self._files(who, study, one.version), patient_hash=record.patient_hash)
                found.append((study, files, one))
        names = _names([study for study, _, _ in found], new.examinations)
        return [_Chosen(*one, name) for one, name in zip(found, names, strict=True)]

    def _files(self, who: Principal, study: Study, version: int | None) -> ExaminationFiles:
        if study.state != State.DONE:
            raise Refused(
                "request.state",
                "only finished studies can be followed",
                got=study.state,
                cure="wait until the study is done",
            )
        folder = self.studies.folders.study(study.id)
        if version is None:
            version = max((one.number for one in self.versions.list(who, study.id)), default=0)
        if not version:
            return ExaminationFiles(folder.artifacts, folder.artifacts, study.facts, 0)
        record = self.versions.find(who, study.id, version)
        return ExaminationFiles(folder.artifacts, folder.versions / record.folder, study.facts, version)

    def _folder(self, record: FollowUpRecord) -> Path:
        return self.studies.folders.follow_ups / record.id

    def _stored(self, record: FollowUpRecord) -> StoredFollowUp:
        text = (self._folder(record) / _DOCUMENT).read_text("utf-8")
        return StoredFollowUp(
            **_summary(record),
            changes=record.changes,
            document=FollowUpDocument.model_validate_json(text),
            artifacts=_artifacts(record),
        )


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Name the examination in errors that name nothing."""
    try:
        yield
    except MetsegError as error:
        error.where = error.where or where
        raise


def _different_patients() -> Refused:
    return Refused(
        "request.different_patients",
        "the DICOM headers of the studies have different patient ids, so they seem to be of different patients",
        cure="compare studies of one patient, or set allow_different_ids if the patient is the same nevertheless",
    )


def _patient_names(hashes: Sequence[str | None]) -> list[str]:
    """Return names of patients that differ for the document, which has no hashes; empty where nothing is known.

    >>> _patient_names(["k:1", None, "k:2", "k:1"]), _patient_names(["k:1", "k:1"])
    (['patient 1', '', 'patient 2', 'patient 1'], ['', ''])
    """
    if not differ(hashes):
        return ["" for _ in hashes]
    order = list(dict.fromkeys(text for text in hashes if text))
    return [f"patient {order.index(text) + 1}" if text else "" for text in hashes]


def _names(studies: Sequence[Study], asked: Sequence[NewExamination]) -> list[str]:
    """Return the names of the examinations: their dates, else their labels if these differ, else numbers."""
    if all(one.day is not None for one in asked):
        return [str(one.day) for one in asked]
    labels = Counter(study.label for study in studies)
    return [
        study.label if study.label and labels[study.label] == 1 else f"examination {number}"
        for number, study in enumerate(studies, start=1)
    ]


def _options(new: NewFollowUp) -> FollowUpOptions:
    later = new.examinations[1:]
    return FollowUpOptions(
        steroids=tuple(one.steroids for one in later if one.steroids is not None),
        clinical=tuple(one.clinical for one in later if one.clinical is not None),
        repeatability_mm=new.repeatability_mm,
    )


def _write(follow_up: FollowUp, pictures: Mapping[int, KeyImage], folder: Path) -> None:
    """Write the files of a follow-up."""
    document, today = follow_up.document, datetime.now(UTC).date()
    write_text(folder / _DOCUMENT, document.model_dump_json(indent=1) + "\n")
    write_text(folder / "follow-up.csv", follow_up_csv(document))
    write_page(lambda: follow_up_page(follow_up, today, pictures), today, folder / "report", _REPORT_FORMATS)
    for lesion, picture in pictures.items():
        write_bytes(folder / _picture_name(lesion), picture.png)


def _picture_name(lesion: int) -> str:
    return f"lesion-{lesion}.png"


def _changes(document: FollowUpDocument, pictures: Mapping[int, KeyImage]) -> list[dict[str, Any]]:
    """Return what happened to each lesion at the last examination, as JSON."""
    return [
        {
            "lesion": change.lesion.id,
            "kind": change.kind,
            "sentence": change_sentence(change),
            "picture": _picture_name(change.lesion.id) if change.lesion.id in pictures else None,
        }
        for change in changes_at(document.lesions, document.timepoints[-1].name)
    ]


def _artifact_entries(folder: Path) -> list[dict[str, Any]]:
    """Return name, media type, size and checksum of the files of a follow-up, in the order of `FOLLOW_UP_ARTIFACTS`."""
    *names, pictures = FOLLOW_UP_ARTIFACTS
    order = {name: place for place, name in enumerate(names)}
    paths = sorted(folder.iterdir(), key=lambda path: (order.get(path.name, len(order)), len(path.name), path.name))
    return [
        {
            "name": path.name,
            "media_type": FOLLOW_UP_ARTIFACTS.get(path.name, FOLLOW_UP_ARTIFACTS[pictures]),
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in paths
    ]


def _artifacts(record: FollowUpRecord) -> tuple[Artifact, ...]:
    return tuple(Artifact(**item, url=f"/follow-ups/{record.id}/artifacts/{item['name']}") for item in record.artifacts)


def _summary(record: FollowUpRecord) -> dict[str, Any]:
    """Return the fields of `FollowUpSummary`."""
    ends = [one.study.expires_at for one in record.examinations if one.study.expires_at is not None]
    return {
        "id": record.id,
        "label": record.label,
        "created_at": record.created_at,
        "expires_at": min(ends, default=None),
        "examinations": tuple(
            FollowedExamination(study=one.study_id, version=one.version, name=one.name, day=one.day)
            for one in record.examinations
        ),
        "headline": tuple(record.headline),
    }
