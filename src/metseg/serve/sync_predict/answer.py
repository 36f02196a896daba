"""Create the response of `POST /predict/` for a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.class_styles import class_styles
from metseg.errors import InputError
from metseg.inference.outputs.image_outputs import probability_pixels
from metseg.inference.prediction import Prediction
from metseg.io.images.channel_names import GreyRule
from metseg.io.prediction_inputs import InputRules, find_inputs
from metseg.labels import LABEL_SCHEMES
from metseg.plot.images.overlay import draw_labels, grey
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.schemas import Answer
from metseg.serve.jobs.phases.model_cache import Loaded, Models
from metseg.serve.sync_predict.messages import Ask, Form


def answer(ask: Ask, models: Models) -> bytes:
    """Return the body of the response for one picture.

    Args:
        ask: the picture (PNG, TIFF, JPEG, WebP or BMP), the name of a bundle, and the format.
        models: cache of loaded models.
    Raises:
        InputError: the picture cannot be used, or not with this model.
        BundleError, UsageError: the model is damaged or does not exist.
    """
    loaded = models.get(ask.model)
    if loaded.predictor.recipe.data.dimensions == 3:
        raise InputError(
            "the model needs a volume, but the request contains a picture",
            where="field model",
            cure="choose a model for pictures, or send the volume to POST /studies",
            code="input.dimensions",
        )
    recipe = loaded.predictor.recipe
    rules = InputRules(grey=GreyRule(grey_sequence(recipe)))
    (source,) = find_inputs(Path(ask.path), channels=recipe.data.channels, rules=rules)
    prediction = loaded.predictor(source.load())
    if ask.form == Form.JSON:
        return _json(prediction, loaded, ask)
    return _png(_PICTURES[ask.form](prediction))


def _json(prediction: Prediction, loaded: Loaded, ask: Ask) -> bytes:
    plane = prediction.labels[:, :, 0].T
    rows, columns = plane.shape
    # Rounded to the step of the 16-bit PNG; more digits would double the answer without being more exact.
    chances = np.round(prediction.probability[:, :, 0].T.astype(np.float64), 4).tolist() if ask.probabilities else None
    document = Answer(
        segmentation=plane.tolist(),
        probabilities=chances,
        rows=rows,
        columns=columns,
        classes={name: value for value, name in LABEL_SCHEMES[prediction.scheme].classes.items()},
        lesions=prediction.lesions,
        model=loaded.name,
        model_reason=ask.model_reason,
        fingerprint=loaded.predictor.fingerprint,
        warnings=prediction.warnings,
        timings_s=prediction.timings_s,
    )
    return document.model_dump_json().encode()


def _mask(prediction: Prediction) -> npt.NDArray[np.uint8]:
    """Return the mask: 0/255 for models with one class, class ids for several."""
    plane = prediction.labels[:, :, 0].T
    one_class = len(LABEL_SCHEMES[prediction.scheme].classes) == 1
    return plane * np.uint8(255) if one_class else plane


def _overlay(prediction: Prediction) -> npt.NDArray[np.uint8]:
    """Return the picture in grey with the lesions drawn on it."""
    drawn = draw_labels(
        grey(prediction.case.background.data[:, :, 0]), prediction.labels[:, :, 0], class_styles(prediction.scheme)
    )
    return drawn.transpose(1, 0, 2)


def _png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format="PNG")
    return encoded.getvalue()


_PICTURES: Mapping[Form, Callable[[Prediction], npt.NDArray[np.uint8] | npt.NDArray[np.uint16]]] = {
    Form.MASK: _mask,
    Form.OVERLAY: _overlay,
    Form.PROBABILITY: lambda prediction: probability_pixels(prediction.probability[:, :, 0]),
}
