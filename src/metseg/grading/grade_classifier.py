"""A trained classifier of the grade as numbers: applied without scikit-learn, stored as JSON, safe to load."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metseg.errors import BundleError
from metseg.grading.tumour_features import FEATURES
from metseg.runtime.atomic_io import write_text

#: Name of the file, in the folder of a bundle or anywhere else.
GRADE_FILE: Final = "grade.json"
#: `GradeClassifier.outlines` of a classifier that was trained on true masks.
TRUTH: Final = "truth"
#: AUC of guessing.
CHANCE: Final = 0.5

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class FeatureWeight(_Part):
    """The standardisation and coefficient of a feature."""

    name: str
    mean: Finite
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    coefficient: Finite

    def contribution(self, value: float | None) -> float:
        """Return coefficient × standardised value; a value that is not defined counts as the mean."""
        return 0.0 if value is None else self.coefficient * (value - self.mean) / self.spread


class CalibrationBin(_Part):
    """One point of the reliability curve over patients."""

    low: Share
    high: Share
    patients: Annotated[int, Field(ge=1)]
    mean_probability: Share
    observed: Share


class GradeScores(_Part):
    """Scores over patients that the classifier was not trained on, with 95 % bootstrap intervals over patients."""

    patients: Annotated[int, Field(ge=1)]
    positive: Annotated[int, Field(ge=0)]
    auc: Share
    auc_low: Share
    auc_high: Share
    brier: Share
    calibration_error: Share
    curve: tuple[CalibrationBin, ...] = ()

    @property
    def beats_chance(self) -> bool:
        """Return whether the whole interval of the AUC lies above chance."""
        return self.auc_low > CHANCE

    @property
    def auc_text(self) -> str:
        """Return the AUC with its interval."""
        return f"AUC {self.auc:.2f} (95 % interval {self.auc_low:.2f} to {self.auc_high:.2f}, {self.patients} patients)"


class GradeClassifier(_Part):
    """A calibrated logistic regression on features of a tumour.

    Args:
        column: where the grades came from.
        classes: the lower and the higher grade; the probability is that of the second.
        outlines: `TRUTH`, or the fingerprint of the bundle that outlined the tumours of the training.
        labels: label scheme of the masks.
        features: standardisation and coefficient of each.
        intercept: of the regression.
        regularisation: C of the regression, from the inner cross-validation.
        calibration: slope and intercept on the regression's output (Platt).
        patients: of the training.
        scores: of the nested cross-validation.
    """

    format: Literal["metseg-grade"] = "metseg-grade"
    version: Literal[1] = 1
    column: str
    classes: tuple[str, str]
    outlines: str
    labels: str
    features: Annotated[tuple[FeatureWeight, ...], Field(min_length=1)]
    intercept: Finite
    regularisation: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    calibration: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], Finite]
    patients: tuple[str, ...]
    scores: GradeScores

    @model_validator(mode="after")
    def _known_features(self) -> Self:
        names = [feature.name for feature in self.features]
        unknown = sorted(set(names) - set(FEATURES))
        if unknown or len(set(names)) < len(names):
            raise ValueError(f"unknown or repeated features: {', '.join(unknown) or 'repeated'}")
        return self

    def contributions(self, values: Mapping[str, float | None]) -> dict[str, float]:
        """Return feature -> coefficient × standardised value × slope of the calibration, the largest first.

        Their sum and `constant` are the logit of the probability.
        """
        slope = self.calibration[0]
        parts = {one.name: slope * one.contribution(values.get(one.name)) for one in self.features}
        return dict(sorted(parts.items(), key=lambda item: -abs(item[1])))

    @property
    def constant(self) -> float:
        """Return the logit of a tumour with the mean of every feature."""
        return self.calibration[0] * self.intercept + self.calibration[1]

    def probability(self, values: Mapping[str, float | None]) -> float:
        """Return the probability of the second class.

        Args:
            values: from `metseg.grading.tumour_features.tumour_values`.
        """
        return logistic(self.constant + sum(self.contributions(values).values()))

    def grade(self, probability: float) -> str:
        """Return the more probable class."""
        return self.classes[int(probability >= 0.5)]

    def write(self, path: Path) -> Path:
        """Write the classifier as JSON and return the path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n")
        return path


def logistic(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow.

    >>> logistic(0.0), logistic(-1e9)
    (0.5, 0.0)
    """
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(max(value, -700.0)))


def read_grade_classifier(path: Path) -> GradeClassifier:
    """Read a classifier.

    Raises:
        BundleError: ``model.grade``, no such file, or not one that ``metseg grade train`` wrote.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        return GradeClassifier.model_validate(content)
    except FileNotFoundError:
        got = "no such file"
    except ValidationError as error:
        first = error.errors()[0]
        got = f"'{'.'.join(map(str, first['loc'])) or 'the whole'}': {first['msg']}"
    except OSError as error:
        got = str(error.strerror)
    except (UnicodeDecodeError, ValueError, RecursionError):
        got = "not JSON"
    raise BundleError(
        "not a classifier of grades",
        where=path,
        expected=f"{GRADE_FILE} of metseg grade train",
        got=got,
        cure="train it again with metseg grade train, or remove the file",
        code="model.grade",
    )
