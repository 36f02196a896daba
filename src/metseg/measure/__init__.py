"""Measure lesions: components, boxes, volumes, diameters, centres. Shared by prediction and evaluation."""

from metseg.measure.axial_size import AxialSize, axial_size
from metseg.measure.boxes import Box, bounding_box, grown, instance_boxes, shifted
from metseg.measure.confidence import IDENTITY, ConfidenceMap
from metseg.measure.diameter import (
    axial_axis,
    diameters_mm,
    lesion_diameters_mm,
    longest_axial_diameter_mm,
    longest_diameter_mm,
)
from metseg.measure.dilation import dilated
from metseg.measure.instances import label_instances, label_regions
from metseg.measure.region_growing import Region, grow_region
from metseg.measure.size import (
    LARGEST_BRAIN_ML,
    MM3_PER_ML,
    lesion_centres,
    lesion_volumes_ml,
    lesion_volumes_mm3,
    lesion_voxels,
    mask_volume_ml,
    voxel_volume_mm3,
    voxels_needed,
)
from metseg.measure.typical_voxel import typical_voxel
from metseg.measure.voxel_lists import VoxelGroups, voxel_groups

__all__ = [
    "IDENTITY",
    "LARGEST_BRAIN_ML",
    "MM3_PER_ML",
    "AxialSize",
    "Box",
    "ConfidenceMap",
    "Region",
    "VoxelGroups",
    "axial_axis",
    "axial_size",
    "bounding_box",
    "diameters_mm",
    "dilated",
    "grow_region",
    "grown",
    "instance_boxes",
    "label_instances",
    "label_regions",
    "lesion_centres",
    "lesion_diameters_mm",
    "lesion_volumes_ml",
    "lesion_volumes_mm3",
    "lesion_voxels",
    "longest_axial_diameter_mm",
    "longest_diameter_mm",
    "mask_volume_ml",
    "shifted",
    "typical_voxel",
    "voxel_groups",
    "voxel_volume_mm3",
    "voxels_needed",
]
