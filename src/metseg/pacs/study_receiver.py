"""A storage SCP: accepts objects that a PACS or a scanner sends, and writes each atomically into a study folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.events import EventHandlerType
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from metseg.errors import ResourceError
from metseg.pacs.received_objects import ACCEPTED_SYNTAXES, STORAGE_CLASSES, ReceivedObjects, StoreStatus
from metseg.pacs.server_address import TlsFiles, require_title

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
        objects: where they are stored.
        allowed: titles that may send.
        tls: files for TLS with at least a certificate; None: without TLS.
        audit: records events.
    """

    def __init__(
        self,
        title: str,
        port: int,
        objects: ReceivedObjects,
        *,
        allowed: tuple[str, ...],
        audit: Audit,
        host: str = "127.0.0.1",
        tls: TlsFiles | None = None,
    ) -> None:
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False  # they name patients
        self._objects, self._audit = objects, audit
        entity = AE(require_title(title))
        entity.require_called_aet = True
        entity.require_calling_aet = [require_title(name) for name in allowed]
        entity.maximum_associations = _ASSOCIATIONS
        entity.network_timeout = entity.dimse_timeout = _IDLE_S
        entity.add_supported_context(Verification)
        for storage_class in STORAGE_CLASSES:
            entity.add_supported_context(storage_class, list(ACCEPTED_SYNTAXES))
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
        # The file meta information has the UIDs of the request, which the object must have too.
        outcome = self._objects.add(io.BytesIO(event.encoded_dataset()))
        if outcome.status == StoreStatus.STORED and outcome.reference is not None:
            self._audit("received", object_class=UID(outcome.reference.class_uid).name)
        elif outcome.status == StoreStatus.OUT_OF_RESOURCES:
            self._audit("not_stored", code=outcome.code)
        else:
            self._audit("refused", code=outcome.code)
        return int(outcome.status)
