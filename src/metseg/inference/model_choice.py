"""Choose the model that fits an input, and say in a sentence which and why.

This is the only place where a model is chosen without a request: for the command line, the service and the page. Only
names, headers, recipes and the first of several pictures are read. The rules, in this order:

1. A model must fit: slices need a model for 2D images, coloured ones a model of several sequences; a volume must have
   every sequence that the model requires.
   If there are several inputs, the model that fits the most of them is preferred.
2. A model with non-commercial terms that have not been accepted is never chosen; if it would be better, that is said.
3. The model that the operator set for this kind of input, if it fits.
4. A model trained on this kind of input (pictures, or volumes) before one that was not; for grey pictures one that sees
   a single sequence.
5. A model trained on real patients before one of unknown data, and that before one trained on simulated patients.
6. A model that needs exactly the given sequences: the fewest given ones unused, and the fewest of its own missing.
7. If a brain mask is given, a model that uses it; for volumes, a 3D network; at last the first name.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from metseg.bundle_folder import BRAIN_EXTRACTION, CHECKSUMS, METRICS, RECIPE, list_bundles, read_text
from metseg.errors import InputError, MetsegError, UsageError
from metseg.inference.fitness import training_data
from metseg.inference.input_fit import trained_on_pictures
from metseg.io.case_source import CaseSource
from metseg.io.data_origin import is_simulated
from metseg.io.images.channel_names import SINGLE_CHANNEL
from metseg.io.images.slice_stack import SliceStackSource
from metseg.model_terms import is_accepted
from metseg.picture_channels import shows_one_image
from metseg.preprocess.brain_mask_rules import brain_mask_options
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.recipe import Recipe, parse_recipe
from metseg.schemas import ModelChoice, ModelMisfit
from metseg.volume import BRAIN_MASK

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InputTraits:
    """What is known of an input before its pixels are read.

    Args:
        is_pictures: whether it is 2D images; else a volume.
        sequences: the declared or recognised sequences of a volume; None: not known yet.
        is_single_unnamed: whether it is one image, and nothing says of which sequence.
        has_brain_mask: whether a brain mask comes with it.
        is_grey: whether 2D images hold one grey image each; None: not known, or a volume.
    """

    is_pictures: bool
    sequences: frozenset[str] | None = None
    is_single_unnamed: bool = False
    has_brain_mask: bool = False
    is_grey: bool | None = None


@dataclass(frozen=True)
class Candidate:
    """An installed model.

    Args:
        name: of the bundle.
        recipe: its recipe.
        metrics: its scores and its number of training patients.
        accepted: whether its terms, if they are non-commercial, were accepted.
    """

    name: str
    recipe: Recipe
    metrics: Mapping[str, Any] = field(default_factory=dict)
    accepted: bool = True


def installed_candidates(accepted: Collection[str] = ()) -> list[Candidate]:
    """Return every installed model that segments lesions, sorted by name; a damaged one is logged and left out.

    Args:
        accepted: names of models with terms that were accepted, beyond those that are stored.
    """
    found = []
    for name, folder in list_bundles().items():
        if name == BRAIN_EXTRACTION:
            continue
        try:
            candidate = read_candidate(name, folder)
            found.append(replace(candidate, accepted=is_accepted(folder, accepted)))
        except (MetsegError, OSError, ValueError):
            _log.warning("a bundle cannot be read and is ignored", exc_info=True)
    return found


def read_candidate(name: str, folder: Path) -> Candidate:
    """Return the model in the folder of a bundle, without loading its networks.

    Raises:
        MetsegError, OSError, ValueError: the bundle is damaged.
    """
    return _read(name, folder, (folder / CHECKSUMS).stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(name: str, folder: Path, _stamp: int) -> Candidate:
    recipe = parse_recipe(read_text(folder / RECIPE), where=name)
    metrics = json.loads(read_text(folder / METRICS))
    return Candidate(name, recipe, metrics if isinstance(metrics, dict) else {})


def traits_of_picture(path: Path) -> InputTraits:
    """Return what is known of pictures by the first of them."""
    return InputTraits(is_pictures=True, is_grey=shows_one_image(path))


def traits_of(source: CaseSource) -> InputTraits:
    """Return what is known of a case that was found with a `DataPart` that asks for no sequences."""
    if isinstance(source, SliceStackSource):
        return traits_of_picture(source.slices[0].image)
    names = frozenset(source.modalities)
    has_mask = BRAIN_MASK in names or getattr(source, "brain_mask", None) is not None
    return InputTraits(False, names - {BRAIN_MASK, SINGLE_CHANNEL}, names - {BRAIN_MASK} == {SINGLE_CHANNEL}, has_mask)


def choose_model(
    candidates: Sequence[Candidate], inputs: Sequence[InputTraits], *, preferred: str | None = None
) -> ModelChoice:
    """Return the model that fits best, and why; or no model, and for each why it does not fit.

    Args:
        candidates: the installed models.
        inputs: what is known of each case, one or more.
        preferred: name of the model that the operator set for this kind of input.
    """
    counted = Counter(inputs)
    ranked = sorted(
        (_Rank.of(candidate, counted, is_preferred=candidate.name == preferred) for candidate in candidates),
        key=lambda rank: (rank.order, rank.candidate.name),
    )
    fitting = [rank for rank in ranked if rank.count]
    usable = [rank for rank in fitting if rank.candidate.accepted]
    misfits = [_misfit(rank.candidate, counted) for rank in ranked if not rank.count]
    misfits += [_not_accepted(rank.candidate) for rank in fitting if not rank.candidate.accepted]
    if not usable:
        return ModelChoice(misfits=tuple(misfits))
    best = usable[0]
    reason = _reason(best, len(inputs), is_only=len(usable) == 1, is_preferred=best.candidate.name == preferred)
    return ModelChoice(model=best.candidate.name, reason=reason, better=_better(fitting, best), misfits=tuple(misfits))


def require_model(choice: ModelChoice) -> str:
    """Return the name of the chosen model.

    Raises:
        InputError: ``input.no_fitting_model``, with the reason for each model.
        UsageError: ``licence.not_accepted``, models fit, and the terms of none of them have been accepted;
            ``usage.no_model``, none is installed.
    """
    if choice.model is not None:
        return choice.model
    if not choice.misfits:
        raise UsageError(
            "no model is installed",
            cure="install one with metseg models add, or with metseg models fetch",
            code="usage.no_model",
        )
    reasons = "; ".join(f"{misfit.model}: {misfit.reason}" for misfit in choice.misfits)
    waiting = [misfit for misfit in choice.misfits if misfit.is_waiting]
    if waiting:
        raise UsageError(
            "no model with accepted terms fits this input",
            got=reasons,
            cure=waiting[0].cure,
            code="licence.not_accepted",
        )
    cure = choice.misfits[0].cure  # of the model that would be preferred
    raise InputError("no installed model fits this input", got=reasons, cure=cure, code="input.no_fitting_model")


@dataclass(frozen=True)
class _Rank:
    """How well a model fits.

    Args:
        candidate: the model.
        traits: the most frequent input that it fits; the most frequent of all if it fits none.
        count: how many inputs it fits.
        order: of models by how well they fit; smaller is better.
    """

    candidate: Candidate
    traits: InputTraits
    count: int
    order: tuple[float, ...]

    @classmethod
    def of(cls, candidate: Candidate, inputs: Counter[InputTraits], *, is_preferred: bool) -> _Rank:
        fitting = [traits for traits in inputs if misfit_reason(candidate.recipe, traits) is None]
        count = sum(inputs[traits] for traits in fitting)
        traits = max(fitting or inputs, key=inputs.__getitem__)
        return cls(candidate, traits, count, (-count, not is_preferred, *_order(candidate, traits)))


def _order(candidate: Candidate, traits: InputTraits) -> tuple[float, ...]:
    recipe = candidate.recipe
    return (
        trained_on_pictures(recipe) != traits.is_pictures,
        traits.is_grey is not None and traits.is_grey != _sees_grey(recipe),
        _origin(recipe),
        _distance(recipe, traits),
        traits.has_brain_mask and brain_mask_options(recipe) is None,
        not traits.is_pictures and recipe.data.dimensions != 3,
    )


def _sees_grey(recipe: Recipe) -> bool:
    return len(recipe.data.inputs) == 1


def _origin(recipe: Recipe) -> int:
    """Return 0 for a model of real patients, 1 if its data are not stated, 2 for simulated patients."""
    licence = recipe.data.licence
    return 2 if is_simulated(licence) else 0 if licence else 1


def _distance(recipe: Recipe, traits: InputTraits) -> int:
    """Return how many given sequences a model does not use, plus how many of its own are not given."""
    if traits.sequences is None or traits.is_single_unnamed or not recipe.data.inputs:
        return 0
    return len(traits.sequences.symmetric_difference(recipe.data.inputs))


def misfit_reason(recipe: Recipe, traits: InputTraits) -> str | None:
    """Return why a model cannot see an input, in a clause; None: it fits as far as is known."""
    data = recipe.data
    if traits.is_pictures:
        if data.dimensions == 3:
            return "it needs a volume, and pictures were given"
        if traits.is_grey is False and _sees_grey(recipe):
            return f"it sees grey pictures of {data.inputs[0]}, and coloured ones were given"
        return _grey_misfit(recipe, traits.sequences) if traits.is_grey else None
    if traits.sequences is None:
        return None
    if traits.is_single_unnamed:
        few = len(data.inputs) <= 1 and not data.channels
        return None if few else f"it needs {_listed(_required(recipe))}, and the sequence of the image is not known"
    lacking = [name for name in _required(recipe) if name not in traits.sequences]
    if lacking:
        given = f"only {_listed(sorted(traits.sequences))} is" if traits.sequences else "no sequence is"
        return f"it needs {_listed(lacking)}, and {given} declared or recognised"
    return None


def _grey_misfit(recipe: Recipe, sequences: frozenset[str] | None) -> str | None:
    """Return why a model cannot see grey pictures of one sequence; None for `sequences`: of an unknown one."""
    inputs = recipe.data.inputs
    seen = inputs[0] if len(inputs) == 1 else grey_sequence(recipe)
    if len(inputs) > 1 and seen is None:
        return f"it needs colour pictures of {_listed(inputs)}, and grey ones were given"
    if seen is not None and sequences and seen not in sequences:
        return f"it takes grey pictures for {seen}, and these show {_listed(sorted(sequences))}"
    return None


def _required(recipe: Recipe) -> list[str]:
    return [name for name in recipe.data.inputs if name not in recipe.data.optional] or list(recipe.data.inputs[:1])


def _misfit(candidate: Candidate, inputs: Counter[InputTraits]) -> ModelMisfit:
    """Return why a model fits none of the inputs, by the most frequent one."""
    traits = max(inputs, key=inputs.__getitem__)
    reason = misfit_reason(candidate.recipe, traits)
    assert reason is not None
    if traits.is_pictures:
        needs_volume = candidate.recipe.data.dimensions == 3
        cure = "give the volume as NIfTI or DICOM" if needs_volume else "give pictures of what it needs"
    elif traits.is_single_unnamed:
        cure = "name the sequence of the image (t1n, t1c, t2w or t2f)"
    else:
        lacking = [name for name in _required(candidate.recipe) if name not in (traits.sequences or ())]
        cure = f"add {_listed(lacking)}, or name it if it is among the files"
    return ModelMisfit(model=candidate.name, reason=reason, cure=cure)


def _not_accepted(candidate: Candidate) -> ModelMisfit:
    return ModelMisfit(
        model=candidate.name,
        reason="it fits, but its terms for non-commercial use only have not been accepted",
        cure=f"accept them once with metseg models accept {candidate.name}",
        is_waiting=True,
    )


def _reason(rank: _Rank, inputs: int, *, is_only: bool, is_preferred: bool) -> str:
    """Return which model was chosen and why, in one sentence."""
    recipe, traits = rank.candidate.recipe, rank.traits
    trained = training_data(rank.candidate.metrics, recipe.data.licence) or "data that are not recorded"
    kind = "pictures" if traits.is_pictures else "volumes"
    is_measured = trained_on_pictures(recipe) == traits.is_pictures
    causes = [f"the operator set it for {kind}"] if is_preferred else []
    causes += ["it is the only usable model that fits"] if is_only else []
    if traits.is_grey and _sees_grey(recipe):
        kind = f"grey {recipe.data.inputs[0]} pictures"
    causes += [f"it is for {kind}" if is_measured else f"it can read {kind}, which it was not trained on"]
    if traits.sequences and recipe.data.inputs:
        used = [name for name in recipe.data.inputs if name in traits.sequences]
        unused = sorted(traits.sequences.difference(used))
        causes.append(f"uses {_listed(used)}" + (f" (not {_listed(unused)})" if unused else ""))
    if traits.has_brain_mask:
        causes.append("uses the brain mask" if brain_mask_options(recipe) is not None else "ignores the brain mask")
    causes.append(f"was trained on {trained}")
    some = "" if rank.count == inputs else f" (for {rank.count} of {inputs} cases)"
    return f"Model {rank.candidate.name} was chosen{some}: {_clauses(causes)}."


def _better(fitting: Sequence[_Rank], best: _Rank) -> str:
    """Return a sentence on the best model with terms that were not accepted, if it ranks before the chosen one."""
    first = fitting[0]
    if first.candidate.accepted or first.order >= best.order:
        return ""
    name, recipe = first.candidate.name, first.candidate.recipe
    trained = training_data(first.candidate.metrics, recipe.data.licence) or "data that are not recorded"
    return (
        f"Model {name}, trained on {trained}, would fit better; it is for non-commercial use only, and can be used"
        f" after metseg models accept {name}."
    )


def _clauses(causes: Sequence[str]) -> str:
    return causes[0] if len(causes) == 1 else f"{', '.join(causes[:-1])}, and {causes[-1]}"


def _listed(names: Sequence[str]) -> str:
    """Return names as an enumeration.

    >>> _listed(["t1c"]), _listed(["t1n", "t1c", "t2f"])
    ('t1c', 't1n, t1c and t2f')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
