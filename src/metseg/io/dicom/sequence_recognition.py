"""Recognise T1, T1 with contrast agent, T2 and FLAIR from DICOM headers, and give the reason.

The description is used first, then the protocol name, then TR, TE and TI. A series that none of these identifies
clearly is left unrecognised. Reasons never quote a header, because descriptions may contain names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset

from metseg.io.dicom.header import SequenceHeader
from metseg.io.dicom.header_rules import (
    EXCLUDED_TYPES,
    OTHER_MODALITIES,
    POSSIBLE,
    TIMINGS,
    WATER_NULLING_MS,
    Limits,
    Timing,
)
from metseg.io.mask_names import says_mask
from metseg.io.sequence_names import Agent, TextReading, plain, read_agent, read_text
from metseg.io.sequence_rules import AFTER_HINTS, BOTH_HINT, UNKNOWN_INVERSION, WEIGHTING_NAMES, Weighting


@dataclass(frozen=True)
class Recognition:
    """The recognised sequence of a series.

    Args:
        modality: "t1n", "t1c", "t2w" or "t2f"; None if it is none of them or unclear.
        reason: one sentence without identifiers.
        certain: whether the header states explicitly if contrast agent was given; if it does not, none is assumed.
    """

    modality: str | None
    reason: str
    certain: bool = True


@dataclass(frozen=True)
class _Evidence:
    """What speaks for a weighting, and what the same words say of contrast agent."""

    weighting: Weighting
    reason: str
    agent: Agent


def recognise_sequence(header: SequenceHeader | Dataset) -> tuple[str | None, str]:
    """Return the sequence of a header, and the reason as one sentence without identifiers.

    Args:
        header: what the header says, or a pydicom data set.
    Returns:
        "t1n", "t1c", "t2w", "t2f", or None if it is none of them or unclear.

    >>> recognise_sequence(SequenceHeader(description="AX T2 FLAIR FS", te_ms=120, ti_ms=2500))
    ('t2f', 'the description says FLAIR.')
    >>> recognise_sequence(SequenceHeader(description="t1_mprage_sag", contrast=True))
    ('t1c', 'the description says T1 and the header names a contrast agent.')
    >>> recognise_sequence(SequenceHeader(description="Apparent Diffusion (ADC)"))
    (None, 'a diffusion image or a map made from it, says the description.')
    """
    found = recognise(header if isinstance(header, SequenceHeader) else SequenceHeader.of(header))
    return found.modality, found.reason


def recognise(header: SequenceHeader) -> Recognition:
    """Return what `recognise_sequence` does, and how certain it is."""
    excluded = _excluded(header)
    if excluded is not None:
        return Recognition(None, excluded)
    evidence = _from_words(header) or _from_times(header)
    if isinstance(evidence, Recognition):
        return evidence
    if evidence is None:
        return Recognition(None, "neither its description nor TR, TE and TI identify the sequence.")
    if evidence.weighting == "flair":
        return Recognition("t2f", f"{evidence.reason}.")
    if evidence.weighting == "t2":
        return Recognition("t2w", f"{evidence.reason}.")
    return _with_contrast(evidence, header)


def _excluded(header: SequenceHeader) -> str | None:
    """Return why a series cannot be one of the four sequences, from fields that the scanner wrote."""
    if header.modality != "MR":
        return f"not MR but {OTHER_MODALITIES.get(header.modality, 'another kind of picture or object')}."
    for word in header.image_type:
        if word in EXCLUDED_TYPES:
            return f"{EXCLUDED_TYPES[word]}, says its image type."
    if header.b_value is not None and header.b_value > 0:
        return "a diffusion image, says its b-value."
    if "EP" in header.scanning:
        return "an echo-planar image (diffusion, perfusion or functional), says its scanning sequence."
    return None


def _from_words(header: SequenceHeader) -> _Evidence | Recognition | None:
    """Return what the description says; the protocol's name is asked only where it says nothing.

    Some scanners name the whole examination's protocol in every series.
    """
    if says_mask(header.description):
        return Recognition(None, "a mask, says the description.")
    for place, text in (("description", header.description), ("protocol's name", header.protocol)):
        reading = read_text(text)
        if reading.excluded is not None:
            return Recognition(None, f"{reading.excluded}, says the {place}.")
        if reading.weightings or reading.inversion:
            return _checked(reading, header, place=place)
    return None


def _checked(reading: TextReading, header: SequenceHeader, *, place: str) -> _Evidence | Recognition:
    """Return the weighting that words name, unless they name two or the times contradict them."""
    hides_water = header.ti_ms is not None and header.ti_ms >= WATER_NULLING_MS
    named = reading.weightings
    if reading.inversion and "t1" not in named and "flair" not in named:
        # TIRM of Siemens is FLAIR or STIR; only its inversion time says which.
        if header.ti_ms is None:
            return Recognition(None, f"the {place} says inversion recovery, {UNKNOWN_INVERSION}.")
        if not hides_water:
            ti = f"TI {header.ti_ms:.0f} ms"
            return Recognition(None, f"the {place} says inversion recovery and {ti} does not suppress fluid.")
        named = frozenset({"flair"})
    weighting = _one_of(named, hides_water=hides_water)
    if weighting is None:
        names = " and ".join(sorted(WEIGHTING_NAMES[item] for item in named))
        return Recognition(None, f"the {place} says {names} at once.")
    name = WEIGHTING_NAMES[weighting]
    if "GR" in header.scanning and "SE" not in header.scanning and weighting != "t1":
        return Recognition(None, f"the {place} says {name} but the sequence is a gradient echo.")
    wrong = _contradiction(header, POSSIBLE[weighting])
    if wrong is not None:
        return Recognition(None, f"the {place} says {name} but {wrong} contradicts it.")
    if weighting == "flair" and "flair" not in reading.weightings:
        words = "inversion recovery" if reading.inversion else "T2"
        return _Evidence(
            weighting, f"the {place} says {words} and TI {header.ti_ms:.0f} ms makes it FLAIR", reading.agent
        )
    return _Evidence(weighting, f"the {place} says {name}", reading.agent)


def _one_of(named: frozenset[Weighting], *, hides_water: bool) -> Weighting | None:
    """Return the one weighting that several words mean, or None.

    "T2 FLAIR" is FLAIR; "T1 FLAIR" is T1, inverted to make grey and white matter differ more.
    """
    if named == {"t2"}:
        return "flair" if hides_water else "t2"
    if named == {"t1", "flair"}:
        return None if hides_water else "t1"
    if named == {"t2", "flair"}:
        return "flair"
    return next(iter(named)) if len(named) == 1 else None


def _from_times(header: SequenceHeader) -> _Evidence | None:
    for rule in TIMINGS:
        if _fits(header, rule):
            return _Evidence(rule.weighting, rule.name, Agent("silent"))
    return None


def _fits(header: SequenceHeader, rule: Timing) -> bool:
    scanning = set(header.scanning)
    if not rule.needs <= scanning or rule.forbids & scanning:
        return False
    if header.tr_ms is None or header.te_ms is None or (header.ti_ms is not None) != rule.with_ti:
        return False
    return _contradiction(header, rule.limits) is None


def _contradiction(header: SequenceHeader, limits: Limits) -> str | None:
    """Return the first time that lies outside its limits, such as "TE 12 ms"."""
    times: Iterable[tuple[str, float | None, tuple[float, float]]] = (
        ("TE", header.te_ms, limits.te_ms),
        ("TI", header.ti_ms, limits.ti_ms),
        ("TR", header.tr_ms, limits.tr_ms),
    )
    for name, time, (low, high) in times:
        if time is not None and not low <= time <= high:
            return f"{name} {time:.0f} ms"
    return None


def _with_contrast(evidence: _Evidence, header: SequenceHeader) -> Recognition:
    """Return whether a T1 was taken before or after contrast agent.

    What words only hint at ("post", "injected") counts where the header names an agent, and leaves it open where the
    header is silent. The protocol's name is of the whole examination: that agent was given in it settles a hint too.
    """
    words, hint = evidence.agent.words, evidence.agent.hint
    if words == "contradictory":
        return Recognition(None, f"{evidence.reason}, but both with and without contrast agent.")
    if header.contrast and words in ("without", "before"):
        return Recognition(None, f"{evidence.reason} without contrast agent, but the header names one.")
    if header.contrast is False and words == "with":
        return Recognition(None, f"{evidence.reason} with contrast agent, but the header says that none was given.")
    if header.contrast:
        return Recognition("t1c", f"{evidence.reason} and the header names a contrast agent.")
    if words == "with":
        return Recognition("t1c", f"{evidence.reason} with contrast agent.")
    if words == "unproven" and hint in AFTER_HINTS and header.contrast is None and _examined_with_agent(header):
        return Recognition("t1c", f"{evidence.reason} and {hint}, and the protocol's name says contrast agent.")
    if words == "unproven":
        missing = "says that none was given" if header.contrast is False else "names no contrast agent"
        return Recognition(None, f"{evidence.reason} and {hint}, and the header {missing}.")
    if words in ("without", "before") or header.contrast is False:
        return Recognition("t1n", f"{evidence.reason} without contrast agent.")
    return Recognition("t1n", f"{evidence.reason} and nothing says that contrast agent was given.", certain=False)


def _examined_with_agent(header: SequenceHeader) -> bool:
    """Return whether the protocol's name says that agent was given, in this series or in the examination."""
    agent = read_agent(plain(header.protocol))
    return agent.words == "with" or agent.hint == BOTH_HINT
