"""What a training that begins with the weights of a bundle takes over from it, and whom those weights have seen."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from metseg.bundle_folder import SPLIT
from metseg.io.splits import Chosen, Selection
from metseg.model.bundle import Bundle


@dataclass(frozen=True)
class Origin:
    """Where the first weights of a training are from.

    Args:
        name: of the bundle.
        fingerprint: tells it from every other of that name.
        steps: that it was trained for, with those of the bundle that it began with itself.
        minutes: of the same.
        seen_before: how many patients who are to judge the new weights have names of patients who made the old ones;
            None: the bundle does not say whom it has seen.
    """

    name: str
    fingerprint: str
    steps: int
    minutes: float
    seen_before: int | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a run's state and a bundle's `metrics.json` hold it."""
        return asdict(self)


def origin_of(bundle: Bundle, selection: Selection) -> Origin:
    """Return what a bundle brings to a training; say so where it has seen those who are to judge.

    Args:
        bundle: whose weights are begun with.
        selection: who is for what in the new training.
    """
    earlier = bundle.metrics.get("began_with") or {}
    steps, minutes = (bundle.metrics.get(name, 0) + earlier.get(name, 0) for name in ("steps", "minutes"))
    seen = _seen_before(bundle, selection)
    if seen:
        sys.stderr.write(
            f"metseg: {seen} patients for validation or test are called like some that '{bundle.name}' was trained on;"
            f" if they are the same, scores will be too good (--split {bundle.folder / SPLIT} divides as it was)\n"
        )
    return Origin(bundle.name, bundle.fingerprint, steps, minutes, seen)


def _seen_before(bundle: Bundle, selection: Selection) -> int | None:
    """Count patients for the test that the bundle learnt from or was chosen by, and for validation that it learnt from.

    Patients and not slices: a bundle whose split was by slice has patients on all sides, and cannot say.
    """
    split = bundle.split
    if split is None or split.get("by") != "patient":
        return None
    learnt = {*split.get("train", ()), *(unit for fold in split.get("folds", ()) for unit in fold)}
    chosen_by = learnt | {*split.get("validation", ())}
    return len((_patients(selection.validation) & learnt) | (_patients(selection.test) & chosen_by))


def _patients(part: Iterable[Chosen]) -> set[str]:
    return {chosen.source.patient for chosen in part}
