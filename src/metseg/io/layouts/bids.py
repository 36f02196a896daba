"""The layout of BIDS: ``sub-01/[ses-01]/anat/sub-01_[ses-01]_ce-gadolinium_T1w.nii.gz``, masks also in derivatives.

Source: Brain Imaging Data Structure 1.9, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from metseg.io.file_index import Tree
from metseg.io.layouts.volume_layout import LESIONS, Listing, Study, StudyFile, VolumeLayout
from metseg.io.mask_names import LESION_WORDS
from metseg.io.sequence_names import BIDS_IMAGES, BidsName, name_sequence, parse_bids
from metseg.io.volumes.image_files import stem_of
from metseg.volume import BRAIN_MASK

MASKS = ("mask", "dseg", "seg", "roi")
DERIVATIVES = "derivatives"
#: Folders where files need no BIDS names.
OTHER_FOLDERS = frozenset((DERIVATIVES, "sourcedata", "code", "stimuli"))

#: What a case is called here, where a subject has several sessions.
EXAMINATION = re.compile(r"^(?P<patient>sub-[a-zA-Z0-9]+)_(?P<time>ses-[a-zA-Z0-9]+)$")


def _names(tree: Tree) -> Iterator[tuple[PurePosixPath, BidsName]]:
    """Yield the files with BIDS names."""
    for path in tree.volumes:
        if (name := parse_bids(stem_of(path.name))) is not None:
            yield path, name


def _listing(tree: Tree) -> Listing:
    """Return original images in ``anat`` and the masks of lesions and brains anywhere.

    An image with contradictory entities is left out, with a note in its study.
    """
    parsed = dict(_names(tree))
    doubtful: dict[str, list[str]] = defaultdict(list)
    for path, name in parsed.items():
        if _is_image(path, name) and (found := name_sequence(stem_of(path.name))).modality is None:
            doubtful[_case(name)].append(f"{path.name} is left out: {found.reason}")
    files = []
    for path, name in parsed.items():
        role, reason = _role(path, name)
        if role is not None:
            study = _study(name, tuple(doubtful[_case(name)]))
            files.append(StudyFile(study, role, tree.root / path, reason=reason))
    return Listing(tuple(files), other=tuple(_other(tree)))


def _other(tree: Tree) -> Iterator[Path]:
    """Yield the files that BIDS has a name or a folder for; those among them that are not ours are left out."""
    for path in tree.volumes:
        if parse_bids(stem_of(path.name)) is not None or OTHER_FOLDERS & set(path.parts[:-1]):
            yield tree.root / path


def _case(name: BidsName) -> str:
    session = name.entities.get("ses")
    return f"sub-{name.entities['sub']}" + ("" if session is None else f"_ses-{session}")


def _study(name: BidsName, notes: tuple[str, ...]) -> Study:
    subject, session = f"sub-{name.entities['sub']}", name.entities.get("ses")
    timepoint = None if session is None else f"ses-{session}"
    return Study(_case(name), subject, PurePosixPath(subject, timepoint or ""), timepoint=timepoint, notes=notes)


def _is_image(path: PurePosixPath, name: BidsName) -> bool:
    """Return whether a file is an original image of a suffix of ours, and no processed copy."""
    return (
        name.suffix in BIDS_IMAGES
        and DERIVATIVES not in path.parts
        and path.parent.name == "anat"
        and "desc" not in name.entities
    )


def _role(path: PurePosixPath, name: BidsName) -> tuple[str | None, str]:
    """Return what a file is, and why; None for perfusion, tissue maps and processed copies."""
    if _is_image(path, name):
        found = name_sequence(stem_of(path.name))
        return found.modality, found.reason
    if name.suffix not in MASKS:
        return None, ""
    said = {name.entities.get(key, "").lower() for key in ("desc", "label")} - {""}
    if said & {"brain"}:
        return BRAIN_MASK, ""
    unsaid = not said and name.suffix != "roi"
    return (LESIONS if unsaid or any(word in text for text in said for word in LESION_WORDS) else None), ""


BIDS = VolumeLayout(
    "sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz (BIDS)",
    lambda tree: any(_is_image(path, name) for path, name in _names(tree)),
    lambda tree, _: _listing(tree),
)
