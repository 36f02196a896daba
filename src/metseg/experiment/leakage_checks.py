"""Who may be chosen on: validation patients, never those that were trained on, never those kept for the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.file_matching import Pairs
from metseg.io.splits import Split
from metseg.message_text import examples_text, pluralize

#: What is wrong with choosing on a patient, by where the split has the patient.
WRONG: Mapping[str, str] = {
    "test": "is kept for the test, which would be spent",
    "train": "was trained on, so the choice would be too good to be true",
    "nowhere": "is not in the split: it may have been trained on",
}


def validation_patients(split: Split, *, networks: int, fold: int | None) -> Sequence[str]:
    """Return all patients that are for validation.

    Args:
        split: which patient was for what.
        networks: of the bundle; with several, one per fold, cases were predicted by the network that had not seen them.
        fold: which fold the only network was validated on; None: the split has no folds.
    Raises:
        UsageError: a split by slice, or a fold that is missing or not there.
    """
    if split.by == "slice":
        raise UsageError(
            "the split is by slice: every patient may have been trained on",
            where="split",
            cure="train with a split by patient",
            code="usage.operating_point",
        )
    return sorted(set(_validation(split, networks, fold)))


def require_validation_patients(pairs: Pairs, split: Split, *, networks: int, fold: int | None) -> Sequence[str]:
    """Refuse cases of patients that are not for validation, and return all patients that are.

    Args:
        pairs: the cases that something is to be chosen on.
        split, networks, fold: see `validation_patients`.
    Raises:
        InputError: ``input.split_leak``, a patient that is not for validation, by name.
        UsageError: see `validation_patients`.
    """
    allowed = validation_patients(split, networks=networks, fold=fold)
    copies = {patient for group in split.duplicates for patient in group}
    for pair in pairs.cases:
        if pair.patient not in allowed:
            raise _refusal(pair.patient, split, allowed)
        if pair.patient in copies:
            raise InputError(
                "the patient has images in common with a patient of another part of the split",
                where=pair.patient,
                cure="leave the patient out, or make the split anew without the copies and train again",
                code="input.split_leak",
            )
    return allowed


def untested_patients(pairs: Pairs, validation: Sequence[str]) -> tuple[str, ...]:
    """Return a warning on validation patients without a case: a choice on the easy ones alone would flatter.

    >>> untested_patients(Pairs(()), ["P1", "P2"])
    ('not looked at: 2 of 2 validation patients: P1, P2',)
    """
    seen = {pair.patient for pair in pairs.cases}
    missing = [patient for patient in validation if patient not in seen]
    if not missing:
        return ()
    patients = pluralize(len(validation), "validation patient")
    return (f"not looked at: {len(missing)} of {patients}: {examples_text(missing)}",)


def refuse_seen_patients(pairs: Pairs, split: Split) -> None:
    """Refuse patients that a bundle's own split trains on or tests on, whatever another split says of them.

    Raises:
        InputError: ``input.split_leak``, such a patient, by name.
    """
    seen = frozenset(split.test) if split.folds else frozenset((*split.train, *split.test))
    for pair in pairs.cases:
        if pair.patient in seen:
            raise _refusal(pair.patient, split, split.validation)


def _validation(split: Split, networks: int, fold: int | None) -> Sequence[str]:
    if not split.folds:
        return split.validation
    if networks > 1:
        return [patient for part in split.folds for patient in part]
    if fold is None or not 0 <= fold < len(split.folds):
        raise UsageError(
            "which fold was the bundle validated on?",
            where="fold",
            expected=f"0 to {len(split.folds) - 1}",
            got=fold,
            cure="give it with --fold",
            code="usage.operating_point",
        )
    return split.folds[fold]


def _refusal(patient: str, split: Split, allowed: Sequence[str]) -> InputError:
    place = "test" if patient in split.test else "train" if patient in split.units else "nowhere"
    cures = {
        "nowhere": "name patients as the split does, with --patient-pattern or --patients, or give a split that has "
        "them: --split",
        "train": "give predictions of validation patients only",
        "test": "give predictions of validation patients only",
    }
    one_of = f"one of {pluralize(len(allowed), 'validation patient')}: {examples_text(allowed)}"
    return InputError(
        f"the patient {WRONG[place]}",
        where=patient,
        expected=one_of if allowed else "a validation patient",
        cure=cures[place],
        code="input.split_leak",
    )
