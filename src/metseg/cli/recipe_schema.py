"""Build the JSON Schema of a recipe, with which editors complete and check TOML, from the recipe's classes.

The schema is draft 7: TOML editors support no newer draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from metseg.cli.recipe_docs import names, plain_text, summary, tables
from metseg.recipe import Named, Recipe, shipped_recipes
from metseg.recipe.keys import descriptions, part_in

Schema = dict[str, Any]

#: What `metseg recipes show` writes at the top of a recipe.
SCHEMA_FILE = "recipe.schema.json"

_BASE = "Name of a shipped recipe; the keys given here override its keys."
_OPTIONS = "The entry's options in a separate table, as `metseg recipes show` writes them."


def recipe_schema() -> Schema:
    """Return the schema of a recipe file, with a description of each key."""
    properties = _properties(Recipe, ())
    known = {"type": "string", "enum": list(shipped_recipes()), "description": _BASE}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "metseg recipe",
        "description": plain_text(Recipe.__doc__ or ""),
        "type": "object",
        "additionalProperties": False,
        "properties": {"base": known, **properties},
        # A recipe with a base holds only the keys that differ.
        "anyOf": [{"required": ["base"]}, {"required": _required(Recipe)}],
        "definitions": {key: _entry(key) for key in tables()},
    }


def _properties(part: type[BaseModel], path: tuple[str, ...]) -> Schema:
    """Return the schema of each key of a part, with nested parts inlined."""
    raw = part.model_json_schema()
    meanings = descriptions(part)
    found = {}
    for name, field in part.model_fields.items():
        key = ".".join((*path, name))
        inner = part_in(field.annotation)
        if inner is None:
            schema = _values(raw["properties"][name], names().get(key))
        elif issubclass(inner, Named):
            schema = _named(key, several=field.annotation is not Named)
        else:
            schema = _part(inner, (*path, name))
        # Options of other packages may have no comment.
        described = {"description": plain_text(meanings[name])} if name in meanings else {}
        found[name] = {**schema, **described}
    return found


def _part(part: type[BaseModel], path: tuple[str, ...]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": _properties(part, path)}


def _named(key: str, *, several: bool) -> Schema:
    """Return the schema of a key that holds one entry of a table, or a list of them."""
    reference = {"$ref": f"#/definitions/{key}"}
    return {"type": "array", "items": {"allOf": [reference, {"required": ["name"]}]}} if several else reference


def _entry(key: str) -> Schema:
    """Return the schema of an entry of a table: one of the names, with its options."""
    return {"anyOf": [_with_options(key, name, spec.options) for name, spec in tables()[key].items()]}


def _with_options(key: str, name: str, options: type[BaseModel]) -> Schema:
    """Return the schema of a named entry; its options are beside the name, or in a separate table."""
    properties = {
        option: schema if part_in(options.model_fields[option].annotation) is None else _nested(key, schema)
        for option, schema in _properties(options, ()).items()
    }
    chosen = {"const": name, "description": plain_text(summary(options))}
    schema: Schema = {
        "title": name,
        "description": plain_text(summary(options)),
        "type": "object",
        "additionalProperties": False,
        "properties": {"name": chosen, **properties, "options": {"type": "object", "description": _OPTIONS}},
    }
    if required := _required(options):
        schema["anyOf"] = [{"required": required}, {"required": ["options"]}]
    return schema


def _nested(key: str, schema: Schema) -> Schema:
    """Return the schema of an option that is itself an entry of the table: its name, or a table."""
    known = {"type": "string", "enum": list(tables()[key])}
    described = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [known, {"$ref": f"#/definitions/{key}"}], **described}


def _required(part: type[BaseModel]) -> list[str]:
    return [name for name, field in part.model_fields.items() if field.is_required()]


def _values(schema: Mapping[str, Any], known: Any) -> Schema:
    """Return pydantic's schema of a plain value in draft 7, without titles and null, which TOML does not have."""
    if known is not None:
        return {
            "type": "string",
            "enum": list(known),
            **({"default": schema["default"]} if schema.get("default") else {}),
        }
    plain = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if plain.get("default", 0) is None:
        del plain["default"]
    if "anyOf" in plain:
        choices = [_values(choice, None) for choice in plain.pop("anyOf") if choice.get("type") != "null"]
        return {**choices[0], **plain} if len(choices) == 1 else {"anyOf": choices, **plain}
    if "prefixItems" in plain:
        plain["items"] = [_values(item, None) for item in plain.pop("prefixItems")]
    elif "items" in plain:
        plain["items"] = _values(plain["items"], None)
    return plain
