"""Match predictions to truths: two files, two folders of volumes, or two folders of slice masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.case_files import CasePair, Pairs, case_id, with_probabilities
from metseg.evaluation.files.mask_files import PLAIN_FOLDERS, MaskFile, MaskFiles, find_masks
from metseg.evaluation.files.prediction_documents import Documents
from metseg.io.file_index import Pair, slice_number
from metseg.io.images.slice_grouping import units_of_pairs
from metseg.io.layouts.dataset_json import labels_of_mask
from metseg.io.layouts.examination_names import examination_of
from metseg.io.patient_table import table_owners
from metseg.io.patients import PatientOf, patient_finder
from metseg.io.splits import PartOfSplit
from metseg.io.timepoints import same_patients, same_patients_note
from metseg.labels import NamedLabels
from metseg.message_text import examples_text, pluralize

__all__ = ["PLAIN_FOLDERS", "CasePair", "Missing", "Pairs", "case_id", "match_files"]

#: How to handle files that only one side has: raise an error, score an empty prediction, or skip them.
Missing = Literal["error", "empty", "skip"]

Match = tuple[MaskFile, MaskFile | None]


def match_files(
    predictions: Path,
    truth: Path,
    *,
    missing: Missing = "error",
    part: PartOfSplit | None = None,
    needed: Collection[str] | None = None,
    patient_pattern: str | None = None,
    patients: str | None = None,
    labels: str | None = None,
) -> Pairs:
    """Pair the files of two folders by case id, or one file with another.

    Each folder may contain masks only, or be a data set with its images. In a data set the layout defines the case of
    each mask, as in `metseg predict`. Each volume is one case. The slice masks in one folder are one case, that of a
    patient; if the folders differ, masks are matched by the ends of their paths, as far as only one file fits.
    Probability maps that prediction wrote beside its masks (``-probability``) are included.

    Args:
        predictions: a file or a folder, searched recursively.
        truth: likewise.
        missing: ``error`` raises an error for files that only one side has; ``empty`` scores a truth without a
            prediction as an empty prediction; ``skip`` leaves it out. With ``empty`` and ``skip``, predictions without
            a truth are left out, and a warning names all such files. A prediction for a case that has no mask in the
            truth's data set is always left out with a warning.
        part: score only the cases of this part of a split; None: all.
        needed: patients with truths that need a prediction; None: all.
        patient_pattern: regular expression, searched in the relative path; its first group is the patient. None:
            the folder of slice masks; for volumes the patient in the layout, or the case id without the time point of
            BraTS and UCSF-BMSR names.
        patients: path of a table (CSV) with the patient of each case or file of the truth, as for `find_cases`.
        labels: the requested label scheme, which selects one of UCSF-BMSR's two masks of a case; None: two masks of a
            case raise an error.
    Raises:
        InputError: no files, nothing to pair, two files of one case, or files that only one side has.
        UsageError: volumes on one side and pictures on the other, an unknown value of ``missing``, or both a pattern
            and a table.
    """
    if missing not in get_args(Missing):
        raise UsageError(
            "unknown way to handle missing files", where="missing", expected=get_args(Missing), got=missing
        )
    if patient_pattern is not None and patients is not None:
        raise UsageError("both a pattern and a table of patients were given", where=patients, cure="give one of them")
    if truth.is_file() and predictions.is_file():
        return _complete(_one_file_each(predictions, truth), predictions)
    true = find_masks(truth, labels=labels, without=predictions, patient_pattern=patient_pattern, patients=patients)
    guessed = find_masks(predictions, labels=labels, without=truth)
    if true.is_slices != guessed.is_slices:
        raise UsageError(
            "one of predictions and truth holds volumes, the other pictures",
            where=predictions,
            expected="the same kind on both sides",
        )
    sides = _match(true, guessed)
    whose = _Patients(true, patient_pattern, patients)
    warnings = [*dict.fromkeys((*true.warnings, *guessed.warnings)), *sides.warnings, *whose.notes]
    if part is not None:
        sides, about_part = _of_part(sides, part, whose, missing)
        warnings += about_part
    if needed is not None:
        sides = replace(sides, truths=tuple(mask for mask in sides.truths if whose.patient(mask) in needed))
    matches, notes = _settle(sides, missing, unlabelled=true.unlabelled)
    gather = _slice_cases if true.is_slices else _volume_cases
    return _complete(Pairs(gather(matches, whose), (*warnings, *notes)), predictions)


@dataclass(frozen=True)
class _Sides:
    """Matched masks, and masks that only one side has."""

    pairs: tuple[tuple[MaskFile, MaskFile], ...]
    truths: tuple[MaskFile, ...]
    predictions: tuple[MaskFile, ...]
    warnings: tuple[str, ...] = ()


def _one_file_each(predictions: Path, truth: Path) -> Pairs:
    true, guessed = find_masks(truth), find_masks(predictions)
    if true.is_slices != guessed.is_slices:
        raise UsageError("one of prediction and truth is a volume, the other a picture", where=predictions)
    name = str(true.masks[0].key)
    pair = CasePair(
        case=name, patient=_study_patient(name), truth=(truth,), prediction=(predictions,), is_slices=true.is_slices
    )
    return Pairs((pair,))


def _complete(pairs: Pairs, predictions: Path) -> Pairs:
    """Add the probability maps beside the predictions and the declared labels to the cases.

    A document that `metseg predict` wrote declares the labels of its case; a ``dataset.json`` those of a folder.
    """
    in_folder = cache(lambda folder: labels_of_mask(folder / "mask"))
    documents = Documents(predictions)

    def first(labels: Iterable[NamedLabels | None]) -> NamedLabels | None:
        return next((named for named in labels if named is not None), None)

    cases = (
        replace(
            pair,
            truth_labels=first(in_folder(path.parent) for path in pair.truth),
            prediction_labels=first(
                documents.labels_of(path) or in_folder(path.parent) for path in pair.prediction if path is not None
            ),
        )
        for pair in pairs.cases
    )
    return with_probabilities(Pairs(tuple(cases), pairs.warnings))


def _match(true: MaskFiles, guessed: MaskFiles) -> _Sides:
    """Pair files with equal keys, then those that fit only one file of the other side."""
    by_key = {mask.key: mask for mask in guessed.masks}
    pairs = [(mask, by_key[mask.key]) for mask in true.masks if mask.key in by_key]
    truths = _without(true.masks, [mask for mask, _ in pairs])
    predictions = _without(guessed.masks, [mask for _, mask in pairs])
    ways = _ends if true.is_slices else _names
    fitting = _unique_pairs(truths, predictions, ways)
    warnings: tuple[str, ...] = ()
    if fitting and true.is_slices:
        shown = examples_text([f"{guess.key} with {mask.key}" for mask, guess in fitting])
        warnings = (f"{pluralize(len(fitting), 'prediction')} paired by the ends of their paths: {shown}",)
    pairs = sorted([*pairs, *fitting], key=lambda pair: pair[0].key)
    truths = _without(truths, [mask for mask, _ in fitting])
    if not true.is_slices:
        warnings = tuple(_ambiguous(pairs, truths))
    return _Sides(
        tuple(pairs),
        tuple(truths),
        tuple(_without(predictions, [mask for _, mask in fitting])),
        warnings,
    )


def _ambiguous(pairs: Iterable[tuple[MaskFile, MaskFile]], truths: Iterable[MaskFile]) -> Iterator[str]:
    """Yield a warning on each prediction that may also belong to a truth without a prediction.

    Results of a single predicted folder have the name of the folder, not its path in the data set.
    """
    called: dict[str, list[str]] = defaultdict(list)
    for mask in truths:
        if mask.place is not None:
            called[mask.place.name].append(str(mask.key))
    for mask, guess in pairs:
        if others := called[str(guess.key)]:
            name = guess.path.name
            yield f"{name} is scored as case {mask.key}, but also matches the folder of {examples_text(others)}"


def _without(masks: Sequence[MaskFile], taken: Iterable[MaskFile]) -> list[MaskFile]:
    keys = {mask.key for mask in taken}
    return sorted((mask for mask in masks if mask.key not in keys), key=lambda mask: mask.key)


def _names(mask: MaskFile) -> set[PurePosixPath]:
    """Return the possible names of a mask."""
    return {mask.key} if mask.other_key is None else {mask.key, mask.other_key}


def _ends(mask: MaskFile) -> set[PurePosixPath]:
    """Return the trailing parts of a slice's path."""
    return {PurePosixPath(*name.parts[first:]) for name in _names(mask) for first in range(len(name.parts))}


def _unique_pairs(
    truths: Sequence[MaskFile],
    predictions: Sequence[MaskFile],
    ways: Callable[[MaskFile], set[PurePosixPath]],
) -> list[tuple[MaskFile, MaskFile]]:
    """Return the unambiguous pairs in which the key of one mask is among the names of the other."""
    partners: dict[PurePosixPath, dict[PurePosixPath, MaskFile]] = defaultdict(dict)
    suitors: dict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)
    for side, others, truth_first in ((truths, predictions, True), (predictions, truths, False)):
        by_name: dict[PurePosixPath, list[MaskFile]] = defaultdict(list)
        for mask in side:
            for name in ways(mask):
                by_name[name].append(mask)
        for other in others:
            for mask in by_name.get(other.key, ()):
                truth, guess = (mask, other) if truth_first else (other, mask)
                partners[truth.key][guess.key] = guess
                suitors[guess.key].add(truth.key)
    alone = {key: next(iter(found.values())) for key, found in partners.items() if len(found) == 1}
    return [(mask, alone[mask.key]) for mask in truths if mask.key in alone and len(suitors[alone[mask.key].key]) == 1]


class _Patients:
    """Patients of the masks on both sides.

    Args:
        true: the masks of the truth.
        pattern, table: see `match_files`.
    """

    def __init__(self, true: MaskFiles, pattern: str | None, table: str | None) -> None:
        self.is_slices = true.is_slices
        self.notes: tuple[str, ...] = ()
        self._find: PatientOf | None = None
        self._merged: Mapping[str, tuple[str, str]] = {}
        if table is not None:
            owners = table_owners({mask.place or mask.key: mask.names for mask in true.masks}, table, true.root)
            of = {place: owner.patient for place, owner in owners.of.items()}
            # A prediction that has no truth has no row.
            self._find = lambda place: of.get(place, str(place))
            self.notes = owners.notes
        elif pattern is not None or true.is_slices:
            places = [mask.place or mask.key for mask in true.masks]
            self._find = patient_finder(places, pattern, root=true.root)
        else:
            # Masks without images, named as prediction names them: dates mean the same as in the names of folders.
            self._merged = same_patients(_named_patient(mask) for mask in true.masks)
            self.notes = same_patients_note(self._merged)

    def patient(self, mask: MaskFile) -> str:
        """Return the patient of a mask of either side."""
        if self._find is None:
            name = _named_patient(mask)
            return self._merged[name][0] if name in self._merged else name
        return self._find(mask.place or mask.key)

    def units(self, masks: Iterable[MaskFile], part: PartOfSplit) -> dict[PurePosixPath, str]:
        """Return the unit of a split that each mask belongs to, by its key."""
        if part.split.by == "patient":
            return {mask.key: self.patient(mask) for mask in masks}
        if not self.is_slices:
            raise UsageError(
                "the split is by slice, but the masks are volumes", where=part.path, cure="split by patient"
            )
        pairs = [Pair(mask.key, mask.path, mask.path, mask.place or mask.key) for mask in masks]
        assert self._find is not None
        return units_of_pairs(pairs, self._find, by="slice")


def _of_part(sides: _Sides, part: PartOfSplit, whose: _Patients, missing: Missing) -> tuple[_Sides, list[str]]:
    """Return the masks in a part of a split; a prediction without a truth that is in no part is kept.

    Raises:
        InputError: ``input.split``, the truth lacks units of the part, or all of them.
    """
    units = whose.units([*(mask for mask, _ in sides.pairs), *sides.truths], part)
    of_guess = whose.units(sides.predictions, part)
    other = part.split.units - part.units
    chosen = _Sides(
        tuple(pair for pair in sides.pairs if units[pair[0].key] in part.units),
        tuple(mask for mask in sides.truths if units[mask.key] in part.units),
        tuple(mask for mask in sides.predictions if of_guess[mask.key] not in other),
        sides.warnings,
    )
    left = len(units) - len(chosen.pairs) - len(chosen.truths)
    notes = [f"scored: {part.describe()}; left out: {pluralize(left, 'mask')} of others"]
    if unknown := sorted(set(units.values()) - part.split.units):
        notes.append(f"not in {part.path.name}: {pluralize(len(unknown), part.split.by)}: {examples_text(unknown)}")
    absent = sorted(part.units - set(units.values()))
    if absent and (missing == "error" or not chosen.pairs):
        raise InputError(
            f"no truth for {len(absent)} of {pluralize(len(part.units), part.split.by)} of the part '{part.name}'",
            where=part.path,
            got=examples_text(absent),
            cure="give the folder of the whole data set as truth, name patients as the split does (--patient-pattern "
            "or --patients), or leave them out with --missing skip",
            code="input.split",
        )
    if absent:
        notes.append(
            f"no truth for {pluralize(len(absent), part.split.by)} of the part '{part.name}': {examples_text(absent)}"
        )
    return chosen, notes


def _settle(sides: _Sides, missing: Missing, *, unlabelled: Collection[str]) -> tuple[list[Match], tuple[str, ...]]:
    """Return truths with their predictions, after handling those that only one side has."""
    apart = [mask for mask in sides.predictions if str(mask.key) in unlabelled]
    extra = [mask.key for mask in sides.predictions if str(mask.key) not in unlabelled]
    alone = [mask.key for mask in sides.truths]
    if not sides.pairs:
        raise InputError(
            "no prediction matches a truth by name",
            expected=examples_text(alone),
            got=examples_text(extra),
            cure="name predictions and truth after their cases; endings such as -seg, _mask and -pred are ignored",
            code="input.no_cases",
        )
    if (alone or extra) and missing == "error":
        raise _unpaired(sides, alone, extra)
    warnings = []
    if alone:
        done = "scored as empty" if missing == "empty" else "left out"
        warnings.append(f"{pluralize(len(alone), 'truth')} without a prediction {done}: {examples_text(alone)}")
    if extra:
        warnings.append(f"{pluralize(len(extra), 'prediction')} without a truth left out: {examples_text(extra)}")
    if apart:
        names = examples_text([mask.key for mask in apart])
        left_out = pluralize(len(apart), "prediction")
        warnings.append(f"{left_out} of cases without a mask in the data set left out: {names}")
    matches: list[Match] = [*sides.pairs]
    if missing == "empty":
        matches += [(mask, None) for mask in sides.truths]
    return sorted(matches, key=lambda match: match[0].key), tuple(warnings)


def _unpaired(sides: _Sides, truths: Sequence[PurePosixPath], predictions: Sequence[PurePosixPath]) -> InputError:
    """Return the error for files that only one side has, naming the files of each side."""
    count = len(sides.pairs)
    parts = []
    if truths:
        parts.append(
            f"no prediction for {len(truths)} of {pluralize(count + len(truths), 'truth')}: {examples_text(truths)}"
        )
    if predictions:
        among = count + len(predictions)
        parts.append(
            f"no truth for {len(predictions)} of {pluralize(among, 'prediction')}: {examples_text(predictions)}"
        )
    return InputError(
        "; ".join(parts),
        cure="add or rename the files, score missing predictions as empty (--missing empty), or leave out what only "
        "one side has (--missing skip)",
        code="input.missing_prediction" if truths else "input.missing_truth",
    )


def _volume_cases(matches: Sequence[Match], whose: _Patients) -> tuple[CasePair, ...]:
    return tuple(
        CasePair(
            case=str(mask.key),
            patient=whose.patient(mask),
            truth=(mask.path,),
            prediction=(None if guess is None else guess.path,),
            is_slices=False,
        )
        for mask, guess in matches
    )


def _slice_cases(matches: Sequence[Match], whose: _Patients) -> tuple[CasePair, ...]:
    """Return one case per folder of a patient, with slices in numeric order."""
    found: Mapping[PurePosixPath, Match] = {match[0].key: match for match in matches}
    stacks: dict[tuple[str, PurePosixPath], list[PurePosixPath]] = defaultdict(list)
    for name, (mask, _) in found.items():
        stacks[whose.patient(mask), name.parent].append(name)
    several = [folder for _, folder in stacks]
    cases = []
    for (patient, folder), names in sorted(stacks.items()):
        # With a pattern, one folder can contain several patients, and one patient can have several folders.
        alone = several.count(folder) == 1 and str(folder) != "."
        ordered = sorted(names, key=lambda name: (slice_number(name.name) or 0, name.name))
        files = [found[name] for name in ordered]
        label = str(folder) if alone else str(folder / patient)
        cases.append(
            CasePair(
                case=label,
                patient=patient,
                truth=tuple(mask.path for mask, _ in files),
                prediction=tuple(None if guess is None else guess.path for _, guess in files),
                is_slices=True,
            )
        )
    return tuple(cases)


def _named_patient(mask: MaskFile) -> str:
    return mask.patient or _study_patient(str(mask.key))


def _study_patient(case: str) -> str:
    match = examination_of(case)
    return match["patient"] if match else case
