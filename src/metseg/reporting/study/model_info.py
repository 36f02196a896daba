"""Describe a model from its bundle: recipe, card and metrics, without loading the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metseg.bundle_folder import (
    CHECKSUMS,
    METRICS,
    RECIPE,
    find_bundle,
    fingerprint_of,
    list_bundles,
    model_name,
    read_text,
    verify_bundle,
)
from metseg.errors import UsageError
from metseg.grading.grade_availability import why_not_available
from metseg.inference.fitness import trained_on_text
from metseg.io.data_origin import is_simulated
from metseg.recipe import Recipe, parse_recipe
from metseg.reporting.study.study_report import Model, Performance

if TYPE_CHECKING:
    from metseg.model.bundle import Bundle

#: Parts of a bundle's metrics by priority; only the first one present is reported.
PARTS: tuple[Literal["test", "validation"], ...] = ("test", "validation")


def model_of_bundle(bundle: Bundle) -> Model:
    """Return the description of a loaded bundle."""
    return _model(bundle.model_name, bundle.recipe, bundle.metrics, bundle.fingerprint, bundle.folder)


def model_of_folder(folder: str | Path) -> Model:
    """Return the description of a bundle by folder or name; its checksums are verified.

    Raises:
        BundleError: no bundle, or a damaged one.
        UsageError: no bundle of that name.
    """
    place = find_bundle(folder)
    verify_bundle(place)
    fingerprint = fingerprint_of(place)
    recipe = parse_recipe(read_text(place / RECIPE), where=str(place / RECIPE))
    metrics = _json_object(read_text(place / METRICS))
    return _model(model_name(place, recipe.name), recipe, metrics, fingerprint, place)


def find_model(name: str, fingerprint: str) -> Model:
    """Return the model of a prediction, if its bundle can be found by name.

    Args:
        name: of the model.
        fingerprint: of its bundle; empty if it did not come from a bundle.
    """
    unknown = Model(name, fingerprint)
    if not fingerprint:
        return unknown
    for folder in list_bundles().values():
        if (folder / CHECKSUMS).is_file() and fingerprint_of(folder) == fingerprint:
            return model_of_folder(folder)
    return unknown


def require_same_model(model: Model, fingerprint: str, *, where: object) -> Model:
    """Return the model if it made the prediction; the scores of another model do not apply to the result.

    Raises:
        UsageError: another model made the prediction (``usage.bundle_mismatch``).
    """
    if model.fingerprint == fingerprint:
        return model
    raise UsageError(
        "the study was not predicted with this model",
        where=where,
        expected=f"the bundle {fingerprint}" if fingerprint else "no bundle: the networks did not come from one",
        got=f"the bundle {model.fingerprint}",
        cure="give the bundle that made the prediction as --model, or predict again",
        code="usage.bundle_mismatch",
    )


def _model(name: str, recipe: Recipe, metrics: Mapping[str, Any], fingerprint: str, folder: Path) -> Model:
    patients = _count(_object(metrics, "patients").get("train"))
    return Model(
        name=name,
        fingerprint=fingerprint,
        is_described=True,
        summary=recipe.description,
        architecture=f"{recipe.model.name}, {recipe.data.dimensions}D, input {', '.join(recipe.data.inputs) or 'all'}",
        trained_on=trained_on_text(patients, recipe.data.licence),
        performance=_performance(metrics),
        leaks_patients=metrics.get("leaks_patients") is True,
        no_grade=why_not_available(
            folder, labels=recipe.data.labels, licence=recipe.data.licence, fingerprint=fingerprint
        ),
        is_simulated=is_simulated(recipe.data.licence),
    )


def _performance(metrics: Mapping[str, Any]) -> tuple[Performance, ...]:
    """Return the scores of the first part of the metrics that has any."""
    for part in PARTS:
        regions = _object(_object(metrics, part), "regions")
        unit = str(_object(_object(metrics, part), "interval").get("over") or "patients")
        scored = [_of_region(part, str(name), region, unit) for name, region in regions.items()]
        found = tuple(one for one in scored if one is not None)
        if found:
            return found
    return ()


def _of_region(part: Literal["test", "validation"], name: str, region: Any, unit: str) -> Performance | None:
    """Return the scores of a region; None without a Dice coefficient."""
    if not isinstance(region, Mapping):
        return None
    dice = _object(_object(region, "metrics"), "dice")
    mean, patients = _number(dice.get("mean")), _count(dice.get("patients"))
    if mean is None or patients is None:
        return None
    lesions = _object(region, "lesions")
    return Performance(
        part=part,
        region=name,
        patients=patients,
        dice=mean,
        low=_number(dice.get("low")),
        high=_number(dice.get("high")),
        found=_count(lesions.get("found")),
        missed=_count(lesions.get("missed")),
        false=_count(lesions.get("false")),
        unit=unit,
        in_slices=bool(_object(region, "slice_metrics")),
    )


def _object(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under a key, or an empty one if it is not an object, because bundles are not trusted."""
    inner = content.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _json_object(text: str) -> Mapping[str, Any]:
    """Return the metrics; empty if they are not an object."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
