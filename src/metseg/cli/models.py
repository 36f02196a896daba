"""``metseg models``: which bundles and architectures there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Bundles and architectures.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the bundles that can be named."""
    from metseg.model.bundle import list_bundles

    bundles = {name: str(folder) for name, folder in list_bundles().items()}
    if as_json:
        print(json.dumps(bundles))
        return
    for name, folder in bundles.items():
        print(f"{name}\t{folder}")
    if not bundles:
        print("no bundles; `metseg train` makes one, `metseg models add PATH` installs one")


@app.command()
def show(name: Annotated[str, typer.Argument(help="A bundle: its name or its folder.")], as_json: Json = False) -> None:
    """Show the card of a bundle."""
    from metseg.model.bundle import load_bundle

    bundle = load_bundle(name)
    if as_json:
        print(
            json.dumps(
                {"name": bundle.name, "recipe": bundle.recipe.model_dump(mode="json"), "metrics": bundle.metrics}
            )
        )
        return
    print(bundle.card)


@app.command()
def architectures(as_json: Json = False) -> None:
    """List the architectures, their options and sources."""
    from metseg.model import MODELS

    if as_json:
        print(
            json.dumps(
                {
                    name: {
                        "dimensions": spec.dimensions,
                        "source": spec.source,
                        "options": spec.options.model_json_schema()["properties"],
                    }
                    for name, spec in MODELS.items()
                }
            )
        )
        return
    width = max(map(len, MODELS))
    for name, spec in MODELS.items():
        forms = " and ".join(f"{dimension}D" for dimension in spec.dimensions)
        print(f"{name:<{width}}  {forms:<9}  {spec.source:<24}  {', '.join(spec.options.model_fields)}")


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="The folder of a bundle.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; by default its recipe's name.")] = None,
    as_json: Json = False,
) -> None:
    """Install a bundle, so that it can be called by name."""
    from metseg.model.install import install_bundle

    installed = install_bundle(path, name=name)
    if as_json:
        print(json.dumps({"name": installed.name, "bundle": str(installed)}))
        return
    print(f"{installed.name}\t{installed}")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="A bundle: its name or its folder.")], as_json: Json = False
) -> None:
    """Check a bundle's checksums and that its weights fit its recipe; a fault ends with exit status 4."""
    from metseg.model.bundle import load_bundle

    bundle = load_bundle(name)
    if as_json:
        print(json.dumps({"name": bundle.name, "sound": True, "networks": len(bundle.networks)}))
        return
    print(f"{bundle.name}: sound, {len(bundle.networks)} network(s)")
