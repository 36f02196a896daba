"""``metseg models``: list, install, check and combine bundles; list architectures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metseg.cli.option_parsing import MODEL_HELP, absolute
from metseg.cli.output import Cells, print_cells

app = typer.Typer(help="Bundles and architectures.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a bundle of this name that was installed before.")
]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the installed bundles."""
    from metseg.model.bundle import list_bundles

    bundles = {name: str(folder) for name, folder in list_bundles().items()}
    if as_json:
        print(json.dumps(bundles))
        return
    for name, folder in bundles.items():
        print(f"{name}\t{folder}")
    if not bundles:
        print("no bundles; `metseg train` creates one, `metseg models add` and `metseg models fetch` install one")


@app.command()
def show(name: Annotated[str, typer.Argument(help=MODEL_HELP)], as_json: Json = False) -> None:
    """Show the model card of a bundle."""
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
    rows = [
        (
            name,
            " and ".join(f"{dimension}D" for dimension in spec.dimensions),
            spec.source,
            ", ".join(spec.options.model_fields),
        )
        for name, spec in MODELS.items()
    ]
    if sys.stdout.isatty():
        print_cells(Cells(("architecture", "dimensions", "source", "options"), tuple(rows)))
        return
    width = max(map(len, MODELS))
    for name, forms, source, options in rows:
        print(f"{name:<{width}}  {forms:<9}  {source:<24}  {options}")


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="The folder of a bundle, or of a training.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the bundle; defaults to its recipe's name.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Install a bundle, so that it can be used by name."""
    from metseg.model.bundle_install import install_bundle

    installed = install_bundle(path, name=name, overwrite=overwrite)
    if as_json:
        print(json.dumps({"name": installed.name, "bundle": str(installed)}))
        return
    print(f"{installed.name}\t{installed}")
    _ask_for_consent(installed)


def _ask_for_consent(installed: Path) -> None:
    from metseg.model_terms import is_accepted

    if not is_accepted(installed):
        typer.echo(f"for non-commercial use only: run metseg models accept {installed.name} before using it", err=True)


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="A released bundle, such as lgg-flair; or public weights: inception-v3, inception-v3-keras."
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--from", help="Its archive or file on this machine; by default it is downloaded.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Download a released bundle from METSEG_MODELS_URL, or public weights from their publisher; check and install it.

    A recipe names public weights as model.encoder_weights.
    """
    from metseg.model import releases
    from metseg.model.bundle_fetch import fetch_bundle
    from metseg.runtime.progress import share_bar, show_no_share

    if name in releases.PUBLIC_WEIGHTS:
        _fetch_weights(name, file, as_json=as_json)
        return
    with (show_no_share if as_json else share_bar)("Download") as on_share:
        installed = fetch_bundle(name, file=file, overwrite=overwrite, on_share=on_share)
    licence = releases.RELEASES[name].licence
    if as_json:
        print(json.dumps({"name": installed.name, "bundle": str(installed), "licence": licence}))
        return
    print(f"{installed.name}\t{installed}")
    print(f"licence of the weights: {licence}")
    _ask_for_consent(installed)


def _fetch_weights(name: str, file: Path | None, *, as_json: bool) -> None:
    from metseg.model import releases
    from metseg.model.public_weights import fetch_weights
    from metseg.runtime.progress import share_bar, show_no_share

    with (show_no_share if as_json else share_bar)("Download") as on_share:
        installed = fetch_weights(name, file=file, on_share=on_share)
    licence = releases.PUBLIC_WEIGHTS[name].licence
    if as_json:
        print(json.dumps({"name": name, "file": str(installed), "licence": licence}))
        return
    print(f"{name}\t{installed}")
    print(f"licence of the weights: {licence}")
    print(f"use them with --set model.encoder_weights={name}")


@app.command()
def pack(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    out: Annotated[Path, typer.Option("--out", help="The archive to write (zip).")],
    as_json: Json = False,
) -> None:
    """Pack a bundle into one file for a release; prints its size and checksum for the table of releases."""
    import hashlib

    from metseg.bundle_folder import find_bundle
    from metseg.model.bundle_archive import pack_bundle

    pack_bundle(find_bundle(name), out)
    content = out.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if as_json:
        print(json.dumps({"file": str(out), "bytes": len(content), "sha256": digest}))
        return
    print(f"{out}\t{len(content)} bytes\tsha256 {digest}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="Format of the graph: onnx or openvino.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Output folder; defaults to METSEG_HOME/exports/NAME-FINGERPRINT-FORMAT."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export the networks of a bundle for metseg predict --backend, checked against torch on random inputs."""
    from metseg.inference.backends.backend_table import find_export_format
    from metseg.inference.backends.exported_model import export_bundle
    from metseg.model.bundle import load_bundle
    from metseg.model_terms import require_accepted

    find_export_format(form)  # before the model is read, which takes seconds
    require_accepted(name)
    exported = export_bundle(load_bundle(name), form, out)
    if as_json:
        document = {"folder": str(exported.folder), "max_difference": exported.max_difference}
        print(json.dumps({**document, "largest_logit": exported.largest_logit}))
        return
    print(f"{exported.folder}")
    print(f"largest difference from torch: {exported.max_difference:.2g}, of logits up to {exported.largest_logit:.3g}")


@app.command()
def accept(
    name: Annotated[str, typer.Argument(help="A bundle: its name or its folder.")], as_json: Json = False
) -> None:
    """Accept the terms of a bundle for non-commercial use only; needed once, before it predicts."""
    from metseg.model_terms import accept as accept_terms

    terms = accept_terms(name)
    if as_json:
        print(json.dumps({"name": name, "non_commercial": bool(terms), "terms": terms, "accepted": True}))
        return
    print(f"{name}: accepted, non-commercial use only: {terms}" if terms else f"{name}: free, nothing to accept")


@app.command()
def verify(name: Annotated[str, typer.Argument(help=MODEL_HELP)], as_json: Json = False) -> None:
    """Check a bundle's checksums, its weights and the prediction that it keeps; exits with status 4 if one is wrong."""
    from metseg.model.bundle import load_bundle
    from metseg.model.reference_prediction import largest_difference

    bundle = load_bundle(name)
    kept = bundle.reference
    difference = None if kept is None else largest_difference(kept, bundle.networks, bundle.recipe)
    if as_json:
        document = {"name": bundle.name, "sound": True, "networks": len(bundle.networks)}
        print(json.dumps(document | {"largest_difference": difference}))
        return
    predicted = (
        "keeps no prediction to compare with"
        if difference is None
        else f"predicts as when it was made (largest difference {difference:.1g})"
    )
    print(f"{bundle.name}: files and weights sound, {len(bundle.networks)} network(s); {predicted}")


@app.command()
def join(
    names: Annotated[list[str], typer.Argument(help="Bundles or trainings of one recipe, such as one per fold.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the new bundle.")],
    as_json: Json = False,
) -> None:
    """Combine several trained bundles into an ensemble that averages their probabilities."""
    from metseg.experiment.ensembling import join_bundles

    joined = join_bundles(names, out)
    if as_json:
        print(json.dumps({"bundle": str(joined), "networks": len(names)}))
        return
    print(f"{joined}\t{len(names)} networks")


@app.command()
def operate(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    predictions: Annotated[
        Path,
        typer.Option("--predictions", help="Folder of the bundle's masks and probabilities for validation patients."),
    ],
    truth: Annotated[Path, typer.Option("--truth", help="Folder of their ground-truth masks.")],
    false_positives: Annotated[
        float, typer.Option("--false-positives", min=0, help="Largest mean number of false lesions per patient.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of a new bundle; by default the bundle itself is changed.")
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="Rule for counting a lesion as found, as in metseg evaluate.")
    ] = "voxel",
    labels: Annotated[
        str | None, typer.Option("--labels", help="Label scheme of the true masks; defaults to the recipe's.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Split file of the training, if the bundle does not record it.")
    ] = None,
    fold: Annotated[
        int | None, typer.Option("--fold", min=0, help="Fold that the bundle was validated on, from 0.")
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option("--patients", help="Table (CSV) with a row per case or truth file: its patient."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Number of processes; defaults to one per core.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose threshold and minimum lesion size on validation patients, and write them into the bundle.

    Run first: metseg predict VALIDATION --model NAME --format mask --format probability --out P
    """
    from metseg.experiment.set_operating_point import UNIT_WORDS, OperatingTarget, set_operating_point
    from metseg.runtime.system_info import processors

    wanted = OperatingTarget(
        predictions,
        truth,
        false_positives,
        protocol=protocol,
        labels=labels,
        split_file=split,
        fold=fold,
        patient_pattern=patient_pattern,
        patients=absolute(patients),
    )
    operated = set_operating_point(name, wanted, out=out, jobs=jobs or processors(), quiet=as_json)
    if as_json:
        document = {"bundle": str(operated.bundle), "operating_point": operated.to_json()}
        print(json.dumps({**document, "warnings": operated.warnings}))
        return
    for warning in operated.warnings:
        typer.echo(f"warning: {warning}", err=True)
    point = operated.point
    print(f"threshold {point.threshold:g}, components of at least {point.minimum_size:g} {UNIT_WORDS[point.unit]}")
    print(f"on {point.patients} validation patients with {point.lesions} lesions, 95 % interval over patients:")
    for figure, interval in (
        ("sensitivity", point.sensitivity),
        ("false positives per patient", point.false_positives_per_patient),
        ("Dice", point.dice),
    ):
        ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
        print(f"  {figure}: {interval.mean:.3f}{ends}")
    print(f"written into {operated.bundle}: metseg predict uses it from now on")
