"""`metseg.Client`: submit studies to a service and fetch their results, from a script."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from metseg.client.checks import checked_document, chosen_artifacts, id_of, save_artifact
from metseg.client.follow_up_calls import FollowUpCalls
from metseg.client.service_api import FilePart, ServiceApi, key_from_environment, url_from_environment
from metseg.client.service_errors import Refusal, ServiceError, StudyFailed, StudyUnfinished, Unreachable
from metseg.client.upload_files import upload_parts
from metseg.errors import InputError, UsageError
from metseg.schemas import Artifact, Model, Options, State, Study, StudySummary
from metseg.version_schemas import Edit, NewMask, NewVersion, Version, VersionSummary

#: Seconds that `Client.wait` tolerates without an answer: a service that is updated comes back within a minute.
OUTAGE_S: Final = 60.0
#: Studies in one page of the list: the most that the service sends.
_PAGE: Final = 200
#: Artifacts that a reader needs, by the beginnings of their names; the others are for viewers.
RESULTS: Final = ("mask", "overlay", "lesions.json", "lesions.csv", "report")

#: Name that an uploaded mask is sent with.
_MASK_NAME: Final = "mask.nii.gz"


class Client(FollowUpCalls):
    """Client of a service: submits studies, waits for them and fetches their results.

    Args:
        url: address of the service; None: ``METSEG_API_URL``, else ``http://127.0.0.1:8000``.
        key: API key; None: ``METSEG_API_KEY``, else no key.
        transport: HTTP transport, for tests; None: the network.
    Raises:
        UsageError: the address is not an HTTP URL.

    Note:
        Every method raises a `metseg.ServiceError` if the service does not answer or refuses the request; its ``code``
        is that of the problem document.

    Examples:
        Segment a study and read its lesions::

            with metseg.Client("http://127.0.0.1:8000") as client:
                study = client.submit("patient_folder")
                done = client.wait(study)
                print(done.headline.finding, [lesion.volume_ml for lesion in done.lesions])
                client.save(done, "out")
                client.delete(done)
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        address = url or url_from_environment()
        self._api = ServiceApi(address, key or key_from_environment(), transport=transport, names_url=True)
        #: Study to the names of its files on this machine, for messages.
        self._names: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the end of a ``with`` block does it too."""
        self._api.close()

    def models(self) -> tuple[Model, ...]:
        """Return the models that the service has."""
        return self._api.models()

    def submit(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        sequences: Mapping[str, str | Path] | None = None,
        model: str | None = None,
        stack: bool = False,
        allow_gaps: bool = False,
        series: Mapping[str, str] | None = None,
        uncertainty: bool = False,
        explanation: bool = False,
        label: str = "",
        idempotency_key: str | None = None,
    ) -> Study:
        """Upload the files of one patient as a study, and return the study as accepted.

        Args:
            paths: slices in order (PNG, TIFF, JPEG, WebP, BMP), NIfTI files, DICOM files or one zip archive of them, or
                a folder of such files; texts and tables in it, such as ``P1.json``, are not sent. File names are sent,
                because the service reads sequences from them; it does not store them.
            sequences: file of each sequence that its name does not tell, such as ``{"t1c": "after.nii.gz"}``, and of
                ``brain_mask``.
            model: name of a model; None: the one that fits best; ``facts.model_reason`` of the study says why.
            stack: read the pages of a TIFF as slices.
            allow_gaps: fill missing slices of a DICOM series.
            series: number of the DICOM series of a sequence, such as ``{"t1c": "4"}``, or ``none`` to leave it out.
            uncertainty: also measure how far the predictions of mirror images and folds differ.
            explanation: also make a map of Grad-CAM, and one of each attention gate of the network (``gates`` of the
                model).
            label: a few words to find the study again; never the name of a patient.
            idempotency_key: repeating a call with the same key and files returns the same study; None: a new study.
        Raises:
            InputError: a file is not there.
            UsageError: an unknown sequence, or an option with an invalid value.
        """
        given = [paths] if isinstance(paths, str | Path) else paths
        declared = {name: Path(path) for name, path in (sequences or {}).items()}
        parts = upload_parts([Path(path) for path in given], declared)
        options = checked_document(
            Options,
            model=model,
            stack=stack,
            allow_gaps=allow_gaps,
            series=dict(series or {}),
            uncertainty=uncertainty,
            explanation=explanation,
        )
        study = self._hand_in(parts, options, idempotency_key or uuid.uuid4().hex, label)
        self._names[study.id] = [part.path.name for part in parts]
        return study

    def get(self, study: Study | str) -> Study:
        """Return a study as it is now.

        Args:
            study: the study or its id.
        """
        return self._api.study(id_of(study))

    def wait(
        self,
        study: Study | str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 1.0,
        on_progress: Callable[[Study], None] | None = None,
    ) -> Study:
        """Wait until a study is done, and return it with its lesions and the list of its artifacts.

        Args:
            study: the study or its id.
            timeout_s: seconds to wait at most; None: as long as it takes.
            poll_s: seconds between two requests; longer where the service asks for it (``Retry-After``).
            on_progress: called with the study after each request.
        Raises:
            StudyFailed: the study failed or was cancelled; ``study`` has the details.
            ServiceError: the time is over (``client.unfinished``), or the service has not answered, or was
                too busy, for a minute.
        """
        begin = last_answer = time.monotonic()
        while True:
            pause_s = poll_s
            try:
                found = self.get(study)
                last_answer = time.monotonic()
            except (Unreachable, Refusal) as error:
                pause_s = max(poll_s, _retry_after(error))
                if time.monotonic() - last_answer > OUTAGE_S:
                    raise
            else:
                if on_progress is not None:
                    on_progress(found)
                if found.state.is_final:
                    return self._require_done(found)
                if timeout_s is not None and time.monotonic() - begin >= timeout_s:
                    raise StudyUnfinished(found)
            time.sleep(pause_s)

    def result(self, study: Study | str) -> Study:
        """Return a study that is done, without waiting.

        Args:
            study: the study or its id.
        Raises:
            StudyFailed: the study failed or was cancelled.
            ServiceError: it is not finished (``client.unfinished``).
        """
        found = self.get(study)
        if not found.state.is_final:
            raise StudyUnfinished(found)
        return self._require_done(found)

    def artifact(self, study: Study | str, name: str, *, version: int = 0) -> bytes:
        """Return the content of one result file, such as ``mask.nii.gz``.

        Args:
            study: the study or its id.
            name: one of ``study.artifacts``; of a corrected version, one of its ``artifacts``.
            version: number of the version; 0: the result of the model.
        """
        return self._content(id_of(study), version, name)

    def save(
        self, study: Study | str, folder: str | Path, names: Sequence[str] | None = None, *, version: int = 0
    ) -> tuple[Path, ...]:
        """Write result files of a study that is done into a folder, and return their paths.

        Args:
            study: the study or its id.
            folder: made if absent; existing files of the same names are replaced.
            names: of the artifacts; None: masks, overlays, ``lesions.json``, ``lesions.csv`` and the reports.
            version: number of the version; 0: the result of the model. A corrected version has no overlays.
        Raises:
            UsageError: the study or the version has no such artifact.
            StudyFailed: the study has no results.
            ServiceError: a content differs from its checksum (``client.unexpected``).
        """
        done = self.result(study)
        artifacts = self.version(done, version).artifacts if version else done.artifacts
        chosen = chosen_artifacts(artifacts, names, RESULTS)
        return tuple(self._save(done.id, version, artifact, Path(folder)) for artifact in chosen)

    def versions(self, study: Study | str) -> tuple[VersionSummary, ...]:
        """Return the versions of a study that is done, oldest first; version 0 is the result of the model.

        Args:
            study: the study or its id.
        """
        return self._api.versions(id_of(study)).versions

    def version(self, study: Study | str, number: int) -> Version:
        """Return a version: its lesion table with the reviewer's states, its edits, and what they changed.

        Args:
            study: the study or its id.
            number: of the version.
        """
        return self._api.version(id_of(study), number)

    def correct(
        self,
        study: Study | str,
        edits: Sequence[Edit | Mapping[str, object]],
        *,
        parent: int | None = None,
        note: str = "",
        author: str = "",
    ) -> Version:
        """Accept, reject, remove or add lesions, and return the new version; older versions stay as they are.

        Args:
            study: the study or its id.
            edits: in order, such as ``{"action": "reject", "lesion": 2}`` or ``{"action": "add", "point_mm": (14, -31,
                22)}``; lesions have the numbers of the parent version.
            parent: number of the version that the edits refer to; None: the latest one.
            note: why, in words.
            author: who made the correction.
        Raises:
            UsageError: an edit that is none.
            ServiceError: ``request.conflict``, the parent is not the latest version; or an edit cannot be made.

        Examples:
            Reject the second lesion::

                version = client.correct(study, [{"action": "reject", "lesion": 2}], note="a vessel")
                client.save(study, "corrected", version=version.number)
        """
        number = self._latest(study) if parent is None else parent
        new = checked_document(NewVersion, parent=number, edits=tuple(edits), note=note, author=author)
        return self._api.correct(id_of(study), new)

    def upload_mask(
        self, study: Study | str, path: str | Path, *, parent: int | None = None, note: str = "", author: str = ""
    ) -> Version:
        """Upload a corrected mask, and return the new version.

        Args:
            study: the study or its id.
            path: NIfTI with the classes of the model, on the grid of the artifact ``image.nii.gz``. The name of the
                file is not sent.
            parent: number of the version that the mask corrects; None: the latest one.
            note: why, in words.
            author: who drew the mask.
        Raises:
            InputError: no such file.
            ServiceError: ``request.conflict``, the parent is not the latest version; or the mask does not fit.
        """
        place = Path(path)
        if not place.is_file():
            raise InputError("no such file", where=place, cure="check the path", code="input.missing")
        number = self._latest(study) if parent is None else parent
        new = checked_document(NewMask, parent=number, note=note, author=author)
        try:
            return self._api.upload_mask(id_of(study), FilePart("file", _MASK_NAME, place), new)
        except ServiceError as error:
            error.name_files([place.name])
            raise

    def cancel(self, study: Study | str) -> Study:
        """Cancel a study; it stays in the list, without results.

        Args:
            study: the study or its id.
        """
        return self._api.cancel(id_of(study))

    def delete(self, study: Study | str) -> None:
        """Delete a study, its files and its results on the service.

        Args:
            study: the study or its id.
        """
        self._api.delete(id_of(study))

    def list(self, *, state: State | str | None = None) -> tuple[StudySummary, ...]:
        """Return all studies of the key, newest first.

        Args:
            state: only studies in this state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        Raises:
            UsageError: an unknown state.
        """
        wanted = None if state is None else _state(state)
        page = self._api.studies(limit=_PAGE, state=wanted)
        found = page.studies
        while page.next is not None:
            page = self._api.studies(limit=_PAGE, after=page.next, state=wanted)
            found += page.studies
        return found

    def _hand_in(self, parts: Sequence[FilePart], options: Options, key: str, label: str) -> Study:
        try:
            return self._api.hand_in(parts, options, idempotency_key=key, label=label)
        except ServiceError as error:
            error.name_files([part.path.name for part in parts])
            raise

    def _require_done(self, study: Study) -> Study:
        if study.state != State.DONE:
            error = StudyFailed(study)
            error.name_files(self._names.get(study.id, ()))
            raise error
        return study

    def _latest(self, study: Study | str) -> int:
        """Return the number of the latest version."""
        return self.versions(study)[-1].number

    def _content(self, study_id: str, version: int, name: str) -> bytes:
        if version:
            return self._api.version_artifact(study_id, version, name)
        return self._api.artifact(study_id, name)

    def _save(self, study_id: str, version: int, artifact: Artifact, folder: Path) -> Path:
        return save_artifact(artifact, self._content(study_id, version, artifact.name), folder)


def _retry_after(error: Unreachable | Refusal) -> float:
    """Return the seconds after which to ask again; raise the error again where that does not help."""
    if isinstance(error, Unreachable):
        return 0.0
    if error.retry_after_s is None:
        raise error
    return float(error.retry_after_s)


def _state(state: str) -> State:
    try:
        return State(state)
    except ValueError:
        raise UsageError(
            "unknown state of a study", got=state, expected=", ".join(State), code="usage.unknown_name"
        ) from None
