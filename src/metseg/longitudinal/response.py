"""Response of a patient at each examination by the tables of rules, with confirmation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metseg.follow_up_document import CategoryRecord, ResponseRecord, TimepointRecord
from metseg.longitudinal.rano_bm import CONFIRMATION_DAYS, CONFIRMED_BY, PROGRESSION, RANO_BM, VOLUMETRIC
from metseg.longitudinal.response_measures import ResponseMeasures
from metseg.longitudinal.response_rules import Assessment, Value, assess, imaging_rules


def assess_response(
    measures: ResponseMeasures, timepoints: Sequence[TimepointRecord], steroids: Sequence[str], clinical: Sequence[str]
) -> tuple[ResponseRecord, ...]:
    """Return the response at each examination after the first.

    Args:
        measures: of the images.
        timepoints: all examinations.
        steroids, clinical: one value per examination after the first; empty: not known.
    """
    found: list[ResponseRecord] = []
    for place in range(1, len(timepoints)):
        complete = any(record.imaging.category == "CR" for record in found)
        values = measures.values(place, after_complete_response=complete)
        values |= {
            "steroids": steroids[place - 1] if steroids else None,
            "clinical": clinical[place - 1] if clinical else None,
        }
        found.append(_record(measures, values, timepoints[place].name, place))
    days = [timepoint.days for timepoint in timepoints[1:]]
    return tuple(
        record.model_copy(update={"confirmed": _confirmed(place, found, days)}) for place, record in enumerate(found)
    )


def _record(measures: ResponseMeasures, values: dict[str, Value], name: str, place: int) -> ResponseRecord:
    steroids, clinical = values["steroids"], values["clinical"]
    return ResponseRecord(
        timepoint=name,
        sum_mm=round(measures.sum_mm(place), 3),
        sum_ml=measures.sum_ml(place),
        diameters_from_baseline_percent=_finite(values["diameters_from_baseline_percent"]),
        diameters_from_nadir_percent=_finite(values["diameters_from_nadir_percent"]),
        volumes_from_baseline_percent=_finite(values["volumes_from_baseline_percent"]),
        volumes_from_nadir_percent=_finite(values["volumes_from_nadir_percent"]),
        new_lesions=measures.new_lesions(place),
        equivocal_new_lesions=measures.new_lesions(place, equivocal=True),
        grown_non_targets=measures.grown_non_targets(place),
        steroids=None if steroids is None else str(steroids),
        clinical=None if clinical is None else str(clinical),
        imaging=_category(assess(imaging_rules(RANO_BM), values)),
        complete=_complete(values),
        volumetric=_category(assess(imaging_rules(VOLUMETRIC), values)),
    )


def _complete(values: dict[str, Value]) -> CategoryRecord | None:
    """Return the category with steroids and clinical status, or None where an unknown one of them could change it.

    A worse clinical status is progression at any dose of steroids, so it decides alone.
    """
    steroids, clinical = values["steroids"], values["clinical"]
    is_decided = clinical == "worse" or (steroids is not None and clinical is not None)
    return _category(assess(RANO_BM, values)) if is_decided else None


def decided_category(record: ResponseRecord) -> CategoryRecord:
    """Return the category with steroids and clinical status where they decide, else that of the images."""
    return record.imaging if record.complete is None else record.complete


def first_progression(records: Sequence[ResponseRecord]) -> ResponseRecord | None:
    """Return the first examination with progression, or None.

    A sum of diameters that is small again does not undo it: RANO-BM ends with progression.
    """
    return next((record for record in records if decided_category(record).category == PROGRESSION), None)


def _category(assessment: Assessment) -> CategoryRecord:
    return CategoryRecord(category=assessment.category, reason=assessment.reason)


def _finite(value: Value) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _confirmed(place: int, records: Sequence[ResponseRecord], days: Sequence[int | None]) -> bool | None:
    """Return whether a later examination confirms a response; None if there is none, or if it is not known.

    Progression in between ends the response, so a later one does not confirm it.
    """
    wanted = CONFIRMED_BY.get(records[place].imaging.category)
    day = days[place]
    if wanted is None or day is None or decided_category(records[place]).category == PROGRESSION:
        return None
    is_late = False
    for record, other in zip(records[place + 1 :], days[place + 1 :], strict=True):
        if PROGRESSION in (record.imaging.category, decided_category(record).category):
            return False
        if other is not None and other - day >= CONFIRMATION_DAYS:
            is_late = True
            if record.imaging.category in wanted:
                return True
    return False if is_late else None
