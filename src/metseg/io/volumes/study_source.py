"""Build a study from detected or given files that reads the requested sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from metseg.errors import UsageError
from metseg.io.declared_sequences import declared_against_names, with_reasons
from metseg.io.volumes.image_files import ImageFile, stem_of
from metseg.io.volumes.volume_case import LabelRule, VolumeSource
from metseg.labels import NamedLabels
from metseg.recipe import DataPart
from metseg.registry import lookup
from metseg.volume import BRAIN_MASK, MODALITY_ALIASES, canonical_modality


def study_from_files(
    files: Mapping[str, str | Path | ImageFile], data: DataPart | None = None, *, case_id: str | None = None
) -> VolumeSource:
    """Return a study of individually given files, such as ``{"t1c": "after.nii.gz", "flair": "f.nii.gz"}``.

    Args:
        files: modality, by any of its names, to a NIfTI file, or to the folder or archive of one DICOM series.
        data: the sequences to read and their order; None: all.
        case_id: names the outputs; None: the folder that holds all the files, else the first file.
    Raises:
        UsageError: no file, two files for one modality, or an unknown modality.
    """
    images: dict[str, ImageFile] = {}
    for name, file in files.items():
        modality = canonical_modality(name)
        if modality in images:
            raise UsageError(
                f"two files are given for {modality}",
                where="--modality",
                got=", ".join(files),
                cure="give one file for each sequence",
            )
        images[modality] = file if isinstance(file, ImageFile) else ImageFile(Path(file))
    if not images:
        raise UsageError("no file is given", where="--modality", cure="give at least one, as t1c=FILE")
    paths = [image.path for image in images.values()]
    folders = {path.resolve().parent for path in paths}
    name = case_id or (folders.pop().name if len(folders) == 1 else "") or stem_of(paths[0].name)
    brain = images.pop(BRAIN_MASK, None)
    source = VolumeSource(
        name, name, paths[0].parent, images=with_reasons(images), brain_mask=None if brain is None else brain.path
    )
    if data is None:
        return source
    notes = (*declared_against_names(images), *check_named(images, data.inputs).values())
    return replace(asked_for(source, data), notes=notes)


def check_named(named: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return a note for each given sequence that is not used; raise an error for an unknown name.

    Args:
        named: modalities, by metseg's names.
        wanted: those that are read; none: all.
    Raises:
        UsageError: a name that is none of the sequences wanted, nor of those that metseg knows.
    """
    if not wanted:
        return {}
    known = {name: name for name in (*wanted, *MODALITY_ALIASES, BRAIN_MASK)}
    unused = [name for name in named if lookup("sequence", known, name) not in wanted]
    return {name: f"{name} is given but not used: the model takes {', '.join(wanted)}" for name in unused}


def asked_for(
    source: VolumeSource, data: DataPart, *, schemes: Sequence[str] = (), labels: NamedLabels | None = None
) -> VolumeSource:
    """Return a source that reads what a recipe's data part asks for.

    Args:
        source: what was found.
        data: modalities, reference and labels.
        schemes: those that the files' masks may have, as far as the layout knows; the likeliest first.
        labels: what the data set's own table calls the values of the masks.
    Raises:
        UsageError: there is no way from the files' labels to those wanted.
        InputError: the table has a name that is not known, or its classes are not those wanted.
    """
    rule = LabelRule(files_scheme(schemes, data), data.labels, data.region)
    if labels is not None and source.mask is not None:
        declared = data.file_labels is not None
        files = rule.files if declared else files_scheme(labels.schemes() or (labels.nearest(),), data)
        rule = replace(rule, files=files, named=labels, declared=declared)
    if source.mask is not None:
        _ = rule.table  # raises where there is no way
    reference = data.reference or next(iter(data.inputs), None)
    return replace(source, wanted=data.inputs, optional=data.optional, reference=reference, rule=rule)


def files_scheme(known: Sequence[str], data: DataPart) -> str:
    """Return the label scheme of the files: as declared, else as wanted if that may be, else what the layout knows.

    >>> files_scheme(["brats-met-2023", "brats-met-2024"], DataPart(labels="brats-met-2024"))
    'brats-met-2024'
    """
    if data.file_labels is not None:
        return data.file_labels
    return data.labels if data.labels in known or not known else known[0]
