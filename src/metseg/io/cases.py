"""Find the cases under a folder, before a single pixel is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, UsageError
from metseg.io.grouping import check_names, check_numbers, group_by_patient, one_size_each, safe_id, slice_files
from metseg.io.layouts import LAYOUTS, choose_layout
from metseg.io.patients import attributes_of, patient_finder, read_attributes
from metseg.io.slices import SliceStackSource
from metseg.io.source import CaseSource
from metseg.io.tree import Pair, Pairing, Tree, scan
from metseg.labels import LABEL_SCHEMES
from metseg.tables import lookup
from metseg.volume import canonical_modality

#: Between the images' and the masks' root where one argument has to name both.
ROOTS_SEPARATOR = "::"


@dataclass(frozen=True)
class Found:
    """What was found under a root, with what does not fit.

    Args:
        layout: name of the layout.
        sources: the cases, sorted by id.
        tree: the files.
        orphan_masks: masks without an image.
    """

    layout: str
    sources: tuple[SliceStackSource, ...]
    tree: Tree
    orphan_masks: tuple[Path, ...] = ()


def find_cases(
    root: str | Path,
    *,
    layout: str = "auto",
    channels: Sequence[str] = (),
    patient_pattern: str | None = None,
    labels: str = "binary",
    masks: str | Path | None = None,
    stack: bool = False,
) -> list[CaseSource]:
    """Return the cases of a data set of slices, sorted by id.

    The slices of one patient in one folder are a case, in the order of the last number in their names; slices of
    different sizes become several cases, ``<id>_<columns>x<rows>``.

    Args:
        root: the folder; ``IMAGES::MASKS`` where masks lie under a root of their own.
        layout: a name in `LAYOUTS`, or "auto".
        channels: what the channels of the pictures are, in file order; one name reads every picture as grey.
        patient_pattern: regular expression whose first group is the patient, searched in the relative path without
            ending; None: the folder is the patient.
        labels: name of the masks' label scheme.
        masks: the masks' root, where it is another.
        stack: read multi-page TIFFs as stacks of slices; they are refused otherwise.
    Raises:
        UsageError: unknown layout or scheme, or a pattern without a group.
        InputError: no such folder, no known layout, no patient, two slices of one number, two masks for one image.
    """
    found = find(
        root,
        layout=layout,
        channels=channels,
        patient_pattern=patient_pattern,
        labels=labels,
        masks=masks,
        stack=stack,
    )
    return list(found.sources)


def find(
    root: str | Path,
    *,
    layout: str = "auto",
    channels: Sequence[str] = (),
    patient_pattern: str | None = None,
    labels: str = "binary",
    masks: str | Path | None = None,
    stack: bool = False,
) -> Found:
    """Return the cases as `find_cases` does, and beside them what belongs to none."""
    lookup("label scheme", LABEL_SCHEMES, labels)
    names = _channel_names(channels)
    image_root, mask_root = split_roots(root, masks)
    tree = scan(image_root, mask_root)
    name, pairing = _paired(tree, layout)
    places = [pair.place for pair in pairing.pairs]
    patient_of = patient_finder(places, patient_pattern, root=image_root)
    groups = group_by_patient(pairing, patient_of)
    table = read_attributes(image_root)
    sources = [
        SliceStackSource(
            case_id,
            patient,
            image_root,
            attributes=attributes_of((pairs[0].place.parent.name, patient), table),
            slices=check_numbers(slice_files(pairs, stack=stack)),
            channels=names,
            labels=labels,
        )
        for case_id, (patient, pairs) in groups.items()
    ]
    return Found(name, tuple(one_size_each(sources)), tree, pairing.orphan_masks)


def find_pictures(
    root: str | Path,
    *,
    patient_pattern: str | None = None,
    channels: Sequence[str] = (),
    stack: bool = False,
    with_masks: bool = False,
    labels: str = "binary",
) -> list[SliceStackSource]:
    """Return pictures to predict on: each folder is a case, one file is a case, and masks are left aside.

    Args:
        root: a picture, or a folder with pictures in it or below it.
        patient_pattern: as for `find_cases`; None: the folder is the patient, or the file's stem.
        channels: as for `find_cases`.
        stack: as for `find_cases`.
        with_masks: keep the masks of a folder as its truth; a single file has none.
        labels: name of the masks' label scheme.
    Raises:
        InputError: no such file, no pictures, or two pictures whose results would have one name.
    """
    path, names = Path(root), _channel_names(channels)
    if path.is_file():
        return [_single_picture(path, patient_pattern, names, stack=stack)]
    tree = scan(path)
    _, pairing = _paired(tree, "auto")
    patient_of = _any_patient(path) if patient_pattern is None else patient_finder((), patient_pattern, root=path)
    by_folder: dict[PurePosixPath, list[Pair]] = defaultdict(list)
    for pair in pairing.pairs:
        by_folder[pair.name.parent].append(pair if with_masks else replace(pair, mask=None))
    sources = []
    for folder, group in by_folder.items():
        pieces = check_names(slice_files(group, stack=stack))
        case_id = safe_id(str(folder)) if folder.parts else path.resolve().name
        patient = patient_of(group[0].place)
        sources.append(SliceStackSource(case_id, patient, path, slices=pieces, channels=names, labels=labels))
    return one_size_each(sources)


def split_roots(root: str | Path, masks: str | Path | None = None) -> tuple[Path, Path | None]:
    """Return the images' and the masks' root from ``IMAGES::MASKS`` or from two arguments.

    >>> split_roots("a::b")
    (PosixPath('a'), PosixPath('b'))
    """
    images, separator, beside = str(root).partition(ROOTS_SEPARATOR)
    if separator and masks is not None:
        raise UsageError("the masks' folder is given twice", where=root, got=masks)
    if separator:
        return Path(images), Path(beside)
    return Path(root), None if masks is None else Path(masks)


def _paired(tree: Tree, layout: str) -> tuple[str, Pairing]:
    name = choose_layout(tree, layout)
    pairing = LAYOUTS[name].pair(tree)
    if not pairing.pairs:
        raise InputError(
            "there are masks but no images",
            where=tree.root,
            got=f"{len(pairing.orphan_masks)} masks",
            cure="give the folder that holds the images too",
            code="input.layout",
        )
    return name, pairing


def _channel_names(channels: Sequence[str]) -> tuple[str, ...]:
    names = tuple(canonical_modality(name) for name in channels)
    if len(set(names)) < len(names):
        raise UsageError("two channels have one name", where="channels", got=", ".join(channels))
    return names


def _any_patient(root: Path) -> Callable[[PurePosixPath], str]:
    return lambda place: place.parent.name or root.resolve().name


def _single_picture(path: Path, pattern: str | None, channels: tuple[str, ...], *, stack: bool) -> SliceStackSource:
    stem = PurePosixPath(path.stem)
    patient = path.stem if pattern is None else patient_finder((), pattern, root=path)(stem)
    pieces = slice_files([Pair(stem, path, None, stem)], stack=stack)
    return SliceStackSource(path.stem, patient, path.parent, slices=pieces, channels=channels)
