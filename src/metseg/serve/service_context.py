"""Dependencies of the routes, created once per application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from metseg.serve.dicomweb_store import DicomwebStore
from metseg.serve.follow_up.follow_up_service import FollowUps
from metseg.serve.http.rate_limit import RateLimiter
from metseg.serve.http.uploads import Limits
from metseg.serve.pacs_access import PacsAccess
from metseg.serve.prometheus_metrics import ServiceMetrics
from metseg.serve.settings import Settings
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.follow_up_repository import FollowUpRows
from metseg.serve.storage.retention import Sweeper
from metseg.serve.storage.study_service import Studies, busy
from metseg.serve.storage.version_repository import Versions
from metseg.serve.storage.worker_registry import Workers
from metseg.serve.sync_predict.client import SyncPredictor
from metseg.serve.versions.version_service import Corrections

#: Corrections that one API process computes at the same time: each holds the maps of a study, up to a gigabyte.
CORRECTIONS_AT_ONCE: Final = 2
#: Follow-ups that one API process computes at the same time: each holds mask and image of every examination.
FOLLOW_UPS_AT_ONCE: Final = 2
#: Largest body of a request with edits.
EDITS_MAX_BYTES: Final = 256 * 1024


@dataclass
class Gate:
    """Limits the number of concurrent requests of a kind. Used only on the event loop, so it needs no lock.

    Args:
        settings: settings of the service.
        limit: largest number.
        what: kind of the requests, in the plural.
        inside: present number.
    """

    settings: Settings
    limit: int
    what: str = "uploads"
    inside: int = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count one request.

        Raises:
            Refused: ``service.busy``.
        """
        if self.inside >= self.limit:
            raise busy(self.settings, f"there are too many {self.what} at the same time")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@dataclass
class Service:
    """The open components of the service.

    Args:
        settings: settings of the service.
        database: the open database.
    """

    settings: Settings
    database: Database
    folders: Folders = field(init=False)
    studies: Studies = field(init=False)
    keys: Keys = field(init=False)
    workers: Workers = field(init=False)
    sweeper: Sweeper = field(init=False)
    instant: SyncPredictor = field(init=False)
    versions: Versions = field(init=False)
    corrections: Corrections = field(init=False)
    follow_ups: FollowUps = field(init=False)
    pacs: PacsAccess = field(init=False)
    stow: DicomwebStore = field(init=False)
    gate: Gate = field(init=False)
    correcting: Gate = field(init=False)
    following: Gate = field(init=False)
    rates: RateLimiter = field(init=False)
    measures: ServiceMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.folders = Folders(self.settings.home)
        self.studies = Studies(self.database, self.settings)
        self.keys = Keys(self.database)
        self.workers = Workers(self.database, self.settings)
        self.sweeper = Sweeper(self.database, self.settings)
        self.instant = SyncPredictor(self.settings)
        self.versions = Versions(self.database, self.settings)
        self.corrections = Corrections(self.studies, self.versions, self.correction_limits)
        rows = FollowUpRows(self.database, self.settings)
        self.follow_ups = FollowUps(self.studies, self.versions, rows, self.study_limits)
        self.pacs = PacsAccess(self.settings, self.studies, self.versions, self.study_limits)
        self.stow = DicomwebStore(self.settings, self.studies)
        self.gate = Gate(self.settings, self.settings.uploads_at_once)
        self.correcting = Gate(self.settings, CORRECTIONS_AT_ONCE, "corrections")
        self.following = Gate(self.settings, FOLLOW_UPS_AT_ONCE, "follow-ups")
        self.rates = RateLimiter(self.settings.key_requests_per_minute)
        self.measures = ServiceMetrics(self.studies, self.workers, self.gate)

    @property
    def study_limits(self) -> Limits:
        chosen = self.settings
        return Limits(
            chosen.upload_max_bytes,
            chosen.upload_max_files,
            chosen.upload_deadline_s,
            chosen.upload_idle_s,
            chosen.disk_reserve_bytes,
        )

    @property
    def picture_limits(self) -> Limits:
        chosen = self.settings
        return Limits(
            chosen.predict_max_bytes, 1, chosen.upload_deadline_s, chosen.upload_idle_s, chosen.disk_reserve_bytes
        )

    @property
    def correction_limits(self) -> Limits:
        """Return the limits of an uploaded mask."""
        return replace(self.study_limits, max_files=1)

    @property
    def edit_limits(self) -> Limits:
        """Return the limits of a list of edits."""
        return replace(self.study_limits, max_bytes=EDITS_MAX_BYTES, max_files=0)

    def start(self) -> None:
        """Start the background threads and the predict process."""
        self.sweeper.start()
        self.instant.start()

    def stop(self) -> None:
        self.instant.stop()
        self.sweeper.stop()
        self.stow.close()
        self.database.close()


def open_service(settings: Settings) -> Service:
    """Create the folders, migrate the tables and return the service.

    Raises:
        ResourceError: ``resources.database``.
    """
    Folders(settings.home).make()
    return Service(settings, open_database(settings))
