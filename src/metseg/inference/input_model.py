"""Choose the model for the inputs of a command, from their names and headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from metseg.errors import InputError
from metseg.inference.input_options import InputOptions
from metseg.inference.model_choice import choose_model, installed_candidates, require_model, traits_of
from metseg.recipe import DataPart
from metseg.schemas import ModelChoice


def choose_for_inputs(
    inputs: Sequence[Path], reading: InputOptions, out: Path, *, tell: Callable[[str], None]
) -> ModelChoice:
    """Return the model that fits the inputs best, after telling why.

    Args:
        inputs: files and folders.
        reading: how they are read.
        out: the folder of the results, which are no inputs.
        tell: called with the reason, and with a model that would fit better; if none fits, with a line per model.
    Raises:
        InputError: no model fits (``input.no_fitting_model``), or nothing is found in an input.
        UsageError: see `metseg.inference.model_choice.require_model`.
    """
    # Which part of a data set is predicted depends on the model's recipe, the kind of its images does not. Notes on
    # the files are given when they are read with the model.
    sources = replace(reading, part=None, tell=None).sources(inputs, DataPart(), out)
    if not sources:
        raise InputError("nothing to predict on", where=", ".join(map(str, inputs)), code="input.missing")
    choice = choose_model(installed_candidates(), [traits_of(source) for source in sources])
    if choice.model is None:
        for misfit in choice.misfits:
            tell(f"model {misfit.model} cannot be used: {misfit.reason}; {misfit.cure}")
    require_model(choice)
    for sentence in filter(None, (choice.reason, choice.better)):
        tell(sentence)
    return choice
