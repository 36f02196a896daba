"""The formats a study report is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from metseg.errors import UsageError
from metseg.registry import lookup
from metseg.reporting.study.html_writer import page_html
from metseg.reporting.study.page_parts import Page
from metseg.reporting.study.pdf_writer import DEFAULT_PAPER, PAPERS, Paper, page_pdf
from metseg.reporting.study.study_report import StudyReport
from metseg.reporting.study.study_text import study_page
from metseg.runtime.atomic_io import write_bytes

#: Packages of the extra `report`.
EXTRA = ("jinja2", "reportlab")

Writer = Callable[[Page, date, Paper], bytes]

#: Name of a format, which is also the suffix of its files, to its writer.
FORMATS: Mapping[str, Writer] = {
    "pdf": lambda page, made_on, paper: page_pdf(page, made_on, paper=paper),
    "html": lambda page, *_: page_html(page).encode(),
}


def write_report(
    report: StudyReport, stem: Path, formats: Sequence[str], *, paper: Paper = DEFAULT_PAPER
) -> list[Path]:
    """Write a report in one or more formats and return the files.

    Args:
        report: from `metseg.reporting.study.report_builder` or `metseg.reporting.study.from_disk`.
        stem: path of the files without their suffix.
        formats: names in `FORMATS`.
        paper: paper size, for formats with pages.
    Raises:
        UsageError: an unknown format, or a package that it needs is not installed.
        ResourceError: the disk is full.
    """
    return write_page(lambda: study_page(report), report.made_on, stem, formats, paper=paper)


def write_page(
    make_page: Callable[[], Page], made_on: date, stem: Path, formats: Sequence[str], *, paper: Paper = DEFAULT_PAPER
) -> list[Path]:
    """Write a page in one or more formats and return the files.

    Args:
        make_page: returns the whole text and its pictures; called after the formats are checked.
        made_on: date of the document.
        stem, formats, paper: as in `write_report`.
    Raises:
        UsageError, ResourceError: as in `write_report`.
    """
    writers = {name: lookup("report format", FORMATS, name) for name in formats}
    page, written = make_page(), []
    for name, write in writers.items():
        path = stem.with_name(f"{stem.name}.{name}")
        with needs_extra():
            write_bytes(path, write(page, made_on, paper))
        written.append(path)
    return written


@contextmanager
def needs_extra() -> Iterator[None]:
    """Name the extra in the error for a missing package.

    Raises:
        UsageError: ``usage.missing_extra``.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        _raise_if_extra(error)
        raise


def _raise_if_extra(error: ModuleNotFoundError) -> None:
    package = (error.name or "").partition(".")[0]
    if package in EXTRA:
        raise UsageError(
            f"reports are written with {package}, which is not installed",
            cure="pip install 'metseg[report]'",
            code="usage.missing_extra",
        ) from error


def check_request(formats: Sequence[str], *, paper: str) -> Paper:
    """Check formats and paper before anything is read, and return the paper.

    Raises:
        UsageError: an unknown format or paper.
    """
    for name in formats:
        lookup("report format", FORMATS, name)
    lookup("paper", PAPERS, paper)
    return "Letter" if paper == "Letter" else "A4"


def check_pseudonym(pseudonym: str | None, *, studies: int) -> None:
    """Raise an error for a pseudonym that would name several studies, or that is not a valid file name.

    Raises:
        UsageError: one of these.
    """
    if pseudonym is None:
        return
    where, code = "--pseudonym", "usage.pseudonym"
    if studies > 1:
        raise UsageError(
            "one pseudonym was given for several studies", where=where, cure="report them one by one", code=code
        )
    if not pseudonym.strip() or not pseudonym.isprintable() or set(pseudonym) & set("/\\") or pseudonym[0] == ".":
        raise UsageError(
            "not a valid pseudonym",
            where=where,
            expected="a valid file name",
            got=repr(pseudonym),
            code=code,
        )
