"""Read a study of volumes as one `Case`: a file per sequence, or sequences as channels of one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metseg.errors import GeometryError, InputError
from metseg.geometry import grid_difference, same_grid
from metseg.io.case_source import CaseSource
from metseg.io.volumes.image_files import ImageFile, files_of, read_images
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.labels import BINARY, LABEL_SCHEMES, LabelScheme, NamedLabels, check_labels, convert_labels, label_map
from metseg.registry import lookup
from metseg.volume import BRAIN_MASK, Case, SequenceRecord, Volume


@dataclass(frozen=True)
class LabelRule:
    """What becomes of the values in a mask.

    Args:
        files: scheme of the files.
        wanted: scheme of the case.
        region: region of the files' scheme that is the lesion, where `wanted` is binary; None: every label above 0.
        named: what the data set's table calls the values; it takes the place of `files`, unless that was declared.
        declared: the user said what the files hold; a table that says otherwise is named in the case's warnings.
    """

    files: str = BINARY
    wanted: str = BINARY
    region: str | None = None
    named: NamedLabels | None = None
    declared: bool = False

    @property
    def scheme(self) -> LabelScheme:
        """Return the label scheme of the files.

        Raises:
            InputError: the table has a name that is not known.
        """
        if self.named is None or self.declared or self.files in self.named.schemes():
            return lookup("label scheme", LABEL_SCHEMES, self.files)
        return self.named.as_scheme()

    @property
    def table(self) -> Mapping[int, int]:
        """Return what each value of the files becomes.

        Raises:
            UsageError: there is no way from the files' labels to those wanted.
            InputError: the table has a name that is not known, or its classes are not those wanted.
        """
        if self.named is None or self.declared or (self.wanted == self.files and self.files in self.named.schemes()):
            return label_map(self.files, self.wanted, region=self.region)
        return self.named.map_to(lookup("label scheme", LABEL_SCHEMES, self.wanted))

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a note where what was declared is not what the table says."""
        return self.named.contradiction(self.files) if self.named is not None and self.declared else ()

    def __call__(self, mask: Volume, *, where: object) -> Volume:
        """Return a mask as uint8 class ids of the scheme wanted.

        Raises:
            InputError: see `check_labels`.
        """
        return Volume(convert_labels(check_labels(mask.data, self.scheme, where=where), self.table), mask.affine)


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
        reference: the modality that defines the grid of results; None: the first that is read.
        rule: what becomes of the mask's values.
        twins: modality to further files of the same modality; the choice is ambiguous.
        notes: remarks from finding the files.
        table: the data set's table of contents, where that says what the files are.
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
    table: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        paths = [*(self.images[name].path for name in self.chosen), self.brain_mask, self.mask, self.table]
        return tuple(dict.fromkeys(file for path in paths if path is not None for file in files_of(path)))

    @property
    def has_labels(self) -> bool:
        """Return whether there is a mask."""
        return self.mask is not None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return the sequences that are there, those that are not read too."""
        return tuple(self.images)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the modalities that are there and read."""
        return tuple(name for name in self.wanted or self.images if name in self.images)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the modalities that are wanted and not there, the optional ones too."""
        return tuple(name for name in self.wanted if name not in self.images)

    @property
    def sequence_records(self) -> tuple[SequenceRecord, ...]:
        """Return which file is read as which sequence, and why."""
        files = {name: self.images[name] for name in self.chosen}
        return tuple(SequenceRecord(name, file.source, file.reason) for name, file in files.items())

    def without_labels(self) -> VolumeSource:
        """Return the same study without its mask, as for a prediction."""
        return replace(self, mask=None)

    def load(self) -> Case:
        """Read images and mask.

        Raises:
            InputError: ``input.missing_sequence``; ``input.duplicate_sequence``, two files for one modality; labels
                outside their scheme; or a file that cannot be used, see `metseg.io.volumes.nifti`.
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
            sequence_records=self.sequence_records,
        )

    def check(self) -> None:
        """Refuse a study with a missing or duplicate sequence; see `load`."""
        require_sequences(
            self.case_id, tuple(self.images), wanted=self.wanted, optional=self.optional, remarks=self.notes
        )
        for name in self.chosen:
            if name in self.twins:
                raise InputError(
                    f"several files match {name}",
                    where=f"case {self.case_id}",
                    got=", ".join(path.name for path in (self.images[name].path, *self.twins[name])),
                    cure=f"choose one (--modality {name}=FILE), or move the others away",
                    code="input.duplicate_sequence",
                )

    def read_images(self) -> tuple[dict[str, Volume], tuple[str, ...]]:
        """Return the chosen images in order, and notes that begin with the modality's name."""
        return read_images({name: self.images[name] for name in self.chosen})

    def read_labels(self, images: Mapping[str, Volume]) -> tuple[Volume | None, tuple[str, ...]]:
        """Return the mask in the wanted scheme, and a note if it is on the grid of an image other than the reference.

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
        return self.rule(mask, where=self.mask), (*notes, *self.rule.notes)

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
                return () if name == reference else (f"{path.name} is on the grid of {name}, not of {reference}",)
        alike = [name for name, image in images.items() if image.shape == mask.shape]
        nearest = alike[0] if alike and reference not in alike else reference
        raise GeometryError(
            f"the mask fits no image's grid; compared with {nearest}: "
            f"{grid_difference(images[nearest].grid, mask.grid)}",
            where=path,
            cure=f"export the mask of case {self.case_id} on the grid of an image; masks are never resampled silently",
            code="input.affine_mismatch" if alike else "input.shape_mismatch",
        )

    def _candidates(self, reference: str, images: Mapping[str, Volume]) -> Iterator[tuple[str, Volume]]:
        """Yield the reference, the other images that were read, then the remaining images, which are read only now."""
        yield reference, images[reference]
        yield from ((name, image) for name, image in images.items() if name != reference)
        for name, file in self.images.items():
            if name not in images:
                yield name, read_images({name: file})[0][name]


def require_sequences(
    case_id: str, present: Sequence[str], *, wanted: Sequence[str], optional: Sequence[str], remarks: Sequence[str] = ()
) -> None:
    """Refuse a case that lacks a sequence it may not lack, or every one.

    Args:
        case_id: for the message.
        present: modalities of the case.
        wanted: those that are read; empty: all.
        optional: those of them that may be missing.
        remarks: what was noticed when the files were found, which may explain it.
    Raises:
        InputError: ``input.missing_sequence``.
    """
    missing = [name for name in wanted if name not in present]
    needed = [name for name in missing if name not in optional]
    if not needed and len(missing) < max(1, len(wanted)) and present:
        return
    raise InputError(
        f"the case lacks {', '.join(needed or missing or ['every image'])}",
        where=f"case {case_id}",
        expected=", ".join(wanted) or "at least one image",
        got=", ".join([*present, *remarks]) or "none",
        cure="assign the file or the DICOM series of each sequence (--modality t1c=FILE, --modality t1c=5), or use a "
        "model trained without it",
        code="input.missing_sequence",
    )
