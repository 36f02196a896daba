"""Find what to predict on: pictures and studies, before a single pixel is read. Masks are left aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Unpack

from metseg.errors import InputError, UsageError
from metseg.io.cases import DataOptions, data_part, kept_apart
from metseg.io.channels import SINGLE_CHANNEL
from metseg.io.grouping import check_names, group_to_predict, one_size_each, slice_files
from metseg.io.image_files import ImageFile, channel_files, stem_of
from metseg.io.layouts import LAYOUTS, SLICE_LAYOUTS, choose_layout
from metseg.io.layouts.dataset_json import FILE, IMAGE_FOLDERS, read_contents
from metseg.io.layouts.dicom import holds_dicom
from metseg.io.layouts.layout import Findings
from metseg.io.layouts.mixed import find_in_layout, other_kinds
from metseg.io.layouts.nnunet import CHANNEL
from metseg.io.layouts.slices import left_out_notes
from metseg.io.nifti_file import NIFTI_ENDINGS, read_nifti_header
from metseg.io.patients import patient_finder
from metseg.io.sequences import sequence_of
from metseg.io.slices import SliceStackSource
from metseg.io.source import CaseSource
from metseg.io.studies import asked_for, check_named, study_from_files
from metseg.io.tree import PICTURE_ENDINGS, Pair, Tree, scan
from metseg.io.volumes import VolumeSource
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, canonical_modality

#: What a sequence is set to where it shall be left out.
LEFT_OUT = "none"

#: The scanner's number of a DICOM series, with the stack where it has several.
SERIES_NUMBER = re.compile(r"^\d+(\.\d+)?$")

#: Finds a patient for each study.
EACH_STUDY = "^(.*)$"

#: Layouts of everything but pictures.
STUDY_LAYOUTS = {name: layout for name, layout in LAYOUTS.items() if name not in SLICE_LAYOUTS}


@dataclass(frozen=True)
class InputRules:
    """How files become cases.

    Pictures of one folder whose names differ in their last number alone are the slices of one patient, unless this
    says otherwise.

    Args:
        one_per_folder: the pictures of a folder are one patient's, whatever they are called.
        with_masks: keep the masks of a folder as its truth; a single file has none.
    """

    one_per_folder: bool = False
    with_masks: bool = False


def find_inputs(
    path: str | Path,
    data: DataPart | None = None,
    *,
    named: Mapping[str, str | Path] | None = None,
    rules: InputRules | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[DataOptions],
) -> list[CaseSource]:
    """Return studies of volumes or pictures to predict on, whichever lies at a path; one file is a case.

    Args:
        path: a file, an archive of DICOM, or a folder in any layout.
        data, options: as for `find_cases`; `patient_pattern` is of these files, not of those trained on.
        named: modality to the file or DICOM series that it is, whatever names and headers say, or to `LEFT_OUT`; a
            DICOM series also by the scanner's number, as the notes give it.
        rules: how files become cases.
        tell: told what of a data set of studies was left out, one sentence each.
    Raises:
        InputError, UsageError: as `find_cases`; two pictures whose results would have one name; sequences named where
            there are pictures, or several studies of NIfTI files.
    """
    # A table of patients is of the data that were trained on.
    own = None if data is None else data.model_copy(update={"patients": None})
    asked, place, rules = data_part(own, options), Path(path), rules or InputRules()
    if not place.exists():
        raise InputError("no such file or folder", where=place, cure="check the path", code="input.missing")
    if place.is_file():
        if place.suffix.lower() not in PICTURE_ENDINGS:
            return _in_one_file(place, asked, named or {})
        _refuse_named(named, place)
        return [_single_picture(place, asked)]
    tree = scan(place)
    tell = tell or _ignore
    matching = next((name for name, layout in STUDY_LAYOUTS.items() if layout.matches(tree)), None)
    if matching is not None:
        name = matching if asked.layout == "auto" else choose_layout(tree, asked.layout, among=STUDY_LAYOUTS)
        return _studies(tree, name, asked, named or {}, with_masks=rules.with_masks, tell=tell)
    _refuse_named(named, place)
    return list(_pictures(tree, asked, rules, tell))


def _ignore(_note: str) -> None:
    """Receive notes that the caller has no place for."""


def _in_one_file(path: Path, data: DataPart, named: Mapping[str, str | Path]) -> list[CaseSource]:
    if path.name.lower().endswith(NIFTI_ENDINGS) or not holds_dicom(path):
        return _with_named([_single_volume(path, data, told=bool(named))], named, where=path)
    return _dicom_studies(path, data, named)


def _studies(
    tree: Tree,
    layout: str,
    data: DataPart,
    named: Mapping[str, str | Path],
    *,
    with_masks: bool,
    tell: Callable[[str], None],
) -> list[CaseSource]:
    if not with_masks:
        # Masks that are left out need not become what the model knows.
        data = data.model_copy(update={"file_labels": data.labels})
    try:
        found = find_in_layout(tree, layout, data)
    except InputError as error:
        if with_masks or error.code != "input.no_patient" or data.patient_pattern is not None:
            raise
        # Whose studies they are matters for splits and statistics only.
        data = data.model_copy(update={"patient_pattern": EACH_STUDY})
        found = find_in_layout(tree, layout, data)
    of_dicom = not any(isinstance(source, VolumeSource) for source in found.sources)
    if named and of_dicom:
        found = find_in_layout(tree, layout, data, overrides=_series_named(named))
    for note in (*found.notes, *(kept_apart(found.unlabelled) if with_masks else ())):
        tell(note)
    studies: Sequence[CaseSource] = found.sources
    if not with_masks:
        studies = [
            source.without_labels() if isinstance(source, VolumeSource) else source
            for source in _with_those_apart(found, tree.root)
        ]
    return list(studies) if of_dicom else _with_named(studies, named, where=tree.root)


def _with_those_apart(found: Findings, root: Path) -> list[CaseSource]:
    """Return all cases: those that a data set keeps apart from the ones with masks are what it wants predicted."""
    known = {source.case_id for source in found.sources}
    twin = next((source.case_id for source in found.unlabelled if source.case_id in known), None)
    if twin is not None:
        raise InputError(
            f"two cases are called '{twin}'",
            where=root,
            got="one in imagesTr, one in imagesTs",
            cure="give one of these folders",
            code="input.duplicate_case",
        )
    return sorted((*found.sources, *found.unlabelled), key=lambda source: source.case_id)


def _dicom_studies(path: Path, data: DataPart, named: Mapping[str, str | Path]) -> list[CaseSource]:
    from metseg.io.layouts.dicom_study import studies_asked_for  # pydicom only where there is DICOM

    return list(studies_asked_for(path, data, overrides=_series_named(named)))


def _series_named(named: Mapping[str, str | Path]) -> dict[str, str | Path | None]:
    """Return what was given for each sequence: a series' number, the path of its files, or None for none.

    A number is the series of that number, also where a file is called so.
    """
    if BRAIN_MASK in map(canonical_modality, named):
        raise UsageError(
            "a study of DICOM takes no brain mask",
            where="--modality brain_mask",
            cure="name each of its series by where its files lie (--modality t1c=FOLDER), without an INPUT",
        )
    series: dict[str, str | Path | None] = {}
    for name, what in named.items():
        is_path = not SERIES_NUMBER.match(str(what)) and Path(what).exists()
        series[name] = None if str(what) == LEFT_OUT else Path(what) if is_path else str(what)
    return series


def _with_named(studies: Sequence[CaseSource], named: Mapping[str, str | Path], *, where: Path) -> list[CaseSource]:
    """Return the studies; if sequences are named, the only study with these files for them."""
    if not named:
        return list(studies)
    if len(studies) != 1 or not isinstance(studies[0], VolumeSource):
        raise UsageError(
            "sequences are named, and there is not one study that they could be of",
            where=where,
            got=f"{len(studies)} studies",
            cure="predict that study by itself",
        )
    study = studies[0]
    files = {canonical_modality(name): None if str(what) == LEFT_OUT else Path(what) for name, what in named.items()}
    brain = files.pop(BRAIN_MASK, study.brain_mask)
    left_out = {name for name, path in files.items() if path is None}
    notes = tuple(note for name, note in check_named(files, study.wanted).items() if name not in left_out)
    images = {name: file for name, file in study.images.items() if name not in files}
    images |= {name: ImageFile(path) for name, path in files.items() if path is not None}
    twins = {name: others for name, others in study.twins.items() if name not in files}
    return [replace(study, images=images, brain_mask=brain, twins=twins, notes=(*study.notes, *notes))]


def _single_volume(path: Path, data: DataPart, *, told: bool) -> VolumeSource:
    """Return a study of one file: one sequence, or several as channels whose names are known.

    In which order a model sees its sequences says nothing of the order in a file.

    Args:
        path: the file.
        data: what is read of it.
        told: whether the user says which file is which sequence.
    """
    case_id = stem_of(path.name)
    known = data.channels or (data.inputs if len(data.inputs) == 1 else ())
    if not known and (said := sequence_of(case_id)) is not None:
        known = (said,)
    files = channel_files(path, known) or _told_beside(path)
    study = asked_for(study_from_files(files or {SINGLE_CHANNEL: ImageFile(path)}, case_id=case_id), data)
    if files or told or not data.inputs:
        return study
    return replace(study, notes=(f"neither its name nor a {FILE} beside it says what {path.name} shows",))


def _told_beside(path: Path) -> dict[str, ImageFile]:
    """Return what the ``dataset.json`` of a data set says of one of its images; nothing where there is none.

    It lies beside the image, or beside the folder of the images: the decathlon's, with all channels in one file, or
    nnU-Net's, with a file for each.
    """
    folder = path.resolve().parent
    channels = read_contents(folder.parent if folder.name in IMAGE_FOLDERS else folder).channels
    if match := CHANNEL.match(stem_of(path.name)):
        number = int(match["channel"])
        return {channels[number]: ImageFile(path)} if number < len(channels) else {}
    _, shape = read_nifti_header(path)
    if len(shape) == 4 and shape[3] == len(channels):
        return channel_files(path, channels)
    return {}


def _pictures(tree: Tree, data: DataPart, rules: InputRules, tell: Callable[[str], None]) -> list[SliceStackSource]:
    layout = SLICE_LAYOUTS[choose_layout(tree, data.layout, among=SLICE_LAYOUTS)]
    pairing = layout.pair(tree, data)
    for note in (*left_out_notes(pairing), *other_kinds(tree, layout, data)):
        tell(note)
    pairs = [pair if rules.with_masks else replace(pair, mask=None) for pair in pairing.pairs]
    pattern, root = data.patient_pattern, tree.root
    patient_of = None if pattern is None else patient_finder((), pattern, root=root)
    sources = []
    for group in group_to_predict(pairs, patient_of, root=root, one_per_folder=rules.one_per_folder):
        source = SliceStackSource(
            group.case_id,
            group.patient,
            root,
            slices=check_names(slice_files(group.pairs, stack=data.stack)),
            channels=data.channels,
            labels=data.labels,
            patient_guessed=group.guessed,
        )
        sources.append(source)
    return one_size_each(sources)


def _single_picture(path: Path, data: DataPart) -> SliceStackSource:
    stem, pattern = PurePosixPath(path.stem), data.patient_pattern
    patient = path.stem if pattern is None else patient_finder((), pattern, root=path)(stem)
    pieces = slice_files([Pair(stem, path, None, stem)], stack=data.stack)
    return SliceStackSource(path.stem, patient, path.parent, slices=pieces, channels=data.channels)


def _refuse_named(named: Mapping[str, str | Path] | None, where: Path) -> None:
    if named:
        raise UsageError(
            "sequences are named, and these are pictures",
            where=where,
            got=", ".join(f"{name}={what}" for name, what in named.items()),
            cure="say with the model's recipe what the channels of a picture are",
        )
