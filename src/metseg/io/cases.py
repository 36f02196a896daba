"""Find the cases under a folder, before a single pixel or voxel is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypedDict, Unpack

from metseg.errors import UsageError
from metseg.io.channels import SINGLE_CHANNEL, channel_names
from metseg.io.grouping import check_names, one_size_each, safe_id, slice_files
from metseg.io.image_files import ImageFile, stem_of
from metseg.io.layouts import LAYOUTS, SLICE_LAYOUTS, Findings, choose_layout
from metseg.io.layouts.dicom import holds_dicom
from metseg.io.nifti_file import NIFTI_ENDINGS
from metseg.io.patients import patient_finder
from metseg.io.sequences import sequence_of
from metseg.io.slices import SliceStackSource
from metseg.io.source import CaseSource
from metseg.io.studies import study_from_files
from metseg.io.tree import PICTURE_ENDINGS, Pair, Tree, scan
from metseg.io.volumes import VolumeSource
from metseg.recipe import DataPart, validated

#: Between the images' and the masks' root where one argument has to name both.
ROOTS_SEPARATOR = "::"


class DataOptions(TypedDict, total=False):
    """What a `DataPart` says of the files, as keyword arguments; see there."""

    layout: str
    channels: Sequence[str]
    modalities: Sequence[str]
    optional: Sequence[str]
    reference: str | None
    labels: str
    file_labels: str | None
    region: str | None
    patient_pattern: str | None


@dataclass(frozen=True)
class Found(Findings):
    """What was found under a root, with what does not fit.

    Args:
        layout: name of the layout.
        tree: the files.
    """

    layout: str = ""
    tree: Tree = field(default_factory=lambda: Tree(Path(), ()))


def find_cases(
    root: str | Path,
    data: DataPart | None = None,
    *,
    masks: str | Path | None = None,
    stack: bool = False,
    **options: Unpack[DataOptions],
) -> list[CaseSource]:
    """Return the cases of a data set, sorted by id: stacks of slices or studies of volumes.

    Args:
        root: the folder; ``IMAGES::MASKS`` where masks lie under a root of their own.
        data: what is read of it, as in a recipe; None: everything, by the defaults.
        masks: the masks' root, where it is another.
        stack: read multi-page TIFFs as stacks of slices; they are refused otherwise.
        options: single entries of `data`, which they take the place of: ``layout="auto"``, ``channels=("t1n", "t2f")``.
    Raises:
        UsageError: unknown layout, scheme or option, a pattern without a group, labels that cannot become those wanted.
        InputError: no such folder, no known layout, no patient, or files that contradict each other.
    """
    return list(find(root, data, masks=masks, stack=stack, **options).sources)


def find(
    root: str | Path,
    data: DataPart | None = None,
    *,
    masks: str | Path | None = None,
    stack: bool = False,
    **options: Unpack[DataOptions],
) -> Found:
    """Return the cases as `find_cases` does, and beside them what belongs to none."""
    asked = _asked(data, options)
    image_root, mask_root = split_roots(root, masks)
    tree = scan(image_root, mask_root)
    name = choose_layout(tree, asked.layout)
    found = LAYOUTS[name].find(tree, asked, stack=stack)
    return Found(found.sources, found.orphan_masks, found.notes, name, tree)


def find_studies(path: str | Path, data: DataPart | None = None, **options: Unpack[DataOptions]) -> list[CaseSource]:
    """Return studies of volumes to predict on: masks are left aside, and one file is a study.

    Args:
        path: a NIfTI or DICOM file, an archive of DICOM, or a folder in any layout of volumes.
        data, options: as for `find_cases`.
    Raises:
        InputError, UsageError: as `find_cases`.
    """
    asked = _asked(data, options)
    if Path(path).is_file():
        return _in_one_file(Path(path), asked)
    among = {name: layout for name, layout in LAYOUTS.items() if name not in SLICE_LAYOUTS}
    tree = scan(Path(path))
    found = LAYOUTS[choose_layout(tree, asked.layout, among=among)].find(tree, asked)
    return [source.without_labels() if isinstance(source, VolumeSource) else source for source in found.sources]


def holds_studies(path: str | Path) -> bool:
    """Return whether there are volumes or DICOM under a path, and not pictures."""
    place = Path(path)
    if not place.is_dir():
        return place.suffix.lower() not in PICTURE_ENDINGS
    tree = scan(place)
    return any(layout.matches(tree) for name, layout in LAYOUTS.items() if name not in SLICE_LAYOUTS)


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
    path, names = Path(root), channel_names(channels)
    if path.is_file():
        return [_single_picture(path, patient_pattern, names, stack=stack)]
    tree = scan(path)
    pairing = SLICE_LAYOUTS[choose_layout(tree, among=SLICE_LAYOUTS)].pair(tree)
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


def _asked(data: DataPart | None, options: DataOptions) -> DataPart:
    """Return the data part with the options in place of its own entries, checked as a recipe is."""
    channel_names(options.get("channels", ()))
    given = {} if data is None else data.model_dump()
    return validated(DataPart, {**given, **options}, where="options") if options else data or DataPart()


def _in_one_file(path: Path, data: DataPart) -> list[CaseSource]:
    if path.name.lower().endswith(NIFTI_ENDINGS) or not holds_dicom(path):
        return [_single_volume(path, data)]
    from metseg.io.layouts.dicom_study import studies_asked_for  # pydicom only where there is DICOM

    return list(studies_asked_for(path, data))


def _single_volume(path: Path, data: DataPart) -> VolumeSource:
    """Return a study of one file: all the sequences asked for as its channels, or the only one."""
    named = data.channels or data.inputs
    if len(named) > 1:
        files = {name: ImageFile(path, index) for index, name in enumerate(named)}
    else:
        name = (named or (sequence_of(stem_of(path.name)) or SINGLE_CHANNEL,))[0]
        files = {name: ImageFile(path)}
    return study_from_files(files, data, case_id=stem_of(path.name))


def _any_patient(root: Path) -> Callable[[PurePosixPath], str]:
    return lambda place: place.parent.name or root.resolve().name


def _single_picture(path: Path, pattern: str | None, channels: tuple[str, ...], *, stack: bool) -> SliceStackSource:
    stem = PurePosixPath(path.stem)
    patient = path.stem if pattern is None else patient_finder((), pattern, root=path)(stem)
    pieces = slice_files([Pair(stem, path, None, stem)], stack=stack)
    return SliceStackSource(path.stem, patient, path.parent, slices=pieces, channels=channels)
