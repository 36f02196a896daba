"""Detect trivial predictions: a model that marks no voxel in any case, or nearly all voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metseg.evaluation.scores import CaseScores
from metseg.message_text import pluralize

#: A model that marks at least this share of all voxels, and `EXCESS` times as many as the truth, marks everything: no
#: lesion fills half of an image.
SHARE_OF_EVERYTHING = 0.5
EXCESS = 2.0


def trivial_predictions(scores: Sequence[CaseScores]) -> tuple[str, ...]:
    """Return one sentence for each way in which the predictions of all cases together are trivial.

    Args:
        scores: at least one case, all of the same regions.
    """
    joint = np.sum([score.joint for score in scores], axis=0)  # true classes in rows, predicted ones in columns
    total, predicted, truth = int(joint.sum()), int(joint[:, 1:].sum()), int(joint[1:].sum())
    everywhere = predicted == total and truth < total
    if total and (everywhere or (predicted >= SHARE_OF_EVERYTHING * total and predicted >= EXCESS * truth)):
        return (
            f"the predictions mark nearly everything as lesion: {predicted / total:.0%} of all voxels, where the truth "
            f"has {truth / total:.1%}",
        )
    if truth and not predicted:
        return (_nothing("lesion", scores, sum(bool(score.joint[1:].any()) for score in scores)),)
    return tuple(
        _nothing(region, scores, having)
        for region in scores[0].regions
        if not any(score[region].counts.predicted for score in scores)
        and (having := sum(score[region].counts.truth > 0 for score in scores))
    )


def _nothing(what: str, scores: Sequence[CaseScores], having: int) -> str:
    name = "any lesion" if what == "lesion" else f"any {what}"
    return f"the predictions do not mark {name} in {pluralize(len(scores), 'case')}; the truth has one in {having}"
