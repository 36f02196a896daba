"""Tables that other packages extend: by `register` in a process, by entry points once installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from metseg.errors import UsageError
from metseg.registry import Registry, resolve_function


@dataclass(frozen=True)
class Shape:
    """An entry for these tests."""

    corners: object
    colour: str = "red"


@pytest.fixture
def shapes() -> Registry[Shape]:
    return Registry("shape", "shapes", Shape, {"triangle": Shape(3), "square": Shape(4)}, make=Shape)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts a package with entry points and one module on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(package: str, points: str, code: str = "") -> None:
        facts = tmp_path / f"{package}-2.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n", "utf-8")
        (facts / "entry_points.txt").write_text(f"[metseg.shapes]\n{points}\n", "utf-8")
        (tmp_path / f"{package}_module.py").write_text(code, "utf-8")
        monkeypatch.delitem(sys.modules, f"{package}_module", raising=False)

    return add


def test_it_reads_like_a_dict(shapes: Registry[Shape]) -> None:
    assert dict(shapes) == {"triangle": Shape(3), "square": Shape(4)}
    assert (len(shapes), "square" in shapes, shapes.get("circle")) == (2, True, None)
    assert shapes.own == ("triangle", "square")
    with pytest.raises(KeyError):
        shapes["circle"]


def test_an_unknown_name_gets_the_nearest_one_and_the_group_that_could_add_it(shapes: Registry[Shape]) -> None:
    with pytest.raises(UsageError, match=r"Unknown shape 'sqare'\. Did you mean 'square'\?.*metseg\.shapes"):
        shapes.lookup("sqare")


def test_register_takes_an_entry_or_decorates_what_it_is_made_of(shapes: Registry[Shape]) -> None:
    assert shapes.register("line", Shape(2)) == Shape(2)

    @shapes.register("ring", colour="blue")
    def corners() -> int:
        return 0

    assert corners() == 0
    assert shapes["ring"] == Shape(corners, "blue")
    assert shapes.registered == shapes.added == ("line", "ring")
    shapes.unregister("ring")
    assert list(shapes) == ["triangle", "square", "line"]
    with pytest.raises(UsageError, match="Unknown registered shape 'triangle'"):
        shapes.unregister("triangle")


def test_register_decorates_only_where_a_function_makes_an_entry() -> None:
    plain = Registry("shape", "shapes", Shape, {"triangle": Shape(3)})
    with pytest.raises(TypeError, match=r"no decorator: call register\('ring', entry\)"):
        plain.register("ring", colour="blue")


@pytest.mark.parametrize("name", ["triangle", "line"])
def test_register_refuses_a_name_that_is_taken(shapes: Registry[Shape], name: str) -> None:
    shapes.register("line", Shape(2))
    with pytest.raises(UsageError, match=f"have the name '{name}'") as caught:
        shapes.register(name, Shape(5))
    assert caught.value.code == "usage.name_taken"


def test_register_refuses_an_entry_of_another_type(shapes: Registry[Shape]) -> None:
    with pytest.raises(UsageError, match=r"expected an instance of .*Shape, got int"):
        shapes.register("line", 2)  # type: ignore[arg-type]


def test_an_entry_point_is_imported_when_its_entry_is_used(
    shapes: Registry[Shape], install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shape_entries", SimpleNamespace(Shape=Shape))
    install("hexagons", "hexagon = hexagons_module:SIX", "from shape_entries import Shape\nSIX = Shape(6)\n")
    assert list(shapes) == ["triangle", "square", "hexagon"]
    assert shapes.package_of("hexagon") == "hexagons 2.0"
    assert "hexagons_module" not in sys.modules
    assert shapes.lookup("hexagon") == Shape(6)
    assert "hexagons_module" in sys.modules
    with pytest.raises(UsageError, match=r"which package hexagons 2\.0 adds"):
        shapes.register("hexagon", Shape(6))


@pytest.mark.parametrize(
    ("code", "expected", "error_code"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'", "usage.entry_point"),
        ("SEVEN = 7", "expected an instance of", "usage.entry_type"),
        ("", "AttributeError", "usage.entry_point"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named_with_its_package(
    shapes: Registry[Shape], install: Callable[..., None], code: str, expected: str, error_code: str
) -> None:
    install("sevens", "seven = sevens_module:SEVEN", code)
    assert shapes["square"] == Shape(4)  # other entries are not concerned
    with pytest.raises(UsageError, match=expected) as caught:
        shapes.lookup("seven")
    assert caught.value.code == error_code
    assert "package sevens 2.0" in str(caught.value)
    assert "metseg.shapes: seven = sevens_module:SEVEN" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("no_such_module:build", "No module named 'no_such_module'"),
        ("math:no_such_function", "no attribute 'no_such_function'"),
        ("math build", "invalid format"),
    ],
)
def test_a_function_named_by_a_text_that_leads_nowhere_is_refused(text: str, got: str) -> None:
    with pytest.raises(UsageError, match=got) as caught:
        resolve_function(text)
    assert caught.value.code == "usage.entry_point"
    assert text in str(caught.value)


def test_a_name_of_metseg_cannot_be_taken_by_a_package(shapes: Registry[Shape], install: Callable[..., None]) -> None:
    install("squares", "square = squares_module:FOUR")
    with pytest.raises(
        UsageError, match=r"package squares 2\.0: two entries of .* have the name 'square'.*which metseg adds"
    ):
        list(shapes)


def test_two_packages_cannot_take_one_name(shapes: Registry[Shape], install: Callable[..., None]) -> None:
    install("first", "oval = first_module:OVAL")
    install("second", "oval = second_module:OVAL")
    with pytest.raises(UsageError, match="have the name") as caught:
        shapes.lookup("oval")
    assert all(package in str(caught.value) for package in ("first 2.0", "second 2.0"))
