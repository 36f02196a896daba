"""Checks of `metseg doctor`: could the service start with its settings? They start and change nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from metseg.errors import MetsegError, ResourceError, UsageError
from metseg.registry import lookup
from metseg.serve.bind_address import bind, is_loopback
from metseg.serve.model_registry import USES, models
from metseg.serve.settings import SETTINGS_FILE, Settings, load_settings
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.database import Database
from metseg.serve.storage.database_check import check_database, newest_revision

PREFIX: Final = "METSEG_"
#: ``METSEG_*`` variables that are not settings of the service: of clients, released models, the PACS and pseudonyms.
OTHER_VARIABLES: Final = (
    "API_URL", "API_KEY", "MODELS_URL", "PACS_PASSWORD", "PACS_TOKEN", "PACS_USER", "PAGE_MEMORY_BYTES",
    "PSEUDONYM_KEY",
)  # fmt: skip
#: Prefix of the variables for tests.
_OF_TESTS: Final = f"{PREFIX}TEST_"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Args:
        name: name of the check.
        text: result in one line.
        error: why the service could not start or work; None if it could.
    """

    name: str
    text: str
    error: MetsegError | None = None


def examine() -> list[Finding]:
    """Run every check; if the settings are not valid, return only that finding."""
    try:
        settings = load_settings()
    except MetsegError as error:
        return [_wrong("settings", error)]
    return [_checked(name, check, settings) for name, check in CHECKS.items()]


def _checked(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, check(settings))
    except MetsegError as error:
        return _wrong(name, error)


def _wrong(name: str, error: MetsegError) -> Finding:
    return Finding(name, f"wrong: {error.one_line()}", error)


def _variables(settings: Settings) -> str:
    """Return the names of the settings in use; raise for unknown variables, which are likely misspelled."""
    known = dict.fromkeys(f"{PREFIX}{name.upper()}" for name in (*Settings.model_fields, *OTHER_VARIABLES))
    sources = sorted(name for name in os.environ if name.startswith(PREFIX) and not name.startswith(_OF_TESTS))
    for name in sources:
        lookup("setting", known, name)
    if (settings.home / SETTINGS_FILE).is_file():
        sources.append(SETTINGS_FILE)
    return f"{', '.join(sources) or 'nothing is set'}; defaults for the rest"


def _home(settings: Settings) -> str:
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResourceError(
            "the folder is not writable", where=there, cure="choose another METSEG_HOME", code="resources.system"
        )
    free = shutil.disk_usage(there).free
    if free < settings.disk_reserve_bytes:
        raise ResourceError(
            "free disk space is below the reserve for uploads",
            where=there,
            expected=f"{_gigabytes(settings.disk_reserve_bytes)} (disk_reserve_bytes)",
            got=_gigabytes(free),
            cure="delete files, or lower METSEG_DISK_RESERVE_BYTES",
            code="resources.disk",
        )
    if there != home:
        return f"{home}, will be created at the first start, {_gigabytes(free)} free"
    others = ", accessible to other accounts (restrict it with chmod 700)" if home.stat().st_mode & 0o077 else ""
    return f"{home}, {_gigabytes(free)} free{others}"


def _database(settings: Settings) -> str:
    kind, found = settings.records_url.get_backend_name(), check_database(settings)
    if found is None:
        return f"{kind}, empty: tables will be created at the first start"
    is_new = found == newest_revision()
    return f"{kind}, " + ("tables up to date" if is_new else "tables will be migrated at the next start")


def _keys(settings: Settings) -> str:
    if _has_key(settings):
        return "required for requests"
    if is_loopback(settings.host):
        return "none: every user of this machine has full access"
    raise UsageError(
        "the service needs an API key to listen on other addresses than localhost",
        where="METSEG_HOST",
        got=settings.host,
        cure="create a key with metseg serve keys add OWNER",
        code="usage.unguarded",
    )


def _has_key(settings: Settings) -> bool:
    if check_database(settings) is None:
        return False
    database = Database(settings)
    try:
        return Keys(database).any()
    finally:
        database.close()


def _models(settings: Settings) -> str:
    """Return the default models."""
    known = {model.name: model for model in models(settings)}
    for wanted in (settings.picture_model, settings.volume_model):
        if wanted is not None:
            lookup("model", known, wanted)
    if not known:
        return "none; install one with metseg models add"
    chosen = {use: next((name for name, model in known.items() if use in model.default_for), "none") for use in USES}
    return ", ".join(f"{use}: {name}" for use, name in chosen.items())


def _port(settings: Settings) -> str:
    try:
        bind(settings.host, settings.port).close()
    except OSError as error:
        return f"{settings.port} of {settings.host}: {error.strerror} (is the service already running?)"
    return f"{settings.port} of {settings.host}, free"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


#: Checks in the order in which a start would fail.
CHECKS: Final[Mapping[str, Callable[[Settings], str]]] = {
    "settings": _variables,
    "home": _home,
    "database": _database,
    "keys": _keys,
    "models": _models,
    "port": _port,
}
