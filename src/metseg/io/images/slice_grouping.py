"""Group pairs of image and mask into cases: by patient, ordered by slice, one size per case."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, MetsegError
from metseg.io.file_index import Pair, Pairing, slice_number
from metseg.io.images.image_decoding import picture_size
from metseg.io.images.images_2d import checked_page_count
from metseg.io.images.slice_stack import SliceFile, SliceStackSource
from metseg.io.patients import NOT_PATIENTS
from metseg.io.stratified_sampling import By
from metseg.runtime.system_info import processors


def group_by_patient(
    pairing: Pairing, patient_of: Callable[[PurePosixPath], str]
) -> Mapping[str, tuple[str, list[Pair]]]:
    """Return case id -> (patient, pairs): a patient's pictures in one folder are one case."""
    groups: dict[tuple[str, PurePosixPath], list[Pair]] = defaultdict(list)
    for pair in pairing.pairs:
        groups[patient_of(pair.place), pair.place.parent].append(pair)
    folders_of = Counter(patient for patient, _ in groups)
    cases: dict[str, tuple[str, list[Pair]]] = {}
    for (patient, folder), pairs in sorted(groups.items()):
        examination = str(folder) if patient in str(folder) else f"{patient}_{folder}"
        case_id = safe_id(patient if folders_of[patient] == 1 else examination)
        if case_id in cases:
            raise _two_cases(case_id, pairs[0], cases[case_id][1][0])
        cases[case_id] = (patient, pairs)
    return cases


def units_of_pairs(
    pairs: Sequence[Pair], patient_of: Callable[[PurePosixPath], str], *, by: By
) -> dict[PurePosixPath, str]:
    """Return the unit of a split that each picture belongs to; see `metseg.io.stratified_sampling.units_of`."""
    cases = group_by_patient(Pairing(tuple(pairs)), patient_of)
    return {
        pair.name: patient if by == "patient" else f"{case_id}/{pair.name.name}"
        for case_id, (patient, members) in cases.items()
        for pair in members
    }


@dataclass(frozen=True)
class Group:
    """Images to predict on that are treated as the slices of one patient.

    Args:
        guessed: whether only their names suggest that.
    """

    case_id: str
    patient: str
    pairs: tuple[Pair, ...]
    guessed: bool


def group_to_predict(
    pairs: Iterable[Pair], patient_of: Callable[[PurePosixPath], str] | None, *, root: Path, one_per_folder: bool
) -> list[Group]:
    """Return images by folder and patient; a case must not mix the images of several people.

    Args:
        pairs: the pictures.
        patient_of: returns the patient of a path; None: names that differ only in the last number are one patient.
        root: the common folder.
        one_per_folder: treat the images of a folder as one patient, regardless of their names.
    """
    by_folder: dict[PurePosixPath, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        if patient_of is not None:
            whose = patient_of(pair.place)
        else:
            whose = "" if one_per_folder else without_number(pair.name.name)
        by_folder[pair.name.parent][whose].append(pair)
    groups: dict[str, Group] = {}
    for folder, members in by_folder.items():
        for whose, chosen in members.items():
            alone = len(members) == 1
            # A single image keeps its full name: the 3 of a lone "scan_3" need not be a slice number.
            name = "" if alone else chosen[0].name.name if len(chosen) == 1 else whose.strip("_-. ")
            case_id = safe_id("/".join(part for part in (*folder.parts, name) if part) or root.resolve().name)
            patient = whose if patient_of is not None else name or folder.name or root.resolve().name
            sure = patient_of is not None or one_per_folder or len(chosen) == 1 or (alone and _is_patients(folder))
            if case_id in groups:
                raise _two_cases(case_id, chosen[0], groups[case_id].pairs[0])
            groups[case_id] = Group(case_id, patient, tuple(chosen), guessed=not sure)
    return list(groups.values())


def _is_patients(folder: PurePosixPath) -> bool:
    """Return whether a folder below the root may be named after a patient."""
    return bool(folder.parts) and folder.name.lower() not in NOT_PATIENTS


def _two_cases(case_id: str, one: Pair, two: Pair) -> InputError:
    return InputError(
        f"two cases would have the name '{case_id}'",
        where=one.image,
        got=two.image,
        cure="change patient_pattern or rename a folder",
        code="input.no_patient",
    )


def without_number(stem: str) -> str:
    """Return a stem without its last number.

    >>> without_number("TCGA_CS_4943_20000902_4"), without_number("scan")
    ('TCGA_CS_4943_20000902_', 'scan')
    """
    return re.sub(r"\d+(?=\D*$)", "", stem)


def safe_id(name: str) -> str:
    """Return a case id that can name a file."""
    return name.replace("/", "_").replace("\\", "_").strip(". ") or "case"


def slice_files(pairs: Iterable[Pair], *, stack: bool) -> tuple[SliceFile, ...]:
    """Return the slices in order of their numbers; with `stack` a multi-page file gives one for each page."""
    pieces = [SliceFile(str(pair.name), pair.image, pair.mask, slice_number(pair.name.name)) for pair in pairs]
    if stack:
        pieces = [page for piece in pieces for page in _pages(piece)]
    return tuple(sorted(pieces, key=lambda piece: (piece.number is not None, piece.number or 0, piece.name)))


def _pages(piece: SliceFile) -> list[SliceFile]:
    try:
        count = checked_page_count(piece.image)
    except MetsegError:
        return [piece]  # reading it will say what is wrong, and to whom it matters
    if count == 1:
        return [piece]
    return [replace(piece, name=f"{piece.name}_p{page:04d}", number=page, page=page) for page in range(count)]


def check_numbers(pieces: tuple[SliceFile, ...]) -> tuple[SliceFile, ...]:
    """Return the slices of one patient, refusing two of one number.

    Raises:
        InputError: ``input.duplicate_slice``, naming both files.
    """
    for one, two in pairwise(pieces):
        if one.number is not None and one.number == two.number:
            raise InputError(
                f"two images of one patient have slice number {one.number}",
                where=one.image,
                got=two.image.name,
                cure="remove or renumber one, or separate the patients with patient_pattern",
                code="input.duplicate_slice",
            )
    return pieces


def check_names(pieces: tuple[SliceFile, ...]) -> tuple[SliceFile, ...]:
    """Return slices; raise an error if the results of two would have the same name.

    Raises:
        InputError: ``input.duplicate_slice``, naming both files.
    """
    by_name: dict[str, SliceFile] = {}
    for piece in pieces:
        other = by_name.setdefault(piece.name, piece)
        if other is not piece:
            raise InputError(
                "two images differ only in their file extension, so their results would have the same name",
                where=other.image,
                got=piece.image.name,
                cure="rename one",
                code="input.duplicate_slice",
            )
    return pieces


def one_size_each(sources: Sequence[SliceStackSource]) -> list[SliceStackSource]:
    """Divide sources with slices of different sizes; slices with an unreadable header stay with the majority."""
    pieces = [piece for source in sources for piece in source.slices]
    with ThreadPoolExecutor(processors()) as pool:
        sizes = dict(zip((id(piece) for piece in pieces), pool.map(_size_or_none, pieces, chunksize=64), strict=True))
    divided: list[SliceStackSource] = []
    for source in sources:
        known = Counter(size for piece in source.slices if (size := sizes[id(piece)]) is not None)
        if len(known) < 2:
            divided.append(source)
            continue
        main = known.most_common(1)[0][0]
        for size in sorted(known):
            chosen = tuple(piece for piece in source.slices if (sizes[id(piece)] or main) == size)
            divided.append(replace(source, case_id=f"{source.case_id}_{size[0]}x{size[1]}", slices=chosen))
    return sorted(divided, key=lambda source: source.case_id)


def _size_or_none(piece: SliceFile) -> tuple[int, int] | None:
    try:
        return picture_size(piece.image)
    except MetsegError:
        return None
