"""Splits are by patient, repeatable, in the shares asked for, and refuse data they were not made for."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.errors import InputError, UsageError
from metseg.io import CaseSource, SliceFile, SliceStackSource, Split, make_split, units_of
from metseg.recipe import SplitPart
from metseg.volume import Case

HERE = Path("nowhere")


def sources(patients: int, *, slices: int = 3, grades: tuple[str, ...] = ("II", "III")) -> list[CaseSource]:
    return [
        SliceStackSource(
            f"p{index:03d}",
            f"p{index:03d}",
            HERE,
            attributes={"grade": grades[index % len(grades)], "age": str(20 + index)},
            slices=tuple(SliceFile(f"p{index:03d}/{n}", HERE / f"p{index:03d}/{n}.png") for n in range(slices)),
        )
        for index in range(patients)
    ]


@dataclass(frozen=True)
class VolumeSource(CaseSource):
    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Case:
        raise NotImplementedError


@settings(max_examples=60, deadline=None)
@given(
    patients=st.integers(3, 60),
    validation=st.sampled_from([0.0, 0.1, 0.2]),
    test=st.sampled_from([0.0, 0.15, 0.3]),
    folds=st.sampled_from([0, 2]),
    seed=st.integers(0, 5),
    stratify=st.sampled_from([None, "grade", "age"]),
)
def test_every_patient_is_in_one_part(patients, validation, test, folds, seed, stratify):
    data = sources(patients)
    part = SplitPart(validation=validation, test=test, folds=folds, seed=seed, stratify=stratify)
    split = make_split(data, part)
    everyone = [source.patient for source in data]
    assert sorted((*split.train, *split.validation, *split.test)) == everyone
    assert len(split.test) == (max(1, round(test * patients)) if test else 0)
    assert len(split.folds) == folds
    if folds:
        assert sorted(unit for fold in split.folds for unit in fold) == list(split.train)
        assert max(map(len, split.folds)) - min(map(len, split.folds)) <= 1
        assert split.validation == ()
    else:
        assert len(split.validation) == (max(1, round(validation * patients)) if validation else 0)


def test_listing_order_does_not_matter_and_the_seed_does():
    data = sources(30)
    shuffled = random.Random(0).sample(data, len(data))
    assert make_split(data, SplitPart()) == make_split(shuffled, SplitPart())
    assert make_split(data, SplitPart()).test != make_split(data, SplitPart(seed=1)).test


def test_the_draw_is_pinned():
    """Units lie in the order of SHA-256 of seed, newline and name: no release of a library can change a split."""
    split = make_split(sources(10), SplitPart(validation=0, test=0.5))
    order = sorted((hashlib.sha256(f"0\np{index:03d}".encode()).hexdigest(), f"p{index:03d}") for index in range(10))
    assert split.test == tuple(sorted(name for _, name in order[:5]))


@pytest.mark.parametrize("seed", range(5))
def test_strata_have_their_share_in_every_part(seed):
    data = sources(40, grades=("II", "II", "II", "III"))  # 30 : 10
    grade = {source.patient: source.attributes["grade"] for source in data}
    split = make_split(data, SplitPart(validation=0.2, test=0.2, stratify="grade", seed=seed))
    assert Counter(grade[unit] for unit in split.test) == {"II": 6, "III": 2}
    assert Counter(grade[unit] for unit in split.validation) == {"II": 6, "III": 2}
    folded = make_split(data, SplitPart(test=0, folds=5, stratify="grade", seed=seed))
    assert [Counter(grade[unit] for unit in fold) for fold in folded.folds] == [{"II": 6, "III": 2}] * 5


def test_strata_of_which_nothing_is_known_are_refused_with_a_cure():
    bare = [replace(source, attributes={}) for source in sources(4)]
    with pytest.raises(UsageError, match=r"patients\.csv.*split without stratification"):
        make_split(bare, SplitPart(stratify="grade"))


def test_numbers_are_stratified_by_quartile():
    split = make_split(sources(40), SplitPart(validation=0, test=0.2, stratify="age", seed=3))
    quartiles = Counter(int(unit[1:]) // 10 for unit in split.test)
    assert quartiles == {0: 2, 1: 2, 2: 2, 3: 2}


def test_unknown_column_offers_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'grade'"):
        make_split(sources(9), SplitPart(stratify="grad"))


@pytest.mark.parametrize("part", [SplitPart(), SplitPart(test=0, folds=3)])
def test_too_few_patients(part):
    with pytest.raises(InputError) as caught:
        make_split(sources(2), part)
    assert caught.value.code == "input.too_few"
    cure = "or use fewer folds" if part.folds else "or leave a part out (metseg split --test 0;"
    assert f"add patients, {cure}" in str(caught.value)


def test_cases_of_one_patient_stay_together():
    data = [
        SliceStackSource(f"case{index}", f"p{index // 2}", HERE, slices=(SliceFile(f"{index}", HERE / f"{index}"),))
        for index in range(20)
    ]
    selection = make_split(data, SplitPart()).select(data)
    sides = [{item.source.patient for item in part} for part in selection]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 10
    assert sum(map(len, selection)) == 20


def test_folds_are_validated_in_turn():
    data = sources(11)
    split = make_split(data, SplitPart(test=0.2, folds=3))
    seen: list[str] = []
    for fold in range(3):
        train, validation, test = split.select(data, fold=fold)
        patients = [{item.source.patient for item in part} for part in (train, validation, test)]
        assert set.union(*patients) == {source.patient for source in data}
        assert sum(map(len, patients)) == 11
        assert patients[2] == set(split.test)
        seen += sorted(patients[1])
    assert sorted(seen) == sorted(split.train)
    assert all(item.slices is None for item in train)


@pytest.mark.parametrize("fold", [None, -1, 3])
def test_a_fold_has_to_be_named(fold):
    data = sources(9)
    with pytest.raises(UsageError):
        make_split(data, SplitPart(folds=3)).select(data, fold=fold)


def test_a_fold_of_a_split_without_folds():
    data = sources(9)
    with pytest.raises(UsageError):
        make_split(data, SplitPart()).select(data, fold=0)


def test_by_slice_leaks_and_says_so():
    data = sources(10, slices=10)
    split = make_split(data, SplitPart(by="slice", validation=0, test=0.2))
    assert split.leaks_patients
    assert split.to_dict()["leaks_patients"] is True
    train, validation, test = split.select(data)
    assert validation == ()
    assert sum(len(item.slices) for item in test) == 20
    by_case = {item.source.case_id: set(item.slices) for item in train}
    for item in test:
        assert by_case[item.source.case_id].isdisjoint(item.slices)
        for index in item.slices:
            assert f"{item.source.case_id}/{index}" in split.test
    assert not make_split(data, SplitPart()).leaks_patients


def test_volumes_cannot_be_split_by_slice():
    with pytest.raises(UsageError, match="by slice"):
        units_of(VolumeSource("v", "p", HERE), "slice")


def test_units():
    (source,) = sources(1)
    assert units_of(source, "patient") == ("p000",)
    assert units_of(source, "slice") == ("p000/0", "p000/1", "p000/2")


@pytest.mark.parametrize(
    "part", [SplitPart(), SplitPart(folds=3, stratify="grade", seed=4), SplitPart(by="slice", validation=0)]
)
def test_file_round_trip(tmp_path, part):
    split = make_split(sources(12), part)
    split.save(tmp_path / "new" / "split.json")
    assert Split.load(tmp_path / "new" / "split.json") == split
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "split.json"]  # no temporary file is left


def test_a_patient_on_both_sides_is_refused_by_name(tmp_path):
    split = make_split(sources(12), SplitPart())
    document = split.to_dict()
    document["train"].append(document["test"][0])
    (tmp_path / "s.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"'{split.test[0]}' is in train and in test") as caught:
        Split.load(tmp_path / "s.json")
    assert caught.value.code == "input.split_leak"


def test_a_test_patient_in_a_fold_is_refused():
    with pytest.raises(InputError, match="'c' is in fold 1 and in test"):
        Split(train=("a", "b"), test=("c",), folds=(("a",), ("b", "c")))


def test_folds_and_training_have_to_agree():
    with pytest.raises(InputError, match="folds"):
        Split(train=("a", "b"), folds=(("a",),))


def test_data_that_do_not_fit_are_refused_by_name():
    data = sources(12)
    split = make_split(data, SplitPart())
    with pytest.raises(InputError, match="'p011' is in the split but not in the data"):
        split.select(data[:-1])
    with pytest.raises(InputError, match=r"'p012' \(and 2 more\) is in the data but not in the split"):
        split.select(sources(15))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "metseg-split", "version": 1}', '{"format": "metseg-split", "version": 9}']
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(InputError) as caught:
        Split.load(tmp_path / "s.json")
    assert caught.value.code == "input.split"


def test_strings_are_no_lists_of_names(tmp_path):
    document = make_split(sources(12), SplitPart()).to_dict() | {"train": "p001"}
    with pytest.raises(InputError, match="damaged"):
        Split.from_dict(document)
