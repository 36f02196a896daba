"""Studies that ask for the uncertainty and for Grad-CAM: maps, ranges of sizes, and the grade or why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.bundle_folder import checksums
from metseg.errors import UsageError
from metseg.grade_record import NO_GLIOMAS
from metseg.inference.explanation.explain_case import CaseExplainer
from metseg.lesion import Lesion
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import Named
from metseg.schemas import Facts, Phase
from metseg.serve.jobs.phases.job import Job, JobCache
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.phases.phase_table import run_phase
from metseg.serve.jobs.phases.preprocess_phase import the_prepared
from metseg.serve.model_registry import models
from metseg.serve.settings import load_settings
from metseg.serve.storage.artifact_names import is_artifact

#: Fold 1 marks what is brighter than 260: of the two lesions of a study, 300 and 250, the first one only.
HIGHER = 260.0


@pytest.fixture(params=["bright-two", "bright-pictures"])
def folds(request: pytest.FixtureRequest, home: Path) -> str:
    """Return the name of a model of two folds that differ in what is bright enough."""
    import torch

    folder = home / "bundles" / request.param
    first, second = load_bundle(folder), load_bundle(folder)
    with torch.no_grad():
        last = list(second.networks[0].parameters())[-1]
        last.fill_(-0.1 * HIGHER)
    save_bundle(
        home / "bundles" / "folds",
        networks=[first.networks[0], second.networks[0]],
        recipe=first.recipe.model_copy(update={"name": "folds"}),
        card="# folds\n",
        metrics={"dice": 0.5},
    )
    return str(request.param)


def run_all(job: Job, *, anew: bool) -> dict[Phase, Any]:
    outcomes = {}
    for phase in Phase:
        if anew:
            job = replace(job, cache=JobCache(), models=Models(kept=1, device="cpu"))
        outcomes[phase] = run_phase(phase, job)
    return outcomes


@pytest.mark.parametrize("anew", [False, True])
def test_maps_and_ranges(
    folds: str,
    anew: bool,
    make_job: Callable[..., Job],
    volume_files: list[Any],
    picture_files: Callable[[int], list[Any]],
) -> None:
    is_volume = folds == "bright-two"
    job = make_job(volume_files if is_volume else picture_files(2), "folds", uncertainty=True, explanation=True)
    outcomes = run_all(job, anew=anew)
    artifacts = job.folder.artifacts
    deviation, cam = (nibabel.load(artifacts / f"{name}.nii.gz").get_fdata() for name in ("uncertainty", "gradcam"))
    probability = nibabel.load(artifacts / "probability.nii.gz").get_fdata()
    assert deviation.shape == cam.shape == probability.shape
    assert 0 < deviation.max() <= 0.5
    assert cam.max() == pytest.approx(1)
    lesions = [Lesion.model_validate(lesion) for lesion in outcomes[Phase.MEASURE].lesions]
    assert [lesion.range_predictions for lesion in lesions] == [2] * len(lesions)
    if is_volume:
        image = nibabel.load(artifacts / "image.nii.gz").get_fdata()
        chances = [1 / (1 + np.exp(-0.1 * (image - bright))) for bright in (200.0, HIGHER)]
        np.testing.assert_allclose(deviation, np.std(chances, axis=0), atol=2e-3)
        assert [(lesion.voxels, lesion.voxels_range) for lesion in lesions] == [(27, (27, 27)), (8, (0, 8))]
        assert lesions[1].volume_ml_range == (0.0, 0.016)
        assert not list(artifacts.glob("gradcam-*"))
    else:
        for z in range(2):
            for name, values in (("uncertainty", deviation), ("gradcam", cam)):
                pixels = np.asarray(Image.open(artifacts / f"{name}-{z + 1}.png")).astype(np.uint16)
                np.testing.assert_allclose(pixels.T / 65535, values[:, :, z], atol=1e-4)
    page = (artifacts / "report.html").read_text()
    assert "Range: the smallest and the largest size of the lesion in 2 predictions" in page
    assert "volume_ml_low" in (artifacts / "lesions.csv").read_text().splitlines()[0]


@pytest.fixture(params=["bright-two", "bright-pictures"])
def gated(request: pytest.FixtureRequest, home: Path) -> str:
    """Return the kind of the study of the model ``gated``, which has two gates."""
    import torch

    from metseg.model import build_from_recipe

    first = load_bundle(home / "bundles" / request.param).recipe
    model = Named(name="gated_unet", channels=[4, 4, 8])
    recipe = first.model_copy(update={"name": "gated", "model": model})
    torch.manual_seed(0)
    network = build_from_recipe(recipe).eval()
    save_bundle(home / "bundles" / "gated", networks=[network], recipe=recipe, card="# gated\n", metrics={})
    return str(request.param)


@pytest.mark.parametrize("explanation", [True, False])
def test_gates_have_maps_where_the_model_has_gates(
    gated: str,
    explanation: bool,
    make_job: Callable[..., Job],
    volume_files: list[Any],
    picture_files: Callable[[int], list[Any]],
    home: Path,
) -> None:
    is_volume = gated == "bright-two"
    job = make_job(volume_files if is_volume else picture_files(2), "gated", explanation=explanation)
    for phase in (Phase.RECEIVE, Phase.READ, Phase.PREPROCESS):
        run_phase(phase, job)
    prepared = the_prepared(job)
    run_phase(Phase.PREDICT, job)
    written = sorted(path.name for path in job.folder.artifacts.glob("attention-*"))
    pictures = [] if is_volume else [f"attention-{level}-{number}.png" for level in (1, 2) for number in (1, 2)]
    names = [*pictures, *(f"attention-{level}.nii.gz" for level in (1, 2))]
    assert written == (sorted(names) if explanation else [])
    assert all(is_artifact(name) for name in names)
    if not explanation:
        return
    expected = CaseExplainer(load_bundle(home / "bundles" / "gated")).maps(prepared)
    for level in (1, 2):
        values = nibabel.load(job.folder.artifacts / f"attention-{level}.nii.gz").get_fdata()
        np.testing.assert_allclose(values, expected[f"attention-{level}"], atol=1e-4)
        assert 0 < values.min() < values.max() < 1


def test_models_say_how_many_gates_they_have(gated: str) -> None:
    counts = {model.name: model.gates for model in models(load_settings())}
    assert counts == {"bright-pictures": 0, "bright-t1c": 0, "bright-two": 0, "gated": 2}


def test_a_model_of_a_package_that_is_not_there_is_still_listed(home: Path) -> None:
    recipe = load_bundle(home / "bundles" / "bright-two").recipe
    foreign = recipe.model_copy(update={"name": "foreign", "model": Named(name="elsewhere")})
    folder = home / "bundles" / "bright-two"
    (folder / "recipe.toml").write_text(foreign.to_toml())
    (folder / "sha256").write_text(checksums(folder))
    (listed,) = (model for model in models(load_settings()) if model.name == "bright-two")
    assert listed.gates == 0


def test_nothing_of_it_without_the_options(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    job = make_job(volume_files, "bright-two")
    outcomes = run_all(job, anew=False)
    assert not [
        path.name
        for path in job.folder.artifacts.iterdir()
        if path.name.startswith(("uncertainty", "gradcam", "attention"))
    ]
    assert outcomes[Phase.MEASURE].lesions[0]["voxels_range"] is None


def test_without_gliomas_the_reason_stands_in_document_and_facts_and_the_report_has_no_line(
    make_job: Callable[..., Job], volume_files: list[Any]
) -> None:
    job = make_job(volume_files, "bright-two")
    outcomes = run_all(job, anew=False)
    document = json.loads((job.folder.artifacts / "lesions.json").read_text())
    assert document["no_grade"] == NO_GLIOMAS
    assert "grade" not in document
    facts = Facts.model_validate(outcomes[Phase.MEASURE].facts)
    assert (facts.grade, facts.no_grade) == (None, NO_GLIOMAS)
    report = (job.folder.artifacts / "report.html").read_text()
    assert "Preprocessing" in report
    assert "Tumour grade" not in report


def test_the_uncertainty_uses_mirror_images_where_training_had_them(home: Path) -> None:
    folder = home / "bundles" / "bright-two"
    bundle = load_bundle(folder)
    flipped = bundle.recipe.model_copy(update={"augment": (Named(name="flip", axes=[0, 1]),)})
    save_bundle(home / "bundles" / "flipped", networks=bundle.networks, recipe=flipped, card="#\n", metrics={})
    models = Models(kept=3, device="cpu")
    with pytest.raises(UsageError, match="this model makes one"):
        models.get("bright-two", uncertainty=True)
    measuring, plain = models.get("flipped", uncertainty=True), models.get("flipped")
    assert (measuring.predictor.views, plain.predictor.views) == (4, 1)
    assert models.get("flipped", uncertainty=True) is measuring  # both stay in memory
