"""Follow the lesions of a patient: register, match, measure, compare, and assess the response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metseg.disclaimer import NOTICE
from metseg.errors import UsageError
from metseg.follow_up_document import (
    ChangeRecord,
    ClinicalStatus,
    FollowUpDocument,
    LesionRecord,
    RegistrationRecord,
    ResponseRecord,
    StateRecord,
    Steroids,
    TimepointRecord,
)
from metseg.geometry import spacing_mm
from metseg.labels import LABEL_SCHEMES
from metseg.longitudinal.change_text import changes_at, summary_sentence
from metseg.longitudinal.correspondence import DEFAULT_RULES, MatchingRules
from metseg.longitudinal.head_registration import HeadRegistration, register_timepoints
from metseg.longitudinal.lesion_tracks import LesionState, LesionTrack, pieces_at, track_lesions
from metseg.longitudinal.measured_lesion import measure_lesions
from metseg.longitudinal.rano_bm import SOURCE, VOLUMETRIC_SOURCE
from metseg.longitudinal.repeatability import GRID_ONLY, given_repeatability
from metseg.longitudinal.response import assess_response, decided_category, first_progression
from metseg.longitudinal.response_measures import ResponseMeasures
from metseg.longitudinal.size_change import size_change
from metseg.longitudinal.timepoint import Timepoint, require_series
from metseg.measure import MM3_PER_ML, voxel_volume_mm3
from metseg.version import __version__


@dataclass(frozen=True)
class FollowUpOptions:
    """Options of a follow-up.

    Args:
        steroids: corticosteroids at each examination after the first; empty: not known.
        clinical: clinical status at each examination after the first; empty: not known.
        repeatability_mm: standard deviation of the radius of an unchanged lesion, outlined again; None: the error is
            that of the grid alone.
        matching: limits of the match.
    """

    steroids: tuple[Steroids, ...] = ()
    clinical: tuple[ClinicalStatus, ...] = ()
    repeatability_mm: float | None = None
    matching: MatchingRules = DEFAULT_RULES


@dataclass(frozen=True)
class FollowUp:
    """A patient over time.

    Args:
        document: all results.
        timepoints: the examinations.
        registrations: of each examination to the first one.
        tracks: the lesions.
    """

    document: FollowUpDocument
    timepoints: tuple[Timepoint, ...]
    registrations: tuple[HeadRegistration, ...]
    tracks: tuple[LesionTrack, ...]


def follow_timepoints(
    timepoints: Sequence[Timepoint], patient: str, options: FollowUpOptions | None = None
) -> FollowUp:
    """Follow the lesions of a patient over examinations.

    Args:
        timepoints: two or more, in order of time; the first is the baseline.
        patient: names the result.
        options: of the follow-up.
    Raises:
        InputError, UsageError: see `require_series`; clinical inputs that do not fit the examinations
            (``usage.clinical_inputs``).
    """
    options = options or FollowUpOptions()
    require_series(timepoints)
    for name, values in (("steroids", options.steroids), ("clinical", options.clinical)):
        _require_each(name, values, len(timepoints) - 1)
    registrations = register_timepoints(timepoints)
    lesions = [measure_lesions(timepoint) for timepoint in timepoints]
    tracks = track_lesions(lesions, [one.to_first_mm for one in registrations], options.matching)
    known = options.repeatability_mm
    outline = GRID_ONLY if known is None else given_repeatability(known)
    document = _document(patient, timepoints, registrations, ResponseMeasures(tracks, outline), options)
    return FollowUp(document, tuple(timepoints), registrations, tracks)


def _require_each(name: str, values: Sequence[str], expected: int) -> None:
    if values and len(values) != expected:
        raise UsageError(
            f"{name} is needed for every examination after the first, or for none",
            where=name,
            expected=f"{expected} values",
            got=len(values),
            code="usage.clinical_inputs",
        )


def _document(
    patient: str,
    timepoints: Sequence[Timepoint],
    registrations: Sequence[HeadRegistration],
    measures: ResponseMeasures,
    options: FollowUpOptions,
) -> FollowUpDocument:
    names = [timepoint.name for timepoint in timepoints]
    records = tuple(
        _timepoint_record(timepoint, timepoints[0], registration, measures, place)
        for place, (timepoint, registration) in enumerate(zip(timepoints, registrations, strict=True))
    )
    lesions = tuple(_lesion_record(track, measures, names) for track in measures.tracks)
    response = assess_response(measures, records, options.steroids, options.clinical)
    return FollowUpDocument(
        metseg=__version__,
        notice=NOTICE,
        patient=patient,
        doubts=(*_doubts_on_patient(timepoints), *_doubts(records)),
        headline=_headline(lesions, names, response),
        scheme=timepoints[0].scheme,
        timepoints=records,
        lesions=lesions,
        error_source=measures.outline.source,
        targets=measures.targets,
        baseline_sum_mm=round(measures.sum_mm(0), 3),
        baseline_sum_ml=measures.sum_ml(0),
        response=response,
        sources={"criteria": SOURCE, "volumetric": VOLUMETRIC_SOURCE},
    )


def _timepoint_record(
    timepoint: Timepoint,
    first: Timepoint,
    registration: HeadRegistration,
    measures: ResponseMeasures,
    place: int,
) -> TimepointRecord:
    affine = timepoint.labels.affine
    assert affine is not None
    voxel_ml = voxel_volume_mm3(affine) / MM3_PER_ML
    classes = LABEL_SCHEMES[timepoint.scheme].classes
    found = [lesion for track in measures.tracks if (lesion := track.lesion_at(place)) is not None]
    return TimepointRecord(
        name=timepoint.name,
        day=timepoint.day,
        days=None if timepoint.day is None or first.day is None else (timepoint.day - first.day).days,
        sequence=timepoint.sequence,
        spacing_mm=spacing_mm(affine),
        model=timepoint.source,
        lesions=len(found),
        volume_ml=round(sum(lesion.volume_ml for lesion in found), 6),
        volume_ml_by_label={
            name: round(float(np.count_nonzero(timepoint.labels.data == value)) * voxel_ml, 6)
            for value, name in classes.items()
        },
        registration=_registration_record(registration),
    )


def _registration_record(registration: HeadRegistration) -> RegistrationRecord:
    quality = registration.fit
    return RegistrationRecord(
        to_later_mm=tuple(tuple(row) for row in registration.to_later_mm.round(6).tolist()),
        mutual_information=None if quality is None else quality.mutual_information,
        head_overlap=None if quality is None else quality.head_overlap,
        coverage=None if quality is None else quality.coverage,
        shift_mm=registration.shift_mm,
        rotation_degrees=registration.rotation_degrees,
        seconds=registration.seconds,
        doubts=registration.doubts,
    )


def _lesion_record(track: LesionTrack, measures: ResponseMeasures, names: Sequence[str]) -> LesionRecord:
    return LesionRecord(
        id=track.identity,
        target=track.identity in measures.targets,
        states=tuple(_state_record(track, state, measures, names) for state in track.states),
    )


def _state_record(
    track: LesionTrack, state: LesionState, measures: ResponseMeasures, names: Sequence[str]
) -> StateRecord:
    name, lesion = names[state.timepoint], state.lesion
    if lesion is None:
        return StateRecord(timepoint=name, event=state.event, related=state.related)
    x, y, z = (round(float(mm), 3) for mm in lesion.centre_mm)
    first, previous = track.states[0].timepoint, state.timepoint - 1
    return StateRecord(
        timepoint=name,
        event=state.event,
        related=state.related,
        volume_ml=round(lesion.volume_ml, 6),
        volume_ml_by_label={name: round(volume, 6) for name, volume in lesion.volume_ml_by_label.items()},
        longest_axial_mm=round(lesion.longest_axial_mm, 3),
        perpendicular_axial_mm=round(lesion.perpendicular_axial_mm, 3),
        axial_slices=lesion.axial_slices,
        centre_mm=(x, y, z),
        typical_voxel=lesion.typical_voxel,
        since_previous=_change(track, previous, state.timepoint, measures, names),
        since_first=_change(track, first, state.timepoint, measures, names) if first < previous else None,
    )


def _change(
    track: LesionTrack, before: int, after: int, measures: ResponseMeasures, names: Sequence[str]
) -> ChangeRecord | None:
    """Return the change of a lesion with its pieces and with what merged into it; None if it was not there before."""
    if track.lesion_at(before) is None:
        return None
    pieces = pieces_at(measures.tracks, track.identity, after)
    sources = {one.identity for one in measures.tracks if pieces_at(measures.tracks, one.identity, after) & pieces}
    parts = [
        [lesion for one in measures.tracks if one.identity in group and (lesion := one.lesion_at(at)) is not None]
        for group, at in ((sources, before), (pieces, after))
    ]
    change = size_change(parts[0], parts[1], measures.outline)
    seen = {
        one.identity for one in measures.tracks if one.identity in sources | pieces and _was_seen(one, before, after)
    }
    return ChangeRecord(since=names[before], **change._asdict(), with_lesions=tuple(sorted(seen - {track.identity})))


def _was_seen(track: LesionTrack, before: int, after: int) -> bool:
    return track.lesion_at(before) is not None or track.lesion_at(after) is not None


def _doubts_on_patient(timepoints: Sequence[Timepoint]) -> tuple[str, ...]:
    """Return a warning if the data name different patients."""
    named = {timepoint.patient for timepoint in timepoints if timepoint.patient}
    if len(named) < 2:
        return ()
    found = ", ".join(f"{timepoint.name}: {timepoint.patient or 'not known'}" for timepoint in timepoints)
    return (
        f"The examinations seem to be of different patients ({found}). If they are, no number below is valid. A DICOM "
        "study without a patient id counts as a patient of its own.",
    )


def _doubts(records: Sequence[TimepointRecord]) -> tuple[str, ...]:
    """Return what to know before the numbers."""
    found = [
        f"The registration of {record.name} is doubtful: {'; '.join(record.registration.doubts)}. Lesions may be "
        "matched wrongly."
        for record in records
        if record.registration.doubts
    ]
    spacings = {tuple(round(step, 1) for step in record.spacing_mm) for record in records}
    if len(spacings) > 1:
        found.append("The examinations have different voxel sizes; sizes measured on them differ systematically.")
    models = sorted({record.model or "another source" for record in records})
    if len(models) > 1:
        found.append(f"The masks come from different sources ({', '.join(models)}); this alone can change sizes.")
    return tuple(found)


def _headline(
    lesions: Sequence[LesionRecord], names: Sequence[str], response: Sequence[ResponseRecord]
) -> tuple[str, ...]:
    """Return the summary of the last examination, the category of the patient, and an earlier progression."""
    last, progression = response[-1], first_progression(response[:-1])
    earlier = () if progression is None else (_earlier_progression(progression),)
    return (
        summary_sentence(changes_at(lesions, names[-1]), names[-2], names[-1]),
        f"RANO-BM, imaging only: {last.imaging.category} ({last.imaging.reason})."
        if last.complete is None
        else f"RANO-BM: {last.complete.category} ({last.complete.reason}).",
        *earlier,
    )


def _earlier_progression(record: ResponseRecord) -> str:
    category = decided_category(record)
    return (
        f"Progression ({category.category}) was found before, at {record.timepoint} ({category.reason}); "
        "a later category does not undo it."
    )
