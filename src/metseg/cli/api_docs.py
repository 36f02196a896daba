"""Write the reference page of the Python API, ``docs/api.md``, from signatures and docstrings.

Run ``python -m metseg.cli.api_docs > docs/api.md`` to update it; a test compares the page with the code.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from textwrap import dedent
from typing import Any

import metseg

OPENING = """\
# Python API

<!-- Written by `python -m metseg.cli.api_docs > docs/api.md`. A test compares; do not edit. -->\
"""

#: Longest signature, in characters, that is printed in one line.
LINE_LENGTH = 100

#: Longest default that is printed, in characters.
LONGEST_DEFAULT = 60

#: Sections of a docstring that hold `name: text` entries, and their titles on the page.
ENTRY_SECTIONS: dict[str, str] = {"Args": "Parameters", "Attributes": "Attributes", "Raises": "Raises"}

#: Sections of a docstring that hold text, and their titles on the page.
TEXT_SECTIONS: dict[str, str] = {
    "Returns": "Returns",
    "Yields": "Yields",
    "Note": "Note",
    "Example": "Example",
    "Examples": "Examples",
}

#: Stars of the parameters that take any number of arguments.
PREFIXES: Mapping[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def api_page() -> str:
    """Return the page as Markdown: every name of ``metseg.__all__``, by kind, in alphabetical order."""
    public = {name: getattr(metseg, name) for name in sorted(metseg.__all__) if not name.startswith("_")}
    sections: dict[str, list[str]] = {"Functions": [], "Classes": [], "Tables": [], "Errors": []}
    for name, member in public.items():
        sections[kind_of(member)].append(document(name, member))
    opening = [OPENING, markdown(metseg.__doc__ or "")]
    written = [text for title, texts in sections.items() if texts for text in (f"## {title}", *texts)]
    return "\n\n".join([*opening, *written]) + "\n"


def kind_of(member: Any) -> str:
    """Return the title of the section that a public name belongs to."""
    if inspect.isclass(member):
        return "Errors" if issubclass(member, BaseException) else "Classes"
    return "Functions" if inspect.isroutine(member) else "Tables"


def document(name: str, member: Any) -> str:
    """Return the description of one public name: a heading, its signature, its docstring and its public members.

    Args:
        name: as in ``metseg.__all__``.
        member: a function, a class, or an instance such as a table.
    """
    if inspect.isroutine(member):
        return "\n\n".join(_function(f"metseg.{name}", member, level=3))
    parts = [f"### `metseg.{name}`"]
    owner = member
    if inspect.isclass(member):
        parts.append(_code(signature(f"metseg.{name}", member, returns=False)))
    else:
        owner = type(member)
    parts.append(markdown(inspect.getdoc(owner) or ""))
    bases = [f"Base class: `metseg.{base.__name__}`." for base in owner.__mro__[1:] if _is_public(base)]
    parts += bases[:1]  # each base class names its own
    if isinstance(member, Mapping):
        parts.append(f"Entries: {', '.join(f'`{entry}`' for entry in member)}.")
    for attribute, value in public_members(owner):
        parts += _member(f"{name}.{attribute}", value, getattr(owner, attribute))
    return "\n\n".join(part for part in parts if part)


def public_members(owner: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that metseg itself defines for a class, in the order of the source.

    Members of another library, such as pydantic's, are documented there; those of a public base class stand under it.
    """
    seen: set[str] = set()
    for base in owner.__mro__:
        foreign = base.__module__.partition(".")[0] != owner.__module__.partition(".")[0]
        if foreign or (base is not owner and _is_public(base)):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in seen and _is_documented_kind(value):
                seen.add(name)
                yield name, value


def _is_public(base: type) -> bool:
    return base.__name__ in metseg.__all__


def _is_documented_kind(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | cached_property | classmethod | staticmethod)


def _member(name: str, value: Any, bound: Any) -> list[str]:
    """Return the description of a method or a property.

    Args:
        name: with that of its class.
        value: as the class holds it.
        bound: as the class gives it: a class method without its first parameter.
    """
    if not isinstance(value, property | cached_property):
        return _function(name, bound, level=4, method=inspect.isfunction(value))
    getter = value.fget if isinstance(value, property) else value.func
    returns = inspect.signature(getter).return_annotation if getter else inspect.Signature.empty
    text = markdown(inspect.getdoc(value) or "")
    return [f"#### `{name}`", _code(f"{name}: {_annotation(returns)}"), *([text] if text else [])]


def _function(name: str, function: Callable[..., Any], *, level: int, method: bool = False) -> list[str]:
    text = markdown(inspect.getdoc(function) or "")
    shown = _code(signature(name, function, without_self=method))
    return [f"{'#' * level} `{name}`", shown, *([text] if text else [])]


def signature(name: str, function: Callable[..., Any], *, returns: bool = True, without_self: bool = False) -> str:
    """Return a signature as Python source, one parameter per line if it is long.

    Args:
        name: shown in front of the parameters.
        function: a function or a class.
        returns: show the type of the result too.
        without_self: leave out the first parameter.

    >>> def scale(image: int, *, factor: float = 2.0) -> float: ...
    >>> signature("scale", scale)
    'scale(image: int, *, factor: float = 2.0) -> float'
    """
    known = inspect.signature(function)
    parameters = list(known.parameters.values())[1 if without_self else 0 :]
    shown = list(_parameters(parameters))
    annotated = returns and known.return_annotation is not inspect.Signature.empty
    end = f" -> {_annotation(known.return_annotation)}" if annotated else ""
    line = f"{name}({', '.join(shown)}){end}"
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), f"){end}"])


def _parameters(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """Yield each parameter as it is written, and the star in front of the first that is keyword-only."""
    named = False
    for parameter in parameters:
        named = named or parameter.kind is inspect.Parameter.VAR_POSITIONAL
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not named:
            named = True
            yield "*"
        text = PREFIXES.get(parameter.kind, "") + parameter.name
        annotated = parameter.annotation is not inspect.Parameter.empty
        text += f": {_annotation(parameter.annotation)}" if annotated else ""
        if parameter.default is not inspect.Parameter.empty:
            text += f" = {_default(parameter.default)}" if annotated else f"={_default(parameter.default)}"
        yield text


def _annotation(annotation: Any) -> str:
    """Return a type as the source writes it, without the module of a class of metseg."""
    if isinstance(annotation, str):
        return annotation
    return re.sub(r"\bmetseg\.(?:\w+\.)*(\w+)", r"\1", inspect.formatannotation(annotation))


def _default(value: Any) -> str:
    """Return a default as Python source; "..." for a long one or one that shows an address in memory."""
    text = json.dumps(value) if isinstance(value, str) else repr(value)
    return "..." if text.startswith("<") or len(text) > LONGEST_DEFAULT else text


def markdown(docstring: str) -> str:
    """Return a docstring in Google's style as Markdown.

    >>> print(markdown("Return it.\\n\\nArgs:\\n    path: where\\n        it lies.\\nRaises:\\n    ValueError: never."))
    Return it.
    <BLANKLINE>
    Parameters:
    <BLANKLINE>
    - `path`: where it lies.
    <BLANKLINE>
    Raises:
    <BLANKLINE>
    - `ValueError`: never.
    """
    blocks: list[str] = []
    for title, lines in _sections(inspect.cleandoc(docstring).splitlines()):
        body = dedent("\n".join(lines)) if title else "\n".join(lines)
        if title:
            blocks.append(f"{(ENTRY_SECTIONS | TEXT_SECTIONS)[title]}:")
        blocks += _entries(body) if title in ENTRY_SECTIONS else _prose(body)
    return "\n\n".join(blocks)


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the titled sections of a docstring, and the text between them under the title ``""``."""
    title, body = "", list[str]()
    for line in lines:
        heading = line[:-1] if line.endswith(":") and line[:-1] in ENTRY_SECTIONS | TEXT_SECTIONS else None
        # A section ends at the next line that is not indented.
        if heading is not None or (title and line and not line.startswith(" ")):
            yield title, body
            title, body = heading or "", []
        if heading is None:
            body.append(line)
    yield title, body


def _entries(body: str) -> list[str]:
    """Return ``name: text`` entries as one Markdown list."""
    entries: list[str] = []
    begins_paragraph = False
    for line in body.splitlines():
        text = line.strip()
        if not text:
            begins_paragraph = True
            continue
        if not entries or not line.startswith(" "):
            name, colon, meaning = line.partition(":")
            entries.append(f"- `{name}`:{meaning}" if colon else f"- {line}")
        elif text.startswith("- "):  # a list inside the entry
            entries[-1] += f"\n  {text}"
        else:
            entries[-1] += f"\n\n  {text}" if begins_paragraph else f" {text}"
        begins_paragraph = False
    return [_plain("\n".join(entries))] if entries else []


def _prose(body: str) -> Iterator[str]:
    """Yield paragraphs, and examples as code: what is indented behind ``::``, and what begins with ``>>>``."""
    # An indented block runs to the next line that is not indented, blank lines included.
    for block in re.split(r"\n\s*\n(?!\s)", body.strip("\n")):
        text, colons, example = block.partition("::\n")
        if block.startswith(">>>"):
            yield _code(block)
        elif colons:
            yield f"{_paragraph(text)}:"
            yield _code(dedent(example.strip("\n")))
        elif block.strip():
            yield _paragraph(block)


def _paragraph(text: str) -> str:
    return _plain(" ".join(text.split()))


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


if __name__ == "__main__":
    print(api_page(), end="")
