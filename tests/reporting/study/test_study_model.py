"""What a report knows of a model: out of its bundle, and nothing where that says nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metseg.errors import BundleError, UsageError
from metseg.reporting.study.model_info import find_model, model_of_folder, require_same_model
from metseg.reporting.study.study_report import Model, Performance

MakeBundle = Callable[..., tuple[Path, str]]

DICE = {"mean": 0.5, "low": None, "high": None, "patients": 1}


def test_a_bundle_tells_what_it_is_and_what_it_scored(make_bundle: MakeBundle) -> None:
    folder, fingerprint = make_bundle()
    model = model_of_folder(folder)
    assert (model.name, model.fingerprint, model.is_described) == (folder.name, fingerprint, True)
    assert model.summary == "Finds boxes."
    assert model.architecture == "unet, 3D, input t1c"
    assert model.trained_on == "63 patients: Boxes, CC0"
    assert model.performance == (Performance("test", "lesion", 21, 0.8126, 0.741, 0.8749, 45, 15, 7),)
    assert not model.leaks_patients


def test_a_bundle_is_found_by_its_name_and_by_its_fingerprint(make_bundle: MakeBundle) -> None:
    folder, fingerprint = make_bundle()
    make_bundle({}, name="another")
    assert model_of_folder("boxes") == model_of_folder(folder) == find_model("whatever", fingerprint)


@pytest.mark.parametrize("fingerprint", ["", "0123456789abcdef"])
def test_of_a_model_without_a_bundle_only_the_name_is_known(make_bundle: MakeBundle, fingerprint: str) -> None:
    make_bundle()
    assert find_model("far", fingerprint) == Model("far", fingerprint)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"test": {}},
        {"test": {"regions": {}}},
        {"test": {"regions": {"lesion": {"metrics": {"dice": None}}}}},
        {"test": {"regions": {"lesion": {"metrics": {"dice": {"mean": "good", "patients": 3}}}}}},
        {"test": {"regions": {"lesion": [1, 2]}}},
        {"test": [1], "patients": 3},
        [],
    ],
    ids=str,
)
def test_missing_or_strange_metrics_are_no_performance(make_bundle: MakeBundle, metrics: Any) -> None:
    folder, _ = make_bundle(metrics)
    model = model_of_folder(folder)
    assert model.performance == ()
    assert (model.is_described, model.trained_on) == (True, "Boxes, CC0")


def test_validation_stands_in_for_a_test_that_nobody_made(make_bundle: MakeBundle) -> None:
    folder, _ = make_bundle({"validation": {"regions": {"WT": {"metrics": {"dice": DICE}}}}, "leaks_patients": True})
    model = model_of_folder(folder)
    assert model.performance == (Performance("validation", "WT", 1, 0.5),)
    assert model.leaks_patients


def test_test_patients_are_believed_before_validation_patients(make_bundle: MakeBundle) -> None:
    region = {"WT": {"metrics": {"dice": DICE}}}
    other = {"WT": {"metrics": {"dice": {**DICE, "mean": 0.9}}}}
    folder, _ = make_bundle({"validation": {"regions": other}, "test": {"regions": region}})
    (one,) = model_of_folder(folder).performance
    assert (one.part, one.dice) == ("test", 0.5)


def test_a_changed_bundle_is_not_believed(make_bundle: MakeBundle) -> None:
    folder, _ = make_bundle()
    text = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(text.replace("0.8126", "0.9126"))
    with pytest.raises(BundleError, match=r"metrics\.json"):
        model_of_folder(folder)


def test_what_another_model_scored_says_nothing(make_bundle: MakeBundle) -> None:
    folder, fingerprint = make_bundle()
    model = model_of_folder(folder)
    assert require_same_model(model, fingerprint, where="x") is model
    for other in ("", "0123456789abcdef"):
        with pytest.raises(UsageError, match="not predicted with this model") as raised:
            require_same_model(model, other, where="case.json")
        assert raised.value.code == "usage.bundle_mismatch"
        assert fingerprint in raised.value.one_line()


def test_it_agrees_with_a_loaded_bundle(tiny_bundle: Path) -> None:
    """The weights are loaded on one side only; name and fingerprint have to be the same."""
    from metseg.model.bundle import load_bundle
    from metseg.reporting.study.model_info import model_of_bundle

    assert model_of_folder(tiny_bundle) == model_of_bundle(load_bundle(tiny_bundle))


def test_reports_need_no_torch() -> None:
    import subprocess

    code = (
        "import sys; import metseg.reporting.study.from_disk, metseg.reporting.study.formats; "
        "import metseg.reporting.study.model_info; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
