"""Edits of findings as arrays, without a service."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import UsageError
from metseg.serve.versions.editing import apply_edits, replace_by_mask, with_joined
from metseg.serve.versions.findings import Findings, StudyPixels, compare, measure_draft, number_lesions
from metseg.version_schemas import AddEdit, LesionEdit, LesionState, VersionLesion

#: A lesion of 27 voxels, and beside it a region that the model gives a probability of 0.3.
LESION, RIM, APART = np.s_[4:7, 4:7, 4:7], np.s_[7:9, 4:7, 4:7], np.s_[12:14, 12:14, 12:14]
SHAPE = (20, 20, 20)


def pixels(scheme: str = "binary", affine: np.ndarray | None = None) -> StudyPixels:
    probability = np.zeros(SHAPE, np.float32)
    probability[LESION], probability[RIM], probability[APART] = 0.9, 0.3, 0.3
    affine = np.eye(4) if affine is None else affine
    return StudyPixels(np.ones(SHAPE, np.int16), probability, affine, scheme, 0.5)


def findings(study: StudyPixels, value: int = 1) -> Findings:
    labels = np.zeros(SHAPE, np.uint8)
    labels[LESION] = value
    numbers = number_lesions(labels, study)
    name = study.scheme.classes[value]
    table = (VersionLesion(id=1, label=name, voxels=27, centre_voxel=(5, 5, 5), confidence=0.9, state="unreviewed"),)
    return Findings(labels, numbers, table)


def add(*voxel: int, **more: object) -> AddEdit:
    return AddEdit.model_validate({"action": "add", "voxel": voxel, **more})


def test_a_region_beside_a_lesion_becomes_a_part_of_it() -> None:
    study = pixels()
    parent = findings(study)
    draft, grown = apply_edits(parent, [add(8, 5, 5)], study)
    after = measure_draft(draft, parent, study)
    (lesion,) = after.table
    assert (lesion.voxels, lesion.state, lesion.was, lesion.changed) == (45, LesionState.UNREVIEWED, (1,), True)
    assert [(region.voxels, region.joined) for region in with_joined(grown, after)] == [(18, (1,))]
    change = compare(parent, after, study.voxel_ml)
    assert (change.lesions, change.voxels_before, change.voxels, change.gone, change.new) == (1, 27, 45, (), ())
    assert change.dice == pytest.approx(2 * 27 / 72)


def test_a_region_beside_a_rejected_finding_stays_apart() -> None:
    study = pixels()
    parent = findings(study)
    draft, _ = apply_edits(parent, [LesionEdit(action="reject", lesion=1), add(8, 5, 5)], study)
    after = measure_draft(draft, parent, study)
    assert [(lesion.voxels, lesion.state) for lesion in after.table] == [
        (18, LesionState.ADDED),
        (27, LesionState.REJECTED),
    ]
    assert np.count_nonzero(after.mask) == 18
    assert (after.instances[LESION] == 2).all()


@pytest.mark.parametrize(("label", "value"), [(None, 3), ("SNFH", 2)])
def test_of_several_classes_the_most_important_one_is_added(label: str | None, value: int) -> None:
    study = pixels("brats-met-2023")
    draft, (region,) = apply_edits(findings(study), [add(12, 12, 12, label=label)], study)
    assert (draft.labels[APART] == value).all()
    assert region.label == study.scheme.classes[value]


def test_two_points_of_one_region_are_refused() -> None:
    study = pixels()
    with pytest.raises(UsageError, match="an earlier edit added") as caught:
        apply_edits(findings(study), [add(12, 12, 12), add(13, 13, 13)], study)
    assert (caught.value.code, caught.value.where) == ("usage.point", "edits.1")


def test_the_volume_limit_is_in_millilitres() -> None:
    """Voxels of 2 mm: the region of 8 voxels has 0.064 mL."""
    study = pixels(affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    _, (region,) = apply_edits(findings(study), [add(12, 12, 12, max_ml=0.064)], study)
    assert region.volume_ml == pytest.approx(0.064)


def test_a_drawn_lesion_over_a_rejected_one_replaces_it() -> None:
    study = pixels()
    parent = findings(study)
    rejected = measure_draft(apply_edits(parent, [LesionEdit(action="reject", lesion=1)], study)[0], parent, study)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[4:6, 4:7, 4:7] = 1
    after = measure_draft(replace_by_mask(rejected, drawn), rejected, study)
    assert [(lesion.voxels, lesion.state, lesion.was) for lesion in after.table] == [(18, LesionState.ACCEPTED, (1,))]


def test_the_class_of_a_drawn_lesion_counts_as_a_change() -> None:
    study = pixels("brats-met-2023")
    parent = findings(study, 3)
    drawn = parent.labels.copy()
    drawn[5, 5, 5] = 1
    (lesion,) = measure_draft(replace_by_mask(parent, drawn), parent, study).table
    assert (lesion.state, lesion.changed) == (LesionState.ACCEPTED, True)
    (same,) = measure_draft(replace_by_mask(parent, parent.labels), parent, study).table
    assert (same.state, same.changed) == (LesionState.UNREVIEWED, False)
