"""What the API and its child say to each other, over a pipe that nobody else has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metseg.schemas import Failure


class Form(StrEnum):
    """What is wanted back."""

    JSON = "json"
    MASK = "mask"
    OVERLAY = "overlay"


@dataclass(frozen=True)
class Ask:
    """A picture to segment.

    Args:
        path: where it lies.
        model: name of the bundle.
        form: what is wanted back.
    """

    path: str
    model: str
    form: Form


@dataclass(frozen=True)
class Ready:
    """The child has started; what it had to load is loaded."""


@dataclass(frozen=True)
class Result:
    """The answer, as it is sent on.

    Args:
        body: JSON or PNG.
        elapsed_s: how long it took.
    """

    body: bytes
    elapsed_s: float


@dataclass(frozen=True)
class Refusal:
    """The picture or the model cannot be used.

    Args:
        failure: why, without paths.
        status: of the problem document.
    """

    failure: Failure
    status: int


Reply = Ready | Result | Refusal
