"""What the page is told when it is started: where the API is, and what only the layers above it know."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from metseg.schemas import LOCAL_NAMES

DEFAULT_API_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class SequenceFromName:
    """What the name of a file tells of its sequence.

    Args:
        sequence: None where the name does not say it plainly.
        reason: why.
        is_doubtful: whether the name speaks of a sequence without saying plainly which.
    """

    sequence: str | None = None
    reason: str = ""
    is_doubtful: bool = False


#: From the names of a study's files, without their endings, to what each tells of the sequence.
ReadNames = Callable[[Sequence[str]], Sequence[SequenceFromName]]
#: From the records of preprocessing, as in ``lesions.json``, to a sentence for each.
Describe = Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]


def read_no_names(stems: Sequence[str]) -> Sequence[SequenceFromName]:
    """Take no sequence from names: the user says which it is."""
    return [SequenceFromName()] * len(stems)


def name_steps(records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the names of the steps, for want of sentences.

    >>> name_steps([{"step": "zscore", "scope": "case"}])
    ('Step: zscore.',)
    """
    return tuple(f"Step: {record.get('step', 'unknown')}." for record in records)


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Args:
        api_url: of the service.
        api_key: sent with every call; None: none is needed, or each user gives one.
        allowed_hosts: names by which the page may be called while the service asks for no key.
        poll_s: how often a study that is worked on is looked at.
        read_names: sequences from file names; names never leave the page's process.
        describe: of preprocessing in sentences.
        transport: stands between the page and the network; None: the network itself.
    """

    api_url: str = DEFAULT_API_URL
    api_key: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = LOCAL_NAMES
    poll_s: float = 1.0
    read_names: ReadNames = read_no_names
    describe: Describe = name_steps
    transport: httpx.BaseTransport | None = field(default=None, repr=False)


def settings_from_environment(**changes: Any) -> PageSettings:
    """Return settings of ``METSEG_API_URL``, ``METSEG_API_KEY``, ``METSEG_ALLOWED_HOSTS``, but for those given here."""
    found: dict[str, Any] = {
        "api_url": os.environ.get("METSEG_API_URL") or DEFAULT_API_URL,
        "api_key": os.environ.get("METSEG_API_KEY") or None,
    }
    named = os.environ.get("METSEG_ALLOWED_HOSTS")
    if named:
        found["allowed_hosts"] = tuple(host.strip().lower() for host in named.split(","))
    return PageSettings(**{**found, **changes})


_chosen: PageSettings | None = None


def use(settings: PageSettings | None) -> None:
    """Have every session from now on use these settings; None: those of the environment."""
    global _chosen
    _chosen = settings


def current() -> PageSettings:
    """Return the settings in use."""
    return _chosen or settings_from_environment()
