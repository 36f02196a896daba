"""Find the 2D images and studies to predict on, without reading image data. Masks are ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Unpack

from metseg.errors import InputError, UsageError
from metseg.io.case_discovery import DataOptions, FoundCases, data_part, unlabelled_notes
from metseg.io.case_source import CaseSource
from metseg.io.declared_sequences import declared_against_names, with_reasons
from metseg.io.file_index import PICTURE_ENDINGS, Pair, Tree, require_pictures, scan
from metseg.io.images.channel_names import SINGLE_CHANNEL, GreyRule
from metseg.io.images.file_signatures import HEAD_BYTES, looks_like_picture
from metseg.io.images.slice_grouping import (
    check_names,
    group_to_predict,
    one_size_each,
    safe_id,
    slice_files,
    units_of_pairs,
)
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.layouts import choose_layout, slice_layouts, study_layouts
from metseg.io.layouts.dataset_json import FILE, IMAGE_FOLDERS, read_contents
from metseg.io.layouts.dicom_layout import holds_dicom
from metseg.io.layouts.layout import Findings
from metseg.io.layouts.mixed_folders import find_in_layout, other_kinds
from metseg.io.layouts.nnunet import CHANNEL
from metseg.io.layouts.slice_layout import left_out_notes
from metseg.io.patient_table import table_owners
from metseg.io.patients import PatientOf, patient_finder
from metseg.io.sequence_names import name_sequence
from metseg.io.splits import PartOfSplit
from metseg.io.volumes.image_files import CHANNELS_OF_RECIPE, CHANNELS_OF_TABLE, ImageFile, channel_files, stem_of
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS, read_nifti_header
from metseg.io.volumes.study_source import asked_for, check_named, study_from_files
from metseg.io.volumes.volume_case import VolumeSource
from metseg.message_text import pluralize
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, canonical_modality

#: Value of a sequence that is to be left out.
LEFT_OUT = "none"

#: In place of a layout's name where a single file is read.
SINGLE_FILE = "single file"

#: Reason for using a file without a sequence in its name with a model of one sequence.
ONLY_FILE = "its name contains no sequence, and the model takes only this one"

#: The scanner's number of a DICOM series, with the stack number if there are several stacks.
SERIES_NUMBER = re.compile(r"^\d+(\.\d+)?$")

#: Finds a patient for each study.
EACH_STUDY = "^(.*)$"


@dataclass(frozen=True)
class InputRules:
    """Rules for grouping files into cases.

    By default, images in one folder with names that differ only in their last number are the slices of one
    patient.

    Args:
        one_per_folder: treat the images of a folder as one patient, regardless of their names.
        with_masks: keep the masks of a folder as its truth; a single file has none.
        grey: what a single grey picture is where there are several channels; None: refused, and equal channels are
            copies of one.
        part: only what belongs to this part of a split; patients are then those of a data set, as `find_cases` has
            them; None: everything.
        above: where a folder of pictures lies below one that holds all inputs: names of results begin with it, so that
            they are those that the folder above would give them; for studies see `find_in_folders`.
        patients: table of these files' patients; None: that of `data` for a part of a split, and none otherwise.
    """

    one_per_folder: bool = False
    with_masks: bool = False
    grey: GreyRule | None = None
    part: PartOfSplit | None = None
    above: PurePosixPath = field(default_factory=PurePosixPath)
    patients: str | None = None


def find_inputs(
    path: str | Path,
    data: DataPart | None = None,
    *,
    named: Mapping[str, str | Path] | None = None,
    rules: InputRules | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[DataOptions],
) -> list[CaseSource]:
    """Return the studies or stacks of 2D images to predict on at a path; a single file is one case.

    Args:
        path: a file, an archive of DICOM, or a folder in any layout.
        data, options: as for `find_cases`; `patient_pattern` applies to these files, not to the training data.
        named: modality to its file or DICOM series, overriding names and headers, or to `LEFT_OUT`; a
            DICOM series can also be given by the scanner's number in the notes.
        rules: how files become cases.
        tell: called with one sentence for each file or group of files that is left out.
    Raises:
        InputError, UsageError: as `find_cases`; two images with the same result name; sequences assigned where
            the input is 2D images, or several studies of NIfTI files.
    """
    rules, place = rules or InputRules(), Path(path)
    asked = data_part(_own_data(data or DataPart(), rules), options)
    if not place.exists():
        raise InputError("no such file or folder", where=place, cure="check the path", code="input.missing")
    if place.is_file():
        if rules.part is not None:
            raise UsageError(
                "--split and --part need a data set, but the input is a file",
                where=place,
                cure="give the folder of the data set, or remove --split and --part",
            )
        if not _is_picture(place):
            return _in_one_file(place, asked, named or {})
        _refuse_named(named, place, rules.grey)
        return [_single_picture(place, asked, rules)]
    return _in_folder(scan(place), asked, named or {}, rules, tell or _ignore)


def find_in_file(path: Path, data: DataPart) -> FoundCases:
    """Return the cases in a single file, a picture, a NIfTI file or DICOM, as `find` returns those of a folder.

    Args:
        path: the file; a zip archive with DICOM may hold several studies.
        data: how it is read.
    Raises:
        InputError, UsageError: as `find_inputs`.
    """
    return FoundCases(tuple(find_inputs(path, data)), layout=SINGLE_FILE, tree=Tree(path, ()))


def find_in_folders(
    places: Mapping[Path, PurePosixPath],
    data: DataPart,
    *,
    named: Mapping[str, str | Path] | None = None,
    rules: InputRules | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[tuple[Path, list[CaseSource]]]:
    """Return folders and what to predict on in each, called as if the folder that holds them all had been given.

    Plain folders of studies are listed together, since what a patient is called depends on the names of all;
    in place of theirs then stands the folder that holds them all.

    Args:
        places: folders, and where each lies below the one that holds them all.
        data, named, rules, tell: as for `find_inputs`; sequences are assigned in each folder separately.
    Raises:
        InputError, UsageError: as `find_inputs`.
    """
    named, rules, tell = named or {}, rules or InputRules(), tell or _ignore
    asked = _own_data(data, rules)
    trees = {path: scan(path) for path in places}
    plain = [path for path, tree in trees.items() if _layout_of_studies(tree, asked) == "study"]
    found = [
        (path, _in_folder(tree, asked, named, replace(rules, above=places[path]), tell))
        for path, tree in trees.items()
        if path not in plain
    ]
    for group in [[path] for path in plain] if named else [plain] if plain else []:
        tree = _joined([(places[path], trees[path]) for path in group])
        found.append((tree.root, _of_studies(tree, "study", asked, named, rules, tell)))
    return found


def _joined(trees: Sequence[tuple[PurePosixPath, Tree]]) -> Tree:
    """Return the files of several folders as one tree, under their common folder."""
    above, first = trees[0]
    root = first.root.resolve()
    root = root.parents[len(above.parts) - 1] if above.parts else root

    def all_of(kind: str) -> tuple[PurePosixPath, ...]:
        return tuple(sorted({place / path for place, tree in trees for path in getattr(tree, kind)}))

    return Tree(root, all_of("pictures"), volumes=all_of("volumes"), rest=all_of("rest"))


def _own_data(data: DataPart, rules: InputRules) -> DataPart:
    """Return what is read; a table of patients is of the data trained on, and so of these if they have its split."""
    table = data.patients if rules.part is not None else None
    return data.model_copy(update={"patients": rules.patients or table})


def _in_folder(
    tree: Tree, data: DataPart, named: Mapping[str, str | Path], rules: InputRules, tell: Callable[[str], None]
) -> list[CaseSource]:
    layout = _layout_of_studies(tree, data)
    if layout is not None:
        return _of_studies(tree, layout, data, named, rules, tell)
    _refuse_named(named, tree.root, rules.grey)
    return list(_pictures(tree, data, rules, tell))


def _layout_of_studies(tree: Tree, data: DataPart) -> str | None:
    """Return the layout of a folder of studies; None: it holds pictures."""
    matching = next((name for name, layout in study_layouts().items() if layout.matches(tree)), None)
    if matching is None or data.layout == "auto":
        return matching
    return choose_layout(tree, data.layout, among=study_layouts())


def _of_studies(
    tree: Tree,
    layout: str,
    data: DataPart,
    named: Mapping[str, str | Path],
    rules: InputRules,
    tell: Callable[[str], None],
) -> list[CaseSource]:
    studies = _studies(tree, layout, data, named, with_masks=rules.with_masks, tell=tell)
    return studies if rules.part is None else [source for source in studies if rules.part.has(source)]


def _ignore(_note: str) -> None:
    """Receive notes that the caller has no place for."""


def _is_picture(path: Path) -> bool:
    """Return whether a file is a picture, by its ending or else by its content; also one of a kind that is not read."""
    if path.suffix.lower() in PICTURE_ENDINGS:
        return True
    with path.open("rb") as stream:
        return looks_like_picture(stream.read(HEAD_BYTES))


def _in_one_file(path: Path, data: DataPart, named: Mapping[str, str | Path]) -> list[CaseSource]:
    if path.name.lower().endswith(NIFTI_ENDINGS) or not holds_dicom(path):
        studies = _with_named([_single_volume(path, data, told=bool(named))], named, where=path)
        _require_channels(studies[0], path, data)
        return studies
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
    series, brain = _split_named(named)
    if series and of_dicom:
        found = find_in_layout(tree, layout, data, overrides=series)
    for note in (*found.notes, *(unlabelled_notes(found.unlabelled) if with_masks else ())):
        tell(note)
    studies: Sequence[CaseSource] = found.sources
    if not with_masks:
        studies = [
            source.without_labels() if isinstance(source, VolumeSource) else source
            for source in _with_those_apart(found, tree.root)
        ]
    if of_dicom:
        return _with_brain_mask(studies, brain, where=tree.root)
    return _with_named(studies, named, where=tree.root)


def _with_those_apart(found: Findings, root: Path) -> list[CaseSource]:
    """Return all cases: those that a data set keeps apart from the ones with masks are what it wants predicted."""
    known = {source.case_id for source in found.sources}
    twin = next((source.case_id for source in found.unlabelled if source.case_id in known), None)
    if twin is not None:
        raise InputError(
            f"two cases have the name '{twin}'",
            where=root,
            got="one in imagesTr, one in imagesTs",
            cure="give one of these folders",
            code="input.duplicate_case",
        )
    return sorted((*found.sources, *found.unlabelled), key=lambda source: source.case_id)


def _dicom_studies(path: Path, data: DataPart, named: Mapping[str, str | Path]) -> list[CaseSource]:
    from metseg.io.layouts.dicom_study import studies_asked_for  # pydicom only where there is DICOM

    series, brain = _split_named(named)
    return _with_brain_mask(studies_asked_for(path, data, overrides=series), brain, where=path)


def _split_named(
    named: Mapping[str, str | Path],
) -> tuple[dict[str, str | Path | None], tuple[Path | None, ...]]:
    """Return what was given for the sequences of a DICOM study, and the brain mask, if any; `LEFT_OUT` becomes None.

    A sequence is given by a series' number or the path of its files. A number is the series of that number, also where
    a file is called so.
    """
    series: dict[str, str | Path | None] = {}
    brain: tuple[Path | None, ...] = ()
    for name, what in named.items():
        is_left_out = str(what) == LEFT_OUT
        if canonical_modality(name) == BRAIN_MASK:
            brain = (None if is_left_out else Path(what),)
            continue
        is_path = not SERIES_NUMBER.match(str(what)) and Path(what).exists()
        series[name] = None if is_left_out else Path(what) if is_path else str(what)
    return series, brain


def _with_brain_mask(studies: Sequence[CaseSource], brain: tuple[Path | None, ...], *, where: Path) -> list[CaseSource]:
    """Return DICOM studies; if a brain mask is named, the only study with it in place of one that was found."""
    if not brain:
        return list(studies)
    from metseg.io.layouts.dicom_study import AskedStudy

    if len(studies) != 1 or not isinstance(studies[0], AskedStudy):
        raise _not_one_study(len(studies), where=where)
    return [studies[0].with_brain_mask(brain[0])]


def _with_named(studies: Sequence[CaseSource], named: Mapping[str, str | Path], *, where: Path) -> list[CaseSource]:
    """Return the studies; if sequences are named, the only study with these files for them."""
    if not named:
        return list(studies)
    if len(studies) != 1 or not isinstance(studies[0], VolumeSource):
        raise _not_one_study(len(studies), where=where)
    study = studies[0]
    files = {canonical_modality(name): None if str(what) == LEFT_OUT else Path(what) for name, what in named.items()}
    brain = files.pop(BRAIN_MASK, study.brain_mask)
    left_out = {name for name, path in files.items() if path is None}
    unused = tuple(note for name, note in check_named(files, study.wanted).items() if name not in left_out)
    images = {name: file for name, file in study.images.items() if name not in files}
    declared = {name: ImageFile(path) for name, path in files.items() if path is not None}
    images |= with_reasons(declared)
    twins = {name: others for name, others in study.twins.items() if name not in files}
    notes = (*declared_against_names(declared), *study.notes, *unused)
    return [replace(study, images=images, brain_mask=brain, twins=twins, notes=notes)]


def _not_one_study(count: int, *, where: Path) -> UsageError:
    return UsageError(
        "sequences are assigned, but the input is not a single study",
        where=where,
        got=pluralize(count, "study", "studies"),
        cure="predict that study separately",
    )


def _single_volume(path: Path, data: DataPart, *, told: bool) -> VolumeSource:
    """Return a study of one file: one sequence, or several as channels with known names.

    In which order a model sees its sequences says nothing of the order in a file.

    Args:
        path: the file.
        data: what is read of it.
        told: whether the user says which file is which sequence.
    """
    case_id = stem_of(path.name)
    files = channel_files(path, data.channels, reason=CHANNELS_OF_RECIPE) or _channels_from_table(path)
    named = name_sequence(case_id)
    if not files and named.modality is not None:
        files = {named.modality: ImageFile(path, reason=named.reason)}
    if not files and not told and not named.is_silent:
        raise InputError(
            "the sequence is not clear from the file name",
            where=path,
            expected="t1n, t1c, t2w, t2f or their common names",
            got=named.reason,
            cure=f"assign it with --modality {next(iter(data.inputs), 't1c')}=FILE",
            code="input.unknown_sequence",
        )
    if not files and len(data.inputs) == 1:
        files = channel_files(path, data.inputs, reason=ONLY_FILE)
    unknown = ImageFile(path, reason="the sequence of the file is unknown")
    study = asked_for(study_from_files(files or {SINGLE_CHANNEL: unknown}, case_id=case_id), data)
    if files or told or not data.inputs:
        return study
    return replace(study, notes=(f"neither the name of {path.name} nor a {FILE} beside it gives the sequence",))


def _require_channels(study: CaseSource, path: Path, data: DataPart) -> None:
    """Refuse a volume for a 2D network that expects several channels.

    Raises:
        InputError: ``input.dimensions``.
    """
    assert isinstance(study, VolumeSource)
    asked = [file for file in study.images.values() if file.path == path and file.channel is not None]
    if data.dimensions == 2 and data.channels and asked:
        _, shape = read_nifti_header(path)
        count = shape[3] if len(shape) == 4 else 1
        if count != len(data.channels):
            raise made_for_pictures(data, where=path, got=f"a volume of {pluralize(count, 'channel')}")


def made_for_pictures(data: DataPart, *, where: object, got: str, grey: str | None = None) -> InputError:
    """Return why a volume cannot be given to a network of pictures; one may accept a grey picture of one sequence."""
    slices = "" if grey is None else f"give its slices of {grey} as grey pictures, or "
    return InputError(
        "the model takes 2D images, but the input is a volume",
        where=where,
        expected=f"2D slices of {pluralize(len(data.channels), 'channel')} ({', '.join(data.channels)})",
        got=got,
        cure=f"{slices}choose a model for volumes (--model; `metseg models list` shows them)",
        code="input.dimensions",
    )


def _channels_from_table(path: Path) -> dict[str, ImageFile]:
    """Return what the ``dataset.json`` of a data set says of one of its images; nothing where there is none.

    It lies beside the image, or beside the folder of the images: the decathlon's, with all channels in one file, or
    nnU-Net's, with a file for each.
    """
    folder = path.resolve().parent
    channels = read_contents(folder.parent if folder.name in IMAGE_FOLDERS else folder).channels
    if match := CHANNEL.match(stem_of(path.name)):
        number = int(match["channel"])
        named = number < len(channels)
        return {channels[number]: ImageFile(path, reason=CHANNELS_OF_TABLE)} if named else {}
    _, shape = read_nifti_header(path)
    if len(shape) == 4 and shape[3] == len(channels):
        return channel_files(path, channels, reason=CHANNELS_OF_TABLE)
    return {}


def _pictures(tree: Tree, data: DataPart, rules: InputRules, tell: Callable[[str], None]) -> list[SliceStackSource]:
    require_pictures(tree)
    known = slice_layouts()
    layout = known[choose_layout(tree, data.layout, among=known)]
    pairing = layout.pair(tree, data)
    for note in (*left_out_notes(pairing), *other_kinds(tree, layout, data)):
        tell(note)
    pairs = [pair if rules.with_masks else replace(pair, mask=None) for pair in pairing.pairs]
    root = tree.root
    told = data.patient_pattern is not None or data.patients is not None
    patient_of = _below(rules.above, data, pairs, root) if told else None
    if rules.part is not None:
        pairs, patient_of = _of_part(pairs, rules.part, rules.above, data, root)
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
            grey=rules.grey,
        )
        sources.append(_stack_below(source, rules.above))
    return one_size_each(sources)


def _below(above: PurePosixPath, data: DataPart, pairs: Sequence[Pair], root: Path) -> PatientOf:
    """Return the patients of images, as in the data set that contains the folder."""
    names = {above / pair.place: (str(above / pair.name), str(above / pair.place), pair.name.name) for pair in pairs}
    if data.patients is not None:
        owners = table_owners(names, data.patients, root).of
        return lambda place: owners[above / place].patient
    find = patient_finder(tuple(names), data.patient_pattern, root=root)
    return lambda place: find(above / place)


def _of_part(
    pairs: Sequence[Pair], part: PartOfSplit, above: PurePosixPath, data: DataPart, root: Path
) -> tuple[list[Pair], PatientOf]:
    """Return the images of a part of a split, and their patients as in the data set of the split."""
    find = _below(above, data, pairs, root)
    # Whose they are is asked by the places below the folder, what units are called by those from above it.
    full = [replace(pair, name=above / pair.name) for pair in pairs]
    units = units_of_pairs(full, find, by=part.split.by)
    return [pair for pair in pairs if units[above / pair.name] in part.units], find


def _stack_below(source: SliceStackSource, above: PurePosixPath) -> SliceStackSource:
    """Return a stack of slices with the names that its results have where the folder above is given."""
    if not above.parts:
        return source
    # A stack without a separate folder is named after the root.
    own = () if source.case_id == source.root.resolve().name else (source.case_id,)
    slices = tuple(replace(piece, name=str(above / piece.name)) for piece in source.slices)
    return replace(source, case_id=safe_id("_".join((*above.parts, *own))), slices=slices)


def _single_picture(path: Path, data: DataPart, rules: InputRules) -> SliceStackSource:
    stem, pattern = PurePosixPath(path.stem), data.patient_pattern
    patient = path.stem if pattern is None else patient_finder((), pattern, root=path)(stem)
    pieces = slice_files([Pair(stem, path, None, stem)], stack=data.stack)
    return SliceStackSource(path.stem, patient, path.parent, slices=pieces, channels=data.channels, grey=rules.grey)


def study_of_named(named: Mapping[str, str], data: DataPart, *, grey: GreyRule | None = None) -> VolumeSource:
    """Return the study of individually given files; see `study_from_files`.

    Args:
        named: modality to file.
        data: what is read of it.
        grey: see `InputRules`.
    Raises:
        UsageError: one of the files is a picture.
    """
    for name, what in named.items():
        if Path(what).is_file() and _is_picture(Path(what)):
            _refuse_named({name: what}, Path(what), grey)
    return study_from_files(named, data)


def _refuse_named(named: Mapping[str, str | Path] | None, where: Path, grey: GreyRule | None) -> None:
    if named:
        accepted = "" if grey is None or grey.sequence is None else f"; a grey one is read as {grey.sequence}"
        raise UsageError(
            "sequences are assigned with --modality, but the input is 2D images",
            where=where,
            expected="a NIfTI file or a DICOM series for each sequence",
            got=", ".join(f"{name}={what}" for name, what in named.items()),
            cure=f"give the images as inputs, without --modality{accepted}",
        )
