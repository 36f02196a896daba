"""Choose one series per sequence by fixed rules, and give the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from metseg.errors import MetsegError
from metseg.io.dicom.dicom_files import DicomReader
from metseg.io.dicom.pixel_decoding import read_values
from metseg.io.dicom.sequence_recognition import Recognition, recognise
from metseg.io.dicom.series import SeriesPlan, plan_series
from metseg.io.dicom.series_splitting import Series
from metseg.io.label_map_detection import are_labels
from metseg.io.sequence_names import NAMED_BY_USER
from metseg.volume import MODALITY_ALIASES

#: A series that reaches over less than this share of the farthest-reaching one of its kind shows a part only.
_WHOLE = 0.75


@dataclass(frozen=True)
class Candidate:
    """One series that was recognised.

    Args:
        series: which.
        recognition: as what, and why.
        plan: how it will be read; where it cannot be, why.
    """

    series: Series
    recognition: Recognition
    plan: SeriesPlan | MetsegError

    @property
    def extent_mm(self) -> float:
        """Return how far the slices reach; nowhere if the series cannot be read."""
        return 0.0 if isinstance(self.plan, MetsegError) else self.plan.arrangement.count * self.step_mm

    @property
    def step_mm(self) -> float:
        return float("inf") if isinstance(self.plan, MetsegError) else self.plan.arrangement.step_mm

    @property
    def pixel_mm(self) -> float:
        spacing = self.series.frames[0].spacing_mm
        return float("inf") if spacing is None else max(spacing)


@dataclass(frozen=True)
class Verdict:
    """What became of one series.

    Args:
        series: which.
        text: its sequence and the reason, or why it is left aside; follows the name of the series.
    """

    series: Series
    text: str

    @property
    def note(self) -> str:
        """Return one sentence that begins with the name of the series."""
        return f"{self.series.title} {self.text}"


@dataclass(frozen=True)
class Choice:
    """The chosen series of each sequence.

    Args:
        series: by modality, in the order t1n, t1c, t2w, t2f.
        verdicts: one per series.
        reasons: by modality, why its series was taken for it, in a clause.
    """

    series: Mapping[str, Series]
    verdicts: tuple[Verdict, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return one sentence per series: its sequence and the reason, or why it is left aside."""
        return tuple(verdict.note for verdict in self.verdicts)


#: Asked in this order until one tells two series apart; the smaller value is taken.
CRITERIA: Mapping[str, Callable[[Candidate], float]] = {
    "it is said outright whether contrast agent was given": lambda item: not item.recognition.certain,
    "it was acquired as a volume": lambda item: not item.series.header.is_3d,
    "its slices are thinner": lambda item: round(item.step_mm, 1),
    "it is not derived from another": lambda item: "DERIVED" in item.series.header.image_type,
    "its pixels are smaller": lambda item: round(item.pixel_mm, 2),
    "it has more slices": lambda item: -len(item.series.frames),
}


def choose(series: Sequence[Series], overrides: Mapping[str, Series | None], *, allow_gaps: bool = False) -> Choice:
    """Return one series for each sequence that is recognised or assigned by the user.

    Args:
        series: of one study.
        overrides: modality to the series to use regardless of its header, or to None to leave it out.
        allow_gaps: see `plan_series`.
    """
    chosen: dict[str, Series] = {}
    reasons: dict[str, str] = {}
    verdicts: list[Verdict] = []
    found: dict[str, list[Candidate]] = {}
    named = {item for item in overrides.values() if item is not None}
    for item in series:
        if item in named:
            continue
        recognition = recognise(item.header)
        if recognition.modality is None:
            verdicts.append(Verdict(item, f"left aside: {recognition.reason}"))
        elif recognition.modality in overrides:
            verdicts.append(Verdict(item, f"left aside: {recognition.modality} was named by hand."))
        else:
            candidate = Candidate(item, recognition, _plan_or_fault(item, allow_gaps=allow_gaps))
            found.setdefault(recognition.modality, []).append(candidate)
    for modality, candidates in found.items():
        best, found_verdicts = _best_image(modality, candidates)
        if best is not None:
            chosen[modality] = best.series
            reasons[modality] = best.recognition.reason.removesuffix(".")
        verdicts.extend(found_verdicts)
    for modality, override in overrides.items():
        if override is not None:
            chosen[modality] = override
            reasons[modality] = _named_reason(override, modality)
            verdicts.insert(0, _named_verdict(override, modality))
    return Choice(
        {modality: chosen[modality] for modality in MODALITY_ALIASES if modality in chosen}, tuple(verdicts), reasons
    )


def _named_reason(series: Series, modality: str) -> str:
    """Return why a series that a user named is a sequence, and what its header says where that is another."""
    said = recognise(series.header)
    contradicts = said.modality not in (None, modality) and not _agent_unknown(said, modality)
    return f"{NAMED_BY_USER}, and its header says {said.modality}" if contradicts else NAMED_BY_USER


def _agent_unknown(said: Recognition, modality: str) -> bool:
    """Return whether a header calls a T1 image one of the two kinds only because it says nothing of contrast agent."""
    return not said.certain and {said.modality, modality} == {"t1n", "t1c"}


def named_note(series: Series, modality: str) -> str:
    """Return what is said of a series that a user named: that, and what its header says where that is another thing."""
    return _named_verdict(series, modality).note


def _named_verdict(series: Series, modality: str) -> Verdict:
    said, text = recognise(series.header), f"is {modality}: named by hand"
    if said.modality in (None, modality):
        return Verdict(series, f"{text}.")
    if _agent_unknown(said, modality):
        return Verdict(series, f"{text}; its header does not say whether contrast agent was given.")
    return Verdict(series, f"{text}, against its header, which says {said.modality}: {said.reason}")


def _plan_or_fault(series: Series, *, allow_gaps: bool) -> SeriesPlan | MetsegError:
    try:
        return plan_series(series, allow_gaps=allow_gaps)
    except MetsegError as error:
        return error


def _best_image(modality: str, candidates: Sequence[Candidate]) -> tuple[Candidate | None, list[Verdict]]:
    """Return what `_best` does among the candidates that are images; nothing where all are masks."""
    masks: list[Verdict] = []
    left = list(candidates)
    while left:
        best, reasons = _best(modality, left)
        if not _is_mask(best):
            return best, reasons + masks
        text = f"left aside: {modality} by its words, but its values are those of a mask."
        masks.append(Verdict(best.series, text))
        left.remove(best)
    return None, masks


def _is_mask(candidate: Candidate) -> bool:
    """Return whether the pixels are a mask's: from the middle outwards, up to the first picture that shows more."""
    if isinstance(candidate.plan, MetsegError):
        return False
    groups = candidate.plan.arrangement.groups
    middle = len(groups) // 2
    ordered = sorted(range(len(groups)), key=lambda place: abs(place - middle))
    frames = [candidate.series.frames[groups[place][0]] for place in ordered]
    seen: set[float] = set()
    try:
        with DicomReader() as reader:
            for picture in read_values(frames, reader, candidate.plan.dtype):
                seen.update(np.unique(picture.values).tolist())
                if not are_labels({0, *seen}):  # the middle of a mask may hold no background
                    return False
    except MetsegError:
        return False  # reading it says what is wrong
    return len(seen) > 1 and are_labels(seen)


def _best(modality: str, candidates: Sequence[Candidate]) -> tuple[Candidate, list[Verdict]]:
    """Return the one to take, and a verdict on each; one that cannot be read only if there is no other."""
    farthest = max(item.extent_mm for item in candidates)
    whole = [item for item in candidates if item.extent_mm >= _WHOLE * farthest]
    best, *others = sorted(whole, key=lambda item: tuple(criterion(item) for criterion in CRITERIA.values()))
    reasons = [(item, _why(best, item)) for item in others]
    reasons += [
        (item, item.plan.what)
        if isinstance(item.plan, MetsegError)
        else (item, f"{best.series.title} is taken as it reaches over more")
        for item in candidates
        if item not in whole
    ]
    others_left = [Verdict(item.series, f"left aside: {modality} too, but {reason}.") for item, reason in reasons]
    return best, [Verdict(best.series, f"is {modality}: {best.recognition.reason}"), *others_left]


def _why(best: Candidate, other: Candidate) -> str:
    """Return the first criterion by which one was preferred."""
    for reason, criterion in CRITERIA.items():
        if criterion(best) < criterion(other):
            return f"{best.series.title} is taken as {reason}"
    return f"{best.series.title} is taken as it comes first"
