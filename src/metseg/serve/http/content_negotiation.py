"""Choose the format of a response by the ``Accept`` header."""

from __future__ import annotations

from typing import Final

from metseg.serve.http.problem_details import Refused
from metseg.serve.sync_predict.messages import Form

#: Media types with the parameter ``view``, and their formats. Among equal qualities, the first wins.
_OFFERS: Final = (
    ("application/json", "", Form.JSON),
    ("image/png", "mask", Form.MASK),
    ("image/png", "overlay", Form.OVERLAY),
    ("image/png", "probability", Form.PROBABILITY),
)
_VIEW: Final = "view"


def negotiate(accept: str | None) -> Form:
    """Return the format that the client prefers.

    Args:
        accept: value of the header; None or empty: any format.
    Raises:
        Refused: ``request.not_acceptable``.

    >>> negotiate(None), negotiate("image/png"), negotiate("text/html, image/png; view=overlay; q=0.5")
    (<Form.JSON: 'json'>, <Form.MASK: 'mask'>, <Form.OVERLAY: 'overlay'>)
    """
    if not accept or not accept.strip():
        return Form.JSON
    ranked = [(_liking(accept, media_type, view), -place) for place, (media_type, view, _) in enumerate(_OFFERS)]
    quality, place = max(ranked)
    if quality <= 0:
        raise Refused(
            "request.not_acceptable",
            "none of the accepted formats is available",
            where="header Accept",
            expected="application/json, or image/png with view=mask, view=overlay or view=probability",
        )
    return _OFFERS[-place][2]


def accepts(accept: str | None, media_type: str) -> bool:
    """Return whether a client takes a media type.

    >>> accepts(None, "application/json"), accepts("text/html, application/*", "application/json")
    (True, True)
    >>> accepts("application/json; q=0", "application/json")
    False
    """
    return not (accept and accept.strip()) or _liking(accept, media_type, "") > 0


def _liking(accept: str, media_type: str, view: str) -> float:
    """Return the quality of an offer, 0 to 1. The most specific matching range counts (RFC 9110, 12.5.1)."""
    most_exact, liking = -1, 0.0
    for part in accept.split(","):
        wanted, parameters = _range(part)
        exactness = _exactness(wanted, parameters.get(_VIEW), media_type, view)
        if exactness > most_exact:
            most_exact, liking = exactness, _quality(parameters)
    return liking


def _range(part: str) -> tuple[str, dict[str, str]]:
    wanted, *rest = (piece.strip().lower() for piece in part.split(";"))
    pairs = (piece.partition("=") for piece in rest)
    return wanted, {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _exactness(wanted: str, wanted_view: str | None, media_type: str, view: str) -> int:
    """Return how specifically a range matches an offer; -1 if it does not match."""
    if wanted == media_type:
        if wanted_view is None:
            return 2
        return 3 if wanted_view == view else -1
    return {f"{media_type.partition('/')[0]}/*": 1, "*/*": 0}.get(wanted, -1)


def _quality(parameters: dict[str, str]) -> float:
    try:
        return min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError:
        return 0.0
