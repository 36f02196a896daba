"""The result of a comparison, and the verdict that it supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from metseg.evaluation import CaseScores, PairedComparison, Summary, compare_models, summarize
from metseg.evaluation.statistics.confidence_intervals import few_patients, patient_means
from metseg.evaluation.statistics.paired_tests import NO_DIFFERENCE, no_difference
from metseg.io.splits import Split
from metseg.recipe import Recipe
from metseg.training.snapshot import Snapshot


@dataclass(frozen=True)
class ComparedModel:
    """One recipe after all its runs.

    Args:
        recipe: the trained recipe.
        bundles: one per fold.
        scores: one per case, each predicted by a network that had not seen the patient.
        snapshots: one per case.
        facts: parameters, minutes, validation loss of the weights kept, steps, slices per second, peak memory; means
            over the folds.
        curves: the epochs of the first fold.
        machines: the hardware of each run; absent for a run if its bundle does not record it.
        changed_data: how the data changed while its runs were trained, one sentence each; usually empty.
    """

    recipe: Recipe
    bundles: tuple[Path, ...]
    scores: tuple[CaseScores, ...]
    snapshots: tuple[Snapshot, ...]
    facts: Mapping[str, float]
    curves: pd.DataFrame
    machines: tuple[Mapping[str, str], ...] = ()
    changed_data: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.recipe.name

    @cached_property
    def summary(self) -> Summary:
        return summarize(self.scores)

    @cached_property
    def dice_by_patient(self) -> dict[str, float]:
        """Return each patient's Dice, the mean over its regions and cases."""
        per_case = ((score.patient, _mean_dice(score)) for score in self.scores)
        return {patient: value for patient, value in patient_means(per_case).items() if value is not None}

    @property
    def mean_dice(self) -> float:
        return sum(self.dice_by_patient.values()) / len(self.dice_by_patient)


@dataclass(frozen=True)
class Comparison:
    """The outcome.

    Args:
        contestants: in the order of the recipes; at least one.
        split: the part of each patient.
        warnings: reasons why the comparison is less fair than it looks, one sentence each.
    """

    contestants: tuple[ComparedModel, ...]
    split: Split
    warnings: tuple[str, ...] = ()

    @cached_property
    def pairs(self) -> tuple[PairedComparison, ...]:
        """Return the paired test of each two contestants on Dice per patient."""
        return tuple(compare_models({one.name: one.dice_by_patient for one in self.contestants}))

    @property
    def machine(self) -> Mapping[str, str]:
        """Return the machine that all runs used; empty if they used different machines."""
        found = [machine for one in self.contestants for machine in one.machines]
        return found[0] if found and all(machine == found[0] for machine in found) else {}

    @property
    def scored(self) -> str:
        return f"cross-validation, {len(self.split.folds)} folds" if self.split.folds else "test patients"

    @property
    def highest(self) -> ComparedModel:
        """Return the recipe with the highest mean Dice, which need not be significantly better than the next one."""
        return max(self.contestants, key=lambda one: one.mean_dice)

    @property
    def shown_best(self) -> ComparedModel | None:
        """Return the recipe that is significantly better than every other by `better_of`; None if there is none."""
        rivals = self._pairs_of_highest()
        named = all(pair.better == self.highest.name for pair in rivals)
        return self.highest if rivals and named else None

    @property
    def verdict(self) -> str:
        """Return the verdict as one sentence."""
        highest = self.highest
        if len(self.contestants) == 1:
            return f"{highest.name} alone: nothing to compare it with"
        if self.shown_best is not None:
            return f"{highest.name} is better than every other"
        equals = [
            pair.second if pair.first == highest.name else pair.first
            for pair in self._pairs_of_highest()
            if pair.better != highest.name
        ]
        said = no_difference(self._pairs_of_highest()[0].difference).removeprefix(NO_DIFFERENCE)
        return f"{NO_DIFFERENCE} between {highest.name}, which has the highest mean Dice, and {', '.join(equals)}{said}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the caveats of the verdict, one sentence each: leaks, trivial models, few patients."""
        leaks = (f"{leak}; these figures are too optimistic." for leak in self.split.leaks)
        trivial = (f"{one.name}: {text}." for one in self.contestants for text in one.summary.trivial)
        caution = few_patients(self.contestants[0].summary.patients) if self.pairs else None
        return (*leaks, *trivial, *(() if caution is None else (caution,)))

    def _pairs_of_highest(self) -> list[PairedComparison]:
        return [pair for pair in self.pairs if self.highest.name in (pair.first, pair.second)]


def _mean_dice(score: CaseScores) -> float | None:
    """Return the mean over the regions that have a Dice; None if none has."""
    values = [value for region in score.regions if (value := score[region]["dice"]) is not None]
    return sum(values) / len(values) if values else None
