"""The PACS of the settings, for operators: search them, take studies from them, and store results in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.pacs import Archive, StudyQuery, connect, retrieve_study, send_files
from metseg.pacs.retrieval import stored_objects
from metseg.pacs.server_address import TlsFiles
from metseg.pacs.study_records import StudyRecord as PacsRecord
from metseg.pacs_schemas import (
    MAX_FOUND,
    PacsFailure,
    PacsFetch,
    PacsSearch,
    PacsSend,
    PacsSent,
    PacsStudy,
    PacsStudyList,
)
from metseg.schemas import State
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.serializers import artifacts_of
from metseg.serve.http.upload_reader import ReceivedFile, Upload
from metseg.serve.http.uploads import Limits
from metseg.serve.settings import Settings
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.folders import sha256_of
from metseg.serve.storage.study_service import Studies
from metseg.serve.storage.version_repository import Versions

#: Media type of results that a PACS takes.
DICOM: Final = "application/dicom"


@dataclass(frozen=True)
class FetchedStudy:
    """Images that were taken from a PACS.

    Args:
        upload: the images.
        digest: the same for the same images and options, however the PACS has encoded them.
    """

    upload: Upload
    digest: str


@dataclass(frozen=True)
class PacsAccess:
    """Searches the PACS of the settings.

    Args:
        settings: with the table of PACS.
        studies: the repository of studies.
        versions: the repository of corrected versions.
        limits: of a study, as for an upload.
    """

    settings: Settings
    studies: Studies
    versions: Versions
    limits: Limits

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the PACS."""
        return tuple(self.settings.pacs)

    def search(self, name: str, asked: PacsSearch) -> PacsStudyList:
        """Return the studies of a PACS that match.

        Raises:
            Refused: ``request.unknown``, no PACS has this name; ``request.invalid``, no condition is given.
            UsageError: ``usage.date``.
            PacsError: the PACS does not answer, or refuses.
        """
        archive = self._archive(name)
        query = StudyQuery(
            patient_id=asked.patient_id,
            patient_name=asked.patient_name,
            dates=asked.dates,
            description=asked.description,
            modality=asked.modality,
            accession=asked.accession,
        )
        if not query.filters():
            raise Refused("request.invalid", "no condition: this would list the whole PACS", where="the body")
        found = archive.find_studies(query)
        return PacsStudyList(studies=tuple(map(_shown, found[:MAX_FOUND])), truncated=len(found) > MAX_FOUND)

    def retrieve(self, name: str, asked: PacsFetch, folder: Path) -> FetchedStudy:
        """Take the images of a study from a PACS, as if they had been uploaded.

        Args:
            name: of the PACS.
            asked: the study.
            folder: empty; afterwards it has the images only, under their numbers.
        Raises:
            Refused: ``request.unknown``; ``request.too_large``, the study exceeds the limits of an upload.
            InputError: ``input.no_images``, the study has no images of the modality.
            PacsError: the PACS does not answer, or refuses.
        """
        archive = self._archive(name)
        count = len(archive.find_instances(asked.study_uid))
        _require_at_most(count, self.limits.max_files, "objects")
        retrieved = retrieve_study(archive, asked.study_uid, folder).folder
        paths = [path for path in stored_objects(retrieved) if _modality(path) == asked.modality]
        if not paths:
            raise InputError(
                "the study has no images of this modality",
                expected=asked.modality,
                cure="choose another study, or another modality",
                code="input.no_images",
            )
        _require_at_most(sum(path.stat().st_size for path in paths), self.limits.max_bytes, "bytes")
        uids = [path.stem for path in paths]
        return FetchedStudy(_as_upload(paths, retrieved, folder), _digest(asked, uids))

    def send(self, who: Principal, name: str, asked: PacsSend) -> PacsSent:
        """Store the DICOM results of a study in a PACS; objects that it has are skipped.

        The audit log says how many objects were stored, also if the connection ended before the last one.

        Raises:
            Refused: ``request.unknown``; ``request.state``, the study is not done; ``request.no_dicom``, it has no
                DICOM results; ``request.pseudonym``, they name a pseudonym; ``request.corrected``, a corrected version
                exists, which has no DICOM results, and the request does not ask for the prediction.
            PacsError: the PACS does not answer, or the connection ended before the last object.
        """
        archive = self._archive(name)
        record = self.studies.find(who, asked.study)
        paths = self._dicom_results(record)
        if not asked.without_corrections and self.versions.list(who, record.id):
            raise Refused(
                "request.corrected",
                "the study was corrected, and the DICOM results are those of the model without the corrections: "
                "lesions that were rejected are in them, and lesions that were added are not",
                cure="set without_corrections to store the results of the model nevertheless",
            )
        report = send_files(archive, paths)
        counts = {"stored": len(report.stored), "present": len(report.present), "failed": len(report.failed)}
        ended = {} if report.error is None else {"error": report.error.code}
        self.studies.note(who, "pacs.sent", record.id, {"pacs": name, **counts, **ended})
        if report.error is not None:
            raise report.error
        return PacsSent(
            stored=tuple(path.name for path in report.stored),
            present=tuple(path.name for path in report.present),
            failed=tuple(PacsFailure(name=path.name, reason=reason) for path, reason in report.failed),
        )

    def _dicom_results(self, record: StudyRecord) -> list[Path]:
        """Return the DICOM results of a study, which name its patient.

        Raises:
            Refused: ``request.state``, ``request.no_dicom``, ``request.pseudonym``.
        """
        if record.state != State.DONE:
            raise Refused(
                "request.state",
                "only finished studies have results to store",
                got=record.state,
                cure="wait until the study is done",
            )
        folder = self.studies.folders.study(record.id).artifacts
        paths = [folder / item.name for item in artifacts_of(record) if item.media_type == DICOM]
        if not paths:
            raise Refused(
                "request.no_dicom",
                "the study has no DICOM results",
                cure="DICOM studies have some where the operator sets METSEG_DICOM_EXPORTS",
            )
        if any(_is_pseudonymous(path) for path in paths):
            raise Refused(
                "request.pseudonym",
                "the DICOM results name a pseudonym, so the PACS cannot file them under the patient's study",
                cure="the operator sets METSEG_DICOM_IDENTITY=keep; then process the study again",
            )
        return paths

    def _archive(self, name: str) -> Archive:
        address = self.settings.pacs.get(name)
        if address is None:
            raise Refused("request.unknown", "no PACS of this service has this name", cure="see GET /pacs")
        chosen = self.settings
        tls = TlsFiles(chosen.pacs_ca_file, chosen.pacs_certificate, chosen.pacs_key)
        return connect(address, tls, timeout_s=chosen.pacs_timeout_s)


def _shown(record: PacsRecord) -> PacsStudy:
    return PacsStudy(
        study_uid=record.study_uid,
        date=record.date,
        patient_id=record.patient_id,
        patient_name=record.patient_name,
        description=record.description,
        accession=record.accession,
        modalities=record.modalities,
        instances=record.instances,
    )


def _require_at_most(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise Refused("request.too_large", "the study is too large", expected=f"at most {limit} {what}", got=count)


def _as_upload(paths: list[Path], retrieved: Path, folder: Path) -> Upload:
    """Give the images their numbers in the folder, and remove all else."""
    upload = Upload(folder)
    for number, path in enumerate(paths, start=1):
        place = folder / f"{number:04d}"
        os.replace(path, place)
        upload.files.append(ReceivedFile(number, place, None, place.stat().st_size, sha256_of(place)))
    shutil.rmtree(retrieved)
    return upload


def _digest(asked: PacsFetch, uids: Sequence[str]) -> str:
    content = [asked.study_uid, asked.options.model_dump(mode="json"), sorted(uids)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _modality(path: Path) -> str:
    return _element(path, "Modality")


def _is_pseudonymous(path: Path) -> bool:
    """Return whether metseg replaced the patient of a result.

    `PatientIdentityRemoved` alone does not say so: a result with the identity of its source copies it from the source.
    """
    from metseg.dicom_export.source_headers import PSEUDONYM_METHOD

    return _element(path, "DeidentificationMethod") == PSEUDONYM_METHOD


def _element(path: Path, keyword: str) -> str:
    from pydicom import dcmread

    return str(dcmread(path, stop_before_pixels=True, specific_tags=[keyword]).get(keyword) or "").strip()
