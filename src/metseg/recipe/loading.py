"""Load recipes: shipped ones by name, others by path. A recipe can be based on a shipped one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from metseg.argument_checks import require_path, require_texts
from metseg.errors import UsageError
from metseg.recipe.overrides import apply_change
from metseg.recipe.schema import Recipe, validated
from metseg.registry import lookup


def shipped_recipes() -> tuple[str, ...]:
    """Return the names of the recipes inside the package, sorted."""
    folder = resources.files("metseg") / "recipes"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load_recipe(name_or_path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe from a file or by its shipped name, with ``key=value`` changes applied.

    Args:
        name_or_path: ``lgg-fast`` or ``my/recipe.toml``.
        changes: such as ``train.max_minutes=20`` or ``preprocess.0.clip_limit=3.0``; values are TOML.
    Raises:
        UsageError: no such recipe, not TOML, an unknown key, a value out of range, or an argument of a wrong type.

    Examples:
        >>> recipe = load_recipe("lgg-fast", ["train.max_minutes=20"])
        >>> recipe.name, recipe.train.max_minutes
        ('lgg-fast', 20.0)
    """
    path, changes = require_path("name_or_path", name_or_path), require_texts("changes", changes)
    if path.suffix == ".toml" or path.is_file():
        return parse_recipe(_read_text(path), where=str(path), changes=changes)
    return parse_recipe(_read_shipped(str(name_or_path)), where=f"recipe {name_or_path}", changes=changes)


def parse_recipe(text: str, *, where: str, changes: Sequence[str] = ()) -> Recipe:
    """Return the recipe that a TOML text describes; see `load_recipe`."""
    raw = _parse_toml(text, where)
    for change in changes:
        apply_change(raw, change)
    return validated(Recipe, raw, where=where)


def _parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the tables of a recipe's text, merged over those of its base if it names one."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"not valid TOML: {error}",
            where=where,
            cure="correct that line; see `metseg recipes show lgg-fast` for an example",
            code="usage.recipe",
        ) from None
    base = raw.pop("base", None)
    return raw if base is None else _laid_over(_parse_toml(_read_shipped(str(base)), f"recipe {base}"), raw)


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return tables merged key by key; a table with a name, such as the model, is replaced with its options."""
    merged = dict(base)
    for key, value in changes.items():
        known = base.get(key)
        if isinstance(known, dict) and isinstance(value, dict) and "name" not in value:
            merged[key] = _laid_over(known, value)
        else:
            merged[key] = value
    return merged


def _read_shipped(name: str) -> str:
    lookup("recipe", dict.fromkeys(shipped_recipes()), name)
    return (resources.files("metseg") / "recipes" / f"{name}.toml").read_text("utf-8")


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "cannot read the recipe",
            where=path,
            got="not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror,
            cure=f"give a file, or one of {', '.join(shipped_recipes())}",
            code="usage.recipe",
        ) from None
