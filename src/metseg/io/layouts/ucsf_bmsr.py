"""The layout of UCSF-BMSR, examinations of patients with brain metastases (Radiol Artif Intell 2024, 6:e230126).

``100101A_T1post.nii.gz``: the letter counts the examinations of patient 100101.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from metseg.io.file_index import Tree
from metseg.io.layouts.volume_layout import LESIONS, Listing, Study, StudyFile, VolumeLayout
from metseg.io.volumes.image_files import stem_of
from metseg.recipe import DataPart

#: What stands behind the examination, in lower case. A synthetic T2 stands in where none was taken.
ROLES = {
    "t1pre": "t1n",
    "t1post": "t1c",
    "t2": "t2w",
    "t2synth": "t2synth",
    "flair": "t2f",
    "subtraction": "subtraction",
    "seg": LESIONS,
    "brats-seg": LESIONS,
}
SCHEMES = {"seg": ("binary",), "brats-seg": ("brats-met-2023",)}

EXAMINATION = re.compile(r"^(?P<patient>\d{6})(?P<time>[A-Z])$")
NAME = re.compile(rf"^(?P<patient>\d{{6}})(?P<time>[A-Z])_(?P<what>{'|'.join(ROLES)})$", re.IGNORECASE)


def _files(tree: Tree) -> Iterator[StudyFile]:
    for path in tree.volumes:
        if match := NAME.match(stem_of(path.name)):
            case, what = match["patient"] + match["time"], match["what"].lower()
            place = path.parent if path.parent.name == case else path.parent / case
            study = Study(case, match["patient"], place, timepoint=match["time"])
            yield StudyFile(study, ROLES[what], tree.root / path, schemes=SCHEMES.get(what, ()))


def mask_schemes(stem: str) -> tuple[str, ...]:
    """Return the label schemes that a mask may have by its name, without the ending; none for any other file.

    >>> mask_schemes("100101A_BraTS-seg"), mask_schemes("100101A_T1post")
    (('brats-met-2023',), ())
    """
    match = NAME.match(stem)
    return SCHEMES.get(match["what"].lower(), ()) if match else ()


def list_files(tree: Tree, _: DataPart) -> Listing:
    """Return every file; where there is no T2, the synthetic one is it."""
    groups: dict[Study, list[StudyFile]] = defaultdict(list)
    for file in _files(tree):
        groups[file.study].append(file)
    return Listing(tuple(file for group in groups.values() for file in _with_t2(group)))


def _with_t2(group: list[StudyFile]) -> list[StudyFile]:
    roles = {file.role for file in group}
    if "t2w" in roles or "t2synth" not in roles:
        return group
    study = replace(group[0].study, notes=("t2w is the synthetic T2 of the data set",))
    return [replace(file, study=study, role="t2w" if file.role == "t2synth" else file.role) for file in group]


UCSF_BMSR = VolumeLayout(
    "100101A/100101A_T1post.nii.gz, 100101A_seg.nii.gz and 100101A_BraTS-seg.nii.gz",
    lambda tree: any(True for _ in _files(tree)),
    list_files,
)
