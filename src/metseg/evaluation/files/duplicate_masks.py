"""Choose between several masks of one case in one folder by the requested labels.

UCSF-BMSR has two masks per examination: binary (``_seg``) and with classes (``_BraTS-seg``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from metseg.evaluation.files.case_files import case_id, stem_of
from metseg.io.layouts.ucsf_bmsr import mask_schemes
from metseg.labels import LABEL_MAPS


def select_one_mask(files: Iterable[Path], labels: str | None) -> tuple[list[Path], tuple[str, ...]]:
    """Return the masks to score, and a note on those left out.

    Args:
        files: masks of one folder, in order.
        labels: name of the requested label scheme; None: a scheme without a name.
    Returns:
        the same files but those beside the one mask of their case that holds, or can become, the labels asked for.
        Where no one mask of a case does, all of its masks are kept: nothing here is guessed.
    """
    cases: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        cases[path.parent, case_id(path.name)].append(path)
    kept, taken, left = [], set(), []
    for masks in cases.values():
        fitting = [path for path in masks if labels in _possible(path)]
        chosen = fitting if len(masks) > 1 and len(fitting) == 1 else masks
        kept += chosen
        if len(chosen) < len(masks):
            taken |= {_ending(path) for path in chosen}
            left += [path for path in masks if path not in chosen]
    if not left:
        return kept, ()
    endings = ", ".join(sorted({_ending(path) for path in left}))
    note = f"for labels '{labels}' {', '.join(sorted(taken))} were scored; {len(left)} {endings} beside them were not"
    return kept, (note,)


def _possible(path: Path) -> set[str]:
    """Return every label scheme that a mask has by its name, or converts to without losing a class."""
    known = mask_schemes(stem_of(path.name))
    return {*known, *(wanted for files, wanted in LABEL_MAPS if files in known)}


def _ending(path: Path) -> str:
    """Return the name pattern of a file: ``*_seg.nii.gz``."""
    return f"*{path.name.removeprefix(case_id(path.name))}"
