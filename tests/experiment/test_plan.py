"""From a folder of volumes to a recipe that training takes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from metseg.errors import InputError
from metseg.experiment.dataset_fingerprint import case_facts, compute_fingerprint
from metseg.experiment.plan import plan_experiment, plan_rows
from metseg.io.case_discovery import find_cases
from metseg.preprocess.pipeline import prepare
from metseg.recipe import DataPart, load_recipe

SPACINGS = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 2.0))
METS = DataPart(labels="brats-met-2023", modalities=("t1c", "t2f"))


def write(folder: Path, name: str, data: np.ndarray, spacing: tuple[float, ...], *, flip: bool = False) -> None:
    affine = np.diag([*spacing, 1.0])
    image = nibabel.Nifti1Image(data, affine)
    if flip:  # stored with the axes in another order: fingerprints must not notice
        image = nibabel.as_closest_canonical(image).slicer[::-1, :, :]
        image = nibabel.Nifti1Image(np.asarray(image.dataobj).transpose(2, 0, 1), image.affine[:, [2, 0, 1, 3]])
    nibabel.save(image, folder / f"{folder.name}-{name}.nii.gz")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three skull-stripped heads of 24 x 30 x 20 voxels in 32 x 36 x 26, each with two lesions."""
    root = tmp_path_factory.mktemp("mets")
    rng = np.random.default_rng(0)
    for number, spacing in enumerate(SPACINGS):
        folder = root / f"BraTS-MET-{number:05d}-000"
        folder.mkdir()
        brain = np.zeros((32, 36, 26), np.float32)
        brain[4:28, 3:33, 3:23] = rng.normal(100, 5, (24, 30, 20)).clip(50)
        labels = np.zeros(brain.shape, np.uint8)
        labels[10:14, 10:14, 10:12] = 3
        labels[11:13, 11:13, 10:12] = 1
        labels[20, 20, 15] = 3
        flip = number == 1
        write(folder, "t1c", brain + 80 * (labels == 3), spacing, flip=flip)
        write(folder, "t2f", 2 * brain, spacing, flip=flip)
        if number:
            write(folder, "t1n", brain, spacing, flip=flip)
        write(folder, "seg", labels, spacing, flip=flip)
    return root


def test_facts_of_a_case_by_hand(studies: Path) -> None:
    facts = [case_facts(source.load(), METS) for source in find_cases(studies, METS)]
    assert [case.shape for case in facts] == [(24, 30, 20)] * 3
    assert [case.spacing_mm for case in facts] == [*SPACINGS]
    assert [case.region for case in facts] == ["nonzero"] * 3
    assert all(case.one_grid for case in facts)
    assert facts[0].share_kept == pytest.approx(24 * 30 * 20 / (32 * 36 * 26))
    assert facts[0].class_voxels == {1: 8, 3: 32 - 8 + 1}
    assert sorted(facts[0].lesions_ml) == pytest.approx([0.001, 0.032])
    assert sorted(facts[2].lesions_ml) == pytest.approx([0.002, 0.064])
    assert facts[0].intensities["t2f"]["mean"] == pytest.approx(200, abs=0.5)
    assert facts[0].intensities["t2f"]["deviation"] == pytest.approx(10, abs=0.5)
    assert facts[0].intensities["t2f"]["median"] == pytest.approx(200, abs=0.5)


def test_a_case_that_cannot_be_read_is_told_and_left_out(studies: Path, tmp_path: Path) -> None:
    data = METS.model_copy(update={"modalities": ("t1n",)})
    fingerprint = compute_fingerprint(find_cases(studies, data), data, quiet=True)
    assert len(fingerprint.cases) == 2
    assert list(fingerprint.problems) == ["BraTS-MET-00000-000"]
    assert "lacks t1n" in fingerprint.problems["BraTS-MET-00000-000"]
    nowhere = METS.model_copy(update={"modalities": ("adc",)})
    with pytest.raises(InputError, match="lacks adc"):
        compute_fingerprint(find_cases(studies, nowhere), nowhere, quiet=True)


def test_pictures_cannot_be_planned_from(tiny_slices: Path) -> None:
    with pytest.raises(InputError, match="have no pixel size") as caught:
        plan_experiment(tiny_slices, quiet=True)
    assert caught.value.code == "input.no_affine"


def test_the_recipe_says_what_follows_and_its_steps_run(studies: Path) -> None:
    plan = plan_experiment(studies, quiet=True, memory_gb=0.2)
    recipe = plan.recipe
    assert recipe.data.modalities == ("t1c", "t2f")
    assert recipe.data.labels == "brats-met-2023"
    assert recipe.data.dimensions == 3
    assert [step.name for step in recipe.preprocess] == ["brain_mask", "reorient", "crop_to_head", "resample", "zscore"]
    assert plan.topology.spacing_mm == (1.0, 1.0, 1.0)
    assert plan.topology.median_shape == (24, 30, 20)
    # 24 -> 12 -> 6, 30 -> 15 -> 7.5, 20 -> 10 -> 5: two halvings, and multiples of 4.
    assert recipe.model.options["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
    assert recipe.train.patch_size == (24, 32, 20)
    assert any(note.startswith("t1n is left out: only 2 of 3") for note in plan.notes)
    case = find_cases(studies, recipe.data)[2].load()
    prepared = prepare(case, recipe)
    assert prepared.image.shape == (2, 24, 30, 40)
    rows = dict(plan_rows(plan))
    assert rows["classes"] == "NETC in 3 cases, SNFH in 0 cases, ET in 3 cases"
    assert rows["lesions"].startswith("6, 2.0 a case")
    assert rows["patch"] == "24 x 32 x 20"


@pytest.mark.parametrize("network", ["dynunet", "resenc_unet"])
def test_training_takes_the_recipe_that_the_command_writes(studies: Path, tmp_path: Path, network: str) -> None:
    import torch

    from metseg.cli import app
    from metseg.model import build_from_recipe
    from metseg.training.recipe_validation import validate_recipe

    out = tmp_path / "mine.toml"
    call = ["plan", str(studies), "--out", str(out), "--network", network, "--memory", "0.2", "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["topology"]["patch_size"] == [24, 32, 20]
    recipe = load_recipe(out)
    assert recipe.name == "mine"
    validate_recipe(recipe)
    network_built = build_from_recipe(recipe).eval()
    with torch.inference_mode():
        assert network_built(torch.zeros(1, 2, *recipe.train.patch_size)).shape == (1, 4, 24, 32, 20)


def test_the_command_prints_a_table(studies: Path, tmp_path: Path) -> None:
    from metseg.cli import app

    result = CliRunner().invoke(app, ["plan", str(studies), "--out", str(tmp_path / "plan.toml"), "--labels", "binary"])
    assert result.exit_code == 0, result.output
    assert "target spacing, mm" in result.stdout
    assert "t1n is left out" in result.stdout
    assert load_recipe(tmp_path / "plan.toml").data.labels == "binary"


@pytest.mark.real
def test_a_clinical_study_whose_images_hardly_fit_is_planned_for(real_data: Path) -> None:
    """Its FLAIR and T1c fit by coordinates alone at 1.020, below what a training asks for."""
    data = DataPart(modalities=("t1c", "t2f"), labels="binary")
    fingerprint = compute_fingerprint(find_cases(real_data / "raw_clinical_glioma", data), data, quiet=True)
    assert len(fingerprint.cases) == 1
    assert not fingerprint.cases[0].one_grid
