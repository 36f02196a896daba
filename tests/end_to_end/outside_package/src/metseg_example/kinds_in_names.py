"""A flat folder of pictures with the kind in the name: ``P1.image.3.png`` and ``P1.truth.3.png``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from metseg.io.file_index import Pair, Pairing, Tree
from metseg.io.layouts import SliceLayout

NAME = re.compile(r"(?P<patient>[^.]+)\.(?P<kind>image|truth)\.(?P<number>\d+)\.png")


def is_arranged(tree: Tree) -> bool:
    """Return whether every picture is named so: no other layout's folder may be taken for this one."""
    return bool(tree.pictures) and all(NAME.fullmatch(path.name) for path in tree.pictures)


def pair_up(tree: Tree) -> Pairing:
    """Return each image with its truth."""
    files = {
        (match["patient"], match["number"], match["kind"]): path
        for path in tree.pictures
        if (match := NAME.fullmatch(path.name))
    }
    pairs = []
    for (patient, number, kind), path in files.items():
        if kind == "image":
            truth = files.get((patient, number, "truth"))
            place = PurePosixPath(patient, f"{patient}_{number}")
            pairs.append(Pair(place, tree.root / path, None if truth is None else tree.root / truth, place))
    return Pairing(tuple(pairs))


KINDS_IN_NAMES = SliceLayout("P1.image.3.png and P1.truth.3.png in one folder", is_arranged, pair_up)
