"""The data classes of metseg: `Volume` is one image with its position in space, `Case` all images of one examination.

Conventions for axes in the whole project:

- A volume is ``(X, Y, Z)``. With an affine, it is in the file's own axis order until `reorient` brings it to RAS+.
- A stack of slices is a volume too: ``x`` is the column of the picture, ``y`` its row, ``z`` the slice in numeric
  order. ``data[:, :, z].T`` is the picture as it lies in the file. Plain pictures have no affine, and nothing is ever
  measured in millimetres for them.
- Several modalities together are ``(C, X, Y, Z)``; tensors are ``(N, C, X, Y, Z)``; a slice network sees
  ``(N, C, X, Y)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.argument_checks import (
    affine_matrix,
    image_array,
    label_array,
    require_file_name,
    require_instance,
    require_mapping,
    wrong_type,
)
from metseg.errors import GeometryError, InputError, UsageError
from metseg.geometry import Grid, grid_difference, spacing_mm

Array = npt.NDArray[np.generic]

#: Canonical modality names and their synonyms in file names, headers and recipes.
MODALITY_ALIASES: Mapping[str, tuple[str, ...]] = {
    "t1n": ("t1", "t1w", "t1pre", "t1_pre", "t1native"),
    "t1c": ("t1ce", "t1gd", "t1post", "t1_post", "t1wce", "t1contrast"),
    "t2w": ("t2", "t2tse"),
    "t2f": ("flair", "t2flair", "t2_flair", "fla"),
}

#: Name of the brain mask among the images of a case; values above 1/2 are brain.
BRAIN_MASK = "brain_mask"


def canonical_modality(name: str) -> str:
    """Return metseg's name of a modality: ``FLAIR`` -> ``t2f``. Unknown names are returned in lower case.

    >>> canonical_modality("T1ce"), canonical_modality("flair"), canonical_modality("adc")
    ('t1c', 't2f', 'adc')
    """
    plain = name.strip().lower().replace("-", "_")
    for modality, aliases in MODALITY_ALIASES.items():
        if plain == modality or plain in aliases:
            return modality
    return plain


@dataclass(frozen=True)
class Volume:
    """One image, or one mask.

    Args:
        data: (X, Y, Z) of any real type.
        affine: (4, 4) voxel-to-RAS matrix in mm, or None if the position in space is unknown.
    Raises:
        GeometryError: the array is not three-dimensional, or the affine is not (4, 4), finite and invertible.
        UsageError: data or affine are not numpy arrays.

    Examples:
        >>> volume = Volume(np.zeros((4, 5, 6), np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))
        >>> volume
        <Volume (4, 5, 6) float32, 1 x 1 x 3 mm>
        >>> volume.spacing_mm
        (1.0, 1.0, 3.0)
    """

    data: Array
    affine: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        require_instance("data", self.data, np.ndarray, expected="a numpy array (X, Y, Z)")
        if self.affine is not None:
            require_instance("affine", self.affine, np.ndarray, expected="a numpy array (4, 4), or None")
        if self.data.ndim != 3:
            raise GeometryError("the volume does not have three axes", expected="(X, Y, Z)", got=self.data.shape)
        if self.affine is None:
            return
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise GeometryError("the affine is not a finite 4x4 matrix", got=self.affine.tolist())
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-12:
            raise GeometryError("the affine is singular", got=self.affine.tolist())

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.data.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Return the voxel size along the array's axes in mm, or None without an affine."""
        if self.affine is None:
            return None
        return spacing_mm(self.affine)

    @property
    def grid(self) -> Grid:
        """Return shape and affine, for `metseg.geometry.same_grid`."""
        return Grid(self.shape, self.affine)

    @classmethod
    def from_nibabel(cls, image: Any, *, name: str = "image") -> Volume:
        """Return a volume from a nibabel image, with its scaling applied and in its own axis order.

        Args:
            image: a ``nibabel`` image with three axes, or four if the last has length 1.
            name: its name in messages.
        Raises:
            UsageError: ``usage.type``, not a nibabel image.
            GeometryError: more axes, or an affine that is singular or not finite.
            InputError: ``input.not_finite``, values that are NaN or infinite.
        """
        data, affine = nibabel_arrays(image, name)
        return cls(image_array(name, data), affine_matrix(name, affine))

    def __repr__(self) -> str:
        return f"<Volume {self.shape} {self.data.dtype}, {_spacing_text(self)}>"


def _spacing_text(volume: Volume) -> str:
    """Return the voxel size of a volume for its `repr`."""
    sides = volume.spacing_mm
    return "no affine" if sides is None else f"{' x '.join(f'{side:.3g}' for side in sides)} mm"


def is_nibabel_image(value: object) -> bool:
    """Return whether a value is a nibabel image with voxels and an affine."""
    return hasattr(value, "dataobj") and hasattr(value, "affine")


def nibabel_arrays(image: Any, name: str) -> tuple[Array, Any]:
    """Return voxels and affine of a nibabel image; a last axis of length 1 is removed."""
    if not is_nibabel_image(image):
        cure = "load files with nibabel.load, or read them with metseg.load"
        raise wrong_type(name, image, expected="a nibabel image", cure=cure)
    data = np.asanyarray(image.dataobj)
    return data[..., 0] if data.ndim == 4 and data.shape[3] == 1 else data, image.affine


def _by_sequence(images: object, *, expected: str) -> dict[str, tuple[str, Any]]:
    """Return the caller's key and image of each sequence, by metseg's name of the sequence."""
    named: dict[str, tuple[str, Any]] = {}
    for key, image in require_mapping("images", images, expected=expected).items():
        name = canonical_modality(key)
        if name in named:
            raise UsageError(
                f"two images are assigned to {name}",
                where="images",
                got=f"{named[name][0]!r} and {key!r}",
                cure="pass one image for each sequence",
                code="usage.duplicate_sequence",
            )
        named[name] = (key, image)
    return named


@dataclass(frozen=True)
class SequenceRecord:
    """The file or series that was read as a sequence, and the reason; part of every result.

    Args:
        sequence: metseg's name of it, such as ``t1c``.
        source: name of the file without its folders, or of the DICOM series.
        reason: how it was chosen, a clause without text from headers or names.
    """

    sequence: str
    source: str
    reason: str


@dataclass(frozen=True)
class BrainMaskRecord:
    """How metseg made a brain mask that did not come with the case.

    Args:
        method: a value of the option ``source`` of the step `brain_mask`, such as ``network``.
        sequence: the image it was made from; the mask lies on its grid.
        volume_ml: of the mask.
        model: fingerprint of the bundle; empty for another program.
    """

    method: str
    sequence: str
    volume_ml: float
    model: str = ""


@dataclass(frozen=True)
class Case:
    """All images of one patient at one time point, on one grid or several.

    Args:
        case_id: unique in a data set; names the output files.
        patient: id of the patient; splits, folds and bootstraps are by patient.
        images: modality name to volume, in the order of the data set.
        labels: the ground truth as class ids, or None.
        timepoint: the examination of the patient, if the data set names it.
        slice_names: for stacks of pictures, the relative path of each slice without ending, in order of z.
        slice_gaps: for stacks of pictures, whether slices are missing before each slice. Empty: no slices are missing.
        attributes: values for the patient from tables beside the data (institution, grade), for stratified splits.
        warnings: from reading, one sentence each; part of every result.
        sequence_records: the source of each image and why it was read as its sequence; empty if that is not known,
            as for simulated cases.
        brain_mask_record: how the image `BRAIN_MASK` was made; None: it came with the case, or there is none.

    Build one with `from_arrays` or `from_nibabel`, or read one with `metseg.load`.
    """

    case_id: str
    patient: str
    images: Mapping[str, Volume]
    labels: Volume | None = None
    timepoint: str | None = None
    slice_names: tuple[str, ...] = ()
    slice_gaps: tuple[bool, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sequence_records: tuple[SequenceRecord, ...] = ()
    brain_mask_record: BrainMaskRecord | None = None

    @classmethod
    def from_arrays(
        cls,
        images: Mapping[str, npt.ArrayLike],
        affine: npt.ArrayLike | None,
        labels: npt.ArrayLike | None = None,
        *,
        case_id: str = "case",
        patient: str | None = None,
    ) -> Case:
        """Create a case from arrays on one grid.

        Args:
            images: sequence to array, such as ``{"t1c": ..., "flair": ...}``: (X, Y, Z), or (X, Y) for one slice. The
                sequences may have any of their usual names. For pictures x is the column and y the row: transpose what
                Pillow, OpenCV or imageio return.
            affine: (4, 4) voxel-to-RAS matrix, mm; None: the arrays are pictures, with Z as the slice number, and
                nothing is measured in millimetres.
            labels: the ground truth as class ids, of the same shape; None: not known.
            case_id: names the output files.
            patient: id of the patient; None: the case id.
        Raises:
            UsageError: an argument of the wrong type (``usage.type``), or two arrays of one sequence.
            GeometryError: different shapes, another number of axes, or an invalid affine.
            InputError: values that are NaN or infinite, or labels that are not class ids.

        Examples:
            >>> image = np.zeros((4, 5, 6), np.float32)
            >>> Case.from_arrays({"T1ce": image, "FLAIR": image}, affine=np.eye(4), case_id="P1")
            <Case P1: t1c, t2f; (4, 5, 6), 1 x 1 x 1 mm>
        """
        place = None if affine is None else affine_matrix("affine", affine)
        named = _by_sequence(images, expected="a mapping from sequence to array")
        volumes = {name: Volume(image_array(f"images[{key!r}]", array), place) for name, (key, array) in named.items()}
        truth = None if labels is None else Volume(label_array("labels", labels), place)
        return cls._of_volumes(volumes, truth, case_id, patient, one_grid=True)

    @classmethod
    def from_nibabel(
        cls, images: Mapping[str, Any], labels: Any = None, *, case_id: str = "case", patient: str | None = None
    ) -> Case:
        """Create a case from nibabel images, each on its own grid.

        Args:
            images: sequence to nibabel image, such as ``{"t1c": nibabel.load("t1c.nii.gz")}``. The sequences may have
                any of their usual names.
            labels: the ground truth as class ids, a nibabel image; None: not known.
            case_id: names the output files.
            patient: id of the patient; None: the case id.
        Raises:
            UsageError: an argument of the wrong type (``usage.type``), or two images of one sequence.
            GeometryError: more than three axes, or an invalid affine.
            InputError: values that are NaN or infinite, or labels that are not class ids.

        Examples:
            >>> import nibabel
            >>> image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4))
            >>> Case.from_nibabel({"t1c": image}).modalities
            ('t1c',)
        """
        named = _by_sequence(images, expected="a mapping from sequence to nibabel image")
        volumes = {name: Volume.from_nibabel(image, name=f"images[{key!r}]") for name, (key, image) in named.items()}
        truth = None
        if labels is not None:
            data, affine = nibabel_arrays(labels, "labels")
            truth = Volume(label_array("labels", data), affine_matrix("labels", affine))
        return cls._of_volumes(volumes, truth, case_id, patient, one_grid=False)

    @classmethod
    def _of_volumes(
        cls, images: Mapping[str, Volume], labels: Volume | None, case_id: str, patient: str | None, *, one_grid: bool
    ) -> Case:
        require_file_name("case_id", case_id)
        if patient is not None:
            require_instance("patient", patient, str, expected="a text, or None")
        first_name, first = next(iter(images.items()))
        others = {f"images['{name}']": image for name, image in images.items()}
        others |= {} if labels is None else {"labels": labels}
        for name, other in others.items() if one_grid else ():
            difference = grid_difference(first.grid, other.grid)
            if difference is not None:
                raise GeometryError(
                    "the arrays of a case differ in shape",
                    where=name,
                    expected=f"{first.shape}, as {first_name}",
                    got=other.shape,
                    cure="pass images on different grids with Case.from_nibabel",
                    code="input.shape_mismatch",
                )
        depth = first.shape[2]
        numbered = (case_id,) if depth == 1 else tuple(f"{case_id}_{z}" for z in range(depth))
        names = numbered if first.affine is None else ()
        return cls(case_id, patient or case_id, dict(images), labels, slice_names=names)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.images)

    @property
    def is_slice_stack(self) -> bool:
        """Return whether the case came from pictures, which have no position in space."""
        return bool(self.slice_names)

    @property
    def background(self) -> Volume:
        """Return the image to draw on: FLAIR if there is one, because it shows lesions clearly, else the first."""
        return self.images.get("t2f") or next(iter(self.images.values()))

    def plot(self, z: int | None = None) -> npt.NDArray[np.object_]:
        """Draw one slice of every sequence side by side, with the ground truth outlined if it is known.

        Volumes are shown with the patient's right on the left and the nose up. The ground truth is outlined on images
        that are on its grid.

        Args:
            z: slice number, from 0: of volumes from the feet up, of pictures in their order. It refers to the ground
                truth, or to the first image if there is none; other images show the slice at the same height. None:
                the slice with the largest lesion area, or the middle one.
        Returns:
            (1, number of sequences) Matplotlib axes of a new pyplot figure; ``plt.show()`` displays it in a script.
        Raises:
            InputError: the slice does not exist.
        """
        from metseg.plot.images.slice_panels import Image, show_images

        if z is not None:
            require_instance("z", z, int, expected="a whole number, or None")
        truth = None if self.labels is None else Image(self.labels.data, self.labels.affine)
        shown = {name: Image(image.data, image.affine) for name, image in self.images.items()}
        try:
            return show_images(shown, truth, z=z)
        except IndexError:
            raise InputError(
                "the slice does not exist", where=self.case_id, got=z, cure="count slices from 0"
            ) from None

    def __repr__(self) -> str:
        grids = dict.fromkeys(f"{image.shape}, {_spacing_text(image)}" for image in self.images.values())
        truth = "" if self.labels is None else "; with truth"
        return f"<Case {self.case_id}: {', '.join(self.images)}; {' and '.join(grids)}{truth}>"

    def take_slices(self, indices: Sequence[int]) -> Case:
        """Return the case with these slices only, in this order; for stacks of pictures without an affine."""
        if not self.is_slice_stack:
            raise GeometryError("only stacks of pictures can be split into slices", where=self.case_id)
        chosen = list(indices)
        images = {name: Volume(image.data[:, :, chosen]) for name, image in self.images.items()}
        labels = None if self.labels is None else Volume(self.labels.data[:, :, chosen])
        names = tuple(self.slice_names[index] for index in chosen)
        return replace(self, images=images, labels=labels, slice_names=names, slice_gaps=self._gaps_of(chosen))

    def _gaps_of(self, chosen: Sequence[int]) -> tuple[bool, ...]:
        """Return `slice_gaps` of some slices; the first keeps its own, since the parts of a stack are joined again."""
        known = self.slice_gaps or (False,) * len(self.slice_names)
        before = [chosen[0] - 1, *chosen[:-1]] if chosen else []
        gaps = tuple(known[index] or index != last + 1 for last, index in zip(before, chosen, strict=True))
        return gaps if any(gaps) else ()
