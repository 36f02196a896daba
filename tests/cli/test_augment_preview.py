"""`metseg inspect --recipe R --augment-preview FILE`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

RECIPE = """
name = "previewed"
preprocess = [{ name = "rescale" }]
augment = [{ name = "flip" }, { name = "noise", probability = 1 }]
model = { name = "unet" }

[data]
channels = ["t1n", "t2f", "t1c"]
"""


@pytest.fixture
def recipe(tmp_path: Path):
    def write(data: str = "") -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE + data, "utf-8")
        return path

    return write


@pytest.fixture
def inspect(run_metseg):
    return lambda *arguments: run_metseg("inspect", *arguments)


def test_the_preview_is_written_beside_the_inspection(inspect, tiny_slices, recipe, tmp_path):
    picture = tmp_path / "new" / "preview.png"
    result = inspect(tiny_slices, "--recipe", recipe(), "--augment-preview", picture)
    assert result.status == 0, result.err
    assert f"augmentation: {picture}" in result.out
    assert "8 patients, 32 slices" in result.out
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.size[0] / image.size[1] == pytest.approx(7 / 4, rel=0.12)  # seven columns, four rows, a header


def test_json_stays_one_document(inspect, tiny_slices, recipe, tmp_path):
    result = inspect(tiny_slices, "--recipe", recipe(), "--augment-preview", tmp_path / "preview.png", "--json")
    assert json.loads(result.out)["patients"] == 8
    assert (tmp_path / "preview.png").exists()


def test_data_are_read_as_the_recipe_says(inspect, tiny_slices, recipe, tmp_path):
    """One patient per slice number: the recipe's pattern, and the option where there is one."""
    options = ("--recipe", recipe(r"patient_pattern = '_(\d)$'"), "--augment-preview", tmp_path / "p.png", "--json")
    assert json.loads(inspect(tiny_slices, *options).out)["patients"] == 4
    document = json.loads(inspect(tiny_slices, *options, "--patient-pattern", r"(P)\d/").out)
    assert document["patients"] == 1


@pytest.mark.parametrize("given", ["--recipe", "--augment-preview"])
def test_one_without_the_other_is_refused(inspect, tiny_slices, recipe, tmp_path, given):
    value = recipe() if given == "--recipe" else tmp_path / "preview.png"
    status, out, err = inspect(tiny_slices, given, value)
    assert (status, out) == (2, "")
    assert "give both --recipe RECIPE and --augment-preview FILE.png" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "preview.png").exists()


def test_a_recipe_that_is_not_there_is_refused(inspect, tiny_slices, tmp_path):
    status, _, err = inspect(tiny_slices, "--recipe", "lgg-fst", "--augment-preview", tmp_path / "preview.png")
    assert status == 2
    assert "Did you mean 'lgg-fast'" in err
