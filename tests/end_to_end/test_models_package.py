"""The distribution ``packages/metseg-models-nc``: built, installed beside a metseg without a checkout, found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "packages" / "metseg-models-nc"
NAME = "lgg-flair"

Metseg = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built without index and without build isolation."""
    folder = tmp_path_factory.mktemp("models")
    sources = shutil.copytree(PACKAGE, folder / "sources")  # a build leaves files beside the sources
    options = ("--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", folder / "wheels")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *map(str, options), str(sources)], check=True)
    (built,) = (folder / "wheels").iterdir()
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packages with the wheel and metseg, as installations without a checkout have it."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    options = ("--quiet", "--no-index", "--no-deps", "--target", folder)
    subprocess.run([sys.executable, "-m", "pip", "install", *map(str, options), str(wheel)], check=True)
    shutil.copytree(ROOT / "src" / "metseg", folder / "metseg", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def metseg(site: Path, tmp_path: Path) -> Metseg:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site), "METSEG_HOME": str(tmp_path / "home")}
        words = [sys.executable, "-m", "metseg", *map(str, arguments)]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_wheel_has_the_bundle_and_its_terms(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for path in (ROOT / "bundles" / NAME).iterdir():
            assert archive.read(f"metseg_models_nc/bundles/{NAME}/{path.name}") == path.read_bytes()
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        assert "License-Expression: CC-BY-NC-SA-4.0" in archive.read(metadata).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_its_bundle_is_found_by_name_and_loaded(metseg: Metseg, site: Path) -> None:
    listed = metseg("models", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)[NAME] == str(site / "metseg_models_nc" / "bundles" / NAME)
    verified = metseg("models", "verify", NAME)  # builds the network and loads the weights into it
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith(f"{NAME}: files and weights sound, 1 network(s)")


def test_without_it_the_bundle_is_not_there(metseg: Metseg, site: Path) -> None:
    """Nothing under non-commercial terms is in the package itself; a damaged installation does not break the list."""
    shutil.rmtree(site / "metseg_models_nc")
    listed = metseg("models", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {"mets-sim", "brain-extraction"} <= set(json.loads(listed.stdout))
    assert NAME not in json.loads(listed.stdout)
