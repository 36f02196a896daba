"""``metseg recipes``: the shipped recipes, and the keys of a recipe."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(help="Shipped recipes; lists them if no subcommand is given.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback(invoke_without_command=True)
def _by_default(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_recipes(as_json)
    elif as_json:  # --json before the subcommand applies to it
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List the shipped recipes with their purpose and source."""
    from metseg.recipe import load_recipe, shipped_recipes

    recipes = [load_recipe(name) for name in shipped_recipes()]
    if as_json:
        facts = {recipe.name: {"description": recipe.description, "source": recipe.source} for recipe in recipes}
        print(json.dumps(facts))
        return
    for recipe in recipes:
        print(f"{recipe.name}\n    {recipe.description}\n    Source: {recipe.source}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped recipe, or a recipe file.")], as_json: Json = False
) -> None:
    """Print a recipe with every default written out, as a file to edit and train with."""
    from metseg.recipe import load_recipe

    recipe = load_recipe(name)
    if as_json:
        print(json.dumps(recipe.model_dump(mode="json")))
        return
    from metseg.cli.recipe_schema import SCHEMA_FILE

    print(f"#:schema ./{SCHEMA_FILE}\n# For completion in an editor: metseg recipes schema > {SCHEMA_FILE}\n")
    print(recipe.to_toml(), end="")


@app.command()
def keys(as_json: Json = False) -> None:
    """Print the keys of a recipe as Markdown (docs/recipe.md); with --json, the JSON Schema."""
    if as_json:
        schema()
        return
    from metseg.cli.recipe_docs import recipe_page

    print(recipe_page(), end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe (docs/recipe.schema.json), for editors that complete and check TOML."""
    from metseg.cli.recipe_schema import recipe_schema

    print(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
