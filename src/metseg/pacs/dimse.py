"""A PACS by DIMSE: C-ECHO, C-FIND, C-GET or C-MOVE, and C-STORE, by `pynetdicom`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from metseg.pacs.move_destination import move_destination
from metseg.pacs.pacs_errors import PacsError, timed_out, unreachable
from metseg.pacs.server_address import DimseAddress, TlsFiles
from metseg.pacs.study_records import (
    STUDY_KEYWORDS,
    InstanceReference,
    OutgoingObject,
    StudyQuery,
    StudyRecord,
    record_of,
    reference_of,
)

_SUCCESS: Final = 0x0000
#: Final states of a C-GET or C-MOVE: done, and done with warnings.
_WARNING: Final = 0xB000
_STORED_WITH_WARNING: Final = (0xB000, 0xB006, 0xB007)
_OUT_OF_RESOURCES: Final = (0xA700, 0xA701, 0xA702)
#: What to do where a PACS has no C-GET.
_MOVE_INSTEAD: Final = "if it has no C-GET, add &move=PORT to the address, and enter that port in the PACS"
#: Presentation contexts of one association (PS3.8).
_MOST_CONTEXTS: Final = 128
#: Refused contexts that a message names.
_NAMED: Final = 3
#: SOP classes that are expected if the PACS does not list those of a series.
_USUAL_CLASSES: Final = (
    MRImageStorage, EnhancedMRImageStorage, SecondaryCaptureImageStorage, SegmentationStorage,
    RTStructureSetStorage, EncapsulatedPDFStorage,
)  # fmt: skip
#: Transfer syntaxes of images and other objects; those of videos are left out.
_SYNTAXES: Final = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless, RLELossless, JPEGBaseline8Bit,
    JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000,
)  # fmt: skip
#: Diagnostics of a rejection (PS3.8, 9.3.4) that the user can correct.
_CALLING_UNKNOWN: Final = 3
_CALLED_UNKNOWN: Final = 7
_BY_USER: Final = 1


class DimseArchive:
    """A PACS that speaks DIMSE.

    Args:
        address: host, port and titles.
        tls: files for TLS, used with ``dimses://``.
        timeout_s: seconds to wait for a connection and for each answer.
    """

    def __init__(self, address: DimseAddress, tls: TlsFiles, timeout_s: float) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._tls = (tls.context(), address.host) if address.is_encrypted else None
        needs_server = address.is_encrypted and address.move_port is not None
        self._server_tls = tls.context(for_server=True) if needs_server else None

    def __str__(self) -> str:
        return str(self._address)

    def echo(self) -> None:
        """Send a C-ECHO, which tests address and titles."""
        with self._association([build_context(Verification)]) as association:
            self._require(association.send_c_echo(), "C-ECHO")

    def find_studies(self, query: StudyQuery) -> tuple[StudyRecord, ...]:
        """Return the studies that match."""
        wanted = {**dict.fromkeys(STUDY_KEYWORDS, ""), **query.filters()}
        with self._finder() as association:
            return tuple(record_of(found) for found in self._find(association, "STUDY", wanted))

    def find_instances(self, study_uid: str) -> tuple[InstanceReference, ...]:
        """Return the objects of a study, by a query for its series and one for each of them."""
        found: list[InstanceReference] = []
        with self._finder() as association:
            wanted = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": ""}
            for series in list(self._find(association, "SERIES", wanted)):
                keys = {
                    "StudyInstanceUID": study_uid,
                    "SeriesInstanceUID": str(series.SeriesInstanceUID),
                    "SOPInstanceUID": "",
                    "SOPClassUID": "",
                }
                for answer in self._find(association, "IMAGE", keys):
                    # Some PACS do not repeat the UIDs of the levels above.
                    answer.StudyInstanceUID, answer.SeriesInstanceUID = study_uid, keys["SeriesInstanceUID"]
                    found.append(reference_of(answer))
        return tuple(found)

    def fetch(self, wanted: Sequence[InstanceReference], whole_series: bool, keep: Callable[[Any], None]) -> None:
        """Retrieve objects of one series, in the transfer syntax in which they are stored if possible.

        By C-MOVE if the address has a port for it, else by C-GET.
        """
        classes = [UID(uid) for uid in dict.fromkeys(item.class_uid for item in wanted) if uid] or list(_USUAL_CLASSES)
        failures: list[Exception] = []

        def receive(event: Any) -> int:
            try:
                dataset = event.dataset
                dataset.file_meta = event.file_meta
                keep(dataset)
            except Exception as error:  # raised in the thread of the association: kept for the caller
                failures.append(error)
                return 0xA700
            return _SUCCESS

        identifier = _identifier("SERIES" if whole_series else "IMAGE", _keys(wanted, whole_series))
        retrieve = self._get if self._address.move_port is None else self._move
        retrieve(identifier, classes, receive, failures)
        if failures:
            raise failures[0]

    def _get(
        self, identifier: Dataset, classes: Sequence[UID], receive: Callable[[Any], int], failures: Sequence[Exception]
    ) -> None:
        contexts = _contexts([(uid, syntax) for uid in classes for syntax in _SYNTAXES])
        model = StudyRootQueryRetrieveInformationModelGet
        roles = [build_role(uid, scp_role=True) for uid in classes]
        with self._association(
            [build_context(model), *contexts], roles=roles, handlers=[(evt.EVT_C_STORE, receive)]
        ) as association:
            if model not in {context.abstract_syntax for context in association.accepted_contexts}:
                raise self._no_context(association)
            for status, _ in association.send_c_get(identifier, model):
                if not failures:
                    self._require(status, "C-GET", fine=(0xFF00, _WARNING))

    def _move(
        self, identifier: Dataset, classes: Sequence[UID], receive: Callable[[Any], int], failures: Sequence[Exception]
    ) -> None:
        model, ours = StudyRootQueryRetrieveInformationModelMove, self._address.calling
        assert self._address.move_port is not None
        destination = move_destination(
            ours,
            self._address.move_port,
            self._address.called,
            [(uid, _SYNTAXES) for uid in classes],
            receive,
            timeout_s=self._timeout_s,
            tls=self._server_tls,
        )
        with destination, self._association([build_context(model)]) as association:
            for status, _ in association.send_c_move(identifier, ours, model):
                if not failures:
                    self._require(status, "C-MOVE", fine=(0xFF00, _WARNING))

    def store(self, objects: Sequence[OutgoingObject]) -> Iterator[tuple[OutgoingObject, str]]:
        """Store objects over one association; it proposes each class with each transfer syntax that occurs."""
        pairs = dict.fromkeys((UID(item.reference.class_uid), UID(item.syntax_uid)) for item in objects)
        with self._association(_contexts(list(pairs))) as association:
            for item in objects:
                yield item, self._store(association, item)

    def _store(self, association: Association, item: OutgoingObject) -> str:
        wanted = (item.reference.class_uid, item.syntax_uid)
        accepted = {(str(context.abstract_syntax), str(context.transfer_syntax[0]))
                    for context in association.accepted_contexts}  # fmt: skip
        if wanted not in accepted:
            return f"the PACS refuses {UID(wanted[0]).name} with the transfer syntax {UID(wanted[1]).name}"
        try:
            answer = association.send_c_store(dcmread(item.path))
        except RuntimeError:  # pynetdicom: the association has ended
            raise self._interrupted() from None
        except (ValueError, AttributeError):
            return "the file cannot be encoded as DICOM"
        if "Status" not in answer:
            raise self._interrupted()
        if answer.Status == _SUCCESS or answer.Status in _STORED_WITH_WARNING:
            return ""
        reason = " (out of resources)" if answer.Status in _OUT_OF_RESOURCES else ""
        return f"the PACS refused it with status 0x{answer.Status:04X}{reason}"

    def _finder(self) -> Any:
        return self._association([build_context(StudyRootQueryRetrieveInformationModelFind)])

    def _find(self, association: Association, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        model = StudyRootQueryRetrieveInformationModelFind
        for status, answer in association.send_c_find(_identifier(level, keys), model):
            self._require(status, "C-FIND", fine=(0xFF00, 0xFF01))
            if answer is not None:
                yield answer

    def _require(self, answer: Dataset, request: str, *, fine: Sequence[int] = ()) -> None:
        """Raise unless an answer is a success or one of these states."""
        instead = f"; {_MOVE_INSTEAD}" if request == "C-GET" else ""
        if "Status" not in answer:
            raise self._interrupted(instead)
        if answer.Status != _SUCCESS and answer.Status not in fine:
            raise PacsError(
                f"the PACS refused {request} with status 0x{answer.Status:04X}",
                where=str(self),
                cure=f"see the log of the PACS; it may not support this request for our title{instead}",
            )

    @contextmanager
    def _association(
        self, contexts: list[PresentationContext], *, roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Iterator[Association]:
        entity = AE(self._address.calling)
        entity.connection_timeout = entity.acse_timeout = self._timeout_s
        entity.dimse_timeout = entity.network_timeout = self._timeout_s
        opened: list[bool] = []
        association = entity.associate(
            self._address.host,
            self._address.port,
            contexts=contexts,
            ae_title=self._address.called,
            ext_neg=list(roles),
            tls_args=self._tls,
            evt_handlers=[*handlers, (evt.EVT_CONN_OPEN, lambda _event: opened.append(True))],
        )
        if not association.is_established:
            raise self._refusal(association, is_open=bool(opened))
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _refusal(self, association: Association, *, is_open: bool) -> PacsError:
        if association.is_rejected:
            return self._rejection(association)
        if association.rejected_contexts:
            return self._no_context(association)
        if not is_open:
            return unreachable(str(self), "no connection" if self._tls is None else "no connection, or TLS failed")
        return timed_out(str(self), self._timeout_s)

    def _rejection(self, association: Association) -> PacsError:
        answer = association.acceptor.primitive
        by_user = answer is not None and answer.result_source == _BY_USER
        reason = answer.diagnostic if answer is not None and by_user else None
        ours, theirs = self._address.calling, self._address.called
        what = {
            _CALLING_UNKNOWN: f"the PACS does not know our title {ours}",
            _CALLED_UNKNOWN: f"the PACS does not have the title {theirs}",
        }.get(reason or 0, f"the PACS rejects the association of {ours} with {theirs}")
        known = reason in (_CALLING_UNKNOWN, _CALLED_UNKNOWN)
        return PacsError(
            what,
            where=str(self),
            cure=f"enter {ours} with this machine's address in the PACS, or correct the titles in --server",
            # A full PACS rejects too; unknown titles stay unknown.
            code="pacs.title" if known else "pacs.rejected",
        )

    def _no_context(self, association: Association) -> PacsError:
        # The answer of the PACS has no transfer syntaxes: they are in the request.
        rejected = {item.context_id for item in association.rejected_contexts}
        refused = [
            f"{UID(str(item.abstract_syntax)).name} with {UID(str(item.transfer_syntax[0])).name}"
            for item in association.requestor.requested_contexts
            if item.context_id in rejected
        ]
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        return PacsError(
            f"the PACS refuses presentation contexts: {', '.join(refused[:_NAMED])}{more}",
            where=str(self),
            cure="allow this service and transfer syntax for our title in the PACS, use its DICOMweb address, or "
            "C-MOVE (&move=PORT)",
            code="pacs.presentation_context",
        )

    def _interrupted(self, more: str = "") -> PacsError:
        return PacsError(
            "the association ended before the answer",
            where=str(self),
            cure=f"run the command again: finished objects are skipped{more}",
            code="pacs.interrupted",
        )


def _contexts(pairs: Sequence[tuple[UID, UID]]) -> list[PresentationContext]:
    """Return a presentation context for each pair of SOP class and transfer syntax.

    One context per syntax: of a context with several, the PACS accepts one, and converts what it stores otherwise.
    """
    room = _MOST_CONTEXTS - 1
    if len(pairs) <= room:
        return [build_context(uid, syntax) for uid, syntax in pairs]
    classes = list(dict.fromkeys(uid for uid, _ in pairs))[:room]
    return [build_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for uid in classes]


def _identifier(level: str, keys: dict[str, Any]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    # Values with other letters than ASCII are sent as UTF-8.
    identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _keys(wanted: Sequence[InstanceReference], whole_series: bool) -> dict[str, Any]:
    keys: dict[str, Any] = {"StudyInstanceUID": wanted[0].study_uid, "SeriesInstanceUID": wanted[0].series_uid}
    return keys if whole_series else {**keys, "SOPInstanceUID": [item.sop_uid for item in wanted]}
