"""The text of the report of a follow-up, section by section, for all formats."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

from metseg.follow_up_document import FollowUpDocument
from metseg.longitudinal.change_text import LesionChange, change_sentence, changes_at
from metseg.longitudinal.follow_up import FollowUp
from metseg.reporting.follow_up.follow_up_tables import (
    change_table,
    lesion_time_table,
    registration_table,
    response_table,
    totals_table,
)
from metseg.reporting.follow_up.side_by_side import side_by_side
from metseg.reporting.study.page_parts import Page, Section
from metseg.reporting.study.study_report import RESEARCH_USE, KeyImage

TITLE = "Brain MRI: lesions over time"

#: Number of changed lesions that are shown as pictures; all are in the tables.
SHOWN_CHANGES = 12

UNCONFIRMED = "Found and matched by a program; not yet confirmed by a radiologist."

REVIEW = (
    "The outlines, matches and figures above were compared with the original images by the person named below. Without "
    "a signature this is the output of a program, not a finding."
)

LIMITS = (
    "A lesion is a connected piece of the tumour core; oedema joins neighbouring metastases and is left out of it. "
    "Volumes of oedema are in the totals.",
    "Sizes are measured on each examination's own grid; only positions are registered, rigidly.",
    "The longest axial diameter is the largest distance of two pixel corners in one axial slice: about one pixel "
    "longer than between pixel centres.",
    "RANO-BM also needs steroids, clinical status and a reader's judgement of non-target lesions. The category is that "
    "of the patient; no category is given to a single lesion.",
    "Whether growth is tumour or treatment effect cannot be told from size.",
)


def follow_up_page(follow_up: FollowUp, made_on: date, pictures: Mapping[int, KeyImage] | None = None) -> Page:
    """Return the complete report as a page.

    Args:
        follow_up: the patient.
        made_on: date of the report.
        pictures: from `changed_lesion_pictures`; None: they are drawn now.
    """
    shown = changed_lesion_pictures(follow_up) if pictures is None else pictures
    document = follow_up.document
    names = [timepoint.name for timepoint in document.timepoints]
    changes = changes_at(document.lesions, names[-1])
    digest = hashlib.sha256(document.model_dump_json().encode()).hexdigest()[:12]
    return Page(
        title=TITLE,
        subject=f"Patient {document.patient}, {len(names)} examinations; report of {made_on.isoformat()}",
        keywords=("MRI", "brain", "follow-up", RESEARCH_USE),
        banner=RESEARCH_USE,
        footer=(f"Patient {document.patient}", f"{names[0]} to {names[-1]}", f"report {digest}"),
        sections=(
            _changes(document, changes),
            Section("Changed lesions at both examinations", key_images=tuple(shown.values())),
            _response(document),
            Section("All lesions over time", tables=(lesion_time_table(document), totals_table(document))),
            _examinations(document),
            Section("Limits", bullets=LIMITS),
            Section("Review", paragraphs=(REVIEW,), blanks=("Name", "Signature", "Date")),
        ),
    )


def _changes(document: FollowUpDocument, changes: Sequence[LesionChange]) -> Section:
    return Section(
        "What changed",
        doubts=document.doubts,
        lead=(*document.headline, UNCONFIRMED),
        bullets=() if changes else ("No lesion at either examination.",),
        tables=(change_table(document, changes),) if changes else (),
        paragraphs=(document.error_source,),
    )


def changed_lesion_pictures(follow_up: FollowUp) -> dict[int, KeyImage]:
    """Return pictures of the lesions that changed at the last examination, the most important first, by their numbers.

    If none changed, the largest lesion is shown.
    """
    last = len(follow_up.timepoints) - 1
    changes = changes_at(follow_up.document.lesions, follow_up.timepoints[last].name)
    shown = [change for change in changes if change.kind != "unchanged"][:SHOWN_CHANGES] or changes[:1]
    return {
        change.lesion.id: side_by_side(follow_up, change.lesion.id, last - 1, last, title=change_sentence(change))
        for change in shown
    }


def _response(document: FollowUpDocument) -> Section:
    targets = ", ".join(map(str, document.targets)) or "none"
    facts: list[tuple[str, tuple[str, ...]]] = [
        ("Criteria", (document.sources["criteria"],)),
        ("Target lesions", (targets,)),
    ]
    for record in document.response:
        inputs = f"steroids {record.steroids or 'not given'}, clinical status {record.clinical or 'not given'}"
        complete = "" if record.complete is None else f"With {inputs}: {record.complete.category}. "
        equivocal = f" Equivocal, too small to count: {_numbers(record.equivocal_new_lesions)}."
        facts.append(
            (
                record.timepoint,
                (
                    f"{complete}Imaging only: {record.imaging.category}, {record.imaging.reason}."
                    f"{equivocal if record.equivocal_new_lesions else ''}",
                    f"By volume: {record.volumetric.category}, {record.volumetric.reason}.",
                ),
            )
        )
    return Section("Response of the patient", facts=tuple(facts), tables=(response_table(document),))


def _numbers(identities: Sequence[int]) -> str:
    return f"lesion{'s' if len(identities) > 1 else ''} {', '.join(map(str, identities))}"


def _examinations(document: FollowUpDocument) -> Section:
    return Section("Examinations and registration", tables=(registration_table(document),))
