"""A study of volumes on disk as one `Case`: a file per sequence, or sequences as channels of one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metseg.errors import GeometryError, InputError, UsageError
from metseg.geometry import grid_difference, same_grid
from metseg.io.nifti import read_channels, read_mask_nifti
from metseg.io.source import CaseSource
from metseg.labels import BINARY, LABEL_SCHEMES, check_labels, convert_labels, label_map
from metseg.recipe import DataPart
from metseg.tables import lookup
from metseg.volume import BRAIN_MASK, Case, Volume, canonical_modality


@dataclass(frozen=True)
class ImageFile:
    """Where one image lies.

    Args:
        path: the file.
        channel: which index of its fourth axis, from 0; None: it holds one image only.
    """

    path: Path
    channel: int | None = None


@dataclass(frozen=True)
class LabelRule:
    """What becomes of the values in a mask.

    Args:
        files: scheme of the files.
        wanted: scheme of the case.
        region: which region of the files' scheme is the lesion, where `wanted` is binary; None: whatever is labelled.
    """

    files: str = BINARY
    wanted: str = BINARY
    region: str | None = None

    def __call__(self, mask: Volume, *, where: object) -> Volume:
        """Return a mask as uint8 class ids of the scheme wanted.

        Raises:
            InputError: see `check_labels`.
        """
        checked = check_labels(mask.data, lookup("label scheme", LABEL_SCHEMES, self.files), where=where)
        return Volume(convert_labels(checked, label_map(self.files, self.wanted, region=self.region)), mask.affine)


@dataclass(frozen=True)
class VolumeSource(CaseSource):
    """One examination as volumes, in the axis order of its files.

    The images may lie on different grids. The mask has to lie on the grid of one of them; nothing is resampled here.

    Args:
        images: modality to file, everything that was found.
        mask: file of the truth, or None.
        brain_mask: file of a brain mask, or None; it becomes the image `BRAIN_MASK`.
        wanted: the modalities that are read, in this order; empty: all.
        optional: those of them that may be missing.
        reference: the modality on whose grid results lie; None: the first that is read.
        rule: what becomes of the mask's values.
        twins: modality to further files that claim to be it; which is meant, only the user knows.
        notes: what was noticed when the files were found.
    """

    images: Mapping[str, ImageFile] = field(default_factory=dict)
    mask: Path | None = None
    brain_mask: Path | None = None
    wanted: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    reference: str | None = None
    rule: LabelRule = LabelRule()
    twins: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        paths = [*(self.images[name].path for name in self.chosen), self.brain_mask, self.mask]
        return tuple(dict.fromkeys(path for path in paths if path is not None))

    @property
    def has_labels(self) -> bool:
        """Return whether there is a mask."""
        return self.mask is not None

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the modalities that are there and read."""
        return tuple(name for name in self.wanted or self.images if name in self.images)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the modalities that are wanted and not there, the optional ones too."""
        return tuple(name for name in self.wanted if name not in self.images)

    def without_labels(self) -> VolumeSource:
        """Return the same study without its mask, as for a prediction."""
        return replace(self, mask=None)

    def load(self) -> Case:
        """Read images and mask.

        Raises:
            InputError: ``input.missing_sequence``; ``input.duplicate_sequence``, two files for one modality; labels
                outside their scheme; or a file that cannot be used, see `metseg.io.nifti`.
            GeometryError: ``input.shape_mismatch`` or ``input.affine_mismatch``, the mask lies on no image's grid.
        """
        self.check()
        images, notes = self.read_images()
        extra, more = self._read_brain(images)
        labels, about_labels = self.read_labels(images)
        absent = tuple(f"{name} is missing" for name in self.missing)
        return Case(
            case_id=self.case_id,
            patient=self.patient,
            images={**images, **extra},
            labels=labels,
            timepoint=self.timepoint,
            attributes=self.attributes,
            warnings=(*self.notes, *absent, *notes, *more, *about_labels),
        )

    def check(self) -> None:
        """Refuse a study that lacks a sequence or has one twice; see `load`."""
        needed = [name for name in self.missing if name not in self.optional]
        if needed or not self.chosen:
            raise InputError(
                f"the case lacks {', '.join(needed or self.missing or ('every image',))}",
                where=f"case {self.case_id}",
                expected=", ".join(self.wanted) or "at least one image",
                got=", ".join([*self.images, *self.notes]) or "none",
                cure="name the file of each sequence (--modality t1c=FILE), or use a model trained for its absence",
                code="input.missing_sequence",
            )
        for name in self.chosen:
            if name in self.twins:
                raise InputError(
                    f"several files are {name}",
                    where=f"case {self.case_id}",
                    got=", ".join(path.name for path in (self.images[name].path, *self.twins[name])),
                    cure=f"say which is meant (--modality {name}=FILE), or move the others away",
                    code="input.duplicate_sequence",
                )

    def read_images(self) -> tuple[dict[str, Volume], tuple[str, ...]]:
        """Return the chosen images in order, and notes that begin with the modality's name."""
        return read_images({name: self.images[name] for name in self.chosen})

    def read_labels(self, images: Mapping[str, Volume]) -> tuple[Volume | None, tuple[str, ...]]:
        """Return the mask in the scheme wanted, and on whose grid it lies where that is not the reference.

        Args:
            images: the chosen images.
        Raises:
            GeometryError: it lies on no image's grid.
            InputError: a value outside the files' scheme.
        """
        if self.mask is None:
            return None, ()
        mask = read_mask_nifti(self.mask)
        notes = self.check_grid(mask, self.mask, images)
        return self.rule(mask, where=self.mask), notes

    def _read_brain(self, images: Mapping[str, Volume]) -> tuple[dict[str, Volume], tuple[str, ...]]:
        if self.brain_mask is None:
            return {}, ()
        brain = read_mask_nifti(self.brain_mask)
        return {BRAIN_MASK: brain}, self.check_grid(brain, self.brain_mask, images)

    def check_grid(self, mask: Volume, path: Path, images: Mapping[str, Volume]) -> tuple[str, ...]:
        """Return a note where a mask lies on the grid of another image than the reference.

        Args:
            mask: what was read of `path`.
            path: for messages.
            images: those that were read, at least one; the study's others are read only if need be.
        Raises:
            GeometryError: it lies on no image's grid.
        """
        reference = self.reference if self.reference in images else next(iter(images))
        assert reference is not None
        for name, image in self._candidates(reference, images):
            if same_grid(image.grid, mask.grid):
                return () if name == reference else (f"{path.name} lies on the grid of {name}, not of {reference}",)
        difference = grid_difference(images[reference].grid, mask.grid)
        same_shape = mask.shape == images[reference].shape
        raise GeometryError(
            f"the mask lies on no image's grid; against {reference}: {difference}",
            where=path,
            cure=f"masks are never resampled silently: export the mask of case {self.case_id} on the grid of an image",
            code="input.affine_mismatch" if same_shape else "input.shape_mismatch",
        )

    def _candidates(self, reference: str, images: Mapping[str, Volume]) -> Iterator[tuple[str, Volume]]:
        """Yield the reference, the other images that were read, then those that nobody asked for, read only now."""
        yield reference, images[reference]
        yield from ((name, image) for name, image in images.items() if name != reference)
        for name, file in self.images.items():
            if name not in images:
                yield name, read_images({name: file})[0][name]


def read_images(files: Mapping[str, ImageFile]) -> tuple[dict[str, Volume], tuple[str, ...]]:
    """Return each image, in order, and notes that begin with its name; a file with several channels is read once."""
    by_path: dict[Path, list[str]] = {}
    for name, file in files.items():
        by_path.setdefault(file.path, []).append(name)
    found: dict[str, tuple[Volume, tuple[str, ...]]] = {}
    for path, names in by_path.items():
        found |= zip(names, read_channels(path, [files[name].channel for name in names]), strict=True)
    notes = tuple(f"{name}: {note}" for name in files for note in found[name][1])
    return {name: found[name][0] for name in files}, notes


def study_from_files(
    files: Mapping[str, str | Path | ImageFile], data: DataPart | None = None, *, case_id: str | None = None
) -> VolumeSource:
    """Return a study whose files were named one by one, such as ``{"t1c": "after.nii.gz", "flair": "f.nii.gz"}``.

    Args:
        files: modality, by any of its names, to file.
        data: what is read of it, and in which order; None: everything.
        case_id: names the outputs; None: the folder that holds all the files, else the first file.
    Raises:
        UsageError: no file, or two files for one modality.
    """
    images: dict[str, ImageFile] = {}
    for name, file in files.items():
        modality = canonical_modality(name)
        if modality in images:
            raise UsageError(f"two files for {modality}", where="--modality", got=", ".join(files))
        images[modality] = file if isinstance(file, ImageFile) else ImageFile(Path(file))
    if not images:
        raise UsageError("no file was named", where="--modality", cure="give at least one, as t1c=FILE")
    paths = [image.path for image in images.values()]
    folders = {path.resolve().parent for path in paths}
    name = case_id or (folders.pop().name if len(folders) == 1 else "") or stem_of(paths[0].name)
    brain = images.pop(BRAIN_MASK, None)
    source = VolumeSource(name, name, paths[0].parent, images=images, brain_mask=None if brain is None else brain.path)
    return source if data is None else asked_for(source, data)


def asked_for(source: VolumeSource, data: DataPart, *, schemes: Sequence[str] = ()) -> VolumeSource:
    """Return a source that reads what a recipe's data part asks for.

    Args:
        source: what was found.
        data: modalities, reference and labels.
        schemes: those that the files' masks may have, as far as the layout knows; the likeliest first.
    Raises:
        UsageError: there is no way from the files' labels to those wanted.
    """
    rule = LabelRule(files_scheme(schemes, data), data.labels, data.region)
    if source.mask is not None:
        label_map(rule.files, rule.wanted, region=rule.region)
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


def stem_of(name: str) -> str:
    """Return a file name without ``.nii.gz`` or its last ending.

    >>> stem_of("a.b.nii.gz"), stem_of("scan.nii")
    ('a.b', 'scan')
    """
    return name[:-7] if name.lower().endswith(".nii.gz") else name.rpartition(".")[0] or name
