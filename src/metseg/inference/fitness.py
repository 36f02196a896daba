"""Say what a model was trained on and what a study is, so that a reader can judge whether the two fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metseg.io.data_origin import is_simulated, named_data, readable_statement
from metseg.message_text import pluralize
from metseg.preprocess import check_steps
from metseg.recipe import Recipe
from metseg.sequence_titles import sequence_title
from metseg.volume import BRAIN_MASK, Case


def fitness_sentence(case: Case, recipe: Recipe, metrics: Mapping[str, Any] | None) -> str:
    """Return what the model was trained on and what the case is, in one sentence.

    Args:
        case: as the network gets it, with a brain mask if metseg made one.
        recipe: of the model.
        metrics: of its bundle; None: the networks are not from a bundle.
    """
    trained = training_data(metrics, recipe.data.licence) or "data that are not recorded"
    return f"The model was trained on {trained}; this study: {', '.join(_study(case, recipe))}."


def training_data(metrics: Mapping[str, Any] | None, licence: str) -> str:
    """Return the training data of a model as a noun phrase, without the licence.

    >>> training_data({"patients": {"train": 105}}, "none: simulated patients (metseg simulate); weights are MIT")
    '105 simulated patients (metseg simulate)'
    """
    return _counted(training_patients(metrics), named_data(licence))


def training_patients(metrics: Mapping[str, Any] | None) -> int | None:
    """Return the number of training patients in the metrics of a bundle; None if it is not recorded."""
    patients = (metrics or {}).get("patients")
    count = patients.get("train") if isinstance(patients, Mapping) else None
    return count if isinstance(count, int) else None


def trained_on_text(patients: int | None, licence: str) -> str:
    """Return the training data of a model as a noun phrase; empty if neither argument is known.

    Args:
        patients: number of patients; None: not known.
        licence: text of the bundle on the images and their licence.

    >>> trained_on_text(105, "none: simulated patients (metseg simulate), images of nobody; the weights are free")
    '105 simulated patients (metseg simulate); the weights are free'
    >>> trained_on_text(71, "TCGA-LGG slices; CC BY-NC-SA 4.0"), trained_on_text(1, "")
    ('71 patients: TCGA-LGG slices; CC BY-NC-SA 4.0', '1 patient')
    """
    return _counted(patients, readable_statement(licence))


def _counted(patients: int | None, data: str) -> str:
    if is_simulated(data):
        rest = data.removeprefix("simulated patients").removeprefix(" only")
        return ("simulated patients" if patients is None else pluralize(patients, "simulated patient")) + rest
    counted = "" if patients is None else pluralize(patients, "patient")
    return ": ".join(filter(None, (counted, data)))


def _study(case: Case, recipe: Recipe) -> list[str]:
    """Return the parts of the description of a case."""
    wanted = recipe.data.inputs or tuple(name for name in case.images if name != BRAIN_MASK)
    present = [sequence_title(name) for name in wanted if name in case.images]
    absent = [sequence_title(name) for name in wanted if name not in case.images]
    if case.is_slice_stack and len(wanted) == 1:
        # A picture does not say what it shows, and nothing here checks it.
        return [f"pictures, taken for {present[0]}" if present else "pictures"]
    if case.is_slice_stack:
        return ["pictures", *present, *(f"no {name}" for name in absent)]
    return [*present, *(f"no {name}" for name in absent), *_brain(case, recipe)]


def _brain(case: Case, recipe: Recipe) -> list[str]:
    """Return where the brain mask came from; nothing if the model uses whole heads."""
    if not any(step.spec.kind == "region" for step in check_steps(recipe.preprocess)):
        return []
    if case.brain_mask_record is not None:
        return ["brain extracted by metseg"]
    return ["brain mask given" if BRAIN_MASK in case.images else "skull removed before"]
