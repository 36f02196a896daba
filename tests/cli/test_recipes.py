"""``metseg recipes``, and the pages that say what recipes can do and how long they take."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from metseg.cli.recipe_docs import names, recipe_page, tables, values_of
from metseg.cli.recipe_schema import recipe_schema
from metseg.recipe import Frozen, Named, Recipe, load_recipe, parse_recipe, shipped_recipes
from metseg.recipe.keys import all_keys, descriptions, part_in

Run = Callable[..., tuple[int, str, str]]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("words", [(), ("list",)])
def test_the_shipped_recipes_are_listed(run_metseg: Run, words: tuple[str, ...]) -> None:
    status, out, err = run_metseg("recipes", *words)
    assert (status, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(shipped_recipes())
    assert "    Source: arXiv:1804.03999" in out
    assert load_recipe("lgg-fast").description.split(":")[0] in out


@pytest.mark.parametrize("words", [("--json",), ("list", "--json"), ("--json", "list")])
def test_the_list_as_json(run_metseg: Run, words: tuple[str, ...]) -> None:
    document = json.loads(run_metseg("recipes", *words).out)
    assert tuple(document) == shipped_recipes()
    assert document["lgg-fast"] == {"description": load_recipe("lgg-fast").description, "source": "metseg"}


def test_a_recipe_is_printed_whole_and_can_be_read_again(run_metseg: Run) -> None:
    status, out, _ = run_metseg("recipes", "show", "lgg-unet-plus-plus")
    assert status == 0
    assert "batch_size = 8" in out  # of its base
    assert "plateau_patience = 5" in out  # a default
    assert parse_recipe(out, where="printed") == load_recipe("lgg-unet-plus-plus")


@pytest.mark.parametrize("words", [("show", "demo-unet", "--json"), ("--json", "show", "demo-unet")])
def test_a_recipe_as_json(run_metseg: Run, words: tuple[str, ...]) -> None:
    assert Recipe.model_validate_json(run_metseg("recipes", *words).out) == load_recipe("demo-unet")


def test_the_page_of_keys_is_what_the_classes_and_tables_say(run_metseg: Run) -> None:
    told = "run: metseg recipes keys > docs/recipe.md"
    assert run_metseg("recipes", "keys").out == (DOCS / "recipe.md").read_text("utf-8"), told


@pytest.mark.parametrize("words", [("keys", "--json"), ("schema",)])
def test_the_schema_of_the_docs_is_what_the_classes_and_tables_say(run_metseg: Run, words: tuple[str, ...]) -> None:
    printed = run_metseg("recipes", *words).out
    assert printed == (DOCS / "recipe.schema.json").read_text("utf-8"), (
        "metseg recipes schema > docs/recipe.schema.json"
    )


def test_a_printed_recipe_names_its_schema_in_the_first_line(run_metseg: Run) -> None:
    assert run_metseg("recipes", "show", "demo-unet").out.startswith("#:schema ./recipe.schema.json\n")


def recipe_parts() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the recipe, its parts, and the options of every entry of the tables, each with where it is."""
    yield "recipe", Recipe
    for name, field in Recipe.model_fields.items():
        part = part_in(field.annotation)
        if part is not None and part is not Named:
            yield name, part
    for key, table in tables().items():
        yield from ((f"{key} {name}", spec.options) for name, spec in table.items())


@pytest.mark.parametrize(("where", "part"), recipe_parts())
def test_every_key_has_a_description_in_a_sentence(where: str, part: type[BaseModel]) -> None:
    meanings = descriptions(part)
    assert list(meanings) == list(part.model_fields)
    assert all(len(meaning) > 12 and meaning.endswith(".") for meaning in meanings.values()), where


def schema_errors(raw: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft7Validator(recipe_schema())
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(raw)]


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_fit_the_schema_as_written_and_written_out(name: str) -> None:
    text = (resources.files("metseg") / "recipes" / f"{name}.toml").read_text("utf-8")
    assert schema_errors(tomllib.loads(text)) == []
    assert schema_errors(tomllib.loads(load_recipe(name).to_toml())) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"train": {"max_minute": 1}}, "train"),
        ({"train": {"precision": "float23"}}, "train.precision"),
        ({"train": {"optimizer": "adm"}}, "train.optimizer"),
        ({"model": {"name": "unet", "chanels": [8, 16]}}, "model"),
        ({"model": {"name": "unett"}}, "model"),
        ({"augment": [{"name": "rotat"}]}, "augment.0"),
        ({"augment": [{"degrees": 3}]}, "augment.0"),
        ({"preprocess": [{"name": "resize"}]}, "preprocess.0"),
        ({"loss": {"name": "blob", "inner": {"name": "dyce"}}}, "loss"),
        ({"trian": {}}, ""),
    ],
)
def test_the_schema_refuses_what_metseg_refuses(change: dict[str, Any], place: str) -> None:
    recipe = {"name": "r", "model": {"name": "unet"}}
    assert schema_errors(recipe) == []
    assert schema_errors({**recipe, **change}) == [place]


def test_a_recipe_without_base_has_to_name_itself_and_its_network() -> None:
    assert schema_errors({"name": "r"}) == [""]
    assert schema_errors({"base": "lgg-fast"}) == []


def test_every_key_of_a_recipe_is_described_in_the_schema() -> None:
    schema = recipe_schema()
    for key in all_keys(Recipe):
        names_on_the_way = key.split(".")
        if names_on_the_way[0] in tables() and len(names_on_the_way) > 1:
            continue  # of `Named` itself; its entries are in the definitions
        part: dict[str, Any] = schema
        for name in names_on_the_way:
            part = part["properties"][name]
        assert part["description"], key


def test_some_rows_of_the_page() -> None:
    page = recipe_page()
    for row in (
        "| `max_epochs` | whole number > 0 | absent |",
        "| `max_minutes` | number > 0 | absent |",
        "| `ema_decay` | number > 0 < 1 | absent |",
        '| `by` | `"patient"` `"slice"` | `"patient"` |',
        "| `optimizer` | `adam` `adamw` `sgd` |",
        "|  | `clip_limit` | number > 0 | `2.0` |",
        "|  | `size` | [whole number > 0, whole number > 0] | required | Columns and rows of the result. |",
        "| `name` | text | required | Name of the experiment and of its bundle. |",
    ):
        assert row in page
    for name in ("clahe", "attention_unet", "dice_bce", "missing_sequence", "patient_folders", "brats-met-2023"):
        assert f"`{name}`" in page


def parts(part: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the path of each key that holds named entries, or a text without a choice of its own, and which it is."""
    for name, field in part.model_fields.items():
        here = (*path, name)
        if "Named" in str(field.annotation):
            yield ".".join(here), "named"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from parts(field.annotation, here)
        else:
            yield ".".join(here), "plain"


def test_every_named_entry_has_its_table_and_every_list_of_names_its_key() -> None:
    kinds = dict(parts(Recipe))
    assert {path for path, kind in kinds.items() if kind == "named"} == set(tables())
    assert set(names()) <= {path for path, kind in kinds.items() if kind == "plain"}


class Parent(Frozen):
    #: Counted
    #: from one.
    first: Annotated[int, Field(ge=1, lt=5)] = 1
    second: float | None = None


class Child(Parent):
    #: Of the child.
    third: tuple[Literal["a", "b"], ...] = ()
    fourth: bool = False
    fifth: Annotated[int, Field(description="By its field.")] = 0


def test_comments_above_fields_are_found_in_bases_too() -> None:
    assert descriptions(Child) == {"first": "Counted from one.", "third": "Of the child.", "fifth": "By its field."}
    assert descriptions(Named) == {}


def test_values_in_words() -> None:
    properties = Child.model_json_schema()["properties"]
    assert {name: values_of(schema) for name, schema in properties.items()} == {
        "first": "whole number ≥ 1 < 5",
        "second": "number",
        "third": 'list, each `"a"` `"b"`',
        "fourth": "true or false",
        "fifth": "whole number",
    }


ROWS = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", (DOCS / "reproduce.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_page_of_commands_states_the_budget(name: str) -> None:
    train, (row,) = load_recipe(name).train, [row for known, row in ROWS if known == name]
    minutes = f"{train.max_minutes:g} min" if train.max_minutes else f"{train.epochs} epochs"
    stated = f"{train.max_steps:,} steps" if train.max_steps else minutes
    assert row.startswith(f" {stated} |")
