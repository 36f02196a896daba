"""Parse the text fields of a form into options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from metseg.schemas import LABEL_CHARACTERS, Options, StudyChange
from metseg.serve.http.problem_details import Refused
from metseg.volume import canonical_modality

_BOOLEANS: Final = ("stack", "allow_gaps", "uncertainty", "explanation")
_ONCE: Final = ("model", *_BOOLEANS)
_SERIES: Final = "series"
_LABEL: Final = "label"


def options_of(fields: Mapping[str, Sequence[str]]) -> Options:
    """Return the options of a form; empty fields are ignored.

    Raises:
        Refused: ``request.invalid``; the message does not quote the request.

    >>> options_of({"model": ["lgg-flair"], "stack": ["true"], "series": ["t1ce=3"]})
    Options(model='lgg-flair', stack=True, allow_gaps=False, series={'t1c': '3'}, uncertainty=False, explanation=False)
    """
    raw: dict[str, Any] = {}
    for name, values in fields.items():
        given = [value.strip() for value in values if value.strip()]
        if name not in (*_ONCE, _SERIES):
            raise _invalid("unknown form field", "the form")
        if name == _SERIES and given:
            raw[name] = dict(map(_series, given))
        elif len(given) > 1:
            raise _invalid("the field occurs more than once", f"field {name}")
        elif given:
            raw[name] = _boolean(given[0], name) if name in _BOOLEANS else given[0]
    try:
        return Options.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _invalid(first["msg"], f"field {first['loc'][0]}") from None


def take_flag(fields: dict[str, list[str]], name: str) -> bool:
    """Remove a field that may be `true` or `false` from a form, and return its value; False if it is absent or empty.

    Raises:
        Refused: ``request.invalid``.

    >>> fields = {"model": ["m"], "probabilities": ["true"]}
    >>> take_flag(fields, "probabilities"), fields
    (True, {'model': ['m']})
    """
    given = [value.strip() for value in fields.pop(name, []) if value.strip()]
    if len(given) > 1:
        raise _invalid("the field occurs more than once", f"field {name}")
    return bool(given) and _boolean(given[0], name)


def take_label(fields: dict[str, list[str]]) -> str:
    """Remove the field `label` from a form, and return its value; empty if it is absent.

    Raises:
        Refused: ``request.invalid``.

    >>> take_label({"label": [" Visit 2 "]}), take_label({})
    ('Visit 2', '')
    """
    given = [value.strip() for value in fields.pop(_LABEL, []) if value.strip()]
    if len(given) > 1:
        raise _invalid("the field occurs more than once", f"field {_LABEL}")
    try:
        return StudyChange(label=" ".join("".join(given).split())).label
    except ValidationError:
        raise Refused(
            "request.invalid",
            "the label is not valid",
            where=f"field {_LABEL}",
            expected=f"at most {LABEL_CHARACTERS} letters, digits, spaces and . , ( ) + # & - _",
            cure="shorten it, or leave out other signs",
        ) from None


def _boolean(value: str, name: str) -> bool:
    """Parse ``true`` or ``false``, as in the OpenAPI document; other spellings such as 0 or off are errors."""
    words = {"true": True, "false": False}
    if value.lower() not in words:
        raise _invalid("the value must be true or false", f"field {name}")
    return words[value.lower()]


def _series(value: str) -> tuple[str, str]:
    sequence, separator, label = value.partition("=")
    if not separator:
        raise _invalid("the value must be a sequence and a series, such as t1c=3", f"field {_SERIES}")
    return canonical_modality(sequence), label.strip()


def _invalid(what: str, where: str) -> Refused:
    return Refused("request.invalid", what, where=where, expected=f"fields {', '.join((*_ONCE, _SERIES, _LABEL))}")
