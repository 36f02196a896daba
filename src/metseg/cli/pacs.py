"""``metseg pacs``: search a PACS, retrieve studies from it, send results to it, and receive studies."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.errors import UsageError
from metseg.message_text import pluralize
from metseg.pacs.server_address import DEFAULT_TIMEOUT_S, DEFAULT_TITLE

if TYPE_CHECKING:
    from metseg.pacs import Archive, SendReport, StudyRecord

app = typer.Typer(help="Search a PACS, fetch studies, send results.", no_args_is_help=True)

#: Characters of a line of the table of studies.
WIDTH = 100
#: Widths of its columns; the description gets the rest.
COLUMNS = {"date": 10, "modality": 12, "images": 6, "patient": 16, "accession": 16}
#: Exit status if some files could not be sent.
PARTIAL = 3

Server = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="URL",
        help="https://HOST/dicom-web (DICOMweb), or dimse://CALLED_AET@HOST:PORT?calling=AET.",
    ),
]
Authorities = Annotated[
    Path | None, typer.Option("--ca-file", help="Certificates of trusted authorities (PEM); defaults to the system's.")
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="Own certificate (PEM), for a PACS that requires one.")
]
Key = Annotated[Path | None, typer.Option("--key", help="Private key of the certificate (PEM).")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for each answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback()
def pacs() -> None:
    """Search a PACS, retrieve studies from it, and send results to it.

    Credentials of DICOMweb are read from METSEG_PACS_USER and METSEG_PACS_PASSWORD, or METSEG_PACS_TOKEN.
    """
    # They repeat wrong values of headers, which can be names.
    warnings.filterwarnings("ignore", module=r"pydicom\.")


@app.command()
def echo(
    server: Server,
    ca_file: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Test the connection to a PACS, with titles or credentials."""
    archive = _connect(server, ca_file, certificate, key, timeout)
    archive.echo()
    print(json.dumps({"server": str(archive), "answers": True}) if as_json else f"{archive} answers")


@app.command()
def find(
    server: Server,
    patient_id: Annotated[str, typer.Option("--patient-id", help="Id of the patient; * and ? are wildcards.")] = "",
    patient_name: Annotated[
        str, typer.Option("--patient-name", help="Family^Given as in DICOM; * and ? are wildcards.")
    ] = "",
    date: Annotated[
        str, typer.Option("--date", metavar="DATES", help="YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD.")
    ] = "",
    description: Annotated[
        str, typer.Option("--description", help="Of the study; * and ? are wildcards; case matters to many PACS.")
    ] = "",
    modality: Annotated[str, typer.Option("--modality", help="A modality that the study contains, such as MR.")] = "",
    accession: Annotated[str, typer.Option("--accession", help="Accession number.")] = "",
    ca_file: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List the studies of a PACS that match all given conditions.

    The table shows patient ids and descriptions: do not store it where others can read it.
    """
    from metseg.pacs import StudyQuery

    query = StudyQuery(patient_id, date, description, modality, accession, patient_name=patient_name)
    if not query.filters():
        raise UsageError(
            "no condition: this would list the whole PACS",
            cure="give --patient-id, --patient-name, --date, --description, --modality or --accession",
            code="usage.options",
        )
    found = _connect(server, ca_file, certificate, key, timeout).find_studies(query)
    if as_json:
        print(json.dumps({"studies": [_document(record) for record in found]}))
        return
    for line in study_table(found):
        print(line)


@app.command()
def get(
    study: Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study instance UID that metseg pacs find lists.")],
    server: Server,
    out: Annotated[Path, typer.Option("--out", help="Folder; the study goes to OUT/STUDY_UID.")],
    ca_file: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Retrieve a study into a folder that `metseg predict` reads. Skips objects that are there; safe to run again."""
    from metseg.pacs import retrieve_study

    done = retrieve_study(_connect(server, ca_file, certificate, key, timeout), study, out)
    if as_json:
        counts = {"expected": done.expected, "present": done.present, "written": done.written}
        print(json.dumps({"folder": str(done.folder), **counts}))
        return
    print(
        f"{pluralize(done.expected, 'object')} in {done.folder} ({done.written} retrieved, {done.present} were there)"
    )


@app.command()
def send(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files, or folders of them.")],
    server: Server,
    ca_file: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Store DICOM files in a PACS, such as those of `metseg export`. Skips objects that the PACS has.

    Exits with a status other than 0 if a file was not stored.
    """
    from metseg.pacs import send_files

    report = send_files(_connect(server, ca_file, certificate, key, timeout), files)
    if as_json:
        print(json.dumps(_sent(report)))
    else:
        print(f"{pluralize(len(report.stored), 'object')} stored, {len(report.present)} already there")
    for path, reason in report.failed:
        typer.echo(f"{path}: {reason}", err=True)
    if report.error is not None:
        raise report.error
    if report.failed:
        raise typer.Exit(PARTIAL)


@app.command()
def receive(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port to receive on; 0: a free one.")],
    folder: Annotated[Path, typer.Option("--folder", help="For received studies, results and the state; private.")],
    allow: Annotated[list[str], typer.Option("--allow", metavar="AET", help="Title that may send; can be repeated.")],
    rules: Annotated[Path, typer.Option("--rules", help="TOML file: which studies, with which model.")],
    server: Annotated[
        str, typer.Option("--server", metavar="URL", help="PACS for the results; a URL as of `metseg pacs send`.")
    ],
    aet: Annotated[str, typer.Option("--aet", help="Own title.")] = DEFAULT_TITLE,
    host: Annotated[str, typer.Option("--host", help="Address to bind; 0.0.0.0: reachable from others.")] = "127.0.0.1",
    service: Annotated[
        str | None, typer.Option("--service", help="URL of the service. (default: METSEG_API_URL, or this machine)")
    ] = None,
    quiet: Annotated[
        float, typer.Option("--quiet", min=0, help="Seconds without a new object after which a study is complete.")
    ] = 60.0,
    poll: Annotated[
        float, typer.Option("--poll", min=0, help="Seconds between two searches for recent studies; 0: no search.")
    ] = 0.0,
    poll_days: Annotated[int, typer.Option("--poll-days", min=0, help="Days that these searches go back.")] = 1,
    tls: Annotated[
        bool, typer.Option("--tls", help="Accept TLS only; needs --certificate. With --ca-file, senders need one too.")
    ] = False,
    ca_file: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Receive studies, have them processed by a service, and store the results in a PACS; until Ctrl-C.

    With --poll it also asks the PACS for recent studies that the rules name, and retrieves what did not arrive.

    Prints one JSON line per event, without names. After a restart it continues: each study is processed once, and each
    result is stored once. The service needs METSEG_DICOM_EXPORTS and METSEG_DICOM_IDENTITY=keep, and its key is read
    from METSEG_API_KEY.
    """
    from metseg.pacs.connection import connect, require_extra
    from metseg.pacs.routing_rules import read_rules
    from metseg.pacs.server_address import TlsFiles

    require_extra()
    from metseg.pacs.receiver_loop import run_receiver

    if tls and certificate is None:
        raise UsageError("--tls needs a certificate", cure="give --certificate and --key", code="usage.options")
    files = TlsFiles(ca_file, certificate, key)
    run_receiver(
        aet,
        port,
        folder,
        host=host,
        allowed=tuple(allow),
        rules=read_rules(rules),
        archive=connect(server, files, timeout_s=timeout),
        service=service,
        quiet_s=quiet,
        tls=files if tls else None,
        poll_s=poll,
        poll_days=poll_days,
    )


def study_table(records: tuple[StudyRecord, ...]) -> list[str]:
    """Return lines of at most `WIDTH` characters: two for each study, the second with its UID."""
    if not records:
        return ["no study found"]
    room = WIDTH - sum(COLUMNS.values()) - len(COLUMNS)
    lines = [_row([*COLUMNS, "description"], room)]
    for record in records:
        date = record.date
        shown = f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else date
        images = "" if record.instances is None else str(record.instances)
        modalities = ",".join(record.modalities)
        lines.append(_row([shown, modalities, images, record.patient_id, record.accession, record.description], room))
        lines.append(f"  {record.study_uid}")
    return [*lines, pluralize(len(records), "study", "studies")]


def _row(cells: list[str], room: int) -> str:
    widths = [*COLUMNS.values(), room]
    return " ".join(_fitted(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _fitted(text: str, width: int) -> str:
    # Control characters of a header would move the cursor of the terminal.
    plain = "".join(sign if sign.isprintable() else "?" for sign in text)
    return (plain if len(plain) <= width else f"{plain[: width - 1]}…").ljust(width)


def _document(record: StudyRecord) -> dict[str, object]:
    return {
        "study_uid": record.study_uid,
        "date": record.date,
        "patient_id": record.patient_id,
        "patient_name": record.patient_name,
        "description": record.description,
        "modalities": list(record.modalities),
        "accession": record.accession,
        "series": record.series,
        "instances": record.instances,
    }


def _sent(report: SendReport) -> dict[str, object]:
    return {
        "stored": [str(path) for path in report.stored],
        "present": [str(path) for path in report.present],
        "failed": [{"file": str(path), "reason": reason} for path, reason in report.failed],
    }


def _connect(server: str, ca_file: Path | None, certificate: Path | None, key: Path | None, timeout: float) -> Archive:
    from metseg.pacs import connect
    from metseg.pacs.server_address import TlsFiles

    return connect(server, TlsFiles(ca_file, certificate, key), timeout_s=timeout)
