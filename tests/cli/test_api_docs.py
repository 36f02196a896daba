"""``docs/api.md``: written from the public names, their signatures and their docstrings."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import metseg
from metseg.cli.api_docs import api_page, document, kind_of, markdown, public_members, signature
from metseg.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def test_the_page_is_what_the_package_says() -> None:
    assert api_page() == PAGE, "run: python -m metseg.cli.api_docs > docs/api.md"


def test_every_public_name_has_a_heading_and_every_signature_is_stable() -> None:
    for name in set(metseg.__all__) - {"__version__"}:
        assert f"\n### `metseg.{name}`\n" in PAGE
    assert " at 0x" not in PAGE  # an address in memory differs from run to run


MISSING = object()


def scale(image: int, /, *factors: float, by: str = "x", offset: Any = MISSING) -> float:
    """Return the image, scaled.

    Args:
        image: as it
            was.
    Raises:
        ValueError: a wrong factor,
            or none.

    Call it so::

        import this

        scale(this)
    """
    return image * sum(factors)


@dataclass
class Base:
    """A point.

    Args:
        x: mm.
    """

    x: float = 0.0

    @property
    def double(self) -> float:
        """Twice as far."""
        return 2 * self.x

    @classmethod
    def origin(cls) -> Base:
        """Return the origin."""
        return cls()

    def _hidden(self) -> None:
        """Not for the page."""


class Derived(Base):
    """Another point."""

    def triple(self) -> float:
        """Three times as far."""
        return 3 * self.x


class Entries(UserDict[str, int]):
    """Some numbers."""

    def build(self, name: str) -> int:
        """Return one."""
        return self[name]


def test_a_function_with_every_kind_of_parameter() -> None:
    # The default without a repr of its own would show an address.
    assert signature("scale", scale) == (
        'scale(image: int, *factors: float, by: str = "x", offset: Any = ...) -> float'
    )
    text = document("scale", scale)
    assert "- `image`: as it was.\n\nRaises:\n\n- `ValueError`: a wrong factor, or none.\n\nCall it so:" in text
    assert text.endswith("```python\nimport this\n\nscale(this)\n```")


def test_a_long_signature_has_a_line_for_each_parameter() -> None:
    def far(*, first_of_all: tuple[int, int, int] = (1, 2, 3), second_of_all: dict[str, float] | None = None) -> None:
        pass

    assert signature("far", far).splitlines() == [
        "far(",
        "    *,",
        "    first_of_all: tuple[int, int, int] = (1, 2, 3),",
        "    second_of_all: dict[str, float] | None = None,",
        ") -> None",
    ]


def test_a_class_with_its_public_members() -> None:
    text = document("Base", Base)
    assert text.startswith("### `metseg.Base`\n\n```python\nmetseg.Base(x: float = 0.0)\n```\n\nA point.")
    assert "#### `Base.double`\n\n```python\nBase.double: float\n```\n\nTwice as far." in text
    assert "#### `Base.origin`\n\n```python\nBase.origin() -> Base\n```" in text
    assert "_hidden" not in text


def test_members_of_other_libraries_are_left_to_them() -> None:
    assert [name for name, _ in public_members(metseg.Cases)] == ["ids", "patients"]  # and not Sequence.index
    assert [name for name, _ in public_members(Entries)] == ["build"]  # and not UserDict.copy


def test_members_of_a_public_base_class_stand_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [name for name, _ in public_members(Derived)] == ["triple", "double", "origin"]
    monkeypatch.setattr(metseg, "__all__", ["Base"])
    assert [name for name, _ in public_members(Derived)] == ["triple"]
    assert "Base class: `metseg.Base`." in document("Derived", Derived)


def test_a_long_default_is_shortened_and_a_class_of_ours_has_no_module() -> None:
    shown = signature("Recipe", Recipe)
    assert "    train: TrainPart = ...," in shown.splitlines()
    assert "    preprocess: tuple[Named, ...] = ()," in shown.splitlines()


def test_a_table_lists_its_entries() -> None:
    text = document("numbers", Entries(one=1, two=2))
    assert text.startswith("### `metseg.numbers`\n\nSome numbers.\n\nEntries: `one`, `two`.\n\n#### `numbers.build`")
    assert "numbers.build(name: str) -> int" in text


def test_kinds_of_names() -> None:
    assert [kind_of(one) for one in (scale, Base, Entries(), ValueError)] == [
        "Functions",
        "Classes",
        "Tables",
        "Errors",
    ]


def test_a_list_and_a_paragraph_inside_an_entry() -> None:
    docstring = """Read it.

    Args:
        image: one of

            - a path
              or two;
            - a case.

            No
            more.
        name: a text.
    """
    assert markdown(docstring).partition("Parameters:\n\n")[2].splitlines() == [
        "- `image`: one of",
        "  - a path or two;",
        "  - a case.",
        "",
        "  No more.",
        "- `name`: a text.",
    ]


def test_an_error_names_its_nearest_base_class_only() -> None:
    assert document("GeometryError", metseg.GeometryError).count("Base class:") == 1
    assert "Base class: `metseg.InputError`." in document("GeometryError", metseg.GeometryError)


def test_examples_and_returns_of_a_docstring() -> None:
    assert markdown("One.\n\nReturns:\n    a ``number``.\n\nMore\ntext.\n\n>>> 1 + 1\n2\n") == (
        "One.\n\nReturns:\n\na `number`.\n\nMore text.\n\n```python\n>>> 1 + 1\n2\n```"
    )
