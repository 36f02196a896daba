"""Registry of the installed models, read from their bundles without loading networks."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path

from metseg.bundle_folder import (
    BRAIN_EXTRACTION,
    CARD,
    CHECKSUMS,
    METRICS,
    RECIPE,
    fingerprint_of,
    list_bundles,
    read_text,
)
from metseg.errors import MetsegError
from metseg.inference.fitness import trained_on_text, training_patients
from metseg.io.data_origin import is_simulated
from metseg.model_terms import is_accepted, is_non_commercial, require_accepted, terms_of
from metseg.recipe import Recipe, parse_recipe
from metseg.schemas import Kind, Model
from metseg.serve.http.problem_details import Refused
from metseg.serve.settings import Settings

PICTURES, VOLUMES = "pictures", "volumes"

_log = logging.getLogger(__name__)


def models(settings: Settings) -> tuple[Model, ...]:
    """Return all valid bundles sorted by name; `Model.default_for` marks the defaults.

    The network for brain extraction is left out, because it does not segment lesions.
    """
    folders = {name: folder for name, folder in list_bundles().items() if name != BRAIN_EXTRACTION}
    found = [model for name, folder in folders.items() if (model := _read(name, folder, settings)) is not None]
    chosen = {use: _default(found, use, wanted) for use, wanted in _wishes(settings).items()}
    return tuple(
        model.model_copy(update={"default_for": tuple(use for use in chosen if chosen[use] == model.name)})
        for model in found
    )


def choose_model(settings: Settings, kind: Kind, wanted: str | None) -> str:
    """Return the name of the model for a study: the requested one, else the default.

    Raises:
        Refused: ``request.invalid`` for an unknown name, ``service.no_model`` without a default.
        UsageError: ``licence.not_accepted``.
    """
    known = models(settings)
    if wanted is not None:
        if wanted in {model.name for model in known}:
            require_accepted(wanted, settings.accepted_models or ())
            return wanted
        names = ", ".join(model.name for model in known) or "none"
        raise Refused("request.invalid", "no model has this name", where="field model", expected=f"one of: {names}")
    use = PICTURES if kind == Kind.PICTURE else VOLUMES
    for model in known:
        if use in model.default_for:
            require_accepted(model.name, settings.accepted_models or ())
            return model.name
    raise Refused(
        "service.no_model",
        f"no model for {use} is installed",
        cure="install one with metseg models add, or name one in the field model",
    )


def _wishes(settings: Settings) -> dict[str, str | None]:
    return {PICTURES: settings.picture_model, VOLUMES: settings.volume_model}


def _default(found: list[Model], use: str, wanted: str | None) -> str | None:
    """Return the default model for a use: the one of the settings, else the first suitable one by name."""
    if wanted is not None:
        return wanted
    fit = [model for model in found if use in model_uses(model)]
    if not fit:
        return None
    fit = [model for model in fit if model.accepted] or fit
    # Prefer a 3D network for volumes.
    return max(fit, key=lambda model: model.dimensions if use == VOLUMES else 0).name


def model_uses(model: Model) -> tuple[str, ...]:
    """Return the uses of a model: 3D networks need volumes, 2D networks also process volumes slice by slice."""
    return (VOLUMES,) if model.dimensions == 3 else (PICTURES, VOLUMES)


def _read(name: str, folder: Path, settings: Settings) -> Model | None:
    """Return the model of a bundle; log a warning and return None for a damaged one."""
    try:
        stamp = (folder / CHECKSUMS).stat().st_mtime_ns
        model = _parsed(name, folder, stamp)
        accepted = not model.non_commercial or is_accepted(folder, settings.accepted_models or ())
        return model.model_copy(update={"accepted": accepted})
    except (MetsegError, OSError, ValueError):
        _log.warning("a bundle cannot be read and is ignored", exc_info=True)
        return None


@lru_cache(maxsize=64)
def _parsed(name: str, folder: Path, _stamp: int) -> Model:
    recipe = parse_recipe(read_text(folder / RECIPE), where=name)
    metrics = json.loads(read_text(folder / METRICS))
    return _model(name, folder, recipe, metrics if isinstance(metrics, dict) else {})


def _model(name: str, folder: Path, recipe: Recipe, metrics: dict[str, object]) -> Model:
    data = recipe.data
    return Model(
        name=name,
        recipe=recipe.name,
        description=recipe.description,
        dimensions=data.dimensions,
        sequences=data.inputs,
        optional=data.optional,
        labels=data.labels,
        threshold=recipe.predict.threshold,
        data=trained_on_text(training_patients(metrics), data.licence),
        simulated=is_simulated(data.licence),
        non_commercial=is_non_commercial(terms_of(folder)),
        card=read_text(folder / CARD),
        metrics=metrics,
        fingerprint=fingerprint_of(folder),
    )
