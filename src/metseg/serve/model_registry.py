"""Registry of the installed models, read from their bundles without loading networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from metseg.bundle_folder import fingerprint_of, list_bundles, read_card, weights_files
from metseg.errors import MetsegError, UsageError
from metseg.inference.fitness import trained_on_text, training_patients
from metseg.inference.model_choice import (
    Candidate,
    InputTraits,
    choose_model,
    installed_candidates,
    read_candidate,
    require_model,
)
from metseg.io.data_origin import is_simulated, readable_statement
from metseg.model.architectures import MODELS
from metseg.model_terms import accept, is_non_commercial, require_accepted, terms_of
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.recipe import Recipe
from metseg.recipe.flip_axes import flipped_axes
from metseg.schemas import Model, ModelChoice
from metseg.serve.http.problem_details import Refused
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.database import Database

PICTURES, VOLUMES = "pictures", "volumes"
#: Uses of models, and for each an input without further facts.
USES: Final[Mapping[str, InputTraits]] = {PICTURES: InputTraits(is_pictures=True), VOLUMES: InputTraits(False)}

_log = logging.getLogger(__name__)


def models(settings: Settings) -> tuple[Model, ...]:
    """Return all valid bundles sorted by name; `Model.default_for` marks those used where no more is known of an input.

    The network for brain extraction is left out, because it does not segment lesions.
    """
    candidates = _candidates(settings)
    chosen = {use: choose_for(settings, traits).model for use, traits in USES.items()}
    folders = list_bundles()
    found = (_model(candidate, folders.get(candidate.name), chosen) for candidate in candidates)
    return tuple(model for model in found if model is not None)


def choose_for(settings: Settings, traits: InputTraits) -> ModelChoice:
    """Return the model for an input that names none, and why; see `metseg.inference.model_choice`."""
    return choose_model(_candidates(settings), [traits], preferred=_preferred(settings, traits))


def model_for(settings: Settings, traits: InputTraits, wanted: str | None) -> ModelChoice:
    """Return the model of a study: the requested one, without a reason, else the one that fits best, with the reason.

    Raises:
        Refused: ``request.invalid`` for an unknown name, ``service.no_model`` if none is installed.
        InputError: ``input.no_fitting_model``.
        UsageError: ``licence.not_accepted``.
    """
    known = [candidate.name for candidate in _candidates(settings)]
    if wanted is not None:
        if wanted in known:
            require_accepted(wanted, settings.accepted_models or ())
            return ModelChoice(model=wanted)
        names = ", ".join(known) or "none"
        raise Refused("request.invalid", "no model has this name", where="field model", expected=f"one of: {names}")
    if not known:
        raise Refused("service.no_model", "no model is installed", cure="install one with metseg models add")
    choice = choose_for(settings, traits)
    require_model(choice)
    return choice


def accept_terms(database: Database, actor: str, name: str) -> None:
    """Accept the terms of an installed model for this service, with an entry in the audit log.

    Args:
        database: of the audit log.
        actor: who accepts, for the audit log.
        name: of the model.
    """
    # First the entry: terms that are accepted without a trace would be worse than a trace without effect.
    with database.write() as session:
        audit.append(session, actor, "model.accepted", detail={"model": name})
    accept(name)


def _candidates(settings: Settings) -> list[Candidate]:
    return installed_candidates(settings.accepted_models or ())


def _preferred(settings: Settings, traits: InputTraits) -> str | None:
    return settings.picture_model if traits.is_pictures else settings.volume_model


def _model(candidate: Candidate, folder: Path | None, defaults: Mapping[str, str | None]) -> Model | None:
    """Return the entry of a model; log a warning and return None if its bundle is damaged or has been removed."""
    try:
        return None if folder is None else _described(candidate, folder, defaults)
    except (MetsegError, OSError, ValueError):
        _log.warning("a bundle cannot be read and is ignored", exc_info=True)
        return None


def require_several_predictions(name: str | None) -> None:
    """Refuse the uncertainty of a model that makes one prediction only: there is nothing to compare.

    Raises:
        UsageError: ``usage.uncertainty``.
    """
    folder = None if name is None else list_bundles().get(name)
    if folder is not None and _predictions(read_candidate(str(name), folder).recipe, folder) < 2:
        raise UsageError(
            "the uncertainty needs several predictions, and this model makes one",
            where="field uncertainty",
            expected="a model of several folds, or one that was trained with mirror images",
            cure="leave the field out, or choose a model with `predictions` of 2 or more (see GET /models)",
            code="usage.uncertainty",
        )


def _predictions(recipe: Recipe, folder: Path) -> int:
    """Return the number of predictions of the networks in a bundle and their mirror images."""
    return int(len(weights_files(folder)) * 2 ** len(flipped_axes(recipe.augment)))


def _gates(recipe: Recipe) -> int:
    """Return the number of attention gates of a network.

    Of a network from a package that is not installed, nothing is known; loading the bundle says so.
    """
    if recipe.model.name not in MODELS:
        return 0
    spec = MODELS.lookup(recipe.model.name)
    return 0 if spec.gates is None else spec.gates(recipe.model.parse(spec.options, key="model"))


def _described(candidate: Candidate, folder: Path, defaults: Mapping[str, str | None]) -> Model:
    recipe, data, metrics = candidate.recipe, candidate.recipe.data, dict(candidate.metrics)
    terms = terms_of(folder)
    return Model(
        name=candidate.name,
        recipe=recipe.name,
        description=recipe.description,
        dimensions=data.dimensions,
        sequences=data.inputs,
        optional=data.optional,
        grey_sequence=grey_sequence(recipe),
        labels=data.labels,
        threshold=recipe.predict.threshold,
        default_for=tuple(use for use, name in defaults.items() if name == candidate.name),
        data=trained_on_text(training_patients(metrics), data.licence),
        simulated=is_simulated(data.licence),
        non_commercial=is_non_commercial(terms),
        terms=readable_statement(terms),
        accepted=candidate.accepted,
        card=_card(folder, recipe.name, data.licence),
        metrics=metrics,
        predictions=_predictions(recipe, folder),
        gates=_gates(recipe),
        fingerprint=fingerprint_of(folder),
    )


def _card(folder: Path, recipe_name: str, licence: str) -> str:
    """Return the card of a bundle, with the statement on its data as readers see it elsewhere."""
    card = read_card(folder, recipe_name)
    return card.replace(licence, readable_statement(licence)) if licence else card
