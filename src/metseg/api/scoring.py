"""Score predictions against the truth."""

from __future__ import annotations

from metseg.argument_checks import require_instance
from metseg.evaluation import CaseScores
from metseg.inference.prediction import Prediction


def score(prediction: Prediction) -> CaseScores:
    """Score a prediction against the truth of its case, under the protocol ``voxel``.

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

    For two masks, or another protocol, use `metseg.evaluate_case`.
    """
    # Imported here, because it imports torch.
    from metseg.training.run_scoring import score_case

    require_instance("prediction", prediction, Prediction, expected="a metseg.Prediction")
    return score_case(prediction)
