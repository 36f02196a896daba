"""Plain folders of volumes with the sequence in the file name; a folder is a study."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.io.file_index import Tree
from metseg.io.images.channel_names import SINGLE_CHANNEL
from metseg.io.images.slice_grouping import safe_id
from metseg.io.layouts.volume_layout import LESIONS, Listing, Study, StudyFile, VolumeLayout
from metseg.io.mask_names import TRUTH_WORDS, plain_stem
from metseg.io.patients import NOT_PATIENTS, propose_pattern, without_order
from metseg.io.sequence_names import (
    BRAIN_WORDS,
    NamedSequence,
    is_lesion_mask,
    shared_prefix,
    without_patient,
    words,
)
from metseg.io.timepoints import TIME, PatientFolder, group_depth, names_of, patients_in, without_times
from metseg.io.volumes.brain_masks import name_sequence_or_mask
from metseg.io.volumes.image_files import channel_files, stem_of
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

#: Why an image without a telling name is what is asked for.
ONLY_IMAGE = "it is the only image of its study, and its name contains no sequence"

#: Folder to patient and timepoint; without folders that are there for order only.
PatientsOfFolders = Mapping[PurePosixPath, tuple[str, str | None]]


def list_files(tree: Tree, data: DataPart) -> Listing:
    """Return the files of each folder as a study.

    A patient's folder may hold a folder for each examination, and folders may gather patients; see
    `metseg.io.timepoints`. Several studies in one folder are separated by the prefixes of their file names; unless
    a prefix is only a date or session, a pattern or a table must give the patients.

    Raises:
        InputError: ``input.layout``, no file name gives a sequence, or only folder names do.
    """
    folders: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in tree.volumes:
        folders[path.parent].append(path)
    if data.layout == "auto":
        _refuse_sequence_folders(tree, folders)
    patients = _patients_of(tree, folders, data)
    files: list[StudyFile] = []
    nameless: list[Path] = []
    for folder, paths in folders.items():
        if _is_mixed(paths):
            files += _mixed(folder, paths, tree, data, patients)
            continue
        files += _one_study(folder, paths, tree, data, patients)
        nameless += [tree.root / path for path, name in read_names(paths).items() if name.modality is None]
    return Listing(tuple(files), nameless=tuple(nameless))


def role_of(stem: str) -> str | None:
    """Return what a file is by its name, or None where the name does not tell.

    >>> [role_of(stem) for stem in ("t1c", "t1c_brain_mask", "seg", "GOLD_STANDARD_FLAIR", "scan")]
    ['t1c', 'brain_mask', 'lesions', 'lesions', None]
    """
    return _read_name(stem).modality


def _read_name(stem: str, prefix: str = "") -> NamedSequence:
    """Return what a file is by its name, and why; a mask has a role in place of a modality.

    Args:
        stem: the name.
        prefix: what all names of the study's files begin with, see `name_sequence`.
    """
    if is_lesion_mask(without_patient(stem, prefix)):
        return NamedSequence(LESIONS, "the name says mask")
    return name_sequence_or_mask(stem, prefix=prefix)


def read_names(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, NamedSequence]:
    """Return what the files of a folder are by their names: those of one study are read without the patient's id."""
    stems = {path: stem_of(path.name) for path in paths}
    together = shared_prefix(list(stems.values()))
    by_start: dict[str, list[str]] = defaultdict(list)
    for stem in stems.values():
        by_start[_start(stem)].append(stem)
    known = {stem.lower() for stem in stems.values()}
    return {
        path: NamedSequence(LESIONS, "the name is that of an image beside it, and says truth")
        if _is_truth_of(stem, known)
        else _read_name(stem, shared_prefix(by_start[_start(stem)]) or together)
        for path, stem in stems.items()
    }


def _is_truth_of(stem: str, known: Container[str]) -> bool:
    """Return whether a file is the truth drawn on another: ``flair_manual`` beside ``flair``; no brain cut out by hand.

    Args:
        stem: its name.
        known: names of the folder's files, in lower case.
    """
    found = set(words(stem))
    image = plain_stem(stem.lower()) if found & TRUTH_WORDS and not found & BRAIN_WORDS else None
    return image is not None and image in known


def _refuse_sequence_folders(tree: Tree, folders: Mapping[PurePosixPath, Sequence[PurePosixPath]]) -> None:
    """Refuse one folder per sequence with uninformative file names.

    Otherwise each folder would be a separate study, and its only image would be taken for the requested sequence.
    """
    beside: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for folder in folders:
        if folder.parts:
            beside[folder.parent].append(folder)
    for above, group in beside.items():
        silent = {
            folder: name
            for folder, name in read_names(group).items()
            if name.modality is not None and all(of_file.is_silent for of_file in read_names(folders[folder]).values())
        }
        roles = {name.modality for name in silent.values()}
        if len(roles) > 1 and roles - {LESIONS, BRAIN_MASK}:
            raise InputError(
                "the sequences are named by folders instead of files",
                where=tree.root / above,
                expected="all files of a study in one folder, each named after its sequence",
                got=", ".join(str(folders[folder][0].relative_to(above)) for folder in list(silent)[:4]),
                cure="move the files of a study into one folder and name them t1n.nii.gz, t1c.nii.gz and so on",
                code="input.layout",
            )


def _one_study(
    folder: PurePosixPath, paths: Sequence[PurePosixPath], tree: Tree, data: DataPart, patients: PatientsOfFolders
) -> Iterator[StudyFile]:
    read = read_names(paths)
    nameless = [path for path, name in read.items() if name.modality is None]
    alone = len(nameless) == 1 and all(name.modality in (None, LESIONS, BRAIN_MASK) for name in read.values())
    # A name that speaks of a sequence without saying plainly which is no file without a name: it is not guessed.
    alone = alone and read[nameless[0]].is_silent
    left_out = () if alone else tuple(f"{path.name} is left out: {read[path].reason}" for path in nameless)
    study = _study(folder, tree, left_out, patients)
    for path, name in read.items():
        if name.modality is not None:
            yield StudyFile(study, name.modality, tree.root / path, reason=name.reason)
    if alone:
        yield from _only_image(study, nameless[0], tree, data)
    elif nameless and len(nameless) == sum(name.modality not in (LESIONS, BRAIN_MASK) for name in read.values()):
        raise _nameless(tree, {path: read[path] for path in nameless})


def _only_image(study: Study, path: PurePosixPath, tree: Tree, data: DataPart) -> Iterator[StudyFile]:
    """Yield the only image of a study regardless of its name: as the one requested sequence, or as its channels."""
    named = data.channels or (data.inputs if len(data.inputs) == 1 else ()) or (SINGLE_CHANNEL,)
    for name, file in channel_files(tree.root / path, named).items():
        yield StudyFile(study, name, file.path, channel=file.channel, reason=ONLY_IMAGE)


def _patients_of(tree: Tree, folders: Iterable[PurePosixPath], data: DataPart) -> PatientsOfFolders:
    """Return patient and timepoint of each folder.

    Raises:
        InputError: ``input.no_patient``, a folder with others in it may be a patient's or gather patients.
    """
    plain = {folder: without_order(folder) for folder in folders}
    found = patients_in(plain.values())
    if found is None:
        if data.patient_pattern is None and data.patients is None:
            raise _ambiguous_folder(tree, sorted(plain))
        found = {folder: PatientFolder(folder) for folder in plain.values()}
    names = names_of(item.patient for item in found.values())
    return {
        folder: (names[found[short].patient], "_".join(found[short].times) or None)
        for folder, short in plain.items()
        if short.parts
    }


def _ambiguous_folder(tree: Tree, folders: Sequence[PurePosixPath]) -> InputError:
    """Return the question which folder is a patient's, with a pattern for each answer that fits every study."""
    plain = sorted(map(without_order, folders))
    deep = [folder for folder in plain if len(folder.parts) > 1]
    example = without_times(max(deep, key=lambda folder: len(without_times(folder).patient.parts))).patient.parts
    order = sorted({part for folder in folders for part in folder.parts if part.lower() in NOT_PATIENTS})
    skipped = f"(?:(?:{'|'.join(map(re.escape, order))})/)*" if order else ""
    patterns = [
        f"'^{skipped}(?:[^/]+/{skipped}){{0,{depth}}}([^/]+)'" if depth else f"'^{skipped}([^/]+)'"
        for depth in range(len(example))
    ]
    # Of one folder below a site, the site is asked about too: the question needs two answers.
    first = min(group_depth(example), len(example) - 2)
    answers = [f"{patterns[depth]} if {example[depth]} is one patient" for depth in range(first, len(example))]
    return InputError(
        "cannot tell whether a folder is one patient or a group of patients",
        where=tree.root,
        expected="patient/date, site/patient, or one folder per patient",
        got=", ".join(map(str, deep[:4])),
        cure=f"set patient_pattern: {', '.join(answers)}",
        code="input.no_patient",
    )


def _study(folder: PurePosixPath, tree: Tree, notes: tuple[str, ...], patients: PatientsOfFolders) -> Study:
    """Return the study of a folder; the root, and folders that are there for order only, are called as they are."""
    if folder not in patients:
        name = folder.name or tree.root.resolve().name
        return Study(name, name, folder, notes=notes)
    patient, timepoint = patients[folder]
    return Study(safe_id("_".join(without_order(folder).parts)), patient, folder, timepoint=timepoint, notes=notes)


def _is_mixed(paths: Sequence[PurePosixPath]) -> bool:
    """Return whether a folder holds several studies: names that begin differently, and a sequence for each."""
    starts = defaultdict(list)
    for path, name in read_names(paths).items():
        starts[_start(stem_of(path.name))].append(name.modality)
    several = Counter(role for roles in starts.values() for role in roles)
    complete = [roles for roles in starts.values() if any(role not in (None, LESIONS, BRAIN_MASK) for role in roles)]
    return len(complete) > 1 and "" not in starts and max(several.values()) > 1


def _mixed(
    folder: PurePosixPath, paths: Sequence[PurePosixPath], tree: Tree, data: DataPart, patients: PatientsOfFolders
) -> Iterator[StudyFile]:
    """Yield the files of several studies in one folder."""
    starts = sorted({_start(stem_of(path.name)) for path in paths})
    times = _times(folder, starts) if folder in patients else None
    if times is None and data.patient_pattern is None and data.patients is None:
        raise _no_patient(tree, folder, starts)
    read = read_names(paths)
    left_out: dict[str, list[str]] = defaultdict(list)
    for path, name in read.items():
        if name.modality is None:
            left_out[_start(stem_of(path.name))].append(f"{path.name} is left out: {name.reason}")
    for path, name in read.items():
        start = _start(stem_of(path.name))
        study = Study(safe_id(start), start, folder / start, notes=tuple(left_out[start]))
        if times is not None:
            case_id = safe_id("_".join((*without_order(folder).parts, times[start])))
            study = replace(study, case_id=case_id, patient=patients[folder][0], timepoint=times[start])
        if name.modality is not None:
            yield StudyFile(study, name.modality, tree.root / path, reason=name.reason)


def _times(folder: PurePosixPath, starts: Sequence[str]) -> dict[str, str] | None:
    """Return what of each start says when, if the folder is the patient's: ``P01/study1_``, ``P01/P01_2019_``."""
    rests = {start: re.sub(rf"^{re.escape(folder.name)}[-_ ]+", "", start, flags=re.IGNORECASE) for start in starts}
    begin_alike = all(rest != start for start, rest in rests.items())
    return rests if begin_alike or all(TIME.match(rest) for rest in rests.values()) else None


def _no_patient(tree: Tree, folder: PurePosixPath, starts: Sequence[str]) -> InputError:
    places = [folder / start for start in starts]
    patient = f", '^({re.escape(str(folder))})/' if all are one patient's" if folder.parts else ""
    each = f"'([^/]+)$' if each study is a patient's own{patient}"
    proposed = propose_pattern(places)
    return InputError(
        "cannot tell which patient a study belongs to",
        where=tree.root / folder,
        expected="one folder per study, or a pattern",
        got=f"{len(places)} studies in one folder: {', '.join(starts[:4])}",
        cure=f"{proposed}; {each}" if "'" in proposed else f"set patient_pattern: {each}",
        code="input.no_patient",
    )


def _start(stem: str) -> str:
    """Return what stands before the word that tells the sequence: the name of the study.

    >>> _start("P07_2019_t1c"), _start("t1c"), _start("P07-seg")
    ('P07_2019', '', 'P07')
    """
    pieces = stem.replace("-", "_").split("_")
    first = next((index for index, piece in enumerate(pieces) if role_of(piece) is not None), len(pieces))
    return stem[: len("_".join(pieces[:first]))]


def _nameless(tree: Tree, names: Mapping[PurePosixPath, NamedSequence]) -> InputError:
    return InputError(
        "the sequences are not recognised from the file names",
        where=tree.root / next(iter(names)).parent,
        expected="t1n, t1c, t2w, t2f or their common names",
        got="; ".join(f"{path.name}: {name.reason}" for path, name in list(names.items())[:4]),
        cure="rename the files, or assign each with --modality t1c=FILE",
        code="input.layout",
    )


STUDY = VolumeLayout(
    "patient/t1c.nii.gz, patient/flair.nii.gz and patient/seg.nii.gz",
    lambda tree: len(tree.volumes) > len(tree.pictures),
    list_files,
)
