"""Objects in the folder of a receiver: checked and stored in the same way by C-STORE and by STOW-RS."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from metseg.errors import InputError, MetsegError
from metseg.io.dicom.elements import read_file_meta
from metseg.io.dicom.instance_reader import read_complete_header
from metseg.pacs.receiver_state import ReceiverState
from metseg.pacs.retrieval import is_present, place_of
from metseg.pacs.study_records import InstanceReference, reference_of
from metseg.runtime.atomic_io import atomic_file

#: Transfer syntaxes that a receiver takes. Deflated data sets are left out: a few hundred kilobytes of one can become
#: as many megabytes in memory, so nothing in metseg reads them.
ACCEPTED_SYNTAXES: Final = tuple(uid for uid in ALL_TRANSFER_SYNTAXES if uid != DeflatedExplicitVRLittleEndian)
#: SOP classes that a receiver takes.
STORAGE_CLASSES: Final = tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)


class StoreStatus(IntEnum):
    """Outcome of an object: status of a C-STORE (PS3.4, B.2.3) and failure reason of STOW-RS (PS3.18, I.2.2)."""

    STORED = 0x0000
    UNKNOWN_CLASS = 0x0122
    OUT_OF_RESOURCES = 0xA700
    NOT_AS_ANNOUNCED = 0xA900
    OTHER_STUDY = 0xA901
    CANNOT_UNDERSTAND = 0xC000
    UNKNOWN_SYNTAX = 0xC122


#: Status by code of an error; other errors of an object are `StoreStatus.CANNOT_UNDERSTAND`.
_STATUS: Final = {
    "input.transfer_syntax": StoreStatus.UNKNOWN_SYNTAX,
    "input.sop_class": StoreStatus.UNKNOWN_CLASS,
    "input.uid_differs": StoreStatus.NOT_AS_ANNOUNCED,
    "input.other_study": StoreStatus.OTHER_STUDY,
}


@dataclass(frozen=True)
class ReceivedObject:
    """What became of an object.

    Args:
        status: the answer to the sender.
        reference: its UIDs; None: it has none that are valid.
        code: stable code of the error; empty if it is stored.
    """

    status: StoreStatus
    reference: InstanceReference | None = None
    code: str = ""


class ReceivedObjects:
    """The objects of a receiver. Safe to use from several threads, and from several processes of one machine.

    Args:
        folder: of the receiver; an object goes to ``studies/STUDY_UID/SERIES_UID/SOP_UID.dcm``.
        state: remembers when the last object of each study arrived.
    """

    def __init__(self, folder: Path, state: ReceiverState) -> None:
        self._studies, self._state = folder / "studies", state

    def add(self, content: BinaryIO, study_uid: str | None = None) -> ReceivedObject:
        """Check an object and store it. An object with a known UID is the same object: the first one stays.

        Args:
            content: a DICOM file with its file meta information.
            study_uid: the study that it must belong to; None: any.
        """
        reference = None
        try:
            header = _read(content)
            reference = reference_of(header)
            _check(header, reference, study_uid)
        except Exception as error:  # of the decoder too: the sender always gets an answer
            code = error.code if isinstance(error, MetsegError) else "input.dicom"
            return ReceivedObject(_STATUS.get(code, StoreStatus.CANNOT_UNDERSTAND), reference, code)
        try:
            self._store(content, reference)
        except (OSError, sqlite3.Error, MetsegError) as error:
            code = error.code if isinstance(error, MetsegError) else "resources.system"
            return ReceivedObject(StoreStatus.OUT_OF_RESOURCES, reference, code)
        return ReceivedObject(StoreStatus.STORED, reference)

    def _store(self, content: BinaryIO, reference: InstanceReference) -> None:
        if not is_present(self._studies, reference):
            content.seek(0)
            with atomic_file(place_of(self._studies, reference)) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
        self._state.add_arrival(reference.study_uid, time.time())


def _read(content: BinaryIO) -> Dataset:
    """Return the header of an object with all its pixels, in a transfer syntax that is known.

    Raises:
        InputError: ``input.transfer_syntax``, ``input.truncated``.
    """
    content.seek(0)
    meta = read_file_meta(content)
    if meta.syntax not in ACCEPTED_SYNTAXES:
        raise InputError("the transfer syntax is not known", code="input.transfer_syntax")
    return read_complete_header(content, meta)


def _check(header: Dataset, reference: InstanceReference, study_uid: str | None) -> None:
    if reference.class_uid not in STORAGE_CLASSES:
        raise InputError("the SOP class is not one of images or documents", code="input.sop_class")
    meta = header.file_meta
    announced = (str(meta.get("MediaStorageSOPInstanceUID", "")), str(meta.get("MediaStorageSOPClassUID", "")))
    if announced != (reference.sop_uid, reference.class_uid):
        raise InputError("the object is not the one that was announced", code="input.uid_differs")
    if study_uid is not None and reference.study_uid != study_uid:
        raise InputError("the object belongs to another study", code="input.other_study")
