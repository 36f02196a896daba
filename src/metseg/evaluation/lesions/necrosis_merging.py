"""BraTS-METS 2024: components of enhancing tumour around one necrosis are one lesion.

Both classes are split into instances by dilation. An ET and a NETC instance touch if one, dilated once, overlaps the
other. With more than one touching pair, every ET instance that touches a NETC instance takes the id of the
lowest-numbered NETC instance it touches. Not transitive; with one pair or none, nothing changes.
"""

from __future__ import annotations

import numpy as np

from metseg.evaluation.lesions.lesion_matching import NumberedLesions, reached_pairs, renumber


def merge_around_necrosis(pieces: NumberedLesions, cores: NumberedLesions) -> NumberedLesions:
    """Merge the components around one core into one lesion.

    Args:
        pieces: lesions of the enhancing tumour, in a box with room for their reach.
        cores: lesions of the necrosis, in the same box.
    """
    # The structuring element is symmetric: a piece's reach overlaps a core if the core's reach overlaps the piece.
    pairs = reached_pairs(pieces.reach, cores)
    if len(pairs) <= 1:
        return pieces
    core_of: dict[int, int] = {}
    for piece, core in pairs:
        core_of.setdefault(piece, core)  # pairs are ascending, so the first is the lowest-numbered
    identities = [("core", core_of[piece]) if piece in core_of else ("piece", piece) for piece in _numbers(pieces)]
    order = {identity: number for number, identity in enumerate(dict.fromkeys(identities), start=1)}
    return renumber(pieces, np.array([0, *(order[identity] for identity in identities)]))


def _numbers(lesions: NumberedLesions) -> range:
    return range(1, lesions.count + 1)
