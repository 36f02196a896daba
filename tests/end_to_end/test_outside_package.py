"""A package outside the tree adds a network, a metric and a layout: installed, trained, compared, evaluated, loaded."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PACKAGE = Path(__file__).parent / "outside_package"
SOURCE = Path(__file__).parents[2] / "src"

RECIPE = """
name = "{name}"
data = {{ channels = ["t1n", "t2f", "t1c"] }}
preprocess = [{{ name = "rescale" }}]
split = {{ test = 0.4, validation = 0.2 }}
model = {model}
loss = {{ name = "dice_bce" }}

[train]
batch_size = 4
steps_per_epoch = 4
max_steps = 8
learning_rate = 1e-2
workers = 0
precision = "float32"
"""

Metseg = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: object, extra: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, with or without the folder of the installed package."""
    path = os.pathsep.join(str(folder) for folder in (SOURCE, extra) if folder is not None)
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1"}
    words = [sys.executable, "-m", "metseg", *map(str, arguments)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the package was installed into, without index and without build isolation."""
    folder = tmp_path_factory.mktemp("outside")
    sources = shutil.copytree(PACKAGE, folder / "sources")  # a build leaves files beside the sources
    options = ("--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target", folder / "site")
    subprocess.run([sys.executable, "-m", "pip", "install", *map(str, options), str(sources)], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def metseg(installed: Path) -> Metseg:
    """Return a function that runs a command line with the package installed, and expects it to succeed."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        done = command(*arguments, extra=installed)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny_slices: Path) -> Path:
    """Return `tiny_slices` as the package's layout has it."""
    folder = tmp_path_factory.mktemp("kinds_in_names")
    for path in tiny_slices.rglob("*.png"):
        patient, number, *mask = path.stem.split("_")
        shutil.copy(path, folder / f"{patient}.{'truth' if mask else 'image'}.{number}.png")
    return folder


@pytest.fixture(scope="module")
def comparison(metseg: Metseg, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a comparison of the package's network with one of metseg's, and what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    models = {
        "outside": '{ name = "two_convolutions", width = 4 }',
        "inside": '{ name = "unet", channels = [4, 8], blocks = [1, 1] }',
    }
    recipes = [folder / f"{name}.toml" for name in models]
    for path, (name, model) in zip(recipes, models.items(), strict=True):
        path.write_text(RECIPE.format(name=name, model=model), "utf-8")
    done = metseg("compare", *recipes, "--data", data, "--out", folder / "out", "--device", "cpu")
    return folder / "out", done.stdout


def text_of(page: Path) -> str:
    """Return a page without its markup."""
    return re.sub(r"<[^>]+>", " ", page.read_text("utf-8"))


@pytest.mark.slow
def test_it_is_listed_and_its_layout_is_detected(metseg: Metseg, data: Path) -> None:
    assert "two_convolutions" in metseg("models", "architectures").stdout
    assert "`kinds_in_names`" in metseg("recipes", "keys").stdout
    inspection = json.loads(metseg("inspect", data, "--json").stdout)
    assert (inspection["patients"], inspection["slices"], inspection["lesion_slices"]) == (8, 32, 24)


@pytest.mark.slow
def test_it_is_compared_in_the_terminal_and_in_the_report(comparison: tuple[Path, str]) -> None:
    out, printed = comparison
    assert "Volume error (%)" in printed
    assert {"outside", "inside"} <= set(printed.split())
    assert "Volume error (%)" in text_of(out / "report.html")
    assert "Volume error (%)" in (out / "results.md").read_text("utf-8")


@pytest.mark.slow
def test_its_bundle_is_loaded_and_its_metric_evaluated(
    comparison: tuple[Path, str], metseg: Metseg, data: Path, tiny_slices: Path, tmp_path: Path
) -> None:
    (recipe,) = [path for path in comparison[0].rglob("bundle/recipe.toml") if "two_conv" in path.read_text("utf-8")]
    assert "metseg_example" not in recipe.read_text("utf-8")  # the bundle names the network and no more
    predictions, scores = tmp_path / "predictions", tmp_path / "scores"
    metseg("predict", data, "--model", recipe.parent, "--out", predictions, "--device", "cpu")
    printed = metseg("evaluate", "--predictions", predictions, "--truth", tiny_slices, "--out", scores).stdout
    assert "Volume error (%)" in printed
    assert "Volume error (%)" in text_of(scores / "report.html")
    with (scores / "cases.csv").open(encoding="utf-8") as file:
        rows = {row["case"]: float(row["volume_error"]) for row in csv.DictReader(file)}
    assert len(rows) == 8
    for case, found in rows.items():
        true, predicted = (
            sum(int((np.asarray(Image.open(path)) > 0).sum()) for path in folder.rglob(f"{case}_*_mask.png"))
            for folder in (tiny_slices, predictions)
        )
        assert found == pytest.approx(200 * abs(predicted - true) / (predicted + true))


@pytest.mark.slow
def test_without_the_package_the_error_names_the_network(comparison: tuple[Path, str], tmp_path: Path) -> None:
    bundle = next(path for path in comparison[0].rglob("bundle/recipe.toml") if "two_conv" in path.read_text()).parent
    done = command("predict", tmp_path, "--model", bundle, "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 4
    assert "two_convolutions" in done.stderr
    assert "install the package that adds it (entry-point group metseg.models)" in done.stderr


@pytest.mark.slow
def test_an_entry_that_cannot_be_loaded_is_named_with_its_package(installed: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(installed, tmp_path / "site")
    module = broken / "metseg_example" / "two_convolutions.py"
    module.write_text("import no_such_module\n", "utf-8")
    done = command("models", "architectures", extra=broken)
    assert done.returncode == 2
    assert "metseg-example 1.2.3" in done.stderr
    assert "two_convolutions" in done.stderr
    assert "No module named 'no_such_module'" in done.stderr
