"""Paint a host scan from a label map: a deformed head in four sequences, skull-stripped, without any image of a person.

The signal of each tissue follows from its relaxation times; in a share of the studies a random factor or a random
intensity takes its place, as in SynthSeg (Billot et al. 2023, arXiv:2107.09559). Vessels, sinuses and dura enhance, so
that a network learns that not all that does is a metastasis. Lesions are inserted into the noise-free images
(`painted_host`); `acquired` then shows both as a scanner would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from metseg.errors import InputError
from metseg.geometry import spacing_mm, stepped_affine
from metseg.measure.boxes import bounding_box, grown
from metseg.random_fields import bias_field, rician_noise, smooth_field
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.anatomy.tissues import SCANNERS, TISSUES, Sequence, signal, vary_sequence, vary_tissue
from metseg.simulation.anatomy.vessels import small_vessels
from metseg.simulation.heads.label_map_head import (
    ARTERY,
    BONE,
    BRAINSTEM,
    FIRST_OUTSIDE,
    FLUID,
    GREY_MATTER,
    VEIN,
    VESSEL,
    WHITE_MATTER,
    DeformationOptions,
    LabelMapHead,
    Share,
    deformed_labels,
    thick_slices,
)
from metseg.simulation.hosts.host_scan import CUBE_TOLERANCE_MM, HOST_TISSUES, Canvas, HostScan
from metseg.simulation.hosts.insertion import RANDOM_CONTRAST, on_host_scale
from metseg.simulation.hosts.large_vessels import DURA, with_large_vessels
from metseg.simulation.options import SEQUENCES
from metseg.simulation.scanner.mri_signal import TEXTURE_WEIGHT, WHITE_LEVEL

Rng = np.random.Generator
FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int16]

#: Id of fat, which a smooth field divides from muscle: label maps have one id for both.
FAT = 601

#: Id -> share of each tissue. Nuclei and brainstem are mixtures: their signal lies between white and grey matter.
MIXTURES: Mapping[int, Mapping[str, float]] = {
    **{label: {"white": 1.0} for label in (*WHITE_MATTER, 85, 512, 530)},
    **{label: {"grey": 1.0} for label in GREY_MATTER},
    **{label: {"fluid": 1.0} for label in (*FLUID, 72)},
    **{label: {"vessel": 1.0} for label in (VESSEL, ARTERY, VEIN)},
    # 136 and 163 have no name in FreeSurfer's table; in the maps of SynthSeg they lie where the choroid plexus does.
    **{label: {"choroid": 1.0} for label in (31, 136, 163)},
    **{label: {"bone": 1.0} for label in BONE},
    **{label: {"eye": 1.0} for label in (259, 506)},
    **{label: {"skin": 1.0} for label in (509, 511)},
    7: {"white": 0.9, "grey": 0.1},
    8: {"grey": 0.85, "white": 0.15},
    10: {"grey": 0.55, "white": 0.45},
    13: {"grey": 0.4, "white": 0.6},
    BRAINSTEM: {"white": 0.8, "grey": 0.2},
    28: {"white": 0.6, "grey": 0.4},
    25: {"white": 0.5, "oedema": 0.5},  # lesions of the white matter
    516: {"marrow": 1.0},
    DURA: {"dura": 1.0},
    FAT: {"fat": 1.0},
}
#: What other ids are: inside the brain, and outside.
OTHER_INSIDE, OTHER_OUTSIDE = {"grey": 1.0}, {"muscle": 1.0}

#: Space around the brain that is deformed with it: a turn must not cut it off.
MARGIN_MM = 25.0
#: Standard deviation of the blur that mixes tissues at their borders, in voxels.
PARTIAL_VOLUME_VOXELS = 0.6
#: Dura lines the skull; its thickness at most, in mm, and the distance over which it changes.
DURA_MM, DURA_SCALE_MM = 2.0, 25.0
#: Distance over which the rim that stripping leaves changes, and by which share of it.
RIM_SCALE_MM, RIM_CHANGE = 20.0, 0.5
#: Distance of the nodes of the field that divides fat from muscle.
LAYER_MM = 6.0
#: Structures of one tissue differ by this standard deviation of the logarithm of their signal.
STRUCTURE_CONTRAST = 0.02
#: Fully random intensities of tissues: least and most, and the least contrast of the tissues in t1c.
RANDOM_RANGE, T1C_CONTRAST = (0.15, 1.0), 0.45
#: Distances of the nodes of the texture inside tissues in mm: fine, and from region to region.
TEXTURE_MM = (2.0, 15.0)
#: Least and most that small vessels show of their share, one number per study: some scans hardly show them.
VESSEL_STRENGTH = (0.3, 1.0)
#: Share of the thick slices that are axial.
AXIAL_SHARE = 0.7
#: Smallest intensity inside the brain: 0 is background.
SMALLEST = 1e-3 * WHITE_LEVEL


class PaintingOptions(DeformationOptions):
    """How hosts that are painted from label maps vary; the only home of these defaults."""

    #: Less than of heads for brain extraction: scans lie almost straight, and a training turns and zooms them further.
    rotation_degrees: Annotated[float, Field(ge=0, le=45)] = 12.0
    zoom_min: Annotated[float, Field(gt=0)] = 0.9
    zoom_max: Annotated[float, Field(gt=0)] = 1.1
    #: Share of studies in which stripping left a rim outside the brain, and how wide it is at most.
    badly_stripped: Share = 0.5
    rim_max_mm: Annotated[float, Field(ge=0, le=10)] = 4.0
    #: Share of the other studies in which stripping took some of the brain's surface, and how much.
    eroded: Share = 0.2
    erosion_mm: Annotated[float, Field(ge=0, le=5)] = 1.0
    #: Share of studies with a random factor on each tissue in each sequence; standard deviation of its logarithm.
    random_factor: Share = 0.4
    factor_log_std: Annotated[float, Field(ge=0, le=1)] = 0.08
    #: Share of studies with a random intensity of each tissue in each sequence.
    random_intensity: Share = 0.15
    #: Unevenness inside tissues: standard deviation of the signal, at most, as a share of it.
    texture_max: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    #: Standard deviation of the logarithm of the coil's intensity drift, at most, and the distance of its nodes.
    drift_max: Annotated[float, Field(ge=0, le=1)] = 0.25
    drift_min_mm: Annotated[float, Field(gt=0)] = 50.0
    drift_max_mm: Annotated[float, Field(gt=0)] = 120.0
    #: Standard deviation of the noise, at most, as a share of the median of the brain.
    noise_max: Annotated[float, Field(ge=0, le=1)] = 0.06
    blur_max_mm: Annotated[float, Field(ge=0)] = 0.6
    #: Share of sequences in thick slices, and how thick.
    thick: Share = 0.3
    thick_min_mm: Annotated[float, Field(gt=0)] = 2.0
    thick_max_mm: Annotated[float, Field(gt=0)] = 6.0


def painted_host(head: LabelMapHead, rng: Rng, *, name: str, options: PaintingOptions | None = None) -> HostScan:
    """Return a host of one study: the head deformed at random, in random contrast, without blur, drift and noise.

    Args:
        head: provides the anatomy, in cubic voxels.
        rng: where all random numbers come from.
        name: of the host.
        options: how much varies; None: the defaults.
    Returns:
        A host with the sequences t1n, t1c, t2w and t2f, without a tumour.
    Raises:
        InputError: ``input.geometry``, voxels that are not cubes; ``input.brain_mask``, nothing is left of the brain.
    """
    options = options or PaintingOptions()
    around = _around_brain(head, name)
    labels, brain = deformed_labels(with_large_vessels(around, rng), rng, options)
    spacing = float(spacing_mm(head.affine)[0])
    labels = _with_layers(labels, spacing, rng)
    kept = _stripped(labels, brain, spacing, rng, options)
    extent = bounding_box(kept)
    if extent is None or not (kept & brain).any():
        raise InputError(
            "stripping leaves nothing of the brain",
            where=name,
            expected="a brain that is larger than what is eroded",
            cure="lower erosion_mm",
            code="input.brain_mask",
        )
    box = grown(extent, 2, kept.shape)
    x, y, z = (int(side.start) for side in box)
    canvas = Canvas(brain.shape, (x, y, z), around.affine)
    labels, brain, kept = labels[box], brain[box], kept[box]
    shares = {tissue: _mixed(labels, _amounts(labels, tissue)) for tissue in HOST_TISSUES}
    vessels = _vessels(shares["fluid"], brain, spacing, rng)
    levels = _levels(rng, options)
    images = _images(labels, vessels, levels, spacing, rng, options)
    return HostScan(
        name,
        canvas,
        {sequence: np.where(kept, np.maximum(image, SMALLEST), 0) for sequence, image in images.items()},
        stepped_affine(around.affine, start=[x, y, z]),
        kept,
        kept & brain,
        {tissue: share * (1 - vessels) * kept for tissue, share in shares.items()},
        {sequence: {tissue: level[tissue] for tissue in HOST_TISSUES} for sequence, level in levels.items()},
    )


def acquired(
    images: Mapping[str, FloatArray], host: HostScan, rng: Rng, *, options: PaintingOptions | None = None
) -> dict[str, FloatArray]:
    """Return noise-free images of a painted host as a scanner shows them: drift, blur, thick slices, noise.

    Args:
        images: sequence to (X, Y, Z), with lesions; not changed.
        host: what they were inserted into.
        rng: where all random numbers come from.
        options: how much; None: the defaults.
    Returns:
        Sequence to (X, Y, Z) float32, positive in the brain and 0 outside.
    """
    options = options or PaintingOptions()
    inside = host.brain.astype(np.float32)
    found = {}
    for name, image in images.items():
        drift = bias_field(
            image.shape,
            strength=rng.uniform(0, options.drift_max),
            scale_voxels=rng.uniform(options.drift_min_mm, options.drift_max_mm) / host.spacing,
            rng=rng,
        )
        blur, thickness, axis = rng.uniform(0, options.blur_max_mm) / host.spacing, 0.0, 2
        if rng.random() < options.thick:
            thickness = rng.uniform(options.thick_min_mm, options.thick_max_mm) / host.spacing
            axis = 2 if rng.random() < AXIAL_SHARE else int(rng.integers(2))
        # Divided by what the mask becomes, so that the background does not darken the surface.
        seen = _resolved(image * drift, blur, thickness, axis) / np.maximum(
            _resolved(inside, blur, thickness, axis), 0.05
        )
        noise = rng.uniform(0, options.noise_max) * float(np.median(seen[host.brain]))
        found[name] = np.where(host.brain, np.maximum(rician_noise(seen, noise, rng), np.float32(SMALLEST)), 0)
    return {name: np.asarray(image, dtype=np.float32) for name, image in found.items()}


def _resolved(image: FloatArray, blur: float, thickness: float, axis: int) -> FloatArray:
    """Return an image blurred by ``blur`` voxels, and in slices of ``thickness`` voxels unless that is 0."""
    smooth = np.asarray(ndimage.gaussian_filter(image, blur), dtype=np.float32)
    return thick_slices(smooth, axis, thickness) if thickness > 0 else smooth


def _around_brain(head: LabelMapHead, name: str) -> LabelMapHead:
    """Return the head without what lies far from the brain."""
    sides = np.asarray(spacing_mm(head.affine))
    if np.ptp(sides) > CUBE_TOLERANCE_MM:
        raise InputError(
            "the label map has no cubic voxels",
            where=name,
            expected="voxels of equal sides",
            got=" x ".join(f"{side:.3g}" for side in sides) + " mm",
            cure="resample the label map to cubic voxels with nearest-neighbour interpolation",
            code="input.geometry",
        )
    extent = bounding_box(head.brain)
    assert extent is not None  # load_label_map has seen to it
    box = grown(extent, int(np.ceil(MARGIN_MM / sides[0])), head.brain.shape)
    affine = stepped_affine(head.affine, start=[side.start for side in box])
    return replace(head, labels=head.labels[box], brain=head.brain[box], affine=affine)


def _with_layers(labels: Labels, spacing: float, rng: Rng) -> Labels:
    """Return labels with dura on the inner surface of the skull, and soft tissue divided into fat and muscle."""
    outside = (labels >= FIRST_OUTSIDE) & ~np.isin(labels, (ARTERY, VEIN, DURA))
    inner = (labels > 0) & (labels < FIRST_OUTSIDE)
    found = labels.copy()
    unknown = outside & ~np.isin(labels, list(MIXTURES))
    found[unknown & (smooth_field(labels.shape, scale_voxels=LAYER_MM / spacing, rng=rng) > 0)] = FAT
    # Thick where the smooth field is high: one layer of voxels, or as many as DURA_MM takes.
    thick = smooth_field(labels.shape, scale_voxels=DURA_SCALE_MM / spacing, rng=rng) > 0
    one = ndimage.binary_dilation(inner)
    more = ndimage.binary_dilation(one, iterations=max(1, round(DURA_MM / spacing) - 1))
    found[outside & (one | (more & thick))] = DURA
    return found


def _stripped(labels: Labels, brain: Mask, spacing: float, rng: Rng, options: PaintingOptions) -> Mask:
    """Return what is left when the skull is off: the brain, with a rim, or without some of its surface."""
    if rng.random() < options.badly_stripped:
        rim = rng.uniform(0, options.rim_max_mm)
        uneven = 1 + RIM_CHANGE * smooth_field(brain.shape, scale_voxels=RIM_SCALE_MM / spacing, rng=rng)
        beyond = ndimage.distance_transform_edt(~brain) * spacing
        return _largest_piece(brain | ((beyond <= rim * uneven) & (labels > 0)))
    if rng.random() < options.eroded:
        return _largest_piece(ndimage.distance_transform_edt(brain) * spacing > options.erosion_mm)
    return _largest_piece(brain)


def _largest_piece(mask: Mask) -> Mask:
    """Return the largest connected piece, as programs that take the skull off do; empty for an empty mask."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((pieces == sizes.argmax()) & mask)


def _mixture(label: int) -> Mapping[str, float]:
    return MIXTURES.get(label, OTHER_INSIDE if label < FIRST_OUTSIDE else OTHER_OUTSIDE)


def _amounts(labels: Labels, tissue: str) -> FloatArray:
    """Return (L,) how much of a tissue each id is."""
    table = [_mixture(label).get(tissue, 0.0) for label in range(int(labels.max()) + 1)]
    table[0] = 0.0
    return np.array(table, dtype=np.float32)


def _mixed(labels: Labels, values: FloatArray) -> FloatArray:
    """Return (X, Y, Z) the value (L,) of each id, mixed at the borders."""
    return np.asarray(ndimage.gaussian_filter(values[labels], PARTIAL_VOLUME_VOXELS), dtype=np.float32)


def _vessels(fluid: FloatArray, brain: Mask, spacing: float, rng: Rng) -> FloatArray:
    """Return (X, Y, Z) the share of small vessels in each voxel."""
    depth = np.asarray(ndimage.distance_transform_edt(brain), dtype=np.float32) * np.float32(spacing)
    hull = np.where(brain, -depth, np.float32(1.0))
    share = small_vessels(fluid, hull, grid=Grid(brain.shape, spacing, (0.0, 0.0, 0.0)), rng=rng)
    return np.asarray(np.float32(rng.uniform(*VESSEL_STRENGTH)) * share, dtype=np.float32)


def _levels(rng: Rng, options: PaintingOptions) -> dict[str, dict[str, float]]:
    """Return sequence to the intensity of each tissue of one study."""
    scanners = SCANNERS["many"]
    protocol = scanners.protocols[int(rng.integers(len(scanners.protocols)))]
    tissues = {name: vary_tissue(tissue, rng, spread=scanners.spread) for name, tissue in TISSUES.items()}
    any_intensity, factors = rng.random() < options.random_intensity, rng.random() < options.random_factor
    levels = {}
    for name in SEQUENCES:
        timing = vary_sequence(protocol[name], rng, spread=scanners.spread)
        signals = {tissue: signal(item, timing) for tissue, item in tissues.items()}
        if any_intensity:
            level = _random_level(name, signals, timing, rng)
        else:
            spread = options.factor_log_std if factors else 0.0
            white = signals["white"]
            level = {
                t: WHITE_LEVEL * value / white * float(np.exp(rng.normal(0, spread))) for t, value in signals.items()
            }
        levels[name] = level
    return levels


def _random_level(name: str, signals: Mapping[str, float], timing: Sequence, rng: Rng) -> dict[str, float]:
    """Return random intensities of fluid, grey and white matter; those of the others lie where physics puts them."""
    values = WHITE_LEVEL * rng.uniform(*RANDOM_RANGE, len(HOST_TISSUES))
    if name == "t1c":
        # In the order of the model and apart from each other, so that what enhances is brighter than all of them.
        values = np.sort(values)
        values[-1] = max(values[-1], values[0] + T1C_CONTRAST * WHITE_LEVEL)
    host = dict(zip(HOST_TISSUES, values.tolist(), strict=True))
    others = {
        tissue: on_host_scale(value, timing, host) * float(np.exp(rng.normal(0, RANDOM_CONTRAST)))
        for tissue, value in signals.items()
    }
    return others | host


def _images(
    labels: Labels,
    vessels: FloatArray,
    levels: Mapping[str, Mapping[str, float]],
    spacing: float,
    rng: Rng,
    options: PaintingOptions,
) -> dict[str, FloatArray]:
    """Return sequence to the noise-free image (X, Y, Z), the surroundings of the brain included."""
    amounts = np.stack([_amounts(labels, tissue) for tissue in TISSUES])
    texture = np.zeros(labels.shape, dtype=np.float32)
    for scale, strength in zip(TEXTURE_MM, rng.uniform(0, options.texture_max, len(TEXTURE_MM)), strict=True):
        texture += np.float32(strength) * smooth_field(labels.shape, scale_voxels=max(scale / spacing, 1.0), rng=rng)
    images = {}
    for name, level in levels.items():
        table = np.array([level[tissue] for tissue in TISSUES]) @ amounts
        table *= np.exp(rng.normal(0, STRUCTURE_CONTRAST, len(table)))
        image = _mixed(labels, table.astype(np.float32)) * (1 + np.float32(TEXTURE_WEIGHT[name]) * texture)
        images[name] = np.asarray(image + vessels * (np.float32(level["vessel"]) - image), dtype=np.float32)
    return images
