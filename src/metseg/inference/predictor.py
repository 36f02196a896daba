"""The predictor of a model: finds the brain where the model needs it, then runs the network."""

from __future__ import annotations

from metseg.inference.brain.brain_extraction import ensure_brain_mask
from metseg.inference.network_predictor import NetworkPredictor
from metseg.runtime.progress import OnShare, no_progress
from metseg.volume import Case


class Predictor(NetworkPredictor):
    """A trained model, ready to predict cases; `metseg.load_model` returns one."""

    def with_brain_mask(self, case: Case, *, on_share: OnShare = no_progress) -> Case:
        """Return the case with a brain mask where the model needs one and the case has none.

        Args:
            case: as it was read.
            on_share: called with the share that is done, 0 to 1.
        Raises:
            InputError: ``input.brain_mask``, no brain was found; or the case is not of the kind that the model takes.
        """
        case = super().with_brain_mask(case)
        return ensure_brain_mask(case, self.recipe, device=str(self._compute.device), on_share=on_share)
