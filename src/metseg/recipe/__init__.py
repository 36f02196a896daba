"""A `Recipe` is one experiment in one TOML file: data, preprocessing, split, model, loss, training, prediction."""

from metseg.recipe.loading import load_recipe, parse_recipe, shipped_recipes
from metseg.recipe.overrides import apply_change, refuse_split_changes
from metseg.recipe.schema import (
    REGIONS_LOSS,
    DataPart,
    Fraction,
    Frozen,
    Modality,
    Named,
    PredictPart,
    Recipe,
    Seed,
    SplitPart,
    TrainPart,
    require_options_class,
    validated,
)

__all__ = [
    "REGIONS_LOSS",
    "DataPart",
    "Fraction",
    "Frozen",
    "Modality",
    "Named",
    "PredictPart",
    "Recipe",
    "Seed",
    "SplitPart",
    "TrainPart",
    "apply_change",
    "load_recipe",
    "parse_recipe",
    "refuse_split_changes",
    "require_options_class",
    "shipped_recipes",
    "validated",
]
