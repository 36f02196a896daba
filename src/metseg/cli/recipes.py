"""``metseg recipes``: the shipped recipes, and what a recipe can say."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(help="The shipped recipes; without a further word: list them.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback(invoke_without_command=True)
def _by_default(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_recipes(as_json)
    elif as_json:  # given before the further word: it is meant for what follows
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List the shipped recipes: what each is for, and where it comes from."""
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
    """Print a recipe with every default written out: a file to change and to train by."""
    from metseg.recipe import load_recipe

    recipe = load_recipe(name)
    print(json.dumps(recipe.model_dump(mode="json")) if as_json else recipe.to_toml(), end="\n" if as_json else "")


@app.command()
def keys(as_json: Json = False) -> None:
    """Print what a recipe can say, as Markdown (docs/recipe.md), or as a JSON schema."""
    from metseg.cli.recipe_docs import recipe_page
    from metseg.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema()) if as_json else recipe_page(), end="\n" if as_json else "")
