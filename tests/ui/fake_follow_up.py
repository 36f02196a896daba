"""The result of a follow-up that is not computed by a service: spheres, known exactly."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from metseg.follow_up_schemas import FollowedExamination, FollowUpChange, NewFollowUp, StoredFollowUp
from metseg.longitudinal.change_text import change_sentence, changes_at
from metseg.longitudinal.follow_up import FollowUpOptions, follow_timepoints
from metseg.longitudinal.timepoint import Timepoint
from metseg.schemas import Artifact
from metseg.volume import Volume

Sphere = tuple[tuple[int, int, int], float]
GROWING, GONE, NEW = (15, 15, 12), (40, 15, 12), (25, 40, 12)
#: Per examination: a lesion that grows, one that vanishes, one that is new.
EXAMINATIONS: tuple[tuple[Sphere, ...], ...] = (((GROWING, 6), (GONE, 4)), ((GROWING, 9), (NEW, 3)))


def _png() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((20, 80), 90, dtype=np.uint8)).save(content, format="PNG")
    return content.getvalue()


#: The content of every file of a follow-up.
PICTURE = _png()


def _mask(spheres: Sequence[Sphere]) -> Volume:
    places = np.indices((55, 55, 24))
    mask = np.zeros(places.shape[1:], np.uint8)
    for centre, radius in spheres:
        mask |= sum((axis - at) ** 2 for axis, at in zip(places, centre, strict=True)) <= radius**2
    return Volume(mask, np.eye(4))


def stored(follow_up_id: str, new: NewFollowUp) -> StoredFollowUp:
    """Return the follow-up that a service would have stored."""
    names = [str(one.day or f"examination {place}") for place, one in enumerate(new.examinations, 1)]
    timepoints = [
        Timepoint(name, _mask(spheres), "binary", day=one.day, source="mets-3d")
        for name, one, spheres in zip(names, new.examinations, EXAMINATIONS, strict=True)
    ]
    later = new.examinations[1:]
    options = FollowUpOptions(
        tuple(one.steroids for one in later if one.steroids), tuple(one.clinical for one in later if one.clinical)
    )
    document = follow_timepoints(timepoints, new.label or follow_up_id[:8], options).document
    names_of_files = ["report.pdf", "report.html", "follow-up.json", "follow-up.csv"]
    changes = changes_at(document.lesions, names[-1])
    pictures = [f"lesion-{change.lesion.id}.png" for change in changes]
    return StoredFollowUp(
        id=follow_up_id,
        label=new.label,
        created_at=datetime(2026, 3, 1, 9, 5, tzinfo=UTC),
        examinations=tuple(
            FollowedExamination(study=one.study, version=0, name=name, day=one.day)
            for one, name in zip(new.examinations, names, strict=True)
        ),
        headline=document.headline,
        changes=tuple(
            FollowUpChange(
                lesion=change.lesion.id, kind=change.kind, sentence=change_sentence(change), picture=picture
            )
            for change, picture in zip(changes, pictures, strict=True)
        ),
        document=document,
        artifacts=tuple(
            Artifact(
                name=name, media_type="image/png", bytes=len(PICTURE), sha256=f"{follow_up_id}{name}",
                url=f"/follow-ups/{follow_up_id}/artifacts/{name}",
            )
            for name in [*names_of_files, *pictures]
        ),
    )  # fmt: skip
