"""Cross-validation: each patient judged once, by a network for which it chose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from metseg.errors import UsageError
from metseg.experiment.cross_validation import cross_validation_splits
from metseg.io.case_source import CaseSource
from metseg.io.splits import Split, make_split
from metseg.recipe import SplitPart
from metseg.volume import Case


@dataclass(frozen=True)
class NamedSource(CaseSource):
    """A case of three slices that is never read."""

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def slice_names(self) -> tuple[str, ...]:
        return tuple(f"{self.case_id}/{z}" for z in range(3))

    def load(self) -> Case:
        raise AssertionError("a split reads no picture")


SOURCES: Sequence[CaseSource] = [
    NamedSource(f"c{n}", f"p{n}", Path(), attributes={"grade": "23"[n % 2]}) for n in range(10)
]


@pytest.mark.parametrize("by", ["patient", "slice"])
def test_each_unit_is_judged_once_and_is_elsewhere_never(by: str) -> None:
    split = make_split(SOURCES, SplitPart(by=by, folds=5, test=0, seed=3))
    made = cross_validation_splits(split, SOURCES, validation=0.25)
    assert len(made) == 5
    assert sorted(unit for one in made for unit in one.test) == sorted(split.units)
    for one in made:
        assert one.leaks_patients == (by == "slice")
        assert not one.folds
        assert one.units == split.units  # so that `Split` itself has checked that no part shares a unit with another
        rest = len(split.units) - len(one.test)
        assert len(one.validation) == round(0.25 * rest)


def test_early_stopping_is_stratified_as_the_split_is() -> None:
    split = make_split(SOURCES, SplitPart(folds=5, test=0, stratify="grade"))
    for one in cross_validation_splits(split, SOURCES, validation=0.5):
        # Eight patients remain, four of each grade; half of them are set aside.
        assert sorted(int(unit[1:]) % 2 for unit in one.validation) == [0, 0, 1, 1]


def test_without_folds_the_split_stays_as_it_is() -> None:
    split = make_split(SOURCES, SplitPart(test=0.3))
    assert cross_validation_splits(split, SOURCES, validation=0.5) == (split,)


def test_nobody_to_judge() -> None:
    split = Split(train=tuple(f"p{n}" for n in range(10)))
    with pytest.raises(UsageError, match="no test patients to compare"):
        cross_validation_splits(split, SOURCES, validation=0.2)


def test_test_patients_beside_folds() -> None:
    split = make_split(SOURCES, SplitPart(folds=2, test=0.2))
    with pytest.raises(UsageError, match="must not hold out test patients"):
        cross_validation_splits(split, SOURCES, validation=0.2)
