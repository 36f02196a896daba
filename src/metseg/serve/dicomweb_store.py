"""STOW-RS: store the objects of a request in the folder of the receiver, which processes them as after a C-STORE."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from metseg.errors import InputError, ResourceError
from metseg.pacs.connection import require_extra
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import Upload
from metseg.serve.settings import Settings
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.study_service import Studies

if TYPE_CHECKING:
    from metseg.pacs.received_objects import ReceivedObject, ReceivedObjects
    from metseg.pacs.receiver_state import ReceiverState

_ALL_STORED: Final = 200
_SOME_STORED: Final = 202
_NONE_STORED: Final = 409


@dataclass(frozen=True)
class StoreAnswer:
    """The answer to a request.

    Args:
        status: of HTTP: 200, all objects are stored; 202, some; 409, none.
        document: which objects are stored and which are not, as DICOM JSON (PS3.18, I.2).
    """

    status: int
    document: dict[str, Any]


@dataclass
class DicomwebStore:
    """Stores objects for the receiver of the settings. Safe to use from several threads.

    Args:
        settings: with the folder of the receiver.
        studies: keeps the audit log.
    """

    settings: Settings
    studies: Studies
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _state: ReceiverState | None = field(default=None, init=False)

    def require_receiver(self) -> None:
        """Raise unless the operator has configured a receiver.

        Raises:
            Refused: ``request.unknown``.
            UsageError: ``usage.missing_extra``, the extra ``pacs`` is not installed.
        """
        if self.settings.receiver_folder is None:
            raise Refused(
                "request.unknown",
                "this service does not receive DICOM objects",
                cure="the operator sets METSEG_RECEIVER_FOLDER to the folder of metseg pacs receive",
            )
        require_extra()

    def store(self, who: Principal, upload: Upload, study_uid: str | None) -> StoreAnswer:
        """Store the objects of a request. The audit log gets their number.

        Args:
            who: the sender.
            upload: one file for each object.
            study_uid: the study that all objects must belong to; None: any.
        Raises:
            ResourceError: ``resources.disk``, the folder of the receiver takes no object at all.
        """
        from metseg.pacs.received_objects import StoreStatus

        objects = self._objects()
        outcomes = []
        for file in upload.files:
            with file.path.open("rb") as content:
                outcomes.append(objects.add(content, study_uid))
        failed = sum(outcome.status != StoreStatus.STORED for outcome in outcomes)
        counts = {"stored": len(outcomes) - failed, "failed": failed}
        self.studies.note(who, "stow.received", None, counts)
        if all(outcome.status == StoreStatus.OUT_OF_RESOURCES for outcome in outcomes):
            raise _unusable()
        status = _ALL_STORED if not failed else _SOME_STORED if counts["stored"] else _NONE_STORED
        return StoreAnswer(status, _document(outcomes))

    def close(self) -> None:
        """Close the state of the receiver."""
        with self._lock:
            if self._state is not None:
                self._state.close()
                self._state = None

    def _objects(self) -> ReceivedObjects:
        from metseg.pacs.received_objects import ReceivedObjects
        from metseg.pacs.receiver_state import ReceiverState

        folder = self.settings.receiver_folder
        assert folder is not None  # see `require_receiver`
        with self._lock:
            if self._state is None:  # at the first request: most services have no receiver
                try:
                    self._state = ReceiverState(folder / "receiver.sqlite")
                except (OSError, InputError):
                    raise _unusable() from None
            return ReceivedObjects(folder, self._state)


def _unusable() -> ResourceError:
    return ResourceError(
        "nothing can be stored in the folder of the receiver",
        cure="the operator checks METSEG_RECEIVER_FOLDER: its disk, and the account that it belongs to",
        code="resources.disk",
    )


def _document(outcomes: Sequence[ReceivedObject]) -> dict[str, Any]:
    """Return the sequences of stored, failed and unidentified objects; there are no URLs to retrieve them from."""
    from pydicom import Dataset

    answer = Dataset()
    answer.RetrieveURL = None
    stored: list[Dataset] = []
    failed: list[Dataset] = []
    unidentified: list[Dataset] = []
    for outcome in outcomes:
        item = Dataset()
        if outcome.reference is not None:
            item.ReferencedSOPClassUID = outcome.reference.class_uid
            item.ReferencedSOPInstanceUID = outcome.reference.sop_uid
        if not outcome.status:
            item.RetrieveURL = None
            stored.append(item)
            continue
        item.FailureReason = int(outcome.status)
        (unidentified if outcome.reference is None else failed).append(item)
    for keyword, items in (
        ("ReferencedSOPSequence", stored),
        ("FailedSOPSequence", failed),
        ("OtherFailuresSequence", unidentified),
    ):
        if items:
            setattr(answer, keyword, items)
    return answer.to_json_dict()
