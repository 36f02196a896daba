"""A storage SCP: accepts objects that a PACS or a scanner sends, and writes each atomically into a study folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.events import EventHandlerType
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from metseg.errors import MetsegError, ResourceError
from metseg.pacs.receiver_state import ReceiverState
from metseg.pacs.retrieval import is_present, place_of
from metseg.pacs.server_address import TlsFiles, require_title
from metseg.pacs.study_records import InstanceReference, reference_of
from metseg.runtime.atomic_io import write_bytes

_SUCCESS: Final = 0x0000
_OUT_OF_RESOURCES: Final = 0xA700
_DIFFERENT_CLASS: Final = 0xA900
_CANNOT_UNDERSTAND: Final = 0xC000
#: Seconds after which a silent association ends.
_IDLE_S: Final = 60.0
#: Associations at the same time; further ones are rejected as transient, and senders try again.
_ASSOCIATIONS: Final = 20

#: Called with an event and its facts, none of which names a person.
Audit = Callable[..., None]


class StudyReceiver:
    """A storage SCP on a port of this machine.

    Args:
        title: own title; associations for another one are rejected.
        port: TCP port; 0: a free one.
        host: address to bind.
        folder: gets ``studies/STUDY_UID/SERIES_UID/SOP_UID.dcm``.
        state: remembers when the last object of each study arrived.
        allowed: titles that may send.
        tls: files for TLS with at least a certificate; None: without TLS.
        audit: records events.
    """

    def __init__(
        self,
        title: str,
        port: int,
        folder: Path,
        state: ReceiverState,
        *,
        allowed: tuple[str, ...],
        audit: Audit,
        host: str = "127.0.0.1",
        tls: TlsFiles | None = None,
    ) -> None:
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False  # they name patients
        self._folder, self._state, self._audit = folder / "studies", state, audit
        entity = AE(require_title(title))
        entity.require_called_aet = True
        entity.require_calling_aet = [require_title(name) for name in allowed]
        entity.maximum_associations = _ASSOCIATIONS
        entity.network_timeout = entity.dimse_timeout = _IDLE_S
        entity.add_supported_context(Verification)
        for storage in AllStoragePresentationContexts:
            entity.add_supported_context(str(storage.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        handlers: list[EventHandlerType] = [
            (evt.EVT_C_STORE, self._receive),
            (evt.EVT_REJECTED, lambda _event: audit("rejected")),
        ]
        context = tls.context(for_server=True) if tls else None
        try:
            server = entity.start_server((host, port), block=False, evt_handlers=handlers, ssl_context=context)
        except OSError as error:
            raise ResourceError(
                "the port cannot be opened",
                where=f"{host}:{port}",
                got=error.strerror,
                cure="choose another --port, or end the program that uses it",
                code="resources.port",
            ) from None
        assert isinstance(server, ThreadedAssociationServer)  # None is of servers that block
        self._server = server

    @property
    def port(self) -> int:
        """Return the port."""
        assert self._server.socket is not None
        return int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """End all associations and close the port."""
        self._server.shutdown()

    def _receive(self, event: Any) -> int:
        """Store one object; pynetdicom calls this only with complete ones."""
        try:
            dataset = event.dataset
            reference = reference_of(dataset)
        except Exception as error:  # whatever the decoder raises, the sender gets an answer
            self._audit("refused", code=getattr(error, "code", "input.dicom"))
            return _CANNOT_UNDERSTAND
        if not _is_the_announced(event.request, reference):
            self._audit("refused", code="input.uid")
            return _DIFFERENT_CLASS
        return self._keep(event, dataset, reference)

    def _keep(self, event: Any, dataset: Dataset, reference: InstanceReference) -> int:
        try:
            # An object with a known UID is the same object: the first one stays.
            if not is_present(self._folder, reference):
                write_bytes(place_of(self._folder, reference), event.encoded_dataset())
            self._state.add_arrival(reference.study_uid, time.time())
        except (OSError, MetsegError) as error:
            self._audit("not_stored", code=getattr(error, "code", "resources.system"))
            return _OUT_OF_RESOURCES
        self._audit("received", object_class=UID(str(dataset.get("SOPClassUID", ""))).name)
        return _SUCCESS


def _is_the_announced(request: Any, reference: InstanceReference) -> bool:
    announced = (str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID))
    return announced == (reference.sop_uid, reference.class_uid)
