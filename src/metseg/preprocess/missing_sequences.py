"""Missing sequences: what replaces them, for networks that were trained with missing sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from metseg.errors import UsageError
from metseg.preprocess.prepared_case import Prepared, check_present
from metseg.recipe import DataPart, Frozen, Named, Recipe
from metseg.volume import Case


class SequenceFill(Frozen):
    """What the network was trained to see in place of a missing sequence; see the augmentation `missing_sequence`."""

    #: Position, among the network's inputs, of the sequence that is always there.
    reference: Annotated[int, Field(ge=0)] = 0
    #: copy: the reference once more; zero: nothing, after all other steps.
    fill: Literal["copy", "zero"] = "copy"


def sequence_fill(augment: Sequence[Named]) -> SequenceFill:
    """Return what a recipe's augmentation showed in place of the sequences that it hid; a copy where it hid none."""
    hiding = [named.options for named in augment if named.name == "missing_sequence"]
    options = hiding[0] if hiding else {}
    return SequenceFill.model_validate({key: options[key] for key in SequenceFill.model_fields if key in options})


def grey_sequence(recipe: Recipe) -> str | None:
    """Return the sequence that a single grey picture is taken for: the one that training showed in place of others.

    None where the network was trained for no such thing: the recipe hides no sequence, or shows nothing instead.
    """
    fill, inputs = sequence_fill(recipe.augment), recipe.data.inputs
    hides = any(named.name == "missing_sequence" for named in recipe.augment)
    is_possible = hides and fill.fill == "copy" and recipe.data.dimensions == 2 and fill.reference < len(inputs)
    return inputs[fill.reference] if is_possible and len(inputs) > 1 else None


def substitute_sequences(case: Case, data: DataPart, fill: SequenceFill, *, grey: str | None = None) -> dict[str, str]:
    """Return, for each missing optional sequence, the sequence that is stacked in its place.

    Args:
        case: as read.
        data: which sequences the network sees, and which may be missing.
        fill: of the recipe.
        grey: from `grey_sequence`; pictures that hold this sequence alone may lack all others.
    Raises:
        InputError: a sequence is missing that may not be, or the reference (``input.missing_sequence``).
        UsageError: the recipe's reference is not among the network's inputs.
    """
    if not data.inputs:
        return {}
    may_lack = data.inputs if case.is_slice_stack and case.modalities == (grey,) else data.optional
    missing = [name for name in data.inputs if name in may_lack and name not in case.images]
    check_present([name for name in data.inputs if name not in missing], case.modalities, where=case.case_id)
    if not missing:
        return {}
    if fill.reference >= len(data.inputs):
        raise UsageError(
            "the reference of 'missing_sequence' is not an input of the network",
            where="augment",
            expected=f"below {len(data.inputs)}",
            got=fill.reference,
            cure="give the position of one of the inputs",
            code="usage.recipe",
        )
    reference = data.inputs[fill.reference]
    check_present([reference], case.modalities, where=case.case_id)
    return dict.fromkeys(missing, reference)


def fill_missing(prepared: Prepared, standing_in: Mapping[str, str], fill: SequenceFill) -> Prepared:
    """Return a case, all steps done, with the channels of its missing sequences as the network was trained for.

    Args:
        prepared: its image is float32 and its own; changed in place.
        standing_in: from `substitute_sequences`.
        fill: of the recipe.
    """
    places = {name: number for number, name in enumerate(prepared.modalities)}
    filled: dict[str, list[str]] = {}
    for name, reference in standing_in.items():
        if name not in places:
            continue
        copied = fill.fill == "copy" and reference in places
        prepared.image[places[name]] = prepared.image[places[reference]] if copied else 0
        shown = f"a copy of {reference}" if copied else "zeros"
        filled.setdefault(shown, []).append(name)
    warnings = [f"missing: {', '.join(names)}; the network gets {shown} instead" for shown, names in filled.items()]
    return replace(prepared, warnings=(*prepared.warnings, *warnings))
