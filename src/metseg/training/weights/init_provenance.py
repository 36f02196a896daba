"""Provenance of initial weights: the bundle that they come from, and the patients that it was trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass
from typing import Any

from metseg.bundle_folder import SPLIT
from metseg.io.case_source import CaseSource
from metseg.io.splits import SelectedCases, Selection, Split
from metseg.io.stratified_sampling import units_of
from metseg.model.bundle import Bundle


@dataclass(frozen=True)
class InitProvenance:
    """Where the first weights of a training are from.

    Args:
        name: of the bundle.
        fingerprint: tells it from every other of that name.
        steps: of the training that it is from, with those of the trainings before it; the weights may be of an earlier
            one of its steps.
        minutes: of the same.
        seen_before: number of validation and test patients of the new training that the bundle was trained or selected
            on, or others of the same names, including those that the bundle itself had inherited; None: not known.
        data: the data of those trainings, and their licence.
    """

    name: str
    fingerprint: str
    steps: int
    minutes: float
    seen_before: int | None
    data: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a run's state and a bundle's `metrics.json` hold it."""
        return asdict(self)


def init_provenance(bundle: Bundle, selection: Selection) -> InitProvenance:
    """Return the provenance of a bundle's weights; warn if it has seen validation or test patients, or may have.

    Args:
        bundle: provides the initial weights.
        selection: the patients of each part of the new training.
    """
    earlier = bundle.metrics.get("began_with") or {}
    steps, minutes = (bundle.metrics.get(name, 0) + earlier.get(name, 0) for name in ("steps", "minutes"))
    itself = _seen_before(bundle, selection)
    if itself:
        sys.stderr.write(
            f"metseg: validation or test patients that '{bundle.name}' was trained or selected on, or others with the "
            f"same names: {itself}; scores will be too good (--split {bundle.folder / SPLIT} keeps its split)\n"
        )
    seen = _together(itself, earlier.get("seen_before", 0))
    if seen is None:
        sys.stderr.write(f"metseg: the training patients of '{bundle.name}' are not known: scores may be too good\n")
    # Recipes of earlier versions do not state the data of their initial weights.
    own, before = bundle.recipe.data.licence or f"those of '{bundle.name}', not stated", earlier.get("data", "")
    data = own if not before or before in own else f"{own}; {before}"
    return InitProvenance(bundle.name, bundle.fingerprint, steps, minutes, seen, data)


def _together(itself: int | None, before: int | None) -> int | None:
    """Return the sum; None where a part is not known and the rest is 0."""
    known = (itself or 0) + (before or 0)
    return None if not known and None in (itself, before) else known


def _seen_before(bundle: Bundle, selection: Selection) -> int | None:
    """Count patients for the test that the bundle learnt from or was chosen by, and for validation that it learnt from.

    Of a bundle of several folds the first network is begun with, but each fold is taken for learnt from.
    """
    if bundle.split is None:
        return None
    split, fold = Split.from_dict(bundle.split, where=bundle.folder), bundle.metrics.get("fold")
    chosen_by = {*split.validation, *(split.folds[fold] if fold is not None else ())}
    learnt = split.units - chosen_by - {*split.test}
    seen = _patients_in(learnt, selection.validation, split) | _patients_in(learnt | chosen_by, selection.test, split)
    return len(seen)


def _patients_in(units: Set[str], part: Iterable[SelectedCases], split: Split) -> set[str]:
    """Return the patients of a part who, or slices of whom, are among the units of a split."""
    return {chosen.source.patient for chosen in part if units & _units(chosen.source, split)}


def _units(source: CaseSource, split: Split) -> set[str]:
    """Return the units of a case in a split; by slice, volumes have none."""
    return set(units_of(source, split.by)) if split.by == "patient" or source.slice_names else set()
