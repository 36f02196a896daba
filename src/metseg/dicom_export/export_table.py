"""The table of exports, and how a result is written by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydicom import Dataset

from metseg.dicom_export.export_request import ExportOptions, ExportRequest, finish
from metseg.dicom_export.object_uids import encoded
from metseg.dicom_export.result_content import ResultContent
from metseg.dicom_export.source_headers import SourceHeaders
from metseg.errors import UsageError
from metseg.registry import Registry, resolve_function
from metseg.runtime.atomic_io import write_bytes

#: Makes the objects of an export; none where the result holds nothing to write.
Builder = Callable[[ExportRequest], list[Dataset]]

_HERE = "metseg.dicom_export"
#: Packages of the extra `dicom`.
EXTRA = ("highdicom", "pypdfium2", "reportlab")


@dataclass(frozen=True)
class Export:
    """One kind of DICOM object.

    Args:
        title: in words, for help and for the description of the series.
        ending: of the file's name; with ``{number}`` where there may be several.
        builder: a function, or the text ``package.module:function``.
        needs_report: whether the result must have a report.
        needs_probability: whether the result must have probabilities.
        has_margins: whether the objects hold the margins of `ExportOptions`.
        refers_to: exports that must be written too, because the objects refer to theirs.
    """

    title: str
    ending: str
    builder: Builder | str
    needs_report: bool = False
    needs_probability: bool = False
    has_margins: bool = False
    refers_to: tuple[str, ...] = ()


EXPORTS: Registry[Export] = Registry(
    "export",
    "exports",
    Export,
    {
        "seg": Export("segmentation by lesion", "-seg.dcm", f"{_HERE}.lesion_seg:build_lesion_seg"),
        "seg-classes": Export("segmentation by class", "-seg-classes.dcm", f"{_HERE}.class_seg:build_class_seg"),
        "seg-probability": Export(
            "probability",
            "-seg-probability.dcm",
            f"{_HERE}.probability_seg:build_probability_seg",
            needs_probability=True,
        ),
        "rtstruct": Export("structure set", "-rtstruct.dcm", f"{_HERE}.rtstruct:build_rtstruct", has_margins=True),
        "sr": Export(
            "measurements", "-sr.dcm", f"{_HERE}.measurement_report:build_measurement_report", refers_to=("seg",)
        ),
        "pdf": Export("report", "-report.dcm", f"{_HERE}.encapsulated_pdf:build_encapsulated_pdf", needs_report=True),
        "pages": Export(
            "report pages",
            "-page-{number}.dcm",
            f"{_HERE}.secondary_capture:build_secondary_capture",
            needs_report=True,
        ),
    },
)


def find_exports(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all exports to write: those that are asked for and those that they refer to, in order.

    Raises:
        UsageError: an unknown name.

    >>> find_exports(["sr", "pdf"])
    ('seg', 'sr', 'pdf')
    """
    found: dict[str, None] = {}
    for name in names:
        for other in (*EXPORTS.lookup(name).refers_to, name):
            found[other] = None
    return tuple(found)


def require_exports(names: Sequence[str], options: ExportOptions | None = None) -> None:
    """Check names, options and packages before anything is read or computed.

    Raises:
        UsageError: an unknown name, ``usage.options``, an option without effect, or ``usage.missing_extra``.
    """
    _require_effect(options or ExportOptions(), [EXPORTS.lookup(name) for name in find_exports(names)])
    for package in EXTRA:
        if find_spec(package) is None:
            raise _missing(package)


def _require_effect(options: ExportOptions, exports: Sequence[Export]) -> None:
    """Refuse options of margins that nothing would be made of: a plan without its margin must not go unnoticed."""
    if options.margin_mm is None and options.margin_kind != ExportOptions().margin_kind:
        raise UsageError(
            "the kind of a margin is given, and no margin",
            where="margin",
            got=options.margin_kind,
            cure="add the margin in mm, or leave its kind out",
            code="usage.options",
        )
    if options.margin_mm is not None and not any(export.has_margins for export in exports):
        raise UsageError(
            "a margin is given, and none of the formats holds margins",
            where="margin",
            expected=", ".join(name for name, export in EXPORTS.items() if export.has_margins),
            got=f"{options.margin_mm:g} mm",
            cure="add rtstruct to the formats, or leave the margin out",
            code="usage.options",
        )


def _missing(package: str) -> UsageError:
    return UsageError(
        f"DICOM objects are made with {package}, which is not installed",
        cure="pip install 'metseg[dicom]'",
        code="usage.missing_extra",
    )


def build_exports(
    content: ResultContent, source: SourceHeaders, names: Sequence[str], options: ExportOptions | None = None
) -> dict[str, list[Dataset]]:
    """Return the objects of each export; an empty list where the result holds nothing to write.

    Args:
        content: the result; its axes may be turned against those of the source.
        source: the series that it shares its grid with.
        names: in `EXPORTS`.
        options: of the exports.
    Raises:
        UsageError: as `require_exports`, or a result without what an export needs.
        GeometryError: ``export.grid``, the result is not on the grid of the source.
    """
    options = options or ExportOptions()
    require_exports(names, options)
    chosen = find_exports(names)
    for name in chosen:
        _require_content(name, content)
    request = ExportRequest(content.on_grid(source.grid), source, options, _build)
    return {name: request.objects(name) for name in chosen}


def _require_content(name: str, content: ResultContent) -> None:
    export = EXPORTS[name]
    lacks_report = export.needs_report and content.report_pdf is None
    if lacks_report or (export.needs_probability and content.probability is None):
        raise UsageError(
            f"the result holds no {'report' if lacks_report else 'probabilities'}",
            where=f"export {name}",
            cure="write the result with --format probability" if not lacks_report else "leave the export out",
            code="usage.format",
        )


def _build(request: ExportRequest, name: str) -> list[Dataset]:
    export = EXPORTS.lookup(name)
    objects: list[Dataset] = resolve_function(export.builder)(request)
    place = list(EXPORTS).index(name)
    for dataset in objects:
        finish(dataset, request, name=name, title=export.title, place=place)
    return objects


def export_files(objects: dict[str, list[Dataset]], case_id: str) -> Iterator[tuple[str, Dataset]]:
    """Yield the name of the file of each object, and the object."""
    for name, datasets in objects.items():
        for number, dataset in enumerate(datasets, start=1):
            yield case_id + EXPORTS[name].ending.format(number=number), dataset


def write_exports(objects: dict[str, list[Dataset]], case_id: str, folder: Path) -> list[Path]:
    """Write objects into a folder, each completely or not at all, and return the files.

    Raises:
        ResourceError: the disk is full.
    """
    written = []
    for name, dataset in export_files(objects, case_id):
        write_bytes(folder / name, encoded(dataset))
        written.append(folder / name)
    return written
