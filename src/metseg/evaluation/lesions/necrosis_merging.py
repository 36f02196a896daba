"""BraTS-METS 2024: pieces of enhancing tumour around one necrosis are one lesion.

Both classes are made into instances by dilation. An ET and a NETC instance touch when one, dilated once, meets the
other. With more than one touching pair, every ET instance that touches some NETC takes the identity of the
lowest-numbered NETC instance it touches. Not transitive; with one pair or none, nothing changes.
"""

from __future__ import annotations

import numpy as np

from metseg.evaluation.lesions.lesion_matching import NumberedLesions, reached_pairs, renumber


def merge_around_necrosis(pieces: NumberedLesions, cores: NumberedLesions) -> NumberedLesions:
    """Return the pieces with those around one core made one lesion.

    Args:
        pieces: lesions of the enhancing tumour, in a box with room for their reach.
        cores: lesions of the necrosis, in the same box.
    """
    # Dilation by one symmetric element: where a piece's reach meets a core, the core's reach meets the piece.
    pairs = reached_pairs(pieces.reach, cores)
    if len(pairs) <= 1:
        return pieces
    core_of: dict[int, int] = {}
    for piece, core in pairs:
        core_of.setdefault(piece, core)  # pairs rise, so the first is the lowest-numbered
    identities = [("core", core_of[piece]) if piece in core_of else ("piece", piece) for piece in _numbers(pieces)]
    order = {identity: number for number, identity in enumerate(dict.fromkeys(identities), start=1)}
    return renumber(pieces, np.array([0, *(order[identity] for identity in identities)]))


def _numbers(lesions: NumberedLesions) -> range:
    return range(1, lesions.count + 1)
