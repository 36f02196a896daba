"""Settings of the service: ``metseg.toml`` in ``METSEG_HOME``, overridden by ``METSEG_*`` variables."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from metseg.errors import UsageError
from metseg.io.dicom.pseudonyms import KEY_VARIABLE
from metseg.model_terms import ACCEPTED_VARIABLE
from metseg.pacs.server_address import DEFAULT_TIMEOUT_S, parse_server
from metseg.schemas import LOCAL_NAMES

MEBIBYTE = 2**20
#: Name of the settings file in the home folder.
SETTINGS_FILE = "metseg.toml"

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
#: Names in `metseg.dicom_export.EXPORTS` with one object for each study.
DicomExport = Literal["seg", "seg-classes", "seg-probability", "rtstruct", "sr", "pdf"]


def default_home() -> Path:
    """Return the folder of data and bundles: ``METSEG_HOME``, else ``~/.metseg``."""
    return Path(os.environ.get("METSEG_HOME") or Path.home() / ".metseg")


class Settings(BaseSettings):
    """All settings with their defaults. Variables are called ``METSEG_`` and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="METSEG_", env_parse_none_str="none", frozen=True, extra="forbid")

    #: Folder of data and bundles. Workers on other machines must see the same folder.
    home: Path = Field(default_factory=default_home)
    #: Database, ``postgresql://...``; None: SQLite files in `home`, for one machine.
    database_url: SecretStr | None = None
    #: File with the database password, such as a container secret; None: the password of the URL, if any.
    database_password_file: Path | None = None

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    #: Addresses of proxies with trusted ``X-Forwarded-*`` headers.
    forwarded_allow_ips: str = "127.0.0.1"
    #: Accepted host names while no API key exists; others are rejected (DNS rebinding).
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = LOCAL_NAMES
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    #: Default models; None: the first suitable bundle.
    picture_model: str | None = None
    volume_model: str | None = None
    #: Names of models for non-commercial use only with terms that the operator accepts.
    accepted_models: Annotated[tuple[str, ...] | None, NoDecode] = None

    #: Limits of one upload.
    upload_max_bytes: Count = 2048 * MEBIBYTE
    upload_max_files: Count = 5000
    upload_deadline_s: Seconds = 900.0
    upload_idle_s: Seconds = 30.0
    #: Maximum number of concurrent uploads; further ones get status 503.
    uploads_at_once: Count = 16
    #: Maximum number of unfinished studies; further ones get status 503.
    queue_limit: Count = 100
    #: Maximum number of requests of one API key in a minute, counted by each API process; further ones get status 429.
    key_requests_per_minute: Count = 1200
    #: Maximum number of unfinished studies of the owner of an API key; further ones get status 429.
    key_queue_limit: Count = 50
    #: Value of ``Retry-After`` in seconds.
    retry_after_s: Count = 10
    #: Disk space in bytes that must stay free.
    disk_reserve_bytes: Count = 512 * MEBIBYTE

    #: `POST /predict/`: maximum size of the picture, deadline of the answer, maximum number of waiting requests.
    predict_max_bytes: Count = 64 * MEBIBYTE
    predict_deadline_s: Seconds = 30.0
    predict_queue: Count = 8
    predict_threads: Count | None = None
    predict_memory_bytes: Count = 4096 * MEBIBYTE
    #: Maximum number of loaded models in the process of `/predict/`.
    predict_models_kept: Count = 2

    #: Name of a worker, stable over restarts; None: name of the machine. Workers on one machine need different names.
    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    worker_threads: Count | None = None
    worker_memory_bytes: Count | None = None
    worker_nice: Annotated[int, Field(ge=0, le=19)] = 10
    worker_models_kept: Count = 2
    #: Seconds between two checks for waiting studies.
    poll_s: Seconds = 0.5
    heartbeat_s: Seconds = 5.0
    #: A worker without a heartbeat for so long counts as dead; other workers resume its studies.
    dead_after_s: Seconds = 30.0
    #: A study that takes longer fails with `resources.time`.
    study_deadline_s: Seconds = 3600.0

    #: PACS that operators can search: name to address, as for ``metseg pacs find --server``.
    pacs: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")], str] = {}
    #: Files for TLS with these PACS: certificates of trusted authorities, own certificate, its private key (PEM).
    pacs_ca_file: Path | None = None
    pacs_certificate: Path | None = None
    pacs_key: Path | None = None
    #: Seconds to wait for each answer of a PACS.
    pacs_timeout_s: Seconds = DEFAULT_TIMEOUT_S

    #: Folder of a receiver of this machine (``metseg pacs receive --folder``), for objects that arrive by STOW-RS;
    #: None: they are refused.
    receiver_folder: Path | None = None

    #: DICOM objects that DICOM studies get beside the other results; needs the extra ``dicom``.
    dicom_exports: Annotated[tuple[DicomExport, ...], NoDecode] = ()
    #: Whom these objects name: a pseudonym, or (``keep``) the patient of the upload, for the archive it came from.
    dicom_identity: Literal["pseudonym", "keep"] = "pseudonym"

    #: Days after which finished studies are deleted; None (as a variable: ``none``): never.
    retention_days: Annotated[float, Field(gt=0)] | None = 30.0
    #: Delete uploaded files when a study is finished.
    discard_inputs: bool = True
    #: Without `discard_inputs`: replace the uploads of ended studies by copies of their DICOM images, de-identified by
    #: the basic profile of PS3.15, and remove all others; needs ``METSEG_PSEUDONYM_KEY``.
    deidentify_inputs: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(init_settings().get("home") or default_home())
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / SETTINGS_FILE)

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _separated(cls, hosts: object) -> object:
        """Split comma-separated names of a variable."""
        return tuple(host.strip().lower() for host in hosts.split(",")) if isinstance(hosts, str) else hosts

    @field_validator("accepted_models", "dicom_exports", mode="before")
    @classmethod
    def _listed(cls, names: object) -> object:
        """Split comma-separated names of a variable."""
        return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names

    @field_validator("pacs")
    @classmethod
    def _known_addresses(cls, pacs: dict[str, str]) -> dict[str, str]:
        for name, address in pacs.items():
            try:
                parse_server(address)
            except UsageError as error:  # its message has no part of the address
                raise ValueError(f"{name}: {error.what}; expected {error.expected}") from None
        return pacs

    @field_validator("home", "receiver_folder")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        return None if folder is None else folder.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        try:
            backend = make_url(url.get_secret_value()).get_backend_name()
        except ArgumentError:
            raise ValueError("not a database URL") from None
        if backend not in ("sqlite", "postgresql"):
            raise ValueError(f"'{backend}' is neither sqlite nor postgresql")
        return url

    @field_validator("database_password_file")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        if path is not None and not os.access(path, os.R_OK):
            raise ValueError("the file does not exist or is not readable")
        return path

    @model_validator(mode="after")
    def _copies_are_pseudonymous(self) -> Self:
        if self.deidentify_inputs and self.discard_inputs:
            raise ValueError("deidentify_inputs needs discard_inputs=false; otherwise no upload is kept")
        if self.deidentify_inputs and not os.environ.get(KEY_VARIABLE):
            raise ValueError(f"deidentify_inputs needs a secret key in {KEY_VARIABLE}")
        return self

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.dead_after_s < 3 * self.heartbeat_s:
            raise ValueError(
                "dead_after_s must be at least three times heartbeat_s; otherwise healthy workers count as dead"
            )
        return self

    @property
    def records_url(self) -> URL:
        """Return the URL of the service's tables."""
        return self._url("service.sqlite")

    @property
    def jobs_url(self) -> URL:
        """Return the URL of the workflows: the same PostgreSQL database, or a separate SQLite file."""
        return self._url("jobs.sqlite")

    def _url(self, sqlite_file: str) -> URL:
        if self.database_url is None:
            return URL.create("sqlite", database=str(self.home / sqlite_file))
        url = make_url(self.database_url.get_secret_value())
        if url.get_backend_name() == "sqlite":
            folder = Path(url.database or "").absolute().parent
            return url if sqlite_file == "service.sqlite" else url.set(database=str(folder / sqlite_file))
        return url.set(drivername="postgresql+psycopg", password=self._database_password())

    def _database_password(self) -> str | None:
        """Return the password from the file; None: use the one of the URL, if any."""
        path = self.database_password_file
        return None if path is None else path.read_text("utf-8").strip()


def load_settings(**changes: Any) -> Settings:
    """Return the settings from variables and file; ``changes`` override them.

    Raises:
        UsageError: an unknown setting or an invalid value; the message does not quote the value.
    """
    try:
        return Settings(**changes)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not a valid TOML file", where=SETTINGS_FILE, got=error, code="usage.settings") from None
    except SettingsError as error:  # a variable with a table that is no JSON
        raise UsageError(
            "a variable is not valid JSON",
            where="the settings",
            expected='such as METSEG_PACS=\'{"archive": "https://pacs.example.org/dicom-web"}\'',
            got=str(error).partition(" from source")[0],
            code="usage.settings",
        ) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(
            first["msg"],
            where=f"setting {name}" if name else "the settings",
            cure=f"correct METSEG_{name.upper()} or {SETTINGS_FILE}" if name else f"correct {SETTINGS_FILE}",
            code="usage.settings",
        ) from None


def share_settings(settings: Settings) -> None:
    """Put the settings on models into the environment, where lower layers and child processes look for them."""
    os.environ["METSEG_HOME"] = str(settings.home)  # bundles are searched there
    if settings.accepted_models is not None:
        os.environ[ACCEPTED_VARIABLE] = ",".join(settings.accepted_models)
