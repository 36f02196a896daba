"""Score predictions against the truth."""

from __future__ import annotations

from metseg.argument_checks import require_instance
from metseg.evaluation import CaseScores
from metseg.inference.prediction import Prediction


def score(prediction: Prediction) -> CaseScores:
    """Return the scores of a prediction against its case's own truth, under the protocol ``voxel``.

    Args:
        prediction: from `metseg.predict`, of a case with a truth.
    Returns:
        the metrics of every region, as ``scores[region][metric]``; None where a metric is not defined.
    Raises:
        InputError: the case has no truth.
        UsageError: an argument of a wrong type.

    Examples:
        Dice of any lesion under the label scheme ``binary``::

            metseg.score(prediction)["lesion"]["dice"]

    For two masks, and for other protocols, there is `metseg.evaluate_case`.
    """
    # Not above: it imports torch, which only predictions need.
    from metseg.training.scoring import score_case

    require_instance("prediction", prediction, Prediction, expected="a metseg.Prediction")
    return score_case(prediction)
