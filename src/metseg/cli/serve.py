"""``metseg serve``: the API, its keys and its audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metseg.errors import InputError, MetsegError, UsageError

if TYPE_CHECKING:
    import socket

    from metseg.serve.settings import Settings
    from metseg.serve.storage.database import Database
    from metseg.serve.storage.db_models import KeyRecord

app = typer.Typer(help="Serve pictures and studies over HTTP.")
keys = typer.Typer(help="Manage API keys: each has an owner and scopes.", no_args_is_help=True)
app.add_typer(keys, name="keys")

#: Connections that the operating system queues before they are accepted.
_BACKLOG = 2048
#: Seconds that uploads and responses in progress may still take at shutdown.
_GRACE_S = 30

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; other than localhost requires a key.")
    ] = None,
) -> None:
    """Serve the API. Settings come from METSEG_* variables or metseg.toml; see docs/service.md."""
    if context.invoked_subcommand is not None:
        return
    from metseg.serve.app import create_app
    from metseg.serve.bind_address import listen
    from metseg.serve.log_redaction import configure_logs

    given = {name: value for name, value in (("port", port), ("host", host)) if value is not None}
    settings = _settings(**given)
    configure_logs(settings.log_level)
    _require_key_beyond_loopback(settings)
    listener = listen(settings.host, settings.port, backlog=_BACKLOG)
    _run(create_app(settings), settings, listener)


@keys.command("add")
def add_key(
    owner: Annotated[
        str, typer.Argument(help="Owner of the studies that the key gives access to: one word, not a patient's name.")
    ],
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="NAME",
            help="Scope of the key: predict, read, write, metrics, operate (accept the terms of models, "
            "reach a PACS) or store (send images to the receiver); can be repeated.",
        ),
    ] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Days until the key expires.")] = None,
    as_json: Json = False,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    from metseg.serve.storage.api_keys import DEFAULT_SCOPES, Keys

    key = Keys(_database()).add(owner, scopes or DEFAULT_SCOPES, days=days)
    print(json.dumps({"key": key, "owner": owner}) if as_json else key)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys, without their secrets: these are not stored."""
    from metseg.serve.storage.api_keys import Keys

    records = Keys(_database()).all()
    if as_json:
        print(json.dumps([_public_facts(record) for record in records]))
        return
    for key in records:
        until = f"until {key.expires_at.isoformat() if key.expires_at else 'revoked'}"
        end = f"revoked {key.revoked_at.isoformat()}" if key.revoked_at else until
        print(f"{key.id}\t{key.owner}\t{','.join(key.scopes)}\t{end}")
    if not records:
        print("no keys: the service accepts requests from this machine only, from any user")


def _public_facts(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "owner": record.owner,
        "scopes": record.scopes,
        "created_at": record.created_at.isoformat(),
        "expires_at": record.expires_at and record.expires_at.isoformat(),
        "revoked_at": record.revoked_at and record.revoked_at.isoformat(),
    }


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id of the key, from `metseg serve keys list`.")], as_json: Json = False
) -> None:
    """Revoke a key permanently."""
    from metseg.serve.storage.api_keys import Keys

    Keys(_database()).revoke(key_id)
    print(json.dumps({"id": key_id, "revoked": True}) if as_json else f"{key_id} revoked")


@app.command("audit")
def check_audit(
    head: Annotated[
        str | None,
        typer.Option(
            "--contains", help="Head that this command printed earlier; checks that the log still contains it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the audit log's chain and print its head; keep the head elsewhere to detect later truncation."""
    from metseg.serve.storage import audit

    database = _database()
    verdict = audit.verify(database)
    if verdict.broken_at is not None:
        raise InputError("the audit log was changed", where=f"entry {verdict.broken_at}", code="audit.broken")
    if head is not None and not audit.contains(database, head):
        raise InputError("the audit log was truncated or rewritten", got=f"no entry {head}", code="audit.broken")
    facts = {"entries": verdict.entries, "head": verdict.head}
    print(json.dumps(facts) if as_json else f"{verdict.entries} entries in order, head {verdict.head}")


def _settings(**given: object) -> Settings:
    from metseg.serve.settings import load_settings, share_settings
    from metseg.serve.storage.folders import keep_files_private

    keep_files_private()
    settings = load_settings(**given)
    share_settings(settings)
    return settings


def _database() -> Database:
    from metseg.serve.storage.database import open_database
    from metseg.serve.storage.folders import Folders

    settings = _settings()
    Folders(settings.home).make()
    return open_database(settings)


def _require_key_beyond_loopback(settings: Settings) -> None:
    """Refuse to listen beyond localhost while no API key exists."""
    from metseg.serve.bind_address import is_loopback
    from metseg.serve.storage.api_keys import Keys
    from metseg.serve.storage.database import open_database
    from metseg.serve.storage.folders import Folders

    if is_loopback(settings.host):
        return
    Folders(settings.home).make()
    database = open_database(settings)
    guarded = Keys(database).any()
    database.close()
    if not guarded:
        raise UsageError(
            "without an API key, the service can listen on localhost only",
            where="--host",
            got=settings.host,
            cure="create a key with metseg serve keys add OWNER",
            code="usage.unguarded",
        )


def _run(application: Any, settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from metseg.runtime.http_protocol import TimedHttpProtocol

    host, port = listener.getsockname()[:2]
    print(f"metseg serves on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    config = uvicorn.Config(
        application,
        http=TimedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        raise MetsegError("the service could not start", cure="see the log lines above", code="service.start")
