"""``metseg predict``: masks for pictures, volumes and folders of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.export import FORMATS_HELP, IDENTITY_HELP, MARGIN_HELP, MARGIN_KIND_HELP, print_notes, separated
from metseg.cli.option_parsing import MODEL_HELP, absolute, named_part, named_sequences
from metseg.errors import InputError, UsageError
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from collections import Counter

    from metseg.inference.batch import Outcome

#: Errors printed one by one; the rest are counted.
SHOWN_ERRORS = 10

#: Kinds of warning printed; the documents hold all of them.
SHOWN_WARNINGS = 5


def predict(
    *,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, volumes, DICOM, or folders of them.", metavar="INPUT")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME_OR_FOLDER",
            help=f"{MODEL_HELP} Defaults to the installed model that fits the input best; the reason is printed.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Output folder for masks, JSON documents and lesions.csv.")] = Path(
        "predictions"
    ),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Result to write: mask, overlay, probability, instances, brain-mask or uncertainty; can be repeated.",
        ),
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Also write a map of lesion numbers; as --format instances.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="PROBABILITY",
            min=0,
            max=1,
            help="Smallest probability of a lesion voxel, between 0 and 1; defaults to the model's. The model's scores "
            "do not apply to another one.",
        ),
    ] = None,
    min_volume: Annotated[
        float | None,
        typer.Option(
            "--min-volume",
            metavar="MM3",
            min=0,
            help="Smallest volume of a lesion in mm³ (1 mL = 1000 mm³); defaults to the model's. The model's scores do "
            "not apply to another one. Not for pictures, which have no voxel size.",
        ),
    ] = None,
    tta: Annotated[
        bool | None,
        typer.Option(
            "--tta/--no-tta",
            help="Average over mirror images: 2, 4 or 8 times the computing time, depending on the axes that training "
            "mirrored; whether it improves the masks depends on the model. Defaults to the model's setting.",
        ),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write how far the predictions of mirror images and folds differ: a map, and a range for the "
            "volume of each lesion. Needs --tta or a model of several folds; not calibrated.",
        ),
    ] = False,
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="What runs the network: torch, onnx or openvino. The latter two need metseg models export first.",
        ),
    ] = "torch",
    exported: Annotated[
        Path | None,
        typer.Option(
            "--exported", help="Folder of the export for --backend; defaults to that of metseg models export."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Process part i of n of the cases, given as i/n. Skips finished cases; safe to run again."),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEQUENCE=PATH",
            help="t1c=PATH: use this file or DICOM series as the sequence; overrides detection. "
            "t1c=none: leave it out.",
        ),
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option(help="Regular expression, searched in the path; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table (CSV) with a row per file or study: its patient.")
    ] = None,
    stack: Annotated[
        bool | None, typer.Option("--stack/--no-stack", help="Read multi-page TIFFs as stacks of slices.")
    ] = None,
    allow_gaps: Annotated[
        bool | None, typer.Option("--allow-gaps/--no-gaps", help="Interpolate slices missing from a DICOM series.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Predict only one part of this split; requires --part.")
    ] = None,
    part: Annotated[str | None, typer.Option("--part", help="Part of --split: train, validation or test.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", min=0, help="Validation fold of --split, from 0.")] = None,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    exports: Annotated[
        list[str] | None, typer.Option("--export", metavar="NAMES", help=f"For DICOM inputs. {FORMATS_HELP}")
    ] = None,
    identity: Annotated[str, typer.Option("--identity", metavar="CHOICE", help=IDENTITY_HELP)] = "pseudonym",
    margin: Annotated[float | None, typer.Option("--margin", metavar="MM", help=MARGIN_HELP)] = None,
    margin_kind: Annotated[str, typer.Option("--margin-kind", metavar="KIND", help=MARGIN_KIND_HELP)] = "ptv",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find lesions and write masks on the input's grid, overlays, and a lesion table as JSON."""
    from metseg.runtime.malloc_tuning import give_back_freed_memory

    give_back_freed_memory()
    from metseg.inference.batch import predict_paths
    from metseg.inference.input_model import choose_for_inputs
    from metseg.inference.input_options import InputOptions
    from metseg.inference.outputs.output_formats import UNCERTAINTY
    from metseg.inference.predictor import Predictor
    from metseg.inference.shards import Shard
    from metseg.model.bundle import load_bundle
    from metseg.model_terms import require_accepted

    reading = InputOptions(
        patient_pattern,
        stack,
        allow_gaps,
        named_sequences(modality or []),
        tell=_tell,
        part=named_part(split, part, fold),
        patients=absolute(patients),
    )
    portion = None if shard is None else Shard.parse(shard)
    wanted = DicomExports(separated(exports or []), tuple(inputs or []), identity, margin, margin_kind)
    wanted.check(has_shard=shard is not None)
    reason = ""
    if model is None:
        choice = choose_for_inputs(inputs or [], reading, out, tell=_tell)
        model, reason = str(choice.model), choice.text
    require_accepted(model)
    chosen = [*(formats or ("mask", "overlay")), *(["instances"] if instances else [])]
    chosen += [*([UNCERTAINTY] if uncertainty else []), *wanted.formats]
    predictor = Predictor.from_bundle(
        load_bundle(model),
        device=device,
        tta=tta,
        threshold=threshold,
        minimum_mm3=min_volume,
        backend=backend,
        exported=exported,
        uncertainty=UNCERTAINTY in chosen,
    )

    def tell_of_mirror_images() -> None:
        if predictor.views > 1 and not as_json:
            _tell(f"averaging over mirror images takes about {predictor.views} times as long as --no-tta")

    outcome = predict_paths(
        inputs or [],
        predictor,
        out,
        formats=tuple(dict.fromkeys(chosen)),
        reading=reading,
        shard=portion,
        quiet=as_json,
        model_reason=reason,
        on_first=tell_of_mirror_images,
    )
    written = wanted.write(outcome, model)
    if as_json:
        _print_json(outcome, written)
    else:
        _print(outcome, out)
    if outcome.errors:
        raise typer.Exit(outcome.errors[0].exit_status)


@dataclass(frozen=True)
class DicomExports:
    """The DICOM objects to write of each case.

    Args:
        names: of the exports; none: nothing is written.
        inputs: what was predicted on.
        identity, margin_mm, margin_kind: as for ``metseg export``.
    """

    names: tuple[str, ...]
    inputs: tuple[Path, ...]
    identity: str
    margin_mm: float | None
    margin_kind: str

    @property
    def margin(self) -> dict[str, object]:
        """Return the fields of `metseg.dicom_export.ExportOptions`."""
        return {"margin_mm": self.margin_mm, "margin_kind": self.margin_kind}

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the results that the exports are made of."""
        if not self.names:
            return ()
        return ("mask", "probability") if "seg-probability" in self.names else ("mask",)

    def check(self, *, has_shard: bool) -> None:
        """Refuse what cannot be written, before anything is predicted.

        Raises:
            UsageError: see `check_export`; options without exports, or exports of a part of the cases.
        """
        if not self.names:
            if (self.identity, self.margin_mm, self.margin_kind) != ("pseudonym", None, "ptv"):
                raise UsageError(
                    "an option of the exports without exports", cure="add --export NAMES", code="usage.options"
                )
            return
        from metseg.api.dicom_results import check_export

        check_export(self.names, identity=self.identity, margin=self.margin)
        if has_shard:
            raise UsageError(
                "the cases of a shard are not exported, because another run may have predicted some of them",
                where="--export",
                cure="leave --export out, and run metseg export on the documents afterwards",
                code="usage.options",
            )

    def write(self, outcome: Outcome, model: str) -> list[Path]:
        """Write the objects of each case that a model predicted; a case that cannot be exported becomes an error."""
        if not self.names:
            return []
        from metseg.api.dicom_results import export_result
        from metseg.dicom_export.source_series import SourceStudies

        written: list[Path] = []
        source = SourceStudies(self.inputs)
        for document in outcome.documents:
            try:
                made = export_result(
                    document,
                    source,
                    None,
                    formats=self.names,
                    identity=self.identity,
                    margin=self.margin,
                    model=model,
                )
            except (InputError, UsageError) as error:
                outcome.errors.append(error)
                continue
            print_notes(document.stem, made)
            written += made.files
        return written


def _tell(note: str) -> None:
    typer.echo(f"note: {note}", err=True)


def _worst_first(warnings: Counter[str]) -> list[tuple[str, int]]:
    """Return warnings with their numbers of cases: first those by which the scores do not hold, then by number."""
    from metseg.inference.input_fit import misfit_warnings

    doubts = misfit_warnings(warnings)
    return sorted(warnings.most_common(), key=lambda pair: pair[0] not in doubts)


def _print_json(outcome: Outcome, exported: list[Path]) -> None:
    failed = [{"code": error.code, "message": error.one_line()} for error in outcome.errors]
    cases = [json.loads(path.read_text("utf-8")) for path in outcome.documents]
    print(
        json.dumps(
            {"cases": cases, "skipped": outcome.skipped, "failed": failed, "exported": [str(path) for path in exported]}
        )
    )


def _print(outcome: Outcome, out: Path) -> None:
    """Print the worst first: errors, fitness, warnings, then the result; no counts if there is no result."""
    from metseg.headline import SPECK_ML

    headline = outcome.headlines[0] if len(outcome.headlines) == 1 else None
    specks = sum(one.specks for one in outcome.headlines)
    for error in outcome.errors[:SHOWN_ERRORS]:
        typer.echo(f"metseg: {error.one_line()}", err=True)
    if len(outcome.errors) > SHOWN_ERRORS:
        typer.echo(f"metseg: and {len(outcome.errors) - SHOWN_ERRORS} more could not be read", err=True)
    if headline is not None:
        print(headline.fitness, flush=True)
    for text, count in _worst_first(outcome.warnings)[:SHOWN_WARNINGS]:
        typer.echo(f"note ({pluralize(count, 'case')}): {text}", err=True)
    if len(outcome.warnings) > SHOWN_WARNINGS:
        more = pluralize(len(outcome.warnings) - SHOWN_WARNINGS, "more kind of note is", "more kinds of note are")
        typer.echo(f"note: {more} in the JSON documents", err=True)
    counts = {"picture": outcome.pictures, "volume": outcome.volumes}
    shown = [pluralize(count, what) for what, count in counts.items() if count]
    shown += [f"{outcome.skipped} skipped"] if outcome.skipped else []
    if not shown:
        return
    shown += [f"{len(outcome.errors)} failed"] if outcome.errors else []
    # "0 lesions" where no image was processed would read like a finding.
    lesions = [pluralize(outcome.lesions, "lesion")] if outcome.documents else []
    lesions += [f"{specks} of them below {SPECK_ML} mL"] if specks else []
    if headline is not None:
        print("\n".join([headline.finding, *(f"  {one.name}: {one.text}" for one in headline.figures)]))
    print(f"{', '.join([*shown, *lesions])}; results in {out}", flush=True)
