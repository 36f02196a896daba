"""A `Recipe` is one experiment in one TOML file: data, preprocessing, split, model, loss, training, prediction.

This module checks keys and types only. `metseg.training.recipe_validation` checks the names and options of models,
losses and steps against the tables, before any data is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.recipe.keys import nearest_key, nearest_value, part_at
from metseg.registry import lookup
from metseg.volume import canonical_modality

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: The loss for which a network's outputs are overlapping regions; with any other loss they are classes.
REGIONS_LOSS = "regions"


class Frozen(BaseModel):
    """A part of a recipe: immutable; unknown keys are errors. Base class also of the registries' options classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def require_options_class(options: object, *, entry: str) -> None:
    """Check the options class of a table's entry; any other class would ignore misspelt options.

    Args:
        options: what the entry gives as its ``options``.
        entry: class of the entry, for the message.
    Raises:
        UsageError: ``usage.entry_type``, not a class derived from `Frozen`.
    """
    if not (isinstance(options, type) and issubclass(options, Frozen)):
        raise UsageError(
            "the options of a table's entry are of the wrong type",
            where=f"{entry}.options",
            expected="a class derived from metseg.recipe.Frozen",
            got=options.__qualname__ if isinstance(options, type) else type(options).__qualname__,
            cure="derive the options class from metseg.recipe.Frozen",
            code="usage.entry_type",
        )


OptionsType = TypeVar("OptionsType", bound=BaseModel)


class Named(BaseModel):
    """A registry entry by name; the other keys are its options: ``{name = "clahe", clip_limit = 2.0}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        # `show` writes options into a separate table; --set adds keys beside it, which take precedence.
        written = raw.get("options", {})
        beside = {key: value for key, value in raw.items() if key not in ("name", "options")}
        return {"name": raw.get("name"), "options": {**written, **beside} if isinstance(written, Mapping) else written}

    def parse(self, options_class: type[OptionsType], *, key: str = "") -> OptionsType:
        """Return the options checked against their class.

        Args:
            options_class: what the table says the options are.
            key: where in the recipe the entry stands, for the message: ``model``, ``preprocess.0``.
        Raises:
            UsageError: an unknown option or an invalid value; the message names both.
        """
        return validated(options_class, self.options, where=f"options of '{self.name}'", key=key)


Modality = Annotated[str, BeforeValidator(canonical_modality)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]


class DataPart(Frozen):
    """The data to read, and the sequences that the network sees."""

    #: Layout of the data set's folder; auto: detected from the folder.
    layout: str = "auto"
    #: Origin and licence of the data, for the card of a bundle. Empty: read from the data set (a simulation,
    #: `dataset_description.json`, `dataset.json`, TCGA-LGG's patient names).
    licence: str = ""
    #: The data set that the recipe was written for, if metseg can recognise it ("tcga-lgg"): training on other data
    #: adds a note to its output and to the model card.
    written_for: str = ""
    #: Sequences of the channels of a colour image, in file order; one name for greyscale images.
    channels: tuple[Modality, ...] = ()
    #: Sequences that the network sees, in this order; empty: every channel.
    modalities: tuple[Modality, ...] = ()
    #: Subset of these that a case may lack; requires a network trained for it (`missing_sequence`).
    optional: tuple[Modality, ...] = ()
    #: The sequence that defines the grid of the others and of results; None: the first that the network sees.
    reference: Modality | None = None
    #: Label scheme that the network learns: its classes, and the regions that are scored; binary: lesion
    #: or background.
    labels: str = "binary"
    #: Label scheme of the files, if not `labels`; None: defined by the layout.
    file_labels: str | None = None
    #: Region of the files' scheme that is the lesion, where `labels` is binary; None: every label above 0.
    region: str | None = None
    #: Input of the network: 2 for slices, 3 for patches of volumes.
    dimensions: Literal[2, 3] = 2
    #: Slices of the preprocessed volumes to train on, from the first number to the second (exclusive); None: all.
    slice_range: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)]] | None = None
    #: Train on slices that show brain only.
    with_brain: bool = False
    #: Neighbouring slices on each side as additional channels: 1 gives 3 slices.
    neighbours: Annotated[int, Field(ge=0, le=3)] = 0
    #: Regular expression, searched in the relative path; its group matches the patient.
    patient_pattern: str | None = None
    #: Table (CSV) with a row per file or study: its patient (column `patient`), its fold (`fold`), or
    #: both. The path is relative to the data set, or to the working directory.
    patients: str | None = None
    #: Read multi-page TIFFs as stacks of slices; otherwise they are an error.
    stack: bool = False
    #: Interpolate slices missing from a DICOM series, with a warning; otherwise they are an error.
    allow_gaps: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.modalities or self.channels

    @model_validator(mode="after")
    def _known(self) -> Self:
        for scheme in (self.labels, self.file_labels or self.labels):
            lookup("label scheme", LABEL_SCHEMES, scheme)
        if self.patients is not None and self.patient_pattern is not None:
            raise ValueError("patients and patient_pattern both assign files to patients: give one of them")
        if self.region is not None and (self.file_labels is None or self.labels != "binary"):
            raise ValueError("region selects the lesion in file_labels for a binary task: give file_labels too")
        if self.region is not None:
            lookup("region", LABEL_SCHEMES[str(self.file_labels)].regions, self.region)
        if self.slice_range is not None and self.slice_range[0] >= self.slice_range[1]:
            raise ValueError(f"slice_range {self.slice_range} holds no slice")
        if self.channels and not set(self.modalities) <= set(self.channels):
            raise ValueError(f"modalities {self.modalities} are not all among channels {self.channels}")
        return self


class SplitPart(Frozen):
    """How patients are divided. ``by = "slice"`` leaks patients between the parts and is marked in every table."""

    #: Unit of the split. patient: all images of a patient are in one part; slice: single slices, so that images of a
    #: patient can be in several parts.
    by: Literal["patient", "slice"] = "patient"
    #: Share of the patients (or slices) for validation, which decides which weights are kept.
    validation: Fraction = 0.15
    #: Share of the patients (or slices) for the test; training never uses them.
    test: Fraction = 0.2
    #: Number of cross-validation folds; 0: none.
    folds: Annotated[int, Field(ge=0)] = 0
    #: Column of the data set's table `patients.csv` to stratify by: each part gets the same share of every value. None:
    #: no stratification.
    stratify: str | None = None
    #: Seed of the random draw of patients; the same seed and data give the same split.
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test shares leave nothing to train on")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to train on: give 2 or more, or 0 for a single split")
        return self


#: Epochs of a training without a budget in the recipe.
DEFAULT_EPOCHS = 50


class TrainPart(Frozen):
    """Optimiser, schedule and budgets. Training ends when the first budget is used up."""

    #: Slices, or patches of volumes, per training step.
    batch_size: Annotated[int, Field(gt=0)] = 8
    #: Patch size for training a 3D network, in voxels along x, y and z.
    patch_size: tuple[Annotated[int, Field(gt=0)], ...] = (96, 96, 96)
    #: Steps per epoch; None: as many as one pass over the training items takes.
    steps_per_epoch: Annotated[int, Field(gt=0)] | None = None
    #: Budget in epochs; None: no such limit. Without any of the three budgets, training stops after 50 epochs.
    max_epochs: Annotated[int, Field(gt=0)] | None = None
    #: Budget in training steps (batches); None: no limit.
    max_steps: Annotated[int, Field(gt=0)] | None = None
    #: Budget in minutes of wall time; None: no limit.
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    #: Name of the optimiser.
    optimizer: str = "adam"
    #: Maximum learning rate of the schedule.
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    #: Weight decay, excluding biases and normalisation; 0: none.
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    #: Momentum of `sgd`; no other optimiser has one.
    momentum: Fraction = 0.9
    #: Learning-rate schedule over the budget. constant: no change; plateau: lowered when validation no longer
    #: improves; cosine: down to almost 0 along half a cosine; one_cycle: up for 30 % of the budget, then down.
    schedule: str = "constant"
    #: Share of the budget over which the learning rate rises from zero.
    warmup: Fraction = 0.0
    #: Epochs without a better validation Dice before the plateau schedule lowers the rate.
    plateau_patience: Annotated[int, Field(gt=0)] = 5
    #: Factor by which the plateau schedule lowers the rate.
    plateau_factor: Fraction = 0.5
    #: Epochs without a better validation Dice before training stops; None: never.
    early_stopping: Annotated[int, Field(gt=0)] | None = None
    #: Decay per step of an exponential moving average (EMA) of the weights, which is validated and kept; 0.999 averages
    #: over about 1000 steps. None: no EMA.
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    #: Maximum gradient norm per step; larger gradients are scaled down to it. None: no limit.
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    #: Share of each batch that contains lesion; None: not controlled.
    lesion_share: Fraction | None = None
    #: Number format of the network's computations. auto: bf16 where the processor or GPU has it in hardware, float32
    #: elsewhere. float16: mixed precision with loss scaling, on a CUDA GPU only.
    precision: Literal["auto", "float32", "bf16", "float16"] = "auto"
    #: Channels-last memory layout. auto: on if it is faster for this network on this machine.
    channels_last: Literal["auto", "on", "off"] = "auto"
    #: Number of epochs between validations.
    validate_every: Annotated[int, Field(gt=0)] = 1
    #: Which weights are kept. best: those of the highest validation Dice; last: those of the last validation, for few
    #: validation patients: their Dice varies more by chance than by training.
    keep_weights: Literal["best", "last"] = "best"
    #: Number of data-loading processes; None: chosen from the machine's resources.
    workers: Annotated[int, Field(ge=0)] | None = None
    #: Seed of weights, order of the data, augmentation and dropout.
    seed: Seed = 0

    @property
    def epochs(self) -> int | None:
        """Return the budget in epochs; None if only other budgets apply."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_minutes is None
        return DEFAULT_EPOCHS if unlimited else self.max_epochs


class PredictPart(Frozen):
    """Conversion of probabilities to a mask. The operating point chosen on validation patients is stored here."""

    #: Smallest probability of a lesion pixel or voxel.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Smaller connected components are removed (pixels of a slice, voxels of a volume).
    minimum_voxels: Annotated[int, Field(ge=0)] = 0
    #: The same in cubic millimetres, for images with a spacing; a component is kept if it satisfies both limits.
    minimum_mm3: Annotated[float, Field(ge=0)] = 0.0
    #: Fill holes inside lesions.
    fill_holes: bool = False
    #: Keep only the largest connected component of a case, for data in which each patient has exactly one lesion.
    keep_largest: bool = False
    #: Slope of a lesion's confidence, 1 / (1 + exp(-(slope · logit p + intercept))) with p the mean probability over
    #: its voxels; fitted to validation lesions. With slope 1 and intercept 0 it is p.
    confidence_slope: float = 1.0
    #: Intercept of a lesion's confidence; see `confidence_slope`.
    confidence_intercept: float = 0.0
    #: Voxels of the windows in which a 3D network sees a volume; None: the patch size of training.
    #: Larger windows show more context of a large lesion and take more memory.
    window: tuple[Annotated[int, Field(gt=0)], ...] | None = None
    #: Overlap of neighbouring windows, as a share of their side.
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    #: Test-time augmentation: average over the mirror images of the training augmentation `flip`.
    tta: bool = False


class Recipe(Frozen):
    """One experiment. See `metseg/recipes` for the shipped ones.

    In a file, ``base = "lgg-fast"`` starts from a shipped recipe; the other keys of the file override its keys.
    """

    #: Name of the experiment and of its bundle.
    name: str
    #: Purpose of the recipe, in a sentence or two.
    description: str = ""
    #: The paper, course or repository that the recipe reproduces.
    source: str = ""
    #: The data to read, and the sequences that the network sees.
    data: DataPart = DataPart()
    #: Preprocessing steps, applied in this order; empty: none.
    preprocess: tuple[Named, ...] = ()
    #: Augmentations of the training data, applied in this order; empty: none.
    augment: tuple[Named, ...] = ()
    #: How patients are divided into training, validation and test.
    split: SplitPart = SplitPart()
    #: The network: a name and its options.
    model: Named
    #: The loss: a name and its options.
    loss: Named = Named(name="dice_bce")
    #: Optimiser, schedule and budgets.
    train: TrainPart = TrainPart()
    #: Conversion of probabilities to a mask.
    predict: PredictPart = PredictPart()

    @property
    def seen(self) -> tuple[str, ...]:
        """Return the sequences that the network sees: those read, unless a preprocessing step selects some of them."""
        kept = [step.options.get("modalities", ()) for step in self.preprocess if step.name == "select_channels"]
        return tuple(canonical_modality(name) for name in kept[-1]) if kept else self.data.inputs

    def to_toml(self) -> str:
        """Return the recipe as TOML with every default written out: a bundle keeps the defaults of its training."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    """Drop None entries: TOML has no null, and an absent key means the same."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def validated(part: type[OptionsType], raw: Any, *, where: object, key: str = "") -> OptionsType:
    """Return ``raw`` as a ``part``; report pydantic's errors as one `UsageError`.

    Args:
        part: the class of the result.
        raw: parsed TOML or JSON.
        where: the file or recipe, for the message.
        key: key of the validated part, for the message: ``model`` for the options of a network.
    Raises:
        UsageError: ``usage.recipe``, with the first wrong key, its value, the nearest known key or value, and the
            number of further errors.
    """
    try:
        return part.model_validate(raw)
    except ValidationError as error:
        first, *more = error.errors()
        prefix = f"{key}." if key else ""
        unknown = first["type"] == "extra_forbidden"
        place = first["loc"] if unknown else _without_union_members(first["loc"])
        name = prefix + ".".join(map(str, place)) if place else key or "the whole"
        what = f"unknown key '{name}'" if unknown else f"'{name}': {first['msg'].removeprefix('Value error, ')}"
        raise UsageError(
            what + (f" (and {len(more)} more)" if more else ""),
            where=where,
            got=None if isinstance(first["input"], Mapping) else first["input"],
            cure=_unknown_key_cure(part, first["loc"], prefix) if unknown else _wrong_value_cure(first),
            code="usage.recipe",
        ) from None


def _without_union_members(loc: Sequence[int | str]) -> Sequence[int | str]:
    """Return the keys that lead to a wrong value, without what pydantic adds for the members of a union."""
    return tuple(piece for piece in loc if isinstance(piece, int) or piece.isidentifier())


def _unknown_key_cure(part: type[BaseModel], location: Sequence[int | str], prefix: str) -> str:
    near = nearest_key(part, location)
    owner = part_at(part, location[:-1]) or part
    known = f"known keys here: {', '.join(owner.model_fields)}"
    return f"did you mean {prefix}{near}? {known}" if near else known


def _wrong_value_cure(error: ErrorDetails) -> str | None:
    near = nearest_value(error["input"], str(error.get("ctx", {}).get("expected", "")))
    return f"did you mean '{near}'?" if near else None
