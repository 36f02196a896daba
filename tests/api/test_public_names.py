"""What ``metseg`` offers: every name is found, documented and light, and no folder hides one."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import metseg

FUNCTIONS = (
    "compare",
    "evaluate_case",
    "export",
    "follow",
    "load",
    "load_all",
    "load_model",
    "load_recipe",
    "overlay",
    "predict",
    "report",
    "score",
    "simulate",
    "train",
)
HEAVY = ("torch", "lightning", "monai", "matplotlib", "pandas", "streamlit", "fastapi")


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported_for_type_checkers() -> dict[str, str]:
    """Return name to module of the imports under ``if TYPE_CHECKING``."""
    tree = ast.parse(Path(metseg.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_the_table_the_list_and_the_type_checkers_agree() -> None:
    assert imported_for_type_checkers() == metseg._MODULES
    assert set(metseg.__all__) == {*metseg._MODULES, "__version__"}
    assert list(metseg.__all__) == sorted(metseg.__all__)
    assert set(metseg.__all__) <= set(dir(metseg))


@pytest.mark.parametrize("name", metseg._MODULES)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert (inspect.getdoc(getattr(metseg, name)) or "").strip()


def test_the_functions_are_those_that_the_tests_below_call() -> None:
    functions = [name for name in metseg._MODULES if inspect.isfunction(getattr(metseg, name))]
    assert tuple(functions) == FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_and_help_tell_every_argument(name: str) -> None:
    function = getattr(metseg, name)
    parameters = inspect.signature(function).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters.values())
    text = inspect.getdoc(function) or ""
    for argument in parameters:
        assert f"{argument}:" in text
    assert "Raises:" in text


def test_no_submodule_has_the_name_of_something_public() -> None:
    submodules = {module.name for module in pkgutil.iter_modules(metseg.__path__)}
    assert not submodules & set(metseg._MODULES)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        metseg.segment  # noqa: B018


def test_importing_the_package_loads_nothing() -> None:
    loaded = python(
        "import sys, metseg; print([name for name in sys.modules if name in ('torch', 'numpy', 'pydantic')])"
    )
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    "names",
    [
        ("MetsegError", "Case", "Volume", "models", "layouts"),
        ("load", "load_all", "Cases"),
        ("evaluate_case", "score", "Prediction", "overlay"),
        ("Recipe", "load_recipe", "simulate"),
    ],
    ids=lambda names: names[0],
)
def test_names_that_need_no_network_load_no_heavy_package(names: tuple[str, ...]) -> None:
    touched = "; ".join(f"metseg.{name}" for name in names)
    code = f"import sys, metseg; {touched}; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code).strip() == "[]"


def test_listing_layouts_metrics_and_steps_loads_no_torch() -> None:
    code = (
        "import sys, metseg; list(metseg.layouts), list(metseg.metrics), list(metseg.transforms.steps);"
        "print('torch' in sys.modules)"
    )
    assert python(code).strip() == "False"


CALLS = """
import contextlib, importlib, json, pkgutil, sys
from pathlib import Path
import metseg
failed = []
for module in pkgutil.walk_packages(metseg.__path__, "metseg.", onerror=failed.append):
    # Alembic runs the migrations, and __main__ is the program.
    if not module.name.startswith(("metseg.serve.migrations.", "metseg.__main__")):
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module(module.name)
assert not failed, failed
slices, bundle, recipe, out = (Path(text) for text in sys.argv[1:])
case = metseg.load(slices / "P0", channels=["t1n", "t2f", "t1c"])
model = metseg.load_model(bundle, device="cpu")
prediction = metseg.predict(case, model)
one = metseg.load_recipe(recipe)
def refused(call):
    try:
        call()
    except metseg.MetsegError as error:
        return error
called = {
    "compare": metseg.compare([one], slices, out / "compare", device="cpu"),
    "evaluate_case": metseg.evaluate_case(case.labels.data > 0, prediction.labels > 0),
    "export": refused(lambda: metseg.export(prediction, slices, out)),
    "follow": refused(lambda: metseg.follow([prediction])),
    "load": case,
    "load_all": metseg.load_all(slices),
    "load_model": model,
    "load_recipe": one,
    "overlay": metseg.overlay(prediction),
    "predict": prediction,
    "report": metseg.report(prediction, out, formats=["html"]),
    "score": metseg.score(prediction),
    "simulate": metseg.simulate(
        out / "simulated", 1, kind="slices", slices={"slices_per_patient": 1}, phantom={"resolution_mm": 5}, quiet=True
    ),
    "train": metseg.train(recipe, slices, out / "run", device="cpu"),
}
assert called["export"] and called["follow"], "pictures and single examinations are accepted"
print("CALLED", json.dumps(sorted(called)))
"""


@pytest.mark.slow
def test_functions_can_be_called_after_every_submodule_was_imported(
    tiny_slices: Path, tiny_bundle: Path, make_tiny_recipe, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_tiny_recipe("train.max_steps=1").to_toml(), "utf-8")
    arguments = [str(path) for path in (tiny_slices, tiny_bundle, recipe, tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", CALLS, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    called = done.stdout.rpartition("CALLED ")[2].strip()
    assert ast.literal_eval(called) == list(FUNCTIONS)
