"""The layout of BIDS: ``sub-01/[ses-01]/anat/sub-01_[ses-01]_ce-gadolinium_T1w.nii.gz``, masks also in derivatives.

Source: Brain Imaging Data Structure 1.9, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from metseg.io.image_files import stem_of
from metseg.io.layouts.volumes import LESIONS, Listing, Study, StudyFile, VolumeLayout
from metseg.io.sequences import CONTRAST_WORDS, LESION_WORDS, NATIVE_WORDS
from metseg.io.tree import Tree
from metseg.volume import BRAIN_MASK

IMAGES = {"T1w": "t1n", "T2w": "t2w", "FLAIR": "t2f"}
MASKS = ("mask", "dseg", "seg", "roi")
DERIVATIVES = "derivatives"
#: Folders whose files need no BIDS names.
OTHER_FOLDERS = frozenset((DERIVATIVES, "sourcedata", "code", "stimuli"))

#: What a case is called here, where a subject has several sessions.
EXAMINATION = re.compile(r"^(?P<patient>sub-[a-zA-Z0-9]+)_(?P<time>ses-[a-zA-Z0-9]+)$")


class Name(NamedTuple):
    """A BIDS file name: its entities (``sub`` to ``01``) and its suffix."""

    entities: Mapping[str, str]
    suffix: str


def parse(stem: str) -> Name | None:
    """Return the entities and the suffix of a name, or None where it is no BIDS name.

    >>> parse("sub-01_ses-2_ce-gadolinium_T1w")
    Name(entities={'sub': '01', 'ses': '2', 'ce': 'gadolinium'}, suffix='T1w')
    """
    *pairs, suffix = stem.split("_")
    split = [pair.partition("-") for pair in pairs]
    if not split or split[0][0] != "sub" or not all(value for _, _, value in split):
        return None
    return Name({key: value for key, _, value in split}, suffix)


def _files(tree: Tree) -> Iterator[StudyFile]:
    """Yield original images in ``anat`` and the masks of lesions and brains anywhere."""
    for path in tree.volumes:
        name = parse(stem_of(path.name))
        role = (
            None if name is None else _role(name, derived=DERIVATIVES in path.parts, in_anat=path.parent.name == "anat")
        )
        if name is not None and role is not None:
            yield StudyFile(_study(name), role, tree.root / path)


def _other(tree: Tree) -> Iterator[Path]:
    """Yield the files that BIDS has a name or a folder for; those among them that are not ours are left out."""
    for path in tree.volumes:
        if parse(stem_of(path.name)) is not None or OTHER_FOLDERS & set(path.parts[:-1]):
            yield tree.root / path


def _study(name: Name) -> Study:
    subject, session = f"sub-{name.entities['sub']}", name.entities.get("ses")
    timepoint = None if session is None else f"ses-{session}"
    case = subject if timepoint is None else f"{subject}_{timepoint}"
    return Study(case, subject, PurePosixPath(subject, timepoint or ""), timepoint=timepoint)


def _role(name: Name, *, derived: bool, in_anat: bool) -> str | None:
    """Return what a file is, or None where it is nothing of ours (perfusion, a tissue map, a processed copy)."""
    if name.suffix in IMAGES:
        return None if derived or not in_anat or "desc" in name.entities else _modality(name)
    if name.suffix not in MASKS:
        return None
    said = {name.entities.get(key, "").lower() for key in ("desc", "label")} - {""}
    if said & {"brain"}:
        return BRAIN_MASK
    unsaid = not said and name.suffix != "roi"
    return LESIONS if unsaid or any(word in text for text in said for word in LESION_WORDS) else None


def _modality(name: Name) -> str:
    """Return the modality: T1 with the entity ``ce``, or with a word for it in ``acq``, is after contrast agent."""
    modality = IMAGES[name.suffix]
    acquired = name.entities.get("acq", "").lower()
    native = any(word in acquired for word in NATIVE_WORDS)
    with_agent = "ce" in name.entities or (not native and any(w in acquired for w in CONTRAST_WORDS if len(w) > 1))
    return "t1c" if modality == "t1n" and with_agent else modality


BIDS = VolumeLayout(
    "sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz (BIDS)",
    lambda tree: any(file.role not in (LESIONS, BRAIN_MASK) for file in _files(tree)),
    lambda tree, _: Listing(tuple(_files(tree)), other=tuple(_other(tree))),
)
