"""Cross-validation without leakage: the patients that score a network do not take part in any choice about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metseg.errors import UsageError
from metseg.io.case_source import CaseSource
from metseg.io.splits import Split, make_split
from metseg.io.stratified_sampling import By, units_of
from metseg.recipe import SplitPart


def cross_validation_splits(split: Split, sources: Sequence[CaseSource], *, validation: float) -> tuple[Split, ...]:
    """Return one split per fold; the network of each is scored on its `test` units.

    A fraction of the units outside fold k is set aside for early stopping and for choosing the best weights. Using the
    fold itself for both choosing and scoring would bias its scores upwards.

    Args:
        split: with folds, or with test units; the latter is returned unchanged.
        sources: the data set it was made for.
        validation: the fraction of the units outside the fold that is set aside.
    Raises:
        UsageError: neither folds nor test units, or both.
    """
    if bool(split.folds) == bool(split.test):
        raise UsageError(
            "a cross-validation scores every patient, so the split must not hold out test patients"
            if split.folds
            else "the split leaves no test patients to compare the models on",
            where="split",
            cure="create the split without them (metseg split --test 0)"
            if split.folds
            else "create it with a test part (metseg split --test), or give --folds",
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
