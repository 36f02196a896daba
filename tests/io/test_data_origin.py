"""A card names the data that were trained on, whatever the recipe was first written for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metseg.errors import UsageError
from metseg.io.data_origin import (
    KNOWN,
    SIMULATED,
    SIMULATED_PATIENTS,
    SIMULATION,
    data_statement,
    named_data,
    other_data,
    readable_statement,
)
from metseg.recipe import load_recipe, shipped_recipes
from metseg.simulation.output.folder import PATIENTS, STAMP

LGG = "TCGA-LGG slices (Buda et al. 2019): low-grade glioma, not metastases; CC BY-NC-SA 4.0, non-commercial"


def simulation(folder: Path) -> Path:
    (folder / "simulation.json").write_text("{}")
    (folder / "patients.csv").write_text("patient,lesions\nsim-0,2\nsim-1,3\n")
    return folder


def test_the_files_of_a_simulation_are_called_as_it_calls_them() -> None:
    assert (SIMULATION, SIMULATED_PATIENTS) == (STAMP, PATIENTS)


@pytest.mark.parametrize("name", shipped_recipes())
def test_no_shipped_recipe_claims_data(name: str) -> None:
    assert load_recipe(name).data.licence == ""


@pytest.mark.parametrize("stated", ["", LGG])
def test_a_recipe_of_one_data_set_on_another_claims_nothing(tmp_path: Path, stated: str) -> None:
    """As a bundle's own recipe says it, too."""
    said = data_statement(stated, tmp_path, ["P1", "P2"])
    unknown = "its origin and licence are not stated"
    assert said == f"the data set in the folder '{tmp_path.name}'; {unknown}"
    assert data_statement(stated, simulation(tmp_path), ["sim-0", "sim-1"]) == SIMULATED


def test_simulated_patients_beside_others_are_not_called_nobody(tmp_path: Path) -> None:
    said = data_statement(SIMULATED, simulation(tmp_path), ["sim-0", "P1"])
    assert "not stated" in said
    assert data_statement(SIMULATED + "; Apache-2.0", tmp_path, ["sim-0"]) == SIMULATED + "; Apache-2.0"


def test_tcga_lgg_is_recognised(tmp_path: Path) -> None:
    assert data_statement("", tmp_path, ["TCGA_CS_4941_19960909", "TCGA_HT_A61B"]) == LGG == KNOWN["tcga-lgg"].statement
    assert "not stated" in data_statement("", tmp_path, ["TCGA_CS_4941_19960909", "P1"])


def test_a_recipe_of_a_data_set_on_other_pictures_is_marked() -> None:
    recipe = load_recipe("lgg-fast")
    assert recipe.data.written_for == load_recipe("assignment-inception").data.written_for == "tcga-lgg"
    assert other_data("tcga-lgg", ["TCGA_CS_4941_19960909"]) is None
    assert other_data("", ["P1"]) is None
    said = other_data("tcga-lgg", ["TCGA_CS_4941_19960909", "P1"])
    assert said is not None
    assert said.startswith(
        "the recipe was written for TCGA-LGG slices, but these data are not recognised as TCGA-LGG slices"
    )
    with pytest.raises(UsageError, match="Unknown data set 'tcga'"):
        other_data("tcga", ["P1"])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("dataset_description.json", {"Name": "Mine", "License": "CC0"}, "Mine; CC0"),
        ("dataset.json", {"name": "BRATS", "licence": "CC-BY-SA 4.0"}, "BRATS; CC-BY-SA 4.0"),
        ("dataset.json", {"name": "Mets"}, "Mets; its licence is not stated"),
    ],
)
def test_a_described_data_set(tmp_path: Path, file: str, content: dict[str, str], said: str) -> None:
    (tmp_path / file).write_text(json.dumps(content))
    assert data_statement("", Path(f"{tmp_path}::{tmp_path / 'masks'}"), ["P1"]) == said


def test_what_the_user_states_holds(tmp_path: Path) -> None:
    assert data_statement("Our own, CC BY", simulation(tmp_path), ["sim-0"]) == "Our own, CC BY"


def test_a_statement_that_repeats_those_of_earlier_weights_is_shortened_for_readers() -> None:
    real = "BraTS 2021 glioma patients: research, non-commercial; open_ms (Ljubljana): CC BY"
    free = "none: simulated patients (metseg simulate), images of nobody; these weights are Apache-2.0 as the code is"
    statement = f"{real}; initial weights: {real}; the weights it began with: {real}; the weights it began with: {free}"
    assert readable_statement(statement) == f"{real}; initial weights: simulated patients (metseg simulate)"
    assert named_data(statement) == "BraTS 2021 glioma patients, open_ms (Ljubljana)"
    assert readable_statement(real) == real
    assert readable_statement("") == named_data("") == ""


@pytest.mark.parametrize("statement", [LGG, *(data.statement for data in KNOWN.values()), SIMULATED])
def test_a_statement_without_repetition_stays(statement: str) -> None:
    assert readable_statement(statement) == statement
    assert named_data(statement) == statement.partition(";")[0]
