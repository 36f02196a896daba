"""A `Recipe` is one experiment in one TOML file: data, preprocessing, split, model, loss, training, prediction.

This module knows the form only. Whether a named model, loss or step exists, and whether its options are right, is
checked against the tables by `metseg.training.recipe_validation`, before any data is touched.
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

#: The loss that makes a network's outputs regions that overlap; with any other they are classes.
REGIONS_LOSS = "regions"


class Frozen(BaseModel):
    """A part of a recipe: immutable, unknown keys refused. Options classes of the tables derive from it too."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OptionsType = TypeVar("OptionsType", bound=BaseModel)


class Named(BaseModel):
    """An entry of a table by name; other keys are its options: ``{name = "clahe", clip_limit = 2.0}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        # Written out, options stand in a table of their own; a change by --set lands beside it, and holds.
        written = raw.get("options", {})
        beside = {key: value for key, value in raw.items() if key not in ("name", "options")}
        return {"name": raw.get("name"), "options": {**written, **beside} if isinstance(written, Mapping) else written}

    def parse(self, options_class: type[OptionsType], *, key: str = "") -> OptionsType:
        """Return the options checked against their class.

        Args:
            options_class: what the table says the options are.
            key: where in the recipe the entry stands, for the message: ``model``, ``preprocess.0``.
        Raises:
            UsageError: an unknown option, or a value it does not take; the message names both.
        """
        return validated(options_class, self.options, where=f"options of '{self.name}'", key=key)


Modality = Annotated[str, BeforeValidator(canonical_modality)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]


class DataPart(Frozen):
    """What is read and what of it the network sees."""

    #: How the data set's folder is arranged; auto: detected from the folder.
    layout: str = "auto"
    #: Owner and licence of the data, for the card of a bundle. Empty: what the data set itself says (a simulation,
    #: `dataset_description.json`, `dataset.json`, TCGA-LGG's names).
    licence: str = ""
    #: The data set that the recipe was written for, where metseg can recognise it ("tcga-lgg"): a training on other
    #: data says so, and its card too.
    written_for: str = ""
    #: What the channels of a colour picture are, in file order; for grey pictures one name.
    channels: tuple[Modality, ...] = ()
    #: What the network sees, in this order; empty: every channel.
    modalities: tuple[Modality, ...] = ()
    #: Sequences among these that a case may lack; the network was trained for it (`missing_sequence`).
    optional: tuple[Modality, ...] = ()
    #: The sequence whose grid the others are brought to and results lie on; None: the first that the network sees.
    reference: Modality | None = None
    #: Label scheme that the network learns: which classes there are, and which regions are scored; binary: lesion or
    #: not.
    labels: str = "binary"
    #: Label scheme of the files, where it is not `labels`; None: what the layout knows of it.
    file_labels: str | None = None
    #: Which region of the files' scheme is the lesion, where `labels` is binary; None: every label above 0.
    region: str | None = None
    #: What the network sees: 2, slices; 3, patches of volumes.
    dimensions: Literal[2, 3] = 2
    #: Slices of the prepared volumes to train on: from the first number up to before the second; None: all.
    slice_range: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)]] | None = None
    #: Train on slices that show brain only.
    with_brain: bool = False
    #: Slices on each side that the network sees besides, as further channels: 1 makes 3 neighbouring slices.
    neighbours: Annotated[int, Field(ge=0, le=3)] = 0
    #: Regular expression with one group; what it finds in the relative path is the patient.
    patient_pattern: str | None = None
    #: Table (CSV) with a row for each file or study: its patient (column `patient`), its part of the split (`fold`), or
    #: both; a path relative to the data set, or to the working directory.
    patients: str | None = None
    #: Read TIFFs of several pages as stacks of slices; they are refused otherwise.
    stack: bool = False
    #: Fill slices missing from a DICOM series between their neighbours, with a warning; they are refused otherwise.
    allow_gaps: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.modalities or self.channels

    @model_validator(mode="after")
    def _known(self) -> Self:
        for scheme in (self.labels, self.file_labels or self.labels):
            lookup("label scheme", LABEL_SCHEMES, scheme)
        if self.patients is not None and self.patient_pattern is not None:
            raise ValueError("patients and patient_pattern both define the patient of a file: give only one of them")
        if self.region is not None and (self.file_labels is None or self.labels != "binary"):
            raise ValueError("region selects the lesion from file_labels for a binary task: give file_labels too")
        if self.region is not None:
            lookup("region", LABEL_SCHEMES[str(self.file_labels)].regions, self.region)
        if self.slice_range is not None and self.slice_range[0] >= self.slice_range[1]:
            raise ValueError(f"slice_range {self.slice_range} holds no slice")
        if self.channels and not set(self.modalities) <= set(self.channels):
            raise ValueError(f"modalities {self.modalities} are not all among channels {self.channels}")
        return self


class SplitPart(Frozen):
    """How patients are divided. ``by = "slice"`` is possible, leaks patients, and is marked so in every table."""

    #: What is divided. patient: all images of a patient are in one part; slice: single slices, which lets images of a
    #: patient into several parts.
    by: Literal["patient", "slice"] = "patient"
    #: Share of the patients (or slices) for validation, which decides what weights are kept.
    validation: Fraction = 0.15
    #: Share of the patients (or slices) for the test, which nothing of the training sees.
    test: Fraction = 0.2
    #: Parts for cross-validation; 0: none.
    folds: Annotated[int, Field(ge=0)] = 0
    #: Column of the data set's table `patients.csv` that all parts have in equal shares; None: patients are drawn
    #: without regard to any.
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


#: How long a training takes for which the recipe states no budget.
DEFAULT_EPOCHS = 50


class TrainPart(Frozen):
    """Optimiser, schedule, budget. Training ends when the first of the budgets is spent."""

    #: Slices, or patches of volumes, per training step.
    batch_size: Annotated[int, Field(gt=0)] = 8
    #: Voxels of the patches that a 3D network is trained on, along x, y and z.
    patch_size: tuple[Annotated[int, Field(gt=0)], ...] = (96, 96, 96)
    #: Steps per epoch; None: as many as it takes to see every training item once.
    steps_per_epoch: Annotated[int, Field(gt=0)] | None = None
    #: Budget in epochs; None: no such limit. Without any of the three budgets, training takes 50 epochs.
    max_epochs: Annotated[int, Field(gt=0)] | None = None
    #: Budget in training steps (batches); None: no such limit.
    max_steps: Annotated[int, Field(gt=0)] | None = None
    #: Budget in minutes of wall time; None: no such limit.
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    #: Optimiser: how weights follow from gradients.
    optimizer: str = "adam"
    #: Learning rate at the top of the schedule.
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    #: Decay of the weights, biases and normalisation left out; 0: none.
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    #: Momentum of `sgd`, the only optimiser that has one.
    momentum: Fraction = 0.9
    #: How the learning rate changes over the budget. constant: not at all; plateau: lowered when validation no longer
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
    #: Decay per step of an exponential moving average of the weights, which is then validated and kept; 0.999 averages
    #: over about 1000 steps. None: the weights themselves.
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    #: Largest norm of the gradient of a step, to which larger ones are scaled down; None: no limit.
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    #: Share of each batch that holds lesion; None: as they come.
    lesion_share: Fraction | None = None
    #: Numbers that the network computes with. auto: bf16 where the processor or GPU has it in hardware, float32
    #: elsewhere.
    precision: Literal["auto", "float32", "bf16"] = "auto"
    #: Memory layout with channels innermost. auto: where it is faster for this network on this machine.
    channels_last: Literal["auto", "on", "off"] = "auto"
    #: Epochs from one validation to the next.
    validate_every: Annotated[int, Field(gt=0)] = 1
    #: Processes that load data; None: as many as the machine can spare.
    workers: Annotated[int, Field(ge=0)] | None = None
    #: Seed of weights, order of the data, augmentation and dropout.
    seed: Seed = 0

    @property
    def epochs(self) -> int | None:
        """Return after how many epochs training ends; None: another budget ends it."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_minutes is None
        return DEFAULT_EPOCHS if unlimited else self.max_epochs


class PredictPart(Frozen):
    """From probabilities to a mask. The operating point chosen on validation patients is written here."""

    #: Probability from which a pixel or voxel is lesion.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Smaller connected pieces are removed (pixels of a slice, voxels of a volume).
    minimum_voxels: Annotated[int, Field(ge=0)] = 0
    #: The same in cubic millimetres, for images that have a spacing; a piece has to be as large as both say.
    minimum_mm3: Annotated[float, Field(ge=0)] = 0.0
    #: Fill holes inside lesions.
    fill_holes: bool = False
    #: Keep the largest connected piece of a case alone: for data in which each patient has one lesion, and no others.
    keep_largest: bool = False
    #: Slope of a lesion's confidence, 1 / (1 + exp(-(slope · logit p + intercept))) with p the mean probability over
    #: its voxels; fitted to validation lesions. With slope 1 and intercept 0 it is p.
    confidence_slope: float = 1.0
    #: Intercept of a lesion's confidence; see `confidence_slope`.
    confidence_intercept: float = 0.0
    #: Voxels of the windows in which a 3D network sees a volume; None: as large as the patches it was trained on.
    #: Larger ones show it more of what surrounds a large lesion, and take more memory.
    window: tuple[Annotated[int, Field(gt=0)], ...] | None = None
    #: By how much of their side the windows overlap.
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    #: Average over the mirror images that the augmentation step `flip` made in training.
    tta: bool = False


class Recipe(Frozen):
    """One experiment. See `metseg/recipes` for the shipped ones.

    In a file, ``base = "lgg-fast"`` names a shipped recipe that this one is like but for what it says itself.
    """

    #: Name of the experiment: of its bundle, and in tables.
    name: str
    #: What the recipe is for, in a sentence or two.
    description: str = ""
    #: The paper, course or repository this reproduces.
    source: str = ""
    #: What is read and what of it the network sees.
    data: DataPart = DataPart()
    #: Preprocessing steps, carried out in this order; empty: none.
    preprocess: tuple[Named, ...] = ()
    #: Augmentations of the training data, carried out in this order; empty: none.
    augment: tuple[Named, ...] = ()
    #: How patients are divided into training, validation and test.
    split: SplitPart = SplitPart()
    #: The network: a name and its options.
    model: Named
    #: The loss: a name and its options.
    loss: Named = Named(name="dice_bce")
    #: Optimiser, schedule, budget.
    train: TrainPart = TrainPart()
    #: From probabilities to a mask.
    predict: PredictPart = PredictPart()

    @property
    def seen(self) -> tuple[str, ...]:
        """Return the sequences that the network sees: those read, unless a step keeps some of them only."""
        kept = [step.options.get("modalities", ()) for step in self.preprocess if step.name == "select_channels"]
        return tuple(canonical_modality(name) for name in kept[-1]) if kept else self.data.inputs

    def to_toml(self) -> str:
        """Return the recipe as TOML with every default written out, so that a bundle does not depend on ours."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    """Drop None entries: TOML has no null, and an absent key means the same."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def validated(part: type[OptionsType], raw: Any, *, where: object, key: str = "") -> OptionsType:
    """Return ``raw`` as a ``part``; turn pydantic's report into one line of ours.

    Args:
        part: the class of the result.
        raw: as TOML or JSON gives it.
        where: the file or recipe, for the message.
        key: the key that holds the whole, for the message: ``model`` for the options of a network.
    Raises:
        UsageError: naming the first wrong key, its value, the key or value that was probably meant, and how many more
            are wrong.
    """
    try:
        return part.model_validate(raw)
    except ValidationError as error:
        first, *more = error.errors()
        prefix = f"{key}." if key else ""
        name = prefix + ".".join(str(piece) for piece in first["loc"]) if first["loc"] else key or "the whole"
        unknown = first["type"] == "extra_forbidden"
        what = f"unknown key '{name}'" if unknown else f"'{name}': {first['msg'].removeprefix('Value error, ')}"
        raise UsageError(
            what + (f" (and {len(more)} more)" if more else ""),
            where=where,
            got=None if isinstance(first["input"], Mapping) else first["input"],
            cure=_unknown_key_cure(part, first["loc"], prefix) if unknown else _wrong_value_cure(first),
            code="usage.recipe",
        ) from None


def _unknown_key_cure(part: type[BaseModel], location: Sequence[int | str], prefix: str) -> str:
    near = nearest_key(part, location)
    owner = part_at(part, location[:-1]) or part
    known = f"known keys here: {', '.join(owner.model_fields)}"
    return f"did you mean {prefix}{near}? {known}" if near else known


def _wrong_value_cure(error: ErrorDetails) -> str | None:
    near = nearest_value(error["input"], str(error.get("ctx", {}).get("expected", "")))
    return f"did you mean '{near}'?" if near else None
