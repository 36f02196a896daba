"""Messages between the API and its child process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metseg.schemas import Failure


class Form(StrEnum):
    """Format of the response."""

    JSON = "json"
    MASK = "mask"
    OVERLAY = "overlay"
    PROBABILITY = "probability"


@dataclass(frozen=True)
class Ask:
    """A picture to segment.

    Args:
        path: path of the picture.
        model: name of the bundle.
        form: format of the response.
        probabilities: add the probabilities to the JSON.
        model_reason: why the model was chosen; empty if the request named it.
    """

    path: str
    model: str
    form: Form
    probabilities: bool = False
    model_reason: str = ""


@dataclass(frozen=True)
class Ready:
    """The child has started and loaded its first model."""


@dataclass(frozen=True)
class Result:
    """The body of the response.

    Args:
        body: JSON or PNG.
        elapsed_s: duration in seconds.
    """

    body: bytes
    elapsed_s: float


@dataclass(frozen=True)
class Refusal:
    """The picture or the model cannot be used.

    Args:
        failure: the reason, without paths.
        status: status of the problem document.
    """

    failure: Failure
    status: int


Reply = Ready | Result | Refusal
