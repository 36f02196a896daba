"""Find the image of a mask by the name of the mask."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePath

from metseg.evaluation.files.case_files import case_id, is_map, stem_of
from metseg.evaluation.files.file_matching import PLAIN_FOLDERS
from metseg.io.file_index import scan
from metseg.io.inspection.contact_sheet_volumes import PREFERRED
from metseg.io.sequence_names import is_brain_mask, is_sequence_word, sequence_of
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS

Key = tuple[str, ...]

#: nnU-Net's numbering of the channels of a case.
_CHANNEL_NUMBER = re.compile(r"_\d{4}$")

_LAST_WORD = re.compile(r"(?:^|[-_])([^-_]+)$")


class Images:
    """The pictures or volumes under a root.

    An image belongs to a mask if their names are equal, apart from the ending of masks (``_mask``, ``-seg``) and the
    name of a sequence (``-t1c``, ``_0000``). If several images match, the names of their folders must match too.

    Args:
        root: folder of the images, searched recursively.
    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        tree = scan(root.resolve())
        self._by_ending: dict[Key, list[Path]] = defaultdict(list)
        for place in (*tree.volumes, *tree.pictures):
            path = tree.root / place
            if _is_mask(path):
                continue
            endings = {key[begin:] for key in _image_keys(place) for begin in range(len(key))}
            for ending in endings:
                self._by_ending[ending].append(path)

    def of(self, mask: Path, *, masks: Collection[Path] = ()) -> Path | None:
        """Return the image of a mask, or None if there is none, or several in different folders.

        Of several sequences of a study, the one that shows metastases best is used.

        Args:
            mask: the file of the mask.
            masks: absolute paths of files that are masks and not images.
        """
        key = (*_folders(mask), case_id(mask.name))
        for begin in range(len(key)):
            found = [path for path in self._by_ending.get(key[begin:], ()) if path not in masks]
            if found and len({path.parent for path in found}) == 1:
                return min(found, key=_rank)
        return None


def _is_mask(path: Path) -> bool:
    stem = stem_of(path.name)
    return case_id(path.name) != stem or is_brain_mask(stem) or is_map(path)


def _folders(path: PurePath) -> Key:
    return tuple(part for part in path.parent.parts if part.lower() not in PLAIN_FOLDERS)


def _image_keys(path: PurePath) -> set[Key]:
    """Return the possible names of the mask of an image: its folders, then the case.

    >>> sorted(_image_keys(PurePath("images/P1/P1_3.png"))), sorted(_image_keys(PurePath("flat/P1-t1c.nii.gz")))
    ([('P1', 'P1_3')], [('flat', 'P1'), ('flat', 'P1-t1c')])
    >>> sorted(_image_keys(PurePath("P1/flair.nii")))
    [('P1',), ('P1', 'flair')]
    """
    folders, stem = _folders(path), stem_of(path.name)
    keys = {(*folders, stem)}
    if path.name.lower().endswith(NIFTI_ENDINGS):
        case = _without_sequence(stem)
        keys.add((*folders, case) if case else folders)
    return keys


def _without_sequence(stem: str) -> str:
    """Return a name without the sequence at its end; empty if the name is only that of a sequence.

    >>> [_without_sequence(stem) for stem in ("P1_b-t1c", "P1_T1_post", "case_07_0000", "T2_FLAIR", "case_07")]
    ['P1_b', 'P1', 'case_07', '', 'case_07']
    """
    left = _CHANNEL_NUMBER.sub("", stem)
    while (last := _LAST_WORD.search(left)) and is_sequence_word(last.group(1)):
        left = left[: last.start()]
    return left


def _rank(path: Path) -> tuple[int, str]:
    sequence = sequence_of(stem_of(path.name))
    return (PREFERRED.index(sequence) if sequence in PREFERRED else len(PREFERRED), path.name)
