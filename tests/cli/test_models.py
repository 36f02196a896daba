"""``metseg models`` and ``metseg doctor``: bundles by name, and what this machine has."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from metseg import __version__
from metseg.bundle_folder import checksums
from metseg.model import MODELS
from metseg.serve.model_registry import models
from metseg.serve.settings import load_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own bundles out of it."""
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


@pytest.fixture
def run_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle where a training leaves it: in a folder called `bundle`."""
    return shutil.copytree(tiny_bundle, tmp_path / "runs" / "one" / "bundle")


def damage(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def test_an_installed_bundle_has_the_name_of_its_recipe(run_metseg: Run, run_bundle: Path, home: Path) -> None:
    assert run_metseg("models", "add", run_bundle) == (0, f"tiny\t{home / 'tiny'}\n", "")
    assert json.loads(run_metseg("models", "list", "--json").out)["tiny"] == str(home / "tiny")
    assert f"tiny\t{home / 'tiny'}" in run_metseg("models", "list").out.splitlines()
    assert run_bundle.exists()


def test_a_second_bundle_needs_a_name_of_its_own(run_metseg: Run, run_bundle: Path, home: Path) -> None:
    assert run_metseg("models", "add", run_bundle)[0] == 0
    status, out, err = run_metseg("models", "add", run_bundle)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{home / 'tiny'}: a bundle named 'tiny' already exists; choose another name with --name" in err
    status, out, _ = run_metseg("models", "add", run_bundle, "--name", "tiny-2", "--json")
    assert (status, json.loads(out)) == (0, {"name": "tiny-2", "bundle": str(home / "tiny-2")})
    assert json.loads(run_metseg("models", "show", "tiny-2", "--json").out)["name"] == "tiny-2"


@pytest.mark.parametrize("name", ["", "../tiny", "a/b", ".hidden", "a b"])
def test_a_name_is_that_of_a_folder(run_metseg: Run, run_bundle: Path, home: Path, name: str) -> None:
    status, _, err = run_metseg("models", "add", run_bundle, "--name", name)
    assert status == 2
    assert "invalid bundle name" in err
    assert not home.exists()


def test_a_damaged_bundle_is_not_installed(run_metseg: Run, run_bundle: Path, home: Path) -> None:
    damage(run_bundle)
    status, _, err = run_metseg("models", "add", run_bundle)
    assert status == 4
    assert "model.safetensors" in err
    assert not home.exists()


def test_a_bundle_is_shown_by_its_card(run_metseg: Run, run_bundle: Path) -> None:
    assert run_metseg("models", "show", run_bundle) == (0, "tiny\n", "")  # the card is that word
    document = json.loads(run_metseg("models", "show", run_bundle, "--json").out)
    assert document["recipe"]["model"] == {"name": "unet", "options": {"channels": [4, 8], "blocks": [1, 1]}}


def test_a_card_is_titled_by_the_name_of_the_model(run_metseg: Run, run_bundle: Path, tmp_path: Path) -> None:
    (run_bundle / "card.md").write_text("# tiny\n\nText on # tiny\n", "utf-8")
    (run_bundle / "sha256").write_text(checksums(run_bundle))
    assert run_metseg("models", "show", run_bundle).out.startswith("# tiny\n")  # it has no other name
    assert run_metseg("models", "add", run_bundle, "--name", "tumours")[0] == 0
    assert run_metseg("models", "show", "tumours").out.rstrip() == "# tumours\n\nText on # tiny"
    (served,) = [model for model in models(load_settings()) if model.name == "tumours"]
    assert served.card.startswith("# tumours\n")


def test_a_bundle_is_verified(run_metseg: Run, run_bundle: Path) -> None:
    status, out, err = run_metseg("models", "verify", run_bundle)
    assert (status, err) == (0, "")
    assert out.startswith("bundle: files and weights sound, 1 network(s); predicts as when it was made")
    document = json.loads(run_metseg("models", "verify", run_bundle, "--json").out)
    assert document.pop("largest_difference") < 1e-5
    assert document == {"name": "bundle", "sound": True, "networks": 1}
    damage(run_bundle)
    status, out, err = run_metseg("models", "verify", run_bundle, "--json")
    assert (status, out, err.count("\n")) == (4, "", 1)


def test_a_bundle_from_before_predictions_were_kept_is_verified(run_metseg: Run, run_bundle: Path) -> None:
    (run_bundle / "reference.json").unlink()
    (run_bundle / "sha256").write_text(checksums(run_bundle))
    assert run_metseg("models", "verify", run_bundle) == (
        0,
        "bundle: files and weights sound, 1 network(s); keeps no prediction to compare with\n",
        "",
    )
    assert json.loads(run_metseg("models", "verify", run_bundle, "--json").out)["largest_difference"] is None


def test_every_architecture_is_listed(run_metseg: Run) -> None:
    lines = run_metseg("models", "architectures").out.splitlines()
    assert [line.split()[0] for line in lines] == list(MODELS)
    document = json.loads(run_metseg("models", "architectures", "--json").out)
    assert {name: tuple(told["dimensions"]) for name, told in document.items()} == {
        name: spec.dimensions for name, spec in MODELS.items()
    }
    assert document["unet"]["options"]["channels"]["default"] == [16, 32, 64, 128, 256]


def test_the_doctor_knows_the_machine_and_the_bundles(run_metseg: Run, run_bundle: Path) -> None:
    run_metseg("models", "add", run_bundle, "--name", "mine")
    status, out, err = run_metseg("doctor", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts["metseg"] == __version__
    assert facts["python"] == platform.python_version()
    assert facts["memory_gb"] == pytest.approx(psutil.virtual_memory().total / 1e9, abs=0.06)
    assert "mine" in facts["bundles"].split(", ")
    told = run_metseg("doctor").out.splitlines()
    assert [line.split()[0] for line in told] == list(facts)
