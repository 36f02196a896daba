"""Find the masks of one side of an evaluation: which files of a folder are masks, and the case of each.

A folder may contain masks only, or be a whole data set with its images. Files that the layout of a data set knows are
classified by the layout, the others by name. Nothing is dropped silently: a warning names files that are neither mask
nor image.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.evaluation.files.case_files import case_id, is_instance_map, is_map, is_overlay, stem_of
from metseg.evaluation.files.duplicate_masks import select_one_mask
from metseg.io.case_source import refuse_duplicate_cases
from metseg.io.file_index import PICTURE_ENDINGS, Tree, scan
from metseg.io.layouts import VolumeLayout, study_layouts
from metseg.io.layouts.image_folders import IMAGE_FOLDERS as PICTURE_FOLDERS
from metseg.io.layouts.image_folders import IMAGES_MASKS
from metseg.io.layouts.mixed_folders import UNREAD_ENDINGS
from metseg.io.layouts.nnunet import CHANNEL, NNUNET
from metseg.io.layouts.split_folders import Part, parts_of
from metseg.io.layouts.study_folders import STUDY
from metseg.io.layouts.volume_layout import LESIONS, Listing, Study, StudyFile, owners_of
from metseg.io.mask_names import MASK_FOLDERS
from metseg.io.patients import NOT_PATIENTS
from metseg.io.prediction_inputs import EACH_STUDY
from metseg.io.sequence_names import is_brain_mask, sequence_of
from metseg.io.volumes.nifti import NIFTI_ENDINGS
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

#: Folders that name the kind of a file, not its case: ignored when the two sides are matched.
PLAIN_FOLDERS = (*NOT_PATIENTS, *MASK_FOLDERS, "predictions")

#: Folders of images, if other files of the same side are masks; in lower case.
IMAGE_FOLDERS = frozenset((*PICTURE_FOLDERS, "imagestr", "imagests"))

#: Mask formats that evaluation does not read.
_UNREAD_MASKS = (*sorted(UNREAD_ENDINGS), ".npy", ".npz", ".dcm", ".gif")

#: Layouts that a folder of masks alone cannot have: the first matches any name, the others depend on the folders.
_UNNAMED_LAYOUTS = ("study", "nnunet", "decathlon")

#: Warning for a data set of studies without known patients, which a training would reject.
_NOBODY_SAYS = (
    "{root}: the patients of the studies are not known, so each study counts as one patient; name them with a "
    "pattern (--patient-pattern) or a table (--patients)"
)

#: The image options of `DataPart` do not matter here, because only masks are read.
_ANY = DataPart(channels=("image",))


@dataclass(frozen=True)
class MaskFile:
    """One mask.

    Args:
        key: used for matching: the case of a volume; the folder and the stem of a slice.
        path: the file.
        other_key: a second name of the case: the name of the file if the layout has another one for the case, or the
            name with a leading word for masks, which may be part of the name.
        place: text in which a pattern searches for the patient; None: the key.
        patient: id of the patient from the layout; None: not in the layout.
        names: possible names in a table of patients, the longest first.
    """

    key: PurePosixPath
    path: Path
    other_key: PurePosixPath | None = None
    place: PurePosixPath | None = None
    patient: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskFiles:
    """The masks of one side.

    Args:
        root: the folder, or the only file.
        masks: in order.
        is_slices: pictures, not volumes.
        warnings: on files that were not read.
        unlabelled: cases of the data set without a mask.
    """

    root: Path
    masks: tuple[MaskFile, ...]
    is_slices: bool
    warnings: tuple[str, ...] = ()
    unlabelled: frozenset[str] = frozenset()


def find_masks(
    root: Path,
    *,
    labels: str | None = None,
    without: Path | None = None,
    patient_pattern: str | None = None,
    patients: str | None = None,
) -> MaskFiles:
    """Return the masks in a folder, or a single mask.

    Args:
        root: a folder of masks, a data set with its images, or one file.
        labels: the requested label scheme, which selects one of UCSF-BMSR's two masks of a case.
        without: a folder below it to ignore: that of the other side.
        patient_pattern, patients: a pattern or a table of patients, for studies without known patients.
    Raises:
        InputError: no files, no mask, two masks of one case, or volumes and pictures that both look like masks.
    """
    if not root.exists():
        raise InputError("no such file or folder", where=root, cure="check the path", code="input.missing")
    if root.is_file():
        return _one_file(root)
    tree = _tree(root, without)
    if not tree.volumes and not tree.pictures:
        raise _no_masks(root)
    data = _ANY.model_copy(update={"patient_pattern": patient_pattern, "patients": patients})
    found = _volumes(tree, labels, data) if tree.volumes else _pictures(tree, labels)
    if not found.masks:
        raise _no_masks(root)
    refuse_duplicate_cases((mask.key, mask.path) for mask in found.masks)
    return replace(found, warnings=(*found.warnings, *_unread(tree)))


def volume_key(name: str) -> PurePosixPath:
    """Return the key of a volume: one side may have a folder per case, the other none."""
    return PurePosixPath(case_id(name))


def slice_key(relative: PurePosixPath) -> PurePosixPath:
    """Return the key of a slice: folder and stem, since two patients may both have a slice ``1``."""
    folders = [part for part in relative.parent.parts if part.lower() not in PLAIN_FOLDERS]
    return PurePosixPath(*folders, case_id(relative.name))


def _one_file(path: Path) -> MaskFiles:
    is_volume = path.name.lower().endswith(NIFTI_ENDINGS)
    if not is_volume and not path.name.lower().endswith(PICTURE_ENDINGS):
        raise InputError("neither a NIfTI volume nor a picture", where=path, code="input.format")
    return MaskFiles(path, (MaskFile(volume_key(path.name), path),), is_slices=not is_volume)


def _tree(root: Path, without: Path | None) -> Tree:
    """Return the files under a root without probability maps, overlays, instance maps and the ignored folder."""
    tree = scan(root)
    base, other = root.resolve(), root.resolve() if without is None else without.resolve()
    left_out = PurePosixPath(other.relative_to(base).as_posix()) if base in other.parents else None

    names: dict[PurePosixPath, set[str]] = defaultdict(set)
    for path in (*tree.pictures, *tree.volumes):
        names[path.parent].add(path.name)

    def counts(path: PurePosixPath) -> bool:
        is_other = is_map(path) or is_overlay(path) or is_instance_map(path, names[path.parent])
        return not is_other and (left_out is None or not path.is_relative_to(left_out))

    kept = {name: tuple(filter(counts, getattr(tree, name))) for name in ("pictures", "volumes", "rest")}
    return replace(tree, pictures=kept["pictures"], volumes=kept["volumes"], rest=kept["rest"])


def _no_masks(root: Path) -> InputError:
    return InputError(
        "no masks found",
        where=root,
        expected=f"files ending in {', '.join((*NIFTI_ENDINGS, *PICTURE_ENDINGS))}",
        code="input.no_cases",
    )


def _unread(tree: Tree) -> tuple[str, ...]:
    """Return a warning on possible masks in formats that evaluation does not read."""
    left = [path for path in tree.rest if path.name.lower().endswith(_UNREAD_MASKS)]
    if not left:
        return ()
    return (
        f"{tree.root}: {pluralize(len(left), 'file')} of formats that evaluation does not read: {examples_text(left)}",
    )


# --- volumes


def _volumes(tree: Tree, labels: str | None, data: DataPart) -> MaskFiles:
    listed, about = _listed(tree, data)
    with_mask = {file.study.case_id for file in listed if file.role == LESIONS}
    unlabelled = {file.study.case_id for file in listed} - with_mask
    masks = [_from_layout(file) for file in listed if file.role == LESIONS]
    known = {file.path for file in listed}
    rest = [path for path in tree.volumes if tree.root / path not in known]
    folders = {file.path.parent for file in listed if file.role != LESIONS}
    by_name, warnings = _by_name(tree, rest, has_masks=bool(masks), folders=folders)
    masks += [_named_only(volume_key(path.name), path, tree) for path in by_name]
    paths, notes = select_one_mask([mask.path for mask in masks], labels)
    chosen = set(paths)
    kept = tuple(mask for mask in masks if mask.path in chosen)
    beside = _beside_volumes(tree, {mask.key for mask in kept})
    return MaskFiles(tree.root, kept, False, (*about, *notes, *warnings, *beside), frozenset(unlabelled))


def _from_layout(file: StudyFile) -> MaskFile:
    study = file.study
    own = volume_key(file.path.name)
    names = (str(study.place), study.case_id, study.place.name, str(own))
    return MaskFile(PurePosixPath(study.case_id), file.path, own, study.place, study.patient, names)


def _named_only(key: PurePosixPath, path: PurePosixPath, tree: Tree) -> MaskFile:
    """Return a mask that is in no layout."""
    case = case_id(path.name)
    whole = key.with_name(stem_of(path.name))
    return MaskFile(key, tree.root / path, whole, names=(str(path.parent / case), str(key), case))


def _listed(tree: Tree, data: DataPart) -> tuple[list[StudyFile], tuple[str, ...]]:
    """Return the files in a layout, each with its role and its patient as in a training, and warnings."""
    if parts := parts_of(tree):
        files = [file for part in parts for file in _files_of_part(tree, part)]
    else:
        candidates = (
            layout
            for name, layout in study_layouts().items()
            if isinstance(layout, VolumeLayout) and name not in _UNNAMED_LAYOUTS
        )
        layout = next((layout for layout in candidates if layout.matches(tree)), None)
        files = [] if layout is None else list(layout.list_files(tree, _ANY).files)
    known = {file.path for file in files}
    studies, others, warnings = _studies(tree, [path for path in tree.volumes if tree.root / path not in known], data)
    listed = [*files, *studies]
    # Names are compared with those of all studies, including studies with masks that are examined one by one.
    owners = owners_of([*dict.fromkeys((*(file.study for file in listed), *others))], _ANY, tree)
    named = [replace(file, study=replace(file.study, patient=owners.of[file.study.place].patient)) for file in listed]
    return named, (*warnings, *owners.notes)


def _files_of_part(tree: Tree, part: Part) -> Iterator[StudyFile]:
    """Yield images and masks of ``imagesTr`` or ``imagesTs``; no image is opened."""
    numbered = NNUNET.matches(tree)
    seen: set[str] = set()
    for path in part.images:
        match = CHANNEL.match(stem_of(path.name)) if numbered else None
        study = part.study(match["case"] if match else stem_of(path.name))
        yield StudyFile(study, "image", path)
        if study.case_id not in seen and (mask := part.mask(study.case_id)) is not None:
            yield StudyFile(study, LESIONS, mask)
        seen.add(study.case_id)


def _studies(
    tree: Tree, paths: Sequence[PurePosixPath], data: DataPart
) -> tuple[list[StudyFile], list[Study], tuple[str, ...]]:
    """Return the files of studies with one mask, found by the names of sequences; all other studies; and warnings.

    The whole tree is listed at once, as for a training, because names of patients depend on all folders.
    """
    rest = replace(tree, volumes=tuple(paths))
    warnings: tuple[str, ...] = ()
    listing = _list_studies(rest, data)
    if listing is None:
        # Several studies in one folder, or names without information: each file is examined separately.
        rest = replace(rest, volumes=tuple(_listable(rest, data)))
        listing = _list_studies(rest, data)
    if listing is None:
        listing = _list_studies(rest, data.model_copy(update={"patient_pattern": EACH_STUDY}))
        warnings = (_NOBODY_SAYS.format(root=tree.root),)
    groups: dict[Study, list[StudyFile]] = defaultdict(list)
    for file in () if listing is None else listing.files:
        groups[file.study].append(file)
    found = {study: files for study, files in groups.items() if _is_study(files)}
    others = [study for study in groups if study not in found]
    in_folder = {file.path.parent: study for study, files in found.items() for file in files}
    nameless = () if listing is None else listing.nameless
    images = [StudyFile(in_folder[path.parent], "image", path) for path in nameless if path.parent in in_folder]
    return [*(file for files in found.values() for file in files), *images], others, warnings if found else ()


def _list_studies(tree: Tree, data: DataPart) -> Listing | None:
    try:
        return STUDY.list_files(tree, data)
    except InputError:
        return None


def _listable(tree: Tree, data: DataPart) -> Iterator[PurePosixPath]:
    """Yield the files of the folders that can be listed separately."""
    folders: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in tree.volumes:
        folders[path.parent].append(path)
    for members in folders.values():
        if _list_studies(replace(tree, volumes=tuple(members)), data) is not None:
            yield from members


def _is_study(files: Sequence[StudyFile]) -> bool:
    """Return whether the names show that files are the images and the mask of one study."""
    if sum(file.role == LESIONS for file in files) != 1:
        return False
    images = [file for file in files if file.role not in (LESIONS, BRAIN_MASK)]
    if any(sequence_of(stem_of(file.path.name)) is not None for file in images):
        return True
    return bool(images) and all(case_id(file.path.name) == stem_of(file.path.name) for file in files)


def _beside_volumes(tree: Tree, keys: set[PurePosixPath]) -> tuple[str, ...]:
    """Return a warning on pictures beside volumes; raise an error if they are masks of separate cases."""
    masks = [path for path in tree.pictures if _is_marked(path) and volume_key(path.name) not in keys]
    if masks:
        raise InputError(
            "one folder contains volumes and pictures that both look like masks",
            where=tree.root,
            got=examples_text(masks),
            cure="put each kind in a separate folder",
            code="input.mixed_masks",
        )
    if not tree.pictures:
        return ()
    count = pluralize(len(tree.pictures), "picture")
    return (f"{tree.root}: {count} beside the volumes not read as masks: {examples_text(tree.pictures)}",)


# --- pictures


def _pictures(tree: Tree, labels: str | None) -> MaskFiles:
    masks: list[MaskFile] = []
    known: set[Path] = set()
    unlabelled: set[str] = set()
    if IMAGES_MASKS.matches(tree):
        pairing = IMAGES_MASKS.pair_up(tree)
        for pair in pairing.pairs:
            key = slice_key(pair.name.with_name(f"{pair.name.name}.png"))
            known |= {pair.image, *filter(None, [pair.mask])}
            if pair.mask is None:
                unlabelled.add(str(key))
            else:
                names = (str(pair.name), str(pair.place), pair.name.name)
                masks.append(MaskFile(key, pair.mask, place=pair.place, names=names))
        for path in pairing.orphan_masks:
            relative = PurePosixPath(path.relative_to(tree.root).as_posix())
            masks.append(_named_only(slice_key(relative), relative, tree))
            known.add(path)
    rest = [path for path in tree.pictures if tree.root / path not in known]
    by_name, warnings = _by_name(tree, rest, has_masks=bool(masks), folders=set())
    masks += [_named_only(slice_key(path), path, tree) for path in by_name]
    paths, notes = select_one_mask([mask.path for mask in masks], labels)
    chosen = set(paths)
    kept = tuple(mask for mask in masks if mask.path in chosen)
    return MaskFiles(tree.root, kept, True, (*notes, *warnings), frozenset(unlabelled))


# --- names


def _by_name(
    tree: Tree, paths: Sequence[PurePosixPath], *, has_masks: bool, folders: set[Path]
) -> tuple[list[PurePosixPath], tuple[str, ...]]:
    """Return the files that are masks by name, and warnings on those that may be neither mask nor image.

    A file with the ending of masks is a mask. Other files are images if a mask of the same name is beside them, if they
    are in a folder of images, or if they have the name of a sequence; otherwise they are masks.

    Args:
        tree: for messages.
        paths: files that are in no layout.
        has_masks: the layout has masks already.
        folders: folders with files in a layout.
    """
    marked = [path for path in paths if _is_marked(path)]
    plain = [path for path in paths if not _is_marked(path)]
    cases: dict[PurePosixPath, set[str]] = defaultdict(set)
    for path in marked:
        cases[path.parent].add(case_id(path.name))
    strays = [path for path in plain if tree.root / path.parent in folders]
    others = [path for path in plain if tree.root / path.parent not in folders]
    images_beside = any(stem_of(path.name) in cases[path.parent] for path in others)
    masks_elsewhere = has_masks or bool(marked) or any(not _in_image_folder(path) for path in others)

    def is_image(path: PurePosixPath) -> bool:
        stem = stem_of(path.name)
        if images_beside or _belongs_to(stem, cases[path.parent]):
            return True
        if (has_masks or marked) and (sequence_of(stem) is not None or is_brain_mask(stem)):
            return True
        return masks_elsewhere and _in_image_folder(path)

    images = [path for path in others if is_image(path)]
    unmarked = set(others) - set(images)
    masks = sorted((*marked, *unmarked))
    return masks, (*_stray(tree, strays), *_without_mask(tree, images, cases))


def _is_marked(path: PurePosixPath) -> bool:
    return case_id(path.name) != stem_of(path.name)


def _in_image_folder(path: PurePosixPath) -> bool:
    return any(part.lower() in IMAGE_FOLDERS for part in path.parts[:-1])


def _belongs_to(stem: str, cases: Collection[str]) -> bool:
    """Return whether a file is a sequence, a channel or a picture of a case with a mask beside it.

    >>> [_belongs_to(stem, {"P1"}) for stem in ("P1", "P1-t1c", "P1_0000", "P1_2", "P12")]
    [True, True, True, False, False]
    """
    if stem in cases:
        return True
    is_channel = CHANNEL.match(stem) is not None
    starts = (match.start() for match in re.finditer(r"[-_. ]", stem))
    return any(stem[:start] in cases and (is_channel or not stem[start + 1 :].isdigit()) for start in starts)


def _stray(tree: Tree, paths: Sequence[PurePosixPath]) -> tuple[str, ...]:
    if not paths:
        return ()
    files = pluralize(len(paths), "file")
    return (f"{tree.root}: {files} neither image nor mask by name, not read: {examples_text(paths)}",)


def _without_mask(tree: Tree, images: Sequence[PurePosixPath], cases: dict[PurePosixPath, set[str]]) -> tuple[str, ...]:
    """Return a warning on files read as images without a mask of the same name beside them."""
    left = [path for path in images if not _belongs_to(stem_of(path.name), cases[path.parent])]
    left = [path for path in left if not _in_image_folder(path) and sequence_of(stem_of(path.name)) is None]
    if not left:
        return ()
    return (
        f"{tree.root}: {pluralize(len(left), 'file')} without a matching mask, read as images: {examples_text(left)}",
    )
