"""Labels of the page: phases, states, kinds, sequences, sizes and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from metseg.schemas import Kind, Phase, State
from metseg.sequence_titles import SEQUENCE_TITLES

PHASES: Final[Mapping[Phase, str]] = {
    Phase.RECEIVE: "Receive the files",
    Phase.READ: "Read the images",
    Phase.PREPROCESS: "Prepare the images",
    Phase.PREDICT: "Look for lesions",
    Phase.MEASURE: "Measure the lesions",
    Phase.RENDER: "Write the report",
}

STATES: Final[Mapping[State, str]] = {
    State.QUEUED: "waiting",
    State.RUNNING: "being analysed",
    State.DONE: "done",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}

#: Icons of states in lists, from Streamlit's icon font.
STATE_ICONS: Final[Mapping[State, str]] = {
    State.QUEUED: ":material/hourglass_empty:",
    State.RUNNING: ":material/progress_activity:",
    State.DONE: ":material/check_circle:",
    State.FAILED: ":material/error:",
    State.CANCELLED: ":material/cancel:",
}

KINDS: Final[Mapping[Kind, str]] = {
    Kind.PICTURE: "pictures",
    Kind.NIFTI: "volume",
    Kind.DICOM: "DICOM",
    Kind.ARCHIVE: "DICOM",
}

#: Channels of colour pictures, in order.
_CHANNELS: Final = ("red", "green", "blue")
_STEP: Final = 1024
_MINUTE, _HOUR = 60, 3600
#: metseg's name of a sequence in a sentence; not as part of a file name.
_SEQUENCE: Final = re.compile(r"(?<![\w./-])(?:t1n|t1c|t2w|t2f)(?![\w/-]|\.\w)")
#: Escapes the characters that Markdown interprets.
_MARKDOWN: Final = str.maketrans({sign: f"\\{sign}" for sign in r"\`*_{}[]<>()#+-.!|~$:"})


def with_sequence_names(text: str) -> str:
    """Return a message of the service with the labels of sequences in place of metseg's names.

    >>> with_sequence_names("it was taken for t2f; file 2 (t1c), t1c.nii")
    'it was taken for FLAIR; file 2 (T1 with contrast), t1c.nii'
    """
    return _SEQUENCE.sub(lambda match: SEQUENCE_TITLES[match[0]], text)


def warning_words(text: str) -> str:
    """Return a warning of the service as a sentence.

    >>> warning_words("t2f was moved by 1.2 mm to fit t1c")
    'FLAIR was moved by 1.2 mm to fit T1 with contrast.'
    """
    found = with_sequence_names(text.strip())
    return f"{found[:1].upper()}{found[1:]}" + ("" if found.endswith((".", "!", "?")) else ".")


def size_words(size: float) -> str:
    """Return a number of bytes with a unit.

    >>> size_words(812), size_words(20480), size_words(9437184)
    ('812 bytes', '20 KB', '9.0 MB')
    """
    if size < _STEP:
        return f"{size:.0f} bytes"
    if size < _STEP**2:
        return f"{size / _STEP:.0f} KB"
    return f"{size / _STEP**2:.1f} MB" if size < _STEP**3 else f"{size / _STEP**3:.1f} GB"


def duration_words(seconds: float) -> str:
    """Return a duration in seconds as a text.

    >>> duration_words(8.2), duration_words(75), duration_words(7260)
    ('8 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(round(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago a moment was: in minutes, in hours below 48 hours, else in days.

    >>> ago(datetime(2025, 3, 14, 9, 0, tzinfo=UTC), datetime(2025, 3, 14, 9, 20, tzinfo=UTC))
    '20 min ago'
    """
    seconds = ((now or datetime.now(UTC)) - _with_zone(moment)).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min ago"
    hours = int(seconds // _HOUR)
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def moment_words(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as date, time and time zone.

    >>> moment_words(datetime(2026, 3, 1, 9, 5, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    '1 March 2026, 10:05 CET'
    """
    local = _with_zone(moment).astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M %Z}"


def browser_zone() -> tzinfo:
    """Return the time zone of the browser; UTC if it is not known."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def plain(text: str) -> str:
    """Escape a text for Markdown.

    >>> plain("a*b [x](http://y)")
    'a\\\\*b \\\\[x\\\\]\\\\(http\\\\://y\\\\)'
    """
    return " ".join(text.split()).translate(_MARKDOWN)


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def source_name(source: str) -> str:
    """Return the source of an image as a text; files are numbered in the order of the upload.

    >>> [source_name(text) for text in ("file 1", "file 2", "file 11", "file 22", "series 5")]
    ['the 1st file uploaded', 'the 2nd file uploaded', 'the 11th file uploaded', 'the 22nd file uploaded', 'series 5']
    >>> source_name("channel 1 of the pictures")
    'the green channel of the pictures'
    """
    channel = re.fullmatch(r"channel ([012]) of the pictures", source)
    if channel is not None:
        return f"the {_CHANNELS[int(channel[1])]} channel of the pictures"
    match = re.fullmatch(r"file (\d+)", source)
    return source if match is None else f"the {_ordinal(int(match[1]))} file uploaded"


def reason_words(reason: str) -> str:
    """Return why an image was read as its sequence, in words for users of the page.

    >>> reason_words("the form declares it (t2f), and its name says t2w")
    'chosen at the upload, and its name says T2'
    >>> reason_words("the recipe names the channels in this order")
    'the model expects the channels in this order'
    """
    chosen = re.sub(r"^the form declares it \([a-z0-9]+\)", "chosen at the upload", reason)
    return with_sequence_names(chosen.replace("the recipe names", "the model expects"))


def finding_words(count: int) -> str:
    """Return a number of findings: lesions and specks together, which the headline counts apart.

    >>> finding_words(1), finding_words(30)
    ('1 finding', '30 findings')
    """
    return "1 finding" if count == 1 else f"{count} findings"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"
