"""Settings of the page: the address of the API, and functions that higher layers provide."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from metseg.client.service_api import DEFAULT_API_URL, key_from_environment, url_from_environment
from metseg.schemas import LOCAL_NAMES


@dataclass(frozen=True)
class SequenceFromName:
    """The sequence that a file name indicates.

    Args:
        sequence: the sequence; None if the name is not clear.
        reason: explanation for the user.
        is_doubtful: whether the name mentions sequences but is ambiguous.
    """

    sequence: str | None = None
    reason: str = ""
    is_doubtful: bool = False


#: Maps the file names of a study, without extensions, to the sequence that each indicates.
ReadNames = Callable[[Sequence[str]], Sequence[SequenceFromName]]


@dataclass(frozen=True)
class SeriesFromHeader:
    """A DICOM series, as its header describes it.

    Args:
        label: the scanner's number of the series.
        description: its description, without words that may name a patient.
        images: number of its images.
        sequence: the sequence that the service will take it for; None: none.
        reason: explanation for the user.
    """

    label: str
    description: str
    images: int
    sequence: str | None
    reason: str


#: Lists the series in DICOM files or archives, given by their content; empty if they cannot be read.
ListSeries = Callable[[Sequence[bytes]], Sequence[SeriesFromHeader]]
#: Maps the preprocessing records of ``lesions.json`` to one sentence each.
Describe = Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]


def read_no_names(stems: Sequence[str]) -> Sequence[SequenceFromName]:
    """Take no sequences from names: the user chooses them."""
    return [SequenceFromName()] * len(stems)


def list_no_series(contents: Sequence[bytes]) -> Sequence[SeriesFromHeader]:  # noqa: ARG001
    """List no series: the user enters their numbers."""
    return ()


def name_steps(records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the names of the steps: the fallback where no function describes them.

    >>> name_steps([{"step": "zscore", "scope": "case"}])
    ('Step: zscore.',)
    """
    return tuple(f"Step: {record.get('step', 'unknown')}." for record in records)


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Args:
        api_url: address of the service.
        api_key: sent with every request; None: no key is needed, or each user enters one.
        allowed_hosts: host names under which the page may be opened while the service requires no key.
        poll_s: seconds between two requests for the progress of a study.
        read_names: reads sequences from file names, which never leave the page's process.
        describe: describes preprocessing in sentences.
        list_series: lists DICOM series, from headers that the page's process reads itself.
        transport: HTTP transport, for tests; None: the network.
    """

    api_url: str = DEFAULT_API_URL
    api_key: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = LOCAL_NAMES
    poll_s: float = 1.0
    read_names: ReadNames = read_no_names
    describe: Describe = name_steps
    list_series: ListSeries = list_no_series
    transport: httpx.BaseTransport | None = field(default=None, repr=False)


def settings_from_environment(**changes: Any) -> PageSettings:
    """Read ``METSEG_API_URL``, ``METSEG_API_KEY`` and ``METSEG_ALLOWED_HOSTS``; ``changes`` override them."""
    found: dict[str, Any] = {
        "api_url": url_from_environment(),
        "api_key": key_from_environment(),
    }
    named = os.environ.get("METSEG_ALLOWED_HOSTS")
    if named:
        found["allowed_hosts"] = tuple(host.strip().lower() for host in named.split(","))
    return PageSettings(**{**found, **changes})


_chosen: PageSettings | None = None


def use(settings: PageSettings | None) -> None:
    """Set the settings for all sessions from now on; None: those of the environment."""
    global _chosen
    _chosen = settings


def current() -> PageSettings:
    """Return the settings in use."""
    return _chosen or settings_from_environment()
