"""A `Recipe` is one experiment in one TOML file: data, preprocessing, split, model, loss, training, prediction.

This module knows the form only. Whether a named model, loss or step exists, and whether its options are right, is
checked against the tables by `metseg.training.recipe_validation`, before any data is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.registry import lookup
from metseg.volume import canonical_modality


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

    def parse(self, options_class: type[OptionsType]) -> OptionsType:
        """Return the options checked against their class.

        Raises:
            UsageError: an unknown option, or a value it does not take; the message names both.
        """
        return validated(options_class, self.options, where=f"options of '{self.name}'")


Modality = Annotated[str, BeforeValidator(canonical_modality)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]


class DataPart(Frozen):
    """What is read and what of it the network sees."""

    layout: str = "auto"
    #: Whose data these are and under which licence, for the card of a bundle. Empty: what the data set itself says
    #: (a simulation, `dataset_description.json`, `dataset.json`, TCGA-LGG's names).
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
    labels: str = "binary"
    #: Label scheme of the files, where it is not `labels`; None: what the layout knows of it.
    file_labels: str | None = None
    #: Which region of the files' scheme is the lesion, where `labels` is binary; None: whatever is labelled.
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
    #: Table (CSV) with a row for each file or study: whose it is (column `patient`), in which part (`fold`), or both; a
    #: path relative to the data set, or to the working directory.
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
            raise ValueError("patients and patient_pattern both say whose a file is: give one of them")
        if self.region is not None and (self.file_labels is None or self.labels != "binary"):
            raise ValueError("region picks the lesion out of file_labels for a binary task: give file_labels too")
        if self.region is not None:
            lookup("region", LABEL_SCHEMES[str(self.file_labels)].regions, self.region)
        if self.slice_range is not None and self.slice_range[0] >= self.slice_range[1]:
            raise ValueError(f"slice_range {self.slice_range} holds no slice")
        if self.channels and not set(self.modalities) <= set(self.channels):
            raise ValueError(f"modalities {self.modalities} are not all among channels {self.channels}")
        return self


class SplitPart(Frozen):
    """How patients are divided. ``by = "slice"`` is possible, leaks patients, and is marked so in every table."""

    by: Literal["patient", "slice"] = "patient"
    validation: Fraction = 0.15
    test: Fraction = 0.2
    #: Parts for cross-validation; 0: none.
    folds: Annotated[int, Field(ge=0)] = 0
    stratify: str | None = None
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

    batch_size: Annotated[int, Field(gt=0)] = 8
    #: Voxels of the patches that a 3D network is trained on.
    patch_size: tuple[Annotated[int, Field(gt=0)], ...] = (96, 96, 96)
    #: Steps per epoch; None: as many as it takes to see every training item once.
    steps_per_epoch: Annotated[int, Field(gt=0)] | None = None
    #: Budgets. Without any of the three, training takes `DEFAULT_EPOCHS`.
    max_epochs: Annotated[int, Field(gt=0)] | None = None
    max_steps: Annotated[int, Field(gt=0)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    optimizer: str = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Fraction = 0.9
    schedule: str = "constant"
    #: Share of the budget over which the learning rate rises from zero.
    warmup: Fraction = 0.0
    #: Epochs without a better validation Dice before the plateau schedule lowers the rate, and by what factor.
    plateau_patience: Annotated[int, Field(gt=0)] = 5
    plateau_factor: Fraction = 0.5
    #: Epochs without a better validation Dice before training stops; None: never.
    early_stopping: Annotated[int, Field(gt=0)] | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    #: Share of each batch that holds lesion; None: as they come.
    lesion_share: Fraction | None = None
    precision: Literal["auto", "float32", "bf16"] = "auto"
    channels_last: Literal["auto", "on", "off"] = "auto"
    validate_every: Annotated[int, Field(gt=0)] = 1
    #: Processes that load data; None: as many as the machine can spare.
    workers: Annotated[int, Field(ge=0)] | None = None
    seed: Seed = 0

    @property
    def epochs(self) -> int | None:
        """Return after how many epochs training ends; None: another budget ends it."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_minutes is None
        return DEFAULT_EPOCHS if unlimited else self.max_epochs


class PredictPart(Frozen):
    """From probabilities to a mask. The operating point chosen on validation patients is written here."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Smaller connected pieces are removed (pixels of a slice, voxels of a volume).
    minimum_voxels: Annotated[int, Field(ge=0)] = 0
    #: The same in cubic millimetres, for images that have a spacing; a piece has to be as large as both say.
    minimum_mm3: Annotated[float, Field(ge=0)] = 0.0
    fill_holes: bool = False
    #: Keep the largest connected piece of a case alone: for data in which each patient has one lesion, and no others.
    keep_largest: bool = False
    #: A lesion's confidence is 1 / (1 + exp(-(slope · logit p + intercept))), p the mean probability over its voxels;
    #: fitted to validation lesions. As they are here, it is p.
    confidence_slope: float = 1.0
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

    name: str
    description: str = ""
    #: The paper, course or repository this reproduces.
    source: str = ""
    data: DataPart = DataPart()
    preprocess: tuple[Named, ...] = ()
    augment: tuple[Named, ...] = ()
    split: SplitPart = SplitPart()
    model: Named
    loss: Named = Named(name="dice_bce")
    train: TrainPart = TrainPart()
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


def validated(part: type[OptionsType], raw: Any, *, where: object) -> OptionsType:
    """Return ``raw`` as a ``part``; turn pydantic's report into one line of ours.

    Raises:
        UsageError: naming the first wrong key, its value, and how many more there are.
    """
    try:
        return part.model_validate(raw)
    except ValidationError as error:
        first, *more = error.errors()
        key = ".".join(str(piece) for piece in first["loc"]) or "the whole"
        known = ", ".join(part.model_fields)
        raise UsageError(
            f"'{key}': {first['msg']}" + (f" (and {len(more)} more)" if more else ""),
            where=where,
            got=None if isinstance(first["input"], Mapping) else first["input"],
            cure=f"known keys here: {known}" if first["type"] == "extra_forbidden" else None,
            code="usage.recipe",
        ) from None
