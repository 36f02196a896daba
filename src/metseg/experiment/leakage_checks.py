"""Allow choices on validation patients only: never on training patients, never on test patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.file_matching import Pairs
from metseg.io.splits import Split
from metseg.message_text import examples_text, pluralize

#: Why a patient must not be used for a choice, by the patient's part of the split.
WRONG: Mapping[str, str] = {
    "test": "is held out for the test, and using it would bias the test scores",
    "train": "was trained on, so the choice would be biased",
    "nowhere": "is not in the split, so the network may have been trained on it",
}


def validation_patients(split: Split, *, networks: int, fold: int | None) -> Sequence[str]:
    """Return all validation patients.

    Args:
        split: the part of each patient.
        networks: number of networks in the bundle; with several, one per fold, each case was predicted by the network
            that had not seen it.
        fold: the validation fold of a single network; None: the split has no folds.
    Raises:
        UsageError: a split by slice, or a missing or unknown fold.
    """
    if split.by == "slice":
        raise UsageError(
            "the split is by slice, so the network may have been trained on every patient",
            where="split",
            cure="train with a split by patient",
            code="usage.operating_point",
        )
    return sorted(set(_validation(split, networks, fold)))


def require_validation_patients(pairs: Pairs, split: Split, *, networks: int, fold: int | None) -> Sequence[str]:
    """Refuse cases of patients outside the validation part, and return all validation patients.

    Args:
        pairs: the cases used for the choice.
        split, networks, fold: see `validation_patients`.
    Raises:
        InputError: ``input.split_leak`` names a patient outside the validation part.
        UsageError: see `validation_patients`.
    """
    allowed = validation_patients(split, networks=networks, fold=fold)
    copies = {patient for group in split.duplicates for patient in group}
    for pair in pairs.cases:
        if pair.patient not in allowed:
            raise _refusal(pair.patient, split, allowed)
        if pair.patient in copies:
            raise InputError(
                "the patient shares images with a patient in another part of the split",
                where=pair.patient,
                cure="leave the patient out, or create a split without the copies and train again",
                code="input.split_leak",
            )
    return allowed


def untested_patients(pairs: Pairs, validation: Sequence[str]) -> tuple[str, ...]:
    """Return a warning on validation patients without a case: a choice on easy cases only would be too optimistic.

    >>> untested_patients(Pairs(()), ["P1", "P2"])
    ('no predictions for 2 of 2 validation patients: P1, P2',)
    """
    seen = {pair.patient for pair in pairs.cases}
    missing = [patient for patient in validation if patient not in seen]
    if not missing:
        return ()
    patients = pluralize(len(validation), "validation patient")
    return (f"no predictions for {len(missing)} of {patients}: {examples_text(missing)}",)


def refuse_seen_patients(pairs: Pairs, split: Split) -> None:
    """Refuse patients in the training or test part of the bundle's own split, even if another split has them elsewhere.

    Raises:
        InputError: ``input.split_leak`` names such a patient.
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
            "unknown validation fold of the bundle",
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
        "nowhere": "match the split's patient names with --patient-pattern or --patients, or give a split that has "
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
