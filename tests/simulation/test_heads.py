"""Heads painted from label maps: geometry and truth, and what the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.io import find_cases
from metseg.simulation.heads.head_dataset import simulate_heads
from metseg.simulation.heads.label_map_head import FLUID_MM, HeadOptions, load_label_map, random_head

#: FreeSurfer's ids of what the little head is made of, from the inside: white matter, cortex, fluid, bone, skin.
WHITE, CORTEX, FLUID, BONE, SKIN = 41, 42, 24, 515, 507
RADII = {SKIN: 38.0, BONE: 34.0, FLUID: 31.0, CORTEX: 28.0, WHITE: 24.0}
#: Nothing moves, nothing is cut off, nothing disturbs.
NOTHING = ("rotation_degrees", "elastic_mm", "lesions", "bias", "noise", "blur_mm", "thick", "cropped", "clean_air")
STILL = HeadOptions(zoom_min=1, zoom_max=1, **dict.fromkeys(NOTHING, 0))


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    """Return the file of a round head of 1 mm voxels whose axes point left, down and to the front."""
    x, y, z = np.indices((96, 90, 84)) - np.array([48, 45, 42])[:, None, None, None]
    distance = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(distance.shape, dtype=np.int16)
    for label, radius in RADII.items():
        labels[distance < radius] = label
    affine = np.array([[-1.0, 0, 0, 48], [0, 0, 1, -42], [0, -1, 0, 45], [0, 0, 0, 1]])
    path = tmp_path / "maps" / "person_1.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def test_a_label_map_is_turned_and_its_brain_is_cortex_what_it_encloses_and_a_layer_of_fluid(label_map: Path) -> None:
    head = load_label_map(label_map)
    assert nib.aff2axcodes(head.affine) == ("R", "A", "S")
    assert set(np.unique(head.labels)) == {0, 2, 3, FLUID, BONE, SKIN}  # right ids became left ones
    assert head.brain.sum() == pytest.approx(4 / 3 * np.pi * (RADII[CORTEX] + FLUID_MM) ** 3, rel=0.03)
    centre = np.argwhere(head.brain).mean(axis=0) @ head.affine[:3, :3].T + head.affine[:3, 3]
    np.testing.assert_allclose(centre, 0, atol=0.1)


def test_narrow_gaps_of_the_brain_belong_to_it_and_wide_ones_do_not(label_map: Path) -> None:
    file = nib.load(label_map)
    labels = np.asarray(file.dataobj).copy()
    labels[:, 43:47, 42:][labels[:, 43:47, 42:] < FLUID] = FLUID
    labels[:, 43:47, 42:][np.isin(labels[:, 43:47, 42:], (WHITE, CORTEX))] = FLUID  # 4 mm wide
    narrow = label_map.with_name("narrow.nii.gz")
    nib.save(nib.Nifti1Image(labels, file.affine), narrow)
    whole, split = load_label_map(label_map).brain.sum(), load_label_map(narrow).brain.sum()
    assert split == pytest.approx(whole, rel=0.03)
    half = np.asarray(file.dataobj).copy()
    half[48:][np.isin(half[48:], (WHITE, CORTEX))] = FLUID
    wide = label_map.with_name("wide.nii.gz")
    nib.save(nib.Nifti1Image(half, file.affine), wide)
    assert load_label_map(wide).brain.sum() < 0.6 * whole


@pytest.mark.parametrize("keep", [(WHITE, CORTEX, FLUID), (BONE, SKIN)])
def test_a_map_without_a_head_around_a_brain_is_refused(label_map: Path, keep: tuple[int, ...]) -> None:
    file = nib.load(label_map)
    labels = np.where(np.isin(np.asarray(file.dataobj), keep), np.asarray(file.dataobj), 0).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, file.affine), label_map)
    with pytest.raises(InputError, match="brain with a head around it") as caught:
        load_label_map(label_map)
    assert caught.value.code == "input.labels"


def test_a_head_that_nothing_moves_is_the_map_in_coarser_voxels(label_map: Path) -> None:
    head = load_label_map(label_map)
    made = random_head(head, np.random.default_rng(0), options=STILL)
    assert made.image.shape == made.brain.shape == tuple(size // 2 for size in head.labels.shape)
    assert made.brain.sum() * 8 == pytest.approx(head.brain.sum(), rel=0.02)
    centre = np.argwhere(made.brain).mean(axis=0) @ made.affine[:3, :3].T + made.affine[:3, 3]
    np.testing.assert_allclose(centre, 0, atol=0.5)
    assert made.image.min() >= 0
    assert np.isfinite(made.image).all()


def test_lesions_change_the_image_and_not_the_truth(label_map: Path) -> None:
    head = load_label_map(label_map)
    with_lesions = STILL.model_copy(update={"lesions": 1.0, "lesion_min_mm": 8.0, "lesion_max_mm": 12.0})
    plain, marked = (random_head(head, np.random.default_rng(1), options=options) for options in (STILL, with_lesions))
    np.testing.assert_array_equal(plain.brain, marked.brain)
    differs = np.abs(plain.image - marked.image) > 1e-4
    assert differs[marked.brain].any()
    # Voxels of 2 mm at the border of the brain are a mixture.
    inside = np.pad(marked.brain, 1)
    near = np.any([np.roll(inside, step, axis) for axis in range(3) for step in (-1, 0, 1)], axis=0)[1:-1, 1:-1, 1:-1]
    assert not differs[~near].any()


def test_heads_vary_and_stay_true(label_map: Path) -> None:
    head = load_label_map(label_map)
    made = [random_head(head, np.random.default_rng(seed)) for seed in range(4)]
    assert len({item.image.shape for item in made} | {float(item.image.mean()) for item in made}) > 4
    for item in made:
        assert item.brain.any()
        assert item.image.dtype == np.float32
        np.testing.assert_allclose(np.abs(np.linalg.det(item.affine[:3, :3])), 8, rtol=1e-6)


def test_the_command_writes_a_data_set_that_a_training_reads(label_map: Path, tmp_path: Path, run_metseg) -> None:
    out = tmp_path / "heads"
    result = run_metseg("simulate-heads", out, "--label-maps", label_map.parent, "--heads", 3, "--json")
    assert result.status == 0, result.err
    rows = json.loads(result.out)["heads"]
    assert [row["head"] for row in rows] == ["person1v0000", "person1v0001", "person1v0002"]
    sources = find_cases(out, modalities=("mri",), patient_pattern=r"(person\d+)v")
    assert [source.patient for source in sources] == ["person1"] * 3
    case = sources[0].load()
    assert case.labels is not None
    assert case.labels.data.sum() * 8 / 1000 == pytest.approx(rows[0]["brain_ml"])
    again = run_metseg("simulate-heads", out, "--label-maps", label_map.parent, "--heads", 3)
    assert again.status == 2
    assert "--resume" in again.err


def test_heads_are_the_same_for_any_number_of_them(label_map: Path, tmp_path: Path) -> None:
    few, more = tmp_path / "few", tmp_path / "more"
    simulate_heads(few, label_map.parent, heads=1, options=STILL, quiet=True)
    simulate_heads(more, label_map.parent, heads=2, options=STILL, quiet=True)
    simulate_heads(few, label_map.parent, heads=2, options=STILL, resume=True, quiet=True)
    for name in ("imagesTr/person1v0000_0000.nii.gz", "labelsTr/person1v0001.nii.gz"):
        assert (few / name).read_bytes() == (more / name).read_bytes()
    with pytest.raises(UsageError, match="other options") as caught:
        simulate_heads(few, label_map.parent, heads=2, seed=1, options=STILL, resume=True, quiet=True)
    assert caught.value.code == "usage.output_exists"


def test_a_folder_without_label_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no label map"):
        simulate_heads(tmp_path / "out", tmp_path, heads=1)
    assert not (tmp_path / "out").exists()
