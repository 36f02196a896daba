"""What happened to the lesions of a patient, in order of importance and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from metseg.follow_up_document import ChangeRecord, LesionRecord, StateRecord
from metseg.message_text import pluralize

Kind = Literal["new", "returned", "larger", "split", "merged", "smaller", "vanished", "unchanged"]

#: In the order of a reader's interest.
KINDS: tuple[Kind, ...] = ("new", "returned", "larger", "split", "merged", "smaller", "vanished", "unchanged")

#: Events that are a kind by themselves; other lesions are sorted by the verdict on their volume.
_EVENT_KINDS: Mapping[str, Kind] = {
    "new": "new",
    "returned": "returned",
    "split": "split",
    "merged": "merged",
    "vanished": "vanished",
}


class LesionChange(NamedTuple):
    """What happened to a lesion at one examination."""

    kind: Kind
    lesion: LesionRecord
    state: StateRecord


def changes_at(lesions: Sequence[LesionRecord], timepoint: str) -> list[LesionChange]:
    """Return the changes at an examination, the most important first; lesions that were gone before are left out."""
    found = []
    for lesion in lesions:
        names = [state.timepoint for state in lesion.states]
        if timepoint not in names:
            continue
        place = names.index(timepoint)
        state = lesion.states[place]
        if state.event == "absent" or (state.event == "merged" and lesion.states[place - 1].event == "merged"):
            continue
        found.append(LesionChange(_kind(state), lesion, state))
    return sorted(found, key=lambda change: (KINDS.index(change.kind), -_size(change.state), change.lesion.id))


def _kind(state: StateRecord) -> Kind:
    if state.event in _EVENT_KINDS:
        return _EVENT_KINDS[state.event]
    change = state.since_previous
    if change is None:
        return "unchanged"
    verdict = change.diameter if change.volume == "within measurement error" else change.volume
    return "unchanged" if verdict == "within measurement error" else verdict


def _size(state: StateRecord) -> float:
    """Return the absolute change of the volume, mL; the volume of what was not there before."""
    now = state.volume_ml or 0.0
    if state.since_previous is None:
        return now
    return abs(now - now / (1 + state.since_previous.volume_percent / 100))


def change_sentence(change: LesionChange) -> str:
    """Return what happened to a lesion, as a sentence."""
    return f"Lesion {change.lesion.id} {_CLAUSES[change.kind](change.state)}."


def _now(state: StateRecord) -> str:
    return f"{state.volume_ml:.2f} mL, {state.longest_axial_mm:.1f} mm"


def _sized(word: str) -> Callable[[StateRecord], str]:
    def clause(state: StateRecord) -> str:
        assert state.since_previous is not None
        return f"is {word}: {change_text(state.since_previous)}; now {_now(state)}"

    return clause


_CLAUSES: Mapping[Kind, Callable[[StateRecord], str]] = {
    "new": lambda state: f"is new: {_now(state)}",
    "returned": lambda state: f"is seen again: {_now(state)}",
    "larger": _sized("larger"),
    "split": lambda state: f"is a piece of lesion {state.related}, which has split: {_now(state)}",
    "merged": lambda state: f"has merged with lesion {state.related}",
    "smaller": _sized("smaller"),
    "vanished": lambda _: "is no longer seen",
    "unchanged": _sized("unchanged within the error of measurement"),
}


def change_text(change: ChangeRecord) -> str:
    """Return the change of size with its limits, and what it was compared with.

    >>> change_text(ChangeRecord(since="A", volume_percent=50, volume_limits_percent=(-20, 25), volume="larger",
    ...     diameter_mm=1.2, diameter_limits_mm=(-1.5, 1.5), diameter="within measurement error"))
    'volume +50 % (error -20 to +25 %), longest axial diameter +1.2 mm (error -1.5 to +1.5 mm)'
    """
    low, high = change.volume_limits_percent
    shorter, longer = change.diameter_limits_mm
    together = f", with {_lesions(change.with_lesions)}" if change.with_lesions else ""
    return (
        f"volume {change.volume_percent:+.0f} % (error {low:+.0f} to {high:+.0f} %), longest axial diameter "
        f"{change.diameter_mm:+.1f} mm (error {shorter:+.1f} to {longer:+.1f} mm){together}"
    )


def _lesions(numbers: Sequence[int]) -> str:
    return f"lesion{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


#: Kind to the clause of the summary, for one lesion and for several.
_COUNTED: Mapping[Kind, tuple[str, str]] = {
    "new": ("new lesion", "new lesions"),
    "returned": ("lesion seen again", "lesions seen again"),
    "larger": ("lesion larger", "lesions larger"),
    "split": ("piece of a split", "pieces of splits"),
    "merged": ("lesion merged with another", "lesions merged with others"),
    "smaller": ("lesion smaller", "lesions smaller"),
    "vanished": ("lesion no longer seen", "lesions no longer seen"),
    "unchanged": (
        "lesion unchanged within the error of measurement",
        "lesions unchanged within the error of measurement",
    ),
}


def summary_sentence(changes: Sequence[LesionChange], since: str, now: str) -> str:
    """Return the number of lesions of each kind, as a sentence."""
    counts = {kind: sum(change.kind == kind for change in changes) for kind in KINDS}
    parts = [pluralize(count, *_COUNTED[kind]) for kind, count in counts.items() if count]
    return f"From {since} to {now}: {', '.join(parts) or 'no lesion at either'}."
