"""Write the reference page of recipe keys, from the classes that read them and the registries that they name."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from metseg.recipe import Named, Recipe
from metseg.recipe.keys import descriptions, part_in

OPENING = """\
# The keys of a recipe

<!-- Written by `metseg recipes keys > docs/recipe.md`. A test compares; do not edit. -->

A recipe is one TOML file. Only keys without a default are required; unknown keys are refused. `metseg recipes` lists
the shipped ones, `metseg recipes show NAME` prints one with every default written out, and `--set train.batch_size=4`
changes a key for one command. A key with the default "absent" has no value (None) until you set one.

Editors complete and check recipes with the JSON Schema `docs/recipe.schema.json`, which `metseg recipes schema` prints.
In Visual Studio Code, install the extension Even Better TOML; in other editors, the language server Taplo. Save the
schema beside the recipe (`metseg recipes schema > recipe.schema.json`) and begin the recipe with the line that
`metseg recipes show` writes:

    #:schema ./recipe.schema.json\
"""

KEY_TITLES = ("key", "values", "default", "meaning")
ENTRY_TITLES = ("name", "option", "values", "default", "meaning")

#: JSON schema's types in words.
WORDS: Mapping[str, str] = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}

#: JSON schema's limits in signs.
LIMITS: Mapping[str, str] = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def tables() -> Mapping[str, Mapping[str, Any]]:
    """Return the table for each key of a recipe that names an entry; each entry has ``options``, a class."""
    from metseg.dataset.augmentation_table import AUGMENTATIONS
    from metseg.model.architectures import MODELS
    from metseg.preprocess import STEPS
    from metseg.training.losses.loss_table import LOSSES

    return {"preprocess": STEPS, "augment": AUGMENTATIONS, "model": MODELS, "loss": LOSSES}


def names() -> Mapping[str, Iterable[str]]:
    """Return the keys that take a name without options, and the known names of each."""
    from metseg.io.layouts import LAYOUTS
    from metseg.labels import LABEL_SCHEMES
    from metseg.training.optimizers import OPTIMIZERS, SCHEDULES

    return {
        "data.layout": ("auto", *LAYOUTS),
        "data.labels": LABEL_SCHEMES,
        "data.file_labels": LABEL_SCHEMES,
        "train.optimizer": OPTIMIZERS,
        "train.schedule": SCHEDULES,
    }


def recipe_page() -> str:
    """Return the page as Markdown, from `Recipe` and the registries."""
    return "\n\n".join([OPENING, *_sections(Recipe, ())]) + "\n"


def _sections(part: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a part's description, its plain keys, and its nested parts in the order of the file."""
    key = ".".join(path)
    yield from ([f"## `[{key}]`"] if path else [])
    yield _prose(part)
    inner = {name: found for name, field in part.model_fields.items() if (found := part_in(field.annotation))}
    if rows := _rows(part, path, leave_out=inner):
        yield _table(KEY_TITLES, rows)
    for name, found in inner.items():
        if issubclass(found, Named):
            yield from _entries(part, (*path, name))
        else:
            yield from _sections(found, (*path, name))


def _entries(part: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the entries that a key can name, with their options."""
    key, field = ".".join(path), part.model_fields[path[-1]]
    several = field.annotation is not Named
    yield f"## `[[{key}]]`" if several else f"## `[{key}]`"
    default = "" if several or field.is_required() else f" Default: `{field.default.name}`."
    yield ("A list, applied in this order. " if several else "") + f"`name` and its options.{default}"
    rows: list[Sequence[str]] = []
    for name, spec in tables()[key].items():
        rows.append([f"`{name}`", "", "", "", summary(spec.options)])
        rows += [["", *row] for row in _rows(spec.options, ())]
    yield _table(ENTRY_TITLES, rows)


def _rows(
    part: type[BaseModel], path: tuple[str, ...], *, leave_out: Mapping[str, Any] | None = None
) -> list[Sequence[str]]:
    """Return key, values, default and meaning of each plain key."""
    schema = part.model_json_schema()
    meanings = descriptions(part)
    rows: list[Sequence[str]] = []
    for name, field in part.model_fields.items():
        if name in (leave_out or {}):
            continue
        known = names().get(".".join((*path, name)))
        values = values_of(schema["properties"][name]) if known is None else " ".join(f"`{one}`" for one in known)
        default = "required" if field.is_required() else _written(field.get_default(call_default_factory=True))
        # Options of other packages may have no comment.
        rows.append([f"`{name}`", values, default, meanings.get(name, "")])
    return rows


def values_of(schema: Mapping[str, Any]) -> str:
    """Return as text the values that a JSON schema accepts.

    >>> values_of({"type": "array", "items": {"type": "integer", "exclusiveMinimum": 0}})
    'list, each whole number > 0'
    >>> values_of({"anyOf": [{"enum": ["on", "off"]}, {"type": "null"}]})
    '`"on"` `"off"`'
    """
    if "anyOf" in schema:
        return " or ".join(values_of(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " ".join(_written(value) for value in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"[{', '.join(values_of(item) for item in schema['prefixItems'])}]"
    if schema.get("type") == "array":
        return f"list, each {values_of(schema.get('items', {}))}"
    limits = "".join(f" {sign} {schema[limit]:g}" for limit, sign in LIMITS.items() if limit in schema)
    return WORDS.get(schema.get("type", ""), "anything") + limits


def summary(options: type[BaseModel]) -> str:
    """Return what an entry of a table does: the first paragraph of its options class, or of its file.

    A file that holds one entry calls the class `Options`; then the file's docstring says what the entry is.
    """
    of_file = sys.modules[options.__module__].__doc__ if options.__name__ == "Options" else None
    return inspect.cleandoc(of_file or options.__doc__ or "").partition("\n\n")[0]


def _prose(part: type[BaseModel]) -> str:
    return plain_text(inspect.cleandoc(part.__doc__ or ""), paragraphs=True)


def plain_text(text: str, *, paragraphs: bool = False) -> str:
    """Return a docstring's text as Markdown: one kind of backticks, no line breaks of the source."""
    pieces = [" ".join(piece.split()) for piece in text.replace("``", "`").split("\n\n")]
    return ("\n\n" if paragraphs else " ").join(pieces)


def _written(value: Any) -> str:
    """Return a value in TOML syntax."""
    if isinstance(value, Named):
        return f"`{json.dumps({'name': value.name, **value.options})}`"
    return "absent" if value is None else f"`{json.dumps(value)}`"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    cells_of_rows = [[plain_text(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [titles, ["---"] * len(titles), *cells_of_rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
