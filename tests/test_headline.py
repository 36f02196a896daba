"""The headline: what matters most first, oedema and specks apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metseg.headline import SPECK_ML, headline_of
from metseg.inference.lesion_table import find_lesions
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion

VOXEL_ML = 0.001


def lesion(number: int, label: str = "lesion", **voxels: int) -> Lesion:
    count = sum(voxels.values())
    values: dict[str, Any] = {
        "volume_ml": count * VOXEL_ML,
        "volume_ml_by_label": {name: value * VOXEL_ML for name, value in voxels.items()},
        "longest_diameter_mm": float(count),
        "longest_diameter_mm_by_label": {name: float(value) for name, value in voxels.items()},
    }
    return Lesion(
        id=number, label=label, voxels=count, voxels_by_label=voxels, centre_voxel=(0, 0, 0), confidence=0.5, **values
    )


def test_tumour_comes_before_oedema_and_specks_are_counted_apart() -> None:
    lesions = [lesion(1, SNFH=80_000, ET=1_200, NETC=800), lesion(2, ET=150), lesion(3, ET=99), lesion(4, SNFH=3)]
    headline = headline_of(lesions, labels="brats-met-2023", fitness="Trained on x.")
    assert headline.fitness == "Trained on x."
    assert (headline.lesions, headline.specks) == (2, 2)
    assert headline.finding == "2 lesions found, and 2 specks below 0.1 mL."
    assert [(figure.name, figure.text) for figure in headline.figures] == [
        ("enhancing tumour", "1.45 mL"),
        ("tumour core", "2.25 mL"),
        (f"lesions of at least {SPECK_ML} mL", "2"),
        ("longest diameter of the enhancing part", "1200.0 mm"),
        ("oedema", "80.00 mL"),
    ]


@pytest.mark.parametrize("labels", [name for name in LABEL_SCHEMES if name != "binary"])
def test_every_scheme_with_a_core_has_its_parts(labels: str) -> None:
    scheme = LABEL_SCHEMES[labels]
    mask = np.zeros((9, 9, 9 * len(scheme.classes)), np.uint8)
    for place, value in enumerate(scheme.classes):
        mask[2:7, 2:7, 9 * place + 2 : 9 * place + 7] = value
    found, _ = find_lesions(mask, np.ones(mask.shape, np.float32), np.eye(4), scheme, slicewise=False)
    figures = {figure.name: figure.value for figure in headline_of(found, labels=labels).figures}
    piece = 125 / 1000
    assert figures["enhancing tumour"] == piece
    assert figures["tumour core"] == pytest.approx(piece * len(scheme.regions["TC"]))
    assert figures["oedema"] == piece


def test_a_model_of_one_class_and_an_unknown_scheme_have_totals() -> None:
    for labels in ("binary", None):
        headline = headline_of([lesion(1, lesion=300), lesion(2, lesion=200)], labels=labels)
        assert [(figure.name, figure.text) for figure in headline.figures] == [
            ("total volume", "0.50 mL"),
            ("lesions of at least 0.1 mL", "2"),
            ("longest diameter", "300.0 mm"),
        ]


def test_pictures_have_no_specks() -> None:
    small = [
        Lesion(id=1, label="lesion", voxels=4, centre_voxel=(0, 0, 0), confidence=1, slices=(0, 1)),
        Lesion(id=2, label="lesion", voxels=1, centre_voxel=(0, 0, 0), confidence=1, slices=(1,)),
    ]
    headline = headline_of(small, labels="binary", pictures=7)
    assert headline.finding == "2 lesions found in 2 of 7 pictures, 1 of them in several pictures."
    apart = [small[1], small[1].model_copy(update={"slices": (4,)})]
    found = "2 lesions found in 2 of 7 pictures, each in one picture."
    assert headline_of(apart, labels="binary", pictures=7).finding == found
    assert headline_of(small[1:] * 2, labels="binary", pictures=7).finding == "2 lesions found in 1 of 7 pictures."
    found = "1 lesion found in 2 of 7 pictures, one lesion through several pictures."
    assert headline_of(small[:1], labels="binary", pictures=7).finding == found
    assert headline.specks == 0
    assert [figure.text for figure in headline.figures] == ["2", "2", "5 pixels"]


def test_a_lesion_is_named_by_its_most_important_class() -> None:
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[2:10, 2:10, 2:10] = 2  # oedema
    mask[5, 5, 5] = 3
    (found,), _ = find_lesions(
        mask, np.ones(mask.shape, np.float32), np.eye(4), LABEL_SCHEMES["brats-met-2023"], slicewise=False
    )
    assert found.label == "ET"
