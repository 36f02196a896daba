"""Compute summary statistics of one study; errors are recorded, not raised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from metseg.errors import MetsegError
from metseg.geometry import Grid, axis_codes, same_grid
from metseg.io.case_source import CaseSource
from metseg.io.volumes.image_files import read_images
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.io.volumes.volume_case import VolumeSource
from metseg.labels import LabelScheme, check_labels
from metseg.measure import MM3_PER_ML, label_instances, lesion_volumes_ml, voxel_volume_mm3
from metseg.volume import Array, Volume

#: A volume is judged constant, and known again, by its values; more digits than these are never needed.
DIGEST_BYTES = 16


@dataclass(frozen=True)
class ImageFacts:
    """The statistics of one image.

    Args:
        shape: (X, Y, Z) in the file's axis order.
        spacing_mm: along the same axes.
        orientation: where the axes point, such as "LPS".
        dtype: type of the voxels.
        grid: number of its grid among the study's, from 0.
        constant: whether all voxels are equal.
        digest: see `volume_digest`; None for a constant image.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, ...]
    orientation: str
    dtype: str
    grid: int
    constant: bool
    digest: str | None


@dataclass(frozen=True)
class StudyFacts:
    """The statistics of one study.

    Args:
        images: modality to facts, of those that can be read.
        has_mask: whether there is a mask that can be read.
        label_values: class id, in the files' scheme, to number of voxels; background left out.
        class_ml: name of each class to its volume in mL.
        lesion_ml: volume of each connected lesion in mL, the largest first.
        notes: from reading.
        errors: one sentence each.
    """

    images: Mapping[str, ImageFacts] = field(default_factory=dict)
    has_mask: bool = False
    label_values: Mapping[int, int] = field(default_factory=dict)
    class_ml: Mapping[str, float] = field(default_factory=dict)
    lesion_ml: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[MetsegError, ...] = ()


def study_facts(source: CaseSource) -> StudyFacts:
    """Return the statistics of one study; damaged files never raise and do not hide the others."""
    return _by_file(source) if isinstance(source, VolumeSource) else _as_a_whole(source)


def _as_a_whole(source: CaseSource) -> StudyFacts:
    try:
        case = source.load()
    except MetsegError as error:
        return StudyFacts(errors=(error,))
    return StudyFacts(_image_facts(case.images), notes=case.warnings)


def _by_file(source: VolumeSource) -> StudyFacts:
    errors: list[MetsegError] = []
    notes = list(source.notes)
    images: dict[str, Volume] = {}
    try:
        source.check()
    except MetsegError as error:
        errors.append(error)
    for name in source.chosen:
        try:
            found, more = read_images({name: source.images[name]})
        except MetsegError as error:
            errors.append(error)
        else:
            images |= found
            notes += more
    facts = StudyFacts(_image_facts(images))
    if source.mask is not None:
        try:
            facts = _with_mask(facts, source, images)
        except MetsegError as error:
            errors.append(error)
    return replace(facts, notes=(*notes, *facts.notes), errors=tuple(errors))


def _with_mask(facts: StudyFacts, source: VolumeSource, images: Mapping[str, Volume]) -> StudyFacts:
    assert source.mask is not None
    mask = read_mask_nifti(source.mask)
    notes = source.check_grid(mask, source.mask, images) if images else ()
    scheme = source.rule.scheme
    labels = check_labels(mask.data, scheme, where=source.mask)
    assert mask.affine is not None
    counts = np.bincount(labels.ravel(order="K"), minlength=max(scheme.values) + 1)
    ml = voxel_volume_mm3(mask.affine) / MM3_PER_ML
    return replace(
        facts,
        has_mask=True,
        label_values={value: int(counts[value]) for value in scheme.classes if counts[value]},
        class_ml={name: float(counts[value] * ml) for value, name in scheme.classes.items() if counts[value]},
        lesion_ml=_lesion_ml(labels, scheme, mask.affine),
        notes=(*notes, *source.rule.notes),
    )


def _lesion_ml(
    labels: npt.NDArray[np.uint8], scheme: LabelScheme, affine: npt.NDArray[np.float64]
) -> tuple[float, ...]:
    """Return the volumes of the lesions: connected pieces of the scheme's first region, the widest."""
    instances, _ = label_instances(scheme.region_mask(labels, next(iter(scheme.regions))))
    return tuple(sorted((float(ml) for ml in lesion_volumes_ml(instances, affine)), reverse=True))


def _image_facts(images: Mapping[str, Volume]) -> dict[str, ImageFacts]:
    grids: list[Grid] = []
    facts = {}
    for name, image in images.items():
        number = next((index for index, grid in enumerate(grids) if same_grid(grid, image.grid)), len(grids))
        if number == len(grids):
            grids.append(image.grid)
        digest = volume_digest(image)
        facts[name] = ImageFacts(
            image.shape,
            tuple(round(mm, 4) for mm in image.spacing_mm or ()),
            "" if image.affine is None else axis_codes(image.affine),
            str(image.data.dtype),
            number,
            digest is None,
            digest,
        )
    return facts


def volume_digest(image: Volume) -> str | None:
    """Return a checksum that is equal for equal voxels, None for a constant image.

    The order of the axes, their directions, the place in space and the type do not matter: a converter from DICOM to
    NIfTI flips axes and stores other integers.
    """
    if image.data.min() == image.data.max():
        return None
    data = _in_own_order(image.data)
    content = np.ascontiguousarray(data.T, dtype=np.float32)  # files hold x fastest
    kind = f"{data.shape}".encode()
    return hashlib.blake2b(content.data, digest_size=DIGEST_BYTES, key=kind).hexdigest()


def _in_own_order(data: Array) -> Array:
    """Return a view with axes and directions determined by the voxels alone, equal for flipped and rotated copies.

    The longest axis comes first, of equal ones that of the wider spread; the brighter half of each is the second.
    """
    order: list[tuple[int, float, int]] = []
    flips: list[slice] = []
    for axis, length in enumerate(data.shape):
        others = tuple(other for other in range(data.ndim) if other != axis)
        profile = data.sum(axis=others, dtype=np.float64)
        from_middle = np.arange(length) - (length - 1) / 2
        flips.append(slice(None, None, -1 if profile @ from_middle < 0 else 1))
        order.append((-length, -float(profile @ from_middle**2), axis))
    return data[tuple(flips)].transpose([axis for _, _, axis in sorted(order)])
