"""Models for non-commercial use only: asked about once, refused before, and free ones never asked about."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metseg import bundle_folder
from metseg.bundle_folder import checksums
from metseg.errors import UsageError
from metseg.model_terms import (
    ACCEPTED_FILE,
    accept,
    is_accepted,
    is_non_commercial,
    require_accepted,
    terms_of,
)

ROOT = Path(__file__).parents[1]
NON_COMMERCIAL = "Slices of somebody; CC BY-NC-SA 4.0"


def give_terms(folder: Path, terms: str, began_with: str = "") -> Path:
    """Write new terms into a bundle."""
    recipe = (folder / "recipe.toml").read_text("utf-8").splitlines()
    lines = [f"licence = {json.dumps(terms)}" if line.startswith("licence = ") else line for line in recipe]
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "metrics.json").write_text(json.dumps({"began_with": {"data": began_with}}))
    (folder / "sha256").write_text(checksums(folder))
    return folder


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an installed bundle under non-commercial terms, in a home of its own."""
    home = tmp_path / "home"
    monkeypatch.setenv("METSEG_HOME", str(home))
    monkeypatch.delenv("METSEG_ACCEPTED_MODELS", raising=False)
    shutil.copytree(tiny_bundle, home / "bundles" / "restricted")
    return give_terms(home / "bundles" / "restricted", NON_COMMERCIAL)


def test_shipped_bundles_ask_where_their_data_do() -> None:
    packaged = ROOT / "src" / "metseg" / "bundles"
    asks = {
        folder.name: is_non_commercial(terms_of(folder))
        for folder in (*packaged.iterdir(), *(ROOT / "bundles").iterdir())
        if bundle_folder.is_bundle(folder)
    }
    free = ("mets-sim", "brain-extraction", "t1c-slices")
    assert asks == {**dict.fromkeys(free, False), "lgg-flair": True, "mets-brain": True}


def test_consent_is_asked_once(bundle: Path) -> None:
    with pytest.raises(UsageError) as refused:
        require_accepted("restricted")
    assert refused.value.code == "licence.not_accepted"
    assert "metseg models accept restricted" in str(refused.value.cure)
    with pytest.raises(UsageError):
        require_accepted(bundle)  # nor by its folder
    assert accept("restricted") == NON_COMMERCIAL
    require_accepted("restricted")
    path = bundle.parents[1] / ACCEPTED_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("damaged")
    assert not is_accepted(bundle)


def test_other_terms_are_asked_about_again(bundle: Path) -> None:
    accept("restricted")
    give_terms(bundle, "Other data; non-commercial use only")
    assert not is_accepted(bundle)


def test_terms_of_initial_weights_hold_too(bundle: Path) -> None:
    give_terms(bundle, "Apache-2.0", began_with="CC BY-NC 4.0")
    assert not is_accepted(bundle)
    give_terms(bundle, "Apache-2.0", began_with="Apache-2.0")
    assert is_accepted(bundle)


def test_a_variable_accepts_for_containers(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_ACCEPTED_MODELS", "other, restricted")
    require_accepted("restricted")
    monkeypatch.setenv("METSEG_ACCEPTED_MODELS", "other")
    assert not is_accepted(bundle)


def test_ones_own_training_is_not_asked_about(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "runs" / "one" / "bundle")
    require_accepted(tmp_path / "runs" / "one" / "bundle")


def test_the_command_line_and_python_ask(
    bundle: Path, tmp_path: Path, tiny_slices: Path, run_metseg: Callable[..., Any]
) -> None:
    import metseg

    image = tiny_slices / "P0" / "P0_1.png"
    predict = ("predict", image, "--model", "restricted", "--out", tmp_path / "out")
    refused = run_metseg(*predict)
    assert (refused.status, "metseg models accept restricted" in refused.err) == (2, True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError):
        metseg.load_model("restricted")
    accepted = json.loads(run_metseg("models", "accept", "restricted", "--json").out)
    assert (accepted["non_commercial"], accepted["terms"]) == (True, NON_COMMERCIAL)
    assert run_metseg(*predict).status == 0
    metseg.load_model("restricted")
    assert "nothing to accept" in run_metseg("models", "accept", "mets-sim").out


def test_what_is_installed_is_private_and_says_that_it_asks(
    bundle: Path, tmp_path: Path, run_metseg: Callable[..., Any]
) -> None:
    shutil.copytree(bundle, tmp_path / "given")
    for path in (tmp_path / "given").iterdir():
        path.chmod(0o666)
    old = os.umask(0)
    try:
        added = run_metseg("models", "add", tmp_path / "given", "--name", "again")
    finally:
        os.umask(old)
    assert (added.status, "metseg models accept again" in added.err) == (0, True)
    folder = bundle.parent / "again"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
