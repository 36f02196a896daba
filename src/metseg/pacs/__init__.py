"""Talk to a PACS by DICOMweb or DIMSE: test, search, retrieve, store, and receive studies that it sends."""

from metseg.pacs.connection import connect
from metseg.pacs.retrieval import Retrieved, retrieve_study
from metseg.pacs.sending import SendReport, send_files
from metseg.pacs.server_address import parse_server
from metseg.pacs.study_records import Archive, InstanceReference, StudyQuery, StudyRecord

__all__ = [
    "Archive",
    "InstanceReference",
    "Retrieved",
    "SendReport",
    "StudyQuery",
    "StudyRecord",
    "connect",
    "parse_server",
    "retrieve_study",
    "send_files",
]
