"""Cross-validation without looking: the patients a network is judged on choose nothing about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metseg.errors import UsageError
from metseg.io.case_source import CaseSource
from metseg.io.splits import Split, make_split
from metseg.io.stratified_sampling import By, units_of
from metseg.recipe import SplitPart


def cross_validation_splits(split: Split, sources: Sequence[CaseSource], *, validation: float) -> tuple[Split, ...]:
    """Return the divisions to train on, one per fold; the `test` units of each are judged by its network.

    Of the units outside fold k, a share is set aside for early stopping and for the choice of the best weights. A fold
    that did both, choose and judge, would flatter.

    Args:
        split: with folds, or with test units; then it comes back as it is.
        sources: the data set it was made for.
        validation: the share of the units outside the fold that is set aside.
    Raises:
        UsageError: neither folds nor test units, or both.
    """
    if bool(split.folds) == bool(split.test):
        raise UsageError(
            "every patient is judged in a cross-validation, so no test patients are kept back"
            if split.folds
            else "the split leaves no test patients to compare the models on",
            where="split",
            cure="make the split without them (metseg split --test 0)"
            if split.folds
            else "give it a test share, or ask for --folds",
            code="usage.split",
        )
    if not split.folds:
        return (split,)
    share = SplitPart(by=split.by, validation=validation, test=0.0, folds=0, stratify=split.stratify, seed=split.seed)
    return tuple(_without(fold, sources, share) for fold in split.folds)


def _without(fold: tuple[str, ...], sources: Sequence[CaseSource], share: SplitPart) -> Split:
    judged = frozenset(fold)

    def others(source: CaseSource, by: By) -> list[str]:
        return [unit for unit in units_of(source, by) if unit not in judged]

    return replace(make_split(sources, share, units=others), test=fold)
