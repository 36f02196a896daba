"""Which prediction belongs to which truth: two files, two folders of volumes, or two folders of slice masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, UsageError
from metseg.evaluate.case_files import SUFFIXES, CasePair, Pairs, case_id, is_map, some_of, stem_of, with_probabilities
from metseg.evaluate.twins import one_mask_each
from metseg.io.layouts.examinations import examination_of
from metseg.io.nifti import NIFTI_ENDINGS
from metseg.io.patients import NOT_PATIENTS, patient_finder
from metseg.io.tree import PICTURE_ENDINGS, slice_number

__all__ = ["SUFFIXES", "CasePair", "Pairs", "case_id", "pair_up"]

#: Folders that say what a file is, not whose: left out when the two sides are matched.
PLAIN_FOLDERS = (*NOT_PATIENTS, "masks", "labels", "segmentations", "predictions")


def pair_up(
    predictions: Path,
    truth: Path,
    *,
    allow_missing: bool = False,
    only_common: bool = False,
    patient_pattern: str | None = None,
    labels: str | None = None,
) -> Pairs:
    """Pair the files of two folders by case id, or one file with another.

    In a folder where some mask names carry a suffix (``-seg``, ``_mask``, ...), only those count: images often lie
    beside their masks. Volumes are one case each. Slice masks of one folder are one case, that of a patient.
    Probability maps that prediction wrote beside its masks (``-probability``) are taken along.

    Args:
        predictions: a file or a folder, searched to its depths.
        truth: likewise.
        allow_missing: a truth without a prediction is scored as an empty prediction, with a warning.
        only_common: a truth without a prediction is left out, with a warning: for a second reader, who drew some cases.
        patient_pattern: regular expression whose first group, searched in the relative path, is the patient; None:
            the folder of slice masks; for volumes the case id, without the time point of BraTS and UCSF-BMSR names.
        labels: the label scheme asked for, by which one of UCSF-BMSR's two masks of a case is taken; None: that there
            are two is refused.
    Raises:
        InputError: nothing there, nothing to pair, two files of one case, or a truth without a prediction.
        UsageError: volumes on one side and pictures on the other.
    """
    if truth.is_file() and predictions.is_file():
        return with_probabilities(_one_file_each(predictions, truth))
    true_files, of_truth = one_mask_each(_masks(truth), labels)
    predicted_files, of_predictions = one_mask_each(_masks(predictions), labels)
    is_slices = _is_slices(true_files, truth)
    if is_slices != _is_slices(predicted_files, predictions):
        raise UsageError(
            "one side holds volumes, the other pictures", where=predictions, expected="the same kind on both sides"
        )
    key = _slice_key if is_slices else _volume_key
    sides = _by_key(true_files, truth, key), _by_key(predicted_files, predictions, key)
    paired = _common(*sides) if only_common else _matched(*sides, allow_missing)
    gather = _slice_cases if is_slices else _volume_cases
    warnings = (*dict.fromkeys((*of_truth, *of_predictions)), *paired.warnings)
    return with_probabilities(Pairs(gather(paired.found, truth, patient_pattern), warnings))


@dataclass(frozen=True)
class _Matched:
    """Key to truth and prediction, and what was noticed."""

    found: Mapping[PurePosixPath, tuple[Path, Path | None]]
    warnings: tuple[str, ...]


def _one_file_each(predictions: Path, truth: Path) -> Pairs:
    is_slices = _is_slices([truth], truth)
    if is_slices != _is_slices([predictions], predictions):
        raise UsageError("one side is a volume, the other a picture", where=predictions)
    name = case_id(truth.name)
    pair = CasePair(
        case=name, patient=_study_patient(name), truth=(truth,), prediction=(predictions,), is_slices=is_slices
    )
    return Pairs((pair,))


def _masks(root: Path) -> list[Path]:
    """Return the files that can be masks, sorted."""
    if not root.exists():
        raise InputError("no such file or folder", where=root, code="input.missing")
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if _is_candidate(path, root))
    volumes = [path for path in files if path.name.lower().endswith(NIFTI_ENDINGS)]
    chosen = volumes or files
    marked = [path for path in chosen if case_id(path.name) != stem_of(path.name)]
    if not chosen:
        raise InputError(
            "no masks found",
            where=root,
            expected=f"files ending in {', '.join((*NIFTI_ENDINGS, *PICTURE_ENDINGS))}",
            code="input.no_cases",
        )
    return marked or chosen


def _is_candidate(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts)
    is_image = path.name.lower().endswith((*NIFTI_ENDINGS, *PICTURE_ENDINGS))
    return is_image and not hidden and not is_map(path) and path.is_file()


def _is_slices(files: list[Path], root: Path) -> bool:
    if not all(path.name.lower().endswith((*NIFTI_ENDINGS, *PICTURE_ENDINGS)) for path in files):
        raise InputError("neither a NIfTI volume nor a picture", where=root, code="input.format")
    return not files[0].name.lower().endswith(NIFTI_ENDINGS)


def _volume_key(relative: PurePosixPath) -> PurePosixPath:
    """Volumes are matched by case id alone: one side may have a folder per case, the other none."""
    return PurePosixPath(case_id(relative.name))


def _slice_key(relative: PurePosixPath) -> PurePosixPath:
    """Slices are matched by folder and stem, since two patients may both have a slice ``1``."""
    folders = [part for part in relative.parent.parts if part.lower() not in PLAIN_FOLDERS]
    return PurePosixPath(*folders, case_id(relative.name))


def _by_key(
    files: Iterable[Path], root: Path, key: Callable[[PurePosixPath], PurePosixPath]
) -> dict[PurePosixPath, Path]:
    found: dict[PurePosixPath, Path] = {}
    base = root if root.is_dir() else root.parent
    for path in files:
        name = key(PurePosixPath(path.relative_to(base).as_posix()))
        if name in found:
            raise InputError(
                f"two files for case {name}",
                where=found[name],
                got=path,
                cure="remove one of them",
                code="input.duplicate_case",
            )
        found[name] = path
    return found


def _matched(
    truth: Mapping[PurePosixPath, Path], prediction: Mapping[PurePosixPath, Path], allow_missing: bool
) -> _Matched:
    missing = sorted(set(truth) - set(prediction))
    extra = sorted(set(prediction) - set(truth))
    if len(missing) == len(truth):
        raise InputError(
            "no prediction has the name of a truth",
            expected=some_of(missing),
            got=some_of(extra),
            cure=f"name both sides by case; {', '.join(SUFFIXES)} are stripped",
            code="input.no_cases",
        )
    if missing and not allow_missing:
        raise InputError(
            f"{len(missing)} of {len(truth)} truths have no prediction",
            got=some_of(missing),
            cure="predict them too, or score them as empty with --allow-missing",
            code="input.missing_prediction",
        )
    warnings = []
    if missing:
        warnings.append(f"{len(missing)} truths without a prediction were scored as empty: {some_of(missing)}")
    if extra:
        warnings.append(f"{len(extra)} predictions without a truth were left out: {some_of(extra)}")
    return _Matched({name: (truth[name], prediction.get(name)) for name in sorted(truth)}, tuple(warnings))


def _common(truth: Mapping[PurePosixPath, Path], second: Mapping[PurePosixPath, Path]) -> _Matched:
    """Match what both sides have."""
    common = sorted(set(truth) & set(second))
    if not common:
        raise InputError(
            "no mask of one side has the name of one of the other",
            expected=some_of(sorted(truth)),
            got=some_of(sorted(second)),
            cure=f"name both sides by case; {', '.join(SUFFIXES)} are stripped",
            code="input.no_cases",
        )
    left_out = sorted(set(truth) ^ set(second))
    warnings = (f"{len(left_out)} masks that only one side has were left out: {some_of(left_out)}",) if left_out else ()
    return _Matched({name: (truth[name], second[name]) for name in common}, warnings)


def _volume_cases(
    found: Mapping[PurePosixPath, tuple[Path, Path | None]], root: Path, pattern: str | None
) -> tuple[CasePair, ...]:
    patient_of = (
        (lambda place: _study_patient(str(place)))
        if pattern is None
        else patient_finder(tuple(found), pattern, root=root)
    )
    return tuple(
        CasePair(case=str(name), patient=patient_of(name), truth=(truth,), prediction=(prediction,), is_slices=False)
        for name, (truth, prediction) in found.items()
    )


def _slice_cases(
    found: Mapping[PurePosixPath, tuple[Path, Path | None]], root: Path, pattern: str | None
) -> tuple[CasePair, ...]:
    """Return one case per patient's folder, its slices in numeric order."""
    patient_of = patient_finder(tuple(found), pattern, root=root)
    stacks: dict[tuple[str, PurePosixPath], list[PurePosixPath]] = defaultdict(list)
    for name in found:
        stacks[patient_of(name), name.parent].append(name)
    several = [folder for _, folder in stacks]
    cases = []
    for (patient, folder), names in sorted(stacks.items()):
        # With a pattern, one folder can hold several patients, and one patient can have several folders.
        alone = several.count(folder) == 1 and str(folder) != "."
        ordered = sorted(names, key=lambda name: (slice_number(name.name) or 0, name.name))
        files = [found[name] for name in ordered]
        label = str(folder) if alone else str(folder / patient)
        cases.append(
            CasePair(
                case=label,
                patient=patient,
                truth=tuple(truth for truth, _ in files),
                prediction=tuple(guess for _, guess in files),
                is_slices=True,
            )
        )
    return tuple(cases)


def _study_patient(case: str) -> str:
    match = examination_of(case)
    return match["patient"] if match else case
