"""A data set of heads synthesised from label maps, in the layout of nnU-Net: images, and brain masks as labels."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from metseg.errors import InputError, UsageError
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.runtime.atomic_io import write_bytes, write_text
from metseg.runtime.progress import track
from metseg.simulation.heads.label_map_head import HeadOptions, RandomHead, load_label_map, random_head
from metseg.simulation.output.folder import STAMP
from metseg.version import __version__

#: Value of the brightest voxel in the files.
BRIGHTEST = 4000
IMAGES, MASKS, TABLE = "imagesTr", "labelsTr", "dataset.json"


def simulate_heads(
    out: Path,
    label_maps: Path,
    *,
    heads: int,
    seed: int = 0,
    options: HeadOptions | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Write heads of random contrast with their exact brain masks.

    Heads are shared out over the label maps in turn; the name of a head begins with that of its map, so that a split by
    patient (``data.patient_pattern = "^(?:.*/)?(.+)v"``) keeps the heads of one person together.

    Args:
        out: the folder; made if absent.
        label_maps: folder of NIfTI files with FreeSurfer's ids and ids from 165 on outside the brain.
        heads: how many in all.
        seed: which heads; a head is the same for any number of them.
        options: how much they vary.
        resume: keep the heads that are there; the options must be the same.
        quiet: no progress.
    Returns:
        One row per head: ``head``, ``label_map``, ``brain_ml``.
    Raises:
        InputError: no label maps, or one that shows no head.
        UsageError: the folder is not empty, or holds heads made with other options.
    """
    options = options or HeadOptions()
    files = label_map_files(label_maps)
    stamp = {
        "metseg": __version__,
        "seed": seed,
        "label_maps": [file.name for file in files],
        "heads": options.model_dump(mode="json"),
    }
    _prepare(out, stamp, resume=resume)
    rows = list(track(_heads(out, files, heads, seed, options), "Simulating heads", total=heads, quiet=quiet))
    table = {"channel_names": {"0": "mri"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}
    table |= {"numTraining": heads, "description": "heads painted from label maps; label 1 is the brain"}
    write_text(out / TABLE, json.dumps(table, indent=1) + "\n")
    return rows


def label_map_files(folder: Path) -> list[Path]:
    """Return the NIfTI files of a folder by name.

    Raises:
        InputError: ``input.missing``, there are none; ``input.labels``, two files have one name (`label_map_name`).
    """
    files = sorted([*folder.glob("*.nii.gz"), *folder.glob("*.nii")])
    if not files:
        raise InputError(
            "no label map", where=folder, expected="NIfTI files", cure="check --label-maps", code="input.missing"
        )
    names = [label_map_name(file) for file in files]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(
            "two label maps have the same name",
            where=folder,
            expected="one file for each head",
            got=twice[0],
            cure="remove or rename one of the two files",
            code="input.labels",
        )
    return files


def label_map_name(file: Path) -> str:
    """Return the name of a label map without its ending.

    >>> label_map_name(Path("maps/person_1.nii.gz"))
    'person_1'
    """
    return re.sub(r"\.nii(\.gz)?$", "", file.name)


def _prepare(out: Path, stamp: dict[str, Any], *, resume: bool) -> None:
    known = out / STAMP
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        same = known.is_file() and json.loads(known.read_text("utf-8")) == stamp
        if not (resume and same):
            raise UsageError(
                "the folder is not empty" if not resume else "the folder was made with other options",
                where=out,
                cure="choose another folder, or continue with --resume and the same options",
                code="usage.output_exists",
            )
    for name in (IMAGES, MASKS):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_text(known, json.dumps(stamp, indent=1) + "\n")


def _heads(out: Path, files: Sequence[Path], heads: int, seed: int, options: HeadOptions) -> Iterator[dict[str, Any]]:
    """Make the heads map by map, so that each map is read once."""
    for place, file in enumerate(files):
        stem = re.sub(r"[^a-zA-Z0-9]", "", file.name.split(".")[0])
        head = None
        for number in range(len(range(place, heads, len(files)))):
            name = f"{stem}v{number:04d}"
            mask = out / MASKS / f"{name}.nii.gz"
            if not mask.exists():
                head = head or load_label_map(file)
                made = random_head(
                    head, np.random.default_rng([seed, zlib.crc32(stem.encode()), number]), options=options
                )
                _write(made, out / IMAGES / f"{name}_0000.nii.gz", mask)
            brain = read_mask_nifti(mask).data
            yield {"head": name, "label_map": file.name, "brain_ml": float(brain.sum()) * options.spacing_mm**3 / 1000}


def _write(head: RandomHead, image: Path, mask: Path) -> None:
    """Write a head; its mask comes last, for it says that the head is finished."""
    scaled = np.rint(head.image * (BRIGHTEST / max(float(head.image.max()), 1e-6))).astype(np.int16)
    for path, values in ((image, scaled), (mask, head.brain.astype(np.uint8))):
        file = nib.Nifti1Image(values, head.affine)  # type: ignore[no-untyped-call]
        file.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
        write_bytes(path, gzip.compress(file.to_bytes(), mtime=0))
