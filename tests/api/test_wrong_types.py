"""An argument of a wrong type is an error of metseg that names it, never one of Python's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import metseg

MASK = np.zeros((2, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("name", "arguments", "options", "argument"),
    [
        ("load", (5,), {}, "path"),
        ("load", ("a",), {"channels": "t1c"}, "channels"),
        ("load", ("a",), {"channels": [1]}, "channels"),
        ("load", ("a",), {"labels": 1}, "labels"),
        ("load_all", (None,), {}, "root"),
        ("load_all", ("a",), {"layout": 1}, "layout"),
        ("load_all", ("a",), {"patients": 1}, "patients"),
        ("load_all", ("a",), {"patient_pattern": 1}, "patient_pattern"),
        ("load_recipe", (5,), {}, "name_or_path"),
        ("load_recipe", ("lgg-fast", "train.max_steps=2"), {}, "changes"),
        ("load_model", (5,), {}, "name_or_path"),
        ("load_model", ("mets-sim",), {"device": 0}, "device"),
        ("load_model", ("mets-sim",), {"tta": "yes"}, "tta"),
        ("predict", ("a", 5), {}, "model"),
        ("train", (5, "a", "b"), {}, "recipe"),
        ("train", ("lgg-fast", 5, "b"), {}, "data"),
        ("train", ("lgg-fast", "a", 5), {}, "out"),
        ("train", ("lgg-fast", "a", "b"), {"changes": "train.max_steps=2"}, "changes"),
        ("train", ("lgg-fast", "a", "b"), {"split": 5}, "split"),
        ("compare", ("lgg-fast", "a", "b"), {}, "recipes"),
        ("compare", ([5], "a", "b"), {}, "recipe"),
        ("compare", (["lgg-fast"], "a", "b"), {"folds": "5"}, "folds"),
        ("score", (MASK,), {}, "prediction"),
        ("overlay", (MASK,), {}, "prediction"),
        ("report", (MASK, "out"), {}, "study"),
        ("report", ("a.json",), {"formats": "pdf"}, "formats"),
        ("report", ("a.json",), {"model": 5}, "model"),
        ("report", ("a.json",), {"pseudonym": 5}, "pseudonym"),
        ("evaluate_case", (None, MASK), {}, "truth"),
        ("evaluate_case", (MASK, {"labels": MASK}), {}, "prediction"),
        ("evaluate_case", (MASK, MASK, 1.0), {}, "spacing_mm"),
        ("evaluate_case", (MASK, MASK), {"affine": "RAS"}, "affine"),
        ("evaluate_case", (MASK, MASK), {"scheme": 5}, "scheme"),
    ],
)
def test_the_error_names_the_argument(name: str, arguments: tuple, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(metseg.UsageError) as caught:
        getattr(metseg, name)(*arguments, **options)
    assert caught.value.where == argument
    assert caught.value.code == "usage.type"
    assert caught.value.expected
    assert caught.value.got
