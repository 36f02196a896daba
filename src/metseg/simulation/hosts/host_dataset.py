"""A data set of simulated metastases in real or painted scans, in the naming of BraTS-METS."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import metseg
from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.io.data_origin import PAINTING
from metseg.message_text import pluralize
from metseg.runtime.atomic_io import atomic_folder
from metseg.runtime.progress import track
from metseg.simulation.heads.head_dataset import label_map_files
from metseg.simulation.hosts.host_scan import FloatArray, HostScan
from metseg.simulation.hosts.host_sources import HostSource, LabelMapSource, PaintedStudyOptions, ScanSource
from metseg.simulation.hosts.insertion import HostWithLesions, InsertionOptions, insert_lesions
from metseg.simulation.lesions.lesion_truth import lesion_truth
from metseg.simulation.options import NiftiOptions
from metseg.simulation.output.folder import LESIONS, PATIENTS, Existing, prepare_folder
from metseg.simulation.output.naming import folder_name
from metseg.simulation.output.tables import write_rows
from metseg.simulation.output.write import write_volume
from metseg.simulation.patient import patient_name
from metseg.volume import Volume

#: Value of the bright voxels of an image in the files: percentile and whole number.
BRIGHT_PERCENTILE, BRIGHT = 99.5, 2000.0

#: Maximum number of scans named in a message.
NAMED = 6

#: Columns of the table of lesions.
COLUMNS = (
    "case", "host", "lesion_id", "kind", "planned_diameter_mm", "equivalent_diameter_mm",
    "netc_mm3", "snfh_mm3", "et_mm3", "x_mm", "y_mm", "z_mm",
)  # fmt: skip


def simulate_in_hosts(
    out: Path,
    hosts: Sequence[CaseSource],
    *,
    per_host: int,
    seed: int = 0,
    options: InsertionOptions | None = None,
    healthy_only: bool = False,
    existing: Existing = "refuse",
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Write studies of real scans with simulated metastases.

    Args:
        out: the folder; made if absent. Real patient k becomes ``BraTS-MET-<k>`` with the studies of all its scans, so
            that a split by patient keeps them together; ``lesions.csv`` names the host of each lesion.
        hosts: skull-stripped scans on one grid of cubic voxels with t1c, and their labels in the classes of BraTS-METS.
            Scans without a mask count as free of tumour; a warning names them before anything is written.
        per_host: studies of each host.
        seed: which lesions; a study is the same for any number of others.
        options: which lesions.
        healthy_only: replace the half with the host's own tumour by the mirror image of the other, and leave hosts out
            that have a tumour in both halves. Otherwise the tumour stays, labelled, beside the lesions.
        existing: what to do if the folder is not empty, as in `metseg.simulation.output.dataset.simulate_dataset`.
        quiet: no progress.
    Returns:
        One row per study: ``case``, ``host``, ``lesions``.
    Raises:
        InputError: a scan that cannot be a host, or no host that is left.
        UsageError: the folder is not empty, or was made otherwise.
    """
    options = options or InsertionOptions()
    stamp = _stamp([host.case_id for host in hosts], seed, options) | {"healthy_only": healthy_only}
    _warn_without_mask(hosts)
    prepare_folder(out, stamp, existing)
    sources = [ScanSource(host, healthy_only=healthy_only) for host in hosts]
    rows = _simulated(out, sources, per_host, seed, options, quiet=quiet)
    if not rows:
        raise InputError(
            "no scan is usable",
            where=out,
            expected="scans without a tumour, or with one in one half only",
            cure="leave --healthy-only out to keep tumours that the scans show",
            code="input.no_cases",
        )
    return rows


def simulate_in_label_maps(
    out: Path,
    label_maps: Path,
    *,
    per_host: int,
    seed: int = 0,
    options: PaintedStudyOptions | None = None,
    existing: Existing = "refuse",
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Write studies of simulated metastases in hosts that are painted from label maps; no image of a person is used.

    Args:
        out: the folder; made if absent. Label map k becomes ``BraTS-MET-<k>`` with all its studies, so that a split by
            patient keeps them together; ``patients.csv`` names the map of each.
        label_maps: folder of NIfTI files with FreeSurfer's ids and ids from 165 on outside the brain, in cubic voxels.
        per_host: studies of each label map, each of them deformed and painted otherwise.
        seed: which studies; a study is the same for any number of others.
        options: which lesions, and how the hosts vary; None: the defaults.
        existing: what to do if the folder is not empty, as in `metseg.simulation.output.dataset.simulate_dataset`.
        quiet: no progress.
    Returns:
        One row per study: ``case``, ``host`` (``label map <name>``), ``lesions``.
    Raises:
        InputError: no label maps, or one that shows no head or has no cubic voxels.
        UsageError: the folder is not empty, or was made otherwise.
    """
    options = options or PaintedStudyOptions()
    sources = [LabelMapSource(file, options.painting) for file in label_map_files(label_maps)]
    stamp = _stamp([source.name for source in sources], seed, options.insertion)
    prepare_folder(out, stamp | {PAINTING: options.painting.model_dump(mode="json")}, existing)
    rows = _simulated(out, sources, per_host, seed, options.insertion, quiet=quiet)
    people = [{"patient": patient_name(index), "label_map": source.patient} for index, source in enumerate(sources)]
    write_rows(people, ("patient", "label_map"), out / PATIENTS)
    return rows


def _stamp(hosts: list[str], seed: int, options: InsertionOptions) -> dict[str, Any]:
    return {"metseg": metseg.__version__, "seed": seed, "hosts": hosts, "insertion": options.model_dump(mode="json")}


def _simulated(
    out: Path, sources: Sequence[HostSource], per_host: int, seed: int, options: InsertionOptions, *, quiet: bool
) -> list[dict[str, Any]]:
    """Write the missing studies, and the table of lesions if there are any; return one row per study."""
    studies = _studies(out, sources, per_host, seed, options)
    rows = list(track(studies, "Simulating", total=len(sources) * per_host, quiet=quiet))
    if rows:
        _write_lesions(out)
    return rows


def _warn_without_mask(hosts: Sequence[CaseSource]) -> None:
    """Name the scans without a mask: a tumour in them would be unlabelled in the studies, and is not mirrored away."""
    without = [host.case_id for host in hosts if not host.has_labels]
    if not without:
        return
    some = pluralize(len(without), "scan without a mask counts", "scans without a mask count")
    more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
    sys.stderr.write(f"metseg: warning: {some} as free of tumour: {', '.join(without[:NAMED])}{more}\n")


def _studies(
    out: Path, sources: Sequence[HostSource], per_host: int, seed: int, options: InsertionOptions
) -> Iterator[dict[str, Any]]:
    by_patient: dict[str, list[str]] = {}
    for source in sources:
        by_patient.setdefault(source.patient, []).append(source.name)
    for source in sources:
        index, scans = list(by_patient).index(source.patient), by_patient[source.patient]
        # The scans of a patient take turns, so that a larger per_host renames no study.
        numbers = range(scans.index(source.name), len(scans) * per_host, len(scans))
        folders = [out / folder_name(index, number, NiftiOptions()) for number in numbers]
        host = None
        if not all(folder.exists() for folder in folders):
            host = source.open()
            if host is None:
                continue
        for number, folder in enumerate(folders):
            if host is not None and not folder.exists():
                rng = np.random.default_rng([seed, zlib.crc32(source.name.encode()), number])
                scan = host.scan(rng)
                made = insert_lesions(scan, rng, options=options)
                _write(made, host.finished(made.images, scan, rng), scan, folder, index)
            truth = json.loads((folder / f"{folder.name}.json").read_text("utf-8"))
            yield {"case": truth["case"], "host": truth["host"], "lesions": len(truth["lesions"])}


def _write(made: HostWithLesions, images: Mapping[str, FloatArray], host: HostScan, folder: Path, index: int) -> None:
    affine = host.canvas.affine
    with atomic_folder(folder) as place:
        for name, image in images.items():
            scale = np.float32(BRIGHT / np.percentile(image[host.brain], BRIGHT_PERCENTILE))
            # At least 1 in the brain: 0 is background.
            stored = np.where(host.brain, np.clip(np.rint(image * scale), 1, np.iinfo(np.int16).max), 0)
            write_volume(
                Volume(host.canvas.paste(stored.astype(np.int16)), affine), place / f"{folder.name}-{name}.nii.gz"
            )
        write_volume(Volume(host.canvas.paste(made.labels), affine), place / f"{folder.name}-seg.nii.gz")
        document = _truth_document(made, host, folder.name, patient_name(index))
        (place / f"{folder.name}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _truth_document(made: HostWithLesions, host: HostScan, case: str, patient: str) -> dict[str, Any]:
    labels = np.where(made.instances > 0, made.labels, 0)
    measured = {lesion.lesion_id: lesion for lesion in lesion_truth(labels, made.instances, host.affine)}
    return {
        "case": case,
        "patient": patient,
        "host": host.name,
        "own_tumour": host.labels is not None if host.has_mask else None,
        "lesions": [
            measured[item.lesion.lesion_id].as_json() | {"kind": item.kind, "plan": asdict(item.lesion)}
            for item in made.lesions
            if item.lesion.lesion_id in measured
        ],
    }


def _write_lesions(out: Path) -> None:
    """Write one row per inserted lesion of all studies in the folder."""
    rows = []
    for path in sorted(out.glob("BraTS-MET-*/*.json")):
        truth = json.loads(path.read_text("utf-8"))
        for lesion in truth["lesions"]:
            row = {"case": truth["case"], "host": truth["host"]} | lesion
            row |= dict(zip(("x_mm", "y_mm", "z_mm"), lesion["centre_mm"], strict=True))
            rows.append(row | {"planned_diameter_mm": round(lesion["plan"]["diameter_mm"], 3)})
    write_rows(rows, COLUMNS, out / LESIONS)
