"""A bundle's networks exported for another backend: a folder with graphs, a check against torch, and checksums.

model.onnx | model.xml and model.bin      the graph; model_0, model_1, ... with several folds
export.json                               what was exported, from which bundle, and how far its outputs differ
card.md, recipe.toml                      copies of the bundle's: the terms of the weights hold for the graphs too
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from metseg.bundle_folder import CARD, CHECKSUMS, RECIPE, read_text, user_bundles, weights_files, weights_names
from metseg.errors import BundleError, MetsegError, UsageError
from metseg.inference.backends.backend_table import (
    BACKENDS,
    EXPORT_FORMATS,
    Backend,
    Session,
    find_backend,
    find_export_format,
)
from metseg.inference.backends.onnx_graph import OPSET, write_onnx
from metseg.model import SegmentationNetwork
from metseg.model.architectures import MODELS
from metseg.model.bundle import Bundle
from metseg.model.network import crop_far_end, pad_far_end, padded_sizes
from metseg.registry import lookup
from metseg.runtime.atomic_io import atomic_folder
from metseg.version import __version__

EXPORT_FILE: Final = "export.json"

#: Largest accepted difference from torch in float32, as a share of the largest logit.
TOLERANCE: Final = 1e-4

#: Sides of the inputs that an export is checked with, before they are rounded up to the divisor; and their batches.
CHECKED_SIDES: Final = ((32, 32, 32), (48, 32, 32), (96, 64, 32))
CHECKED_BATCHES: Final = (2, 1, 1)


class ExportedNetwork:
    """A graph, called like a `SegmentationNetwork` in evaluation: any size in, logits of the same size out.

    Args:
        session: runs the graph.
        in_channels, out_channels: C and K.
        divisor: number that each side of the graph's input is a multiple of, per axis.
    """

    def __init__(self, session: Session, *, in_channels: int, out_channels: int, divisor: Sequence[int]) -> None:
        self.in_channels = in_channels
        self.out_channels = out_channels
        self._session = session
        self._divisor = tuple(divisor)

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, K, X, Y[, Z]) float32 for images (N, C, X, Y[, Z])."""
        sizes = images.shape[2:]
        padded = pad_far_end(images, padded_sizes(sizes, self._divisor))
        logits = self._session(np.ascontiguousarray(padded.numpy(), dtype=np.float32))
        return crop_far_end(torch.from_numpy(logits), sizes)


@dataclass(frozen=True)
class Exported:
    """The result of `export_bundle`.

    Args:
        folder: with the graphs.
        max_difference: largest difference of a logit from torch's, over all networks and inputs.
        largest_logit: of the same outputs.
    """

    folder: Path
    max_difference: float
    largest_logit: float


def default_export_folder(bundle: Bundle, form: str) -> Path:
    """Return where the export of a bundle is kept by default: ``METSEG_HOME/exports/NAME-FINGERPRINT-FORMAT``."""
    return user_bundles().parent / "exports" / f"{bundle.name}-{bundle.fingerprint}-{form}"


def export_bundle(bundle: Bundle, form: str, out: Path | None = None) -> Exported:
    """Export the networks of a bundle, and compare each with torch on random inputs of several sizes.

    Args:
        bundle: from `metseg.model.bundle.load_bundle`.
        form: a name in `metseg.inference.backends.backend_table.EXPORT_FORMATS`.
        out: the folder; an earlier export there is replaced. None: `default_export_folder`.
    Raises:
        UsageError: an unknown format, a missing package, or a folder with other content.
        BundleError: ``model.export``, the architecture cannot be exported, or its outputs differ from torch's.
        ResourceError: the disk is full.
    """
    backend = find_export_format(form)
    _require_free_sizes(bundle)
    folder = out or default_export_folder(bundle, form)
    _require_free(folder)
    names = [Path(name).with_suffix(backend.suffix).name for name in weights_names(len(bundle.networks))]
    with atomic_folder(folder) as partial:
        graphs = [
            {"file": name, **_export_network(network, backend, partial / name, bundle)}
            for name, network in zip(names, bundle.networks, strict=True)
        ]
        for name in (CARD, RECIPE):
            shutil.copyfile(bundle.folder / name, partial / name)
        files = sorted(path.name for path in partial.iterdir())
        digests = {name: _digest(partial / name) for name in files}
        document = {**_facts(bundle, form), "graphs": graphs, "sha256": digests}
        (partial / EXPORT_FILE).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return Exported(
        folder,
        max(graph["max_difference"] for graph in graphs),
        max(graph["largest_logit"] for graph in graphs),
    )


def _require_free_sizes(bundle: Bundle) -> None:
    name = bundle.recipe.model.name
    if MODELS.lookup(name).has_fixed_sizes:
        raise BundleError(
            f"the architecture '{name}' cannot be exported: a graph of it is right for one size of the image only",
            where=bundle.folder,
            cure="predict with --backend torch",
            code="model.export",
        )


def device_for(backend: str, device: str) -> str:
    """Return the device that a backend computes on; exported graphs run on the CPU.

    Raises:
        UsageError: ``usage.device``, another device was asked for.
    """
    if not lookup("backend", BACKENDS, backend).is_exported:
        return device
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"the backend '{backend}' computes on the CPU only",
            where="--device",
            expected="auto or cpu",
            got=device,
            cure="leave --device out, or use --backend torch",
            code="usage.device",
        )
    return "cpu"


def networks_for(
    bundle: Bundle, backend: str, exported: Path | None = None, *, bf16: bool
) -> Sequence[SegmentationNetwork | ExportedNetwork]:
    """Return the networks of a bundle in the form that a backend runs; see `load_exported`.

    Raises:
        UsageError: as `load_exported`; or an export is named for torch, which needs none.
        BundleError: as `load_exported`.
    """
    if lookup("backend", BACKENDS, backend).is_exported:
        return load_exported(bundle, backend, exported, bf16=bf16)
    if exported is not None:
        raise UsageError(
            f"the backend '{backend}' uses no export",
            where="--exported",
            got=exported,
            cure=f"add --backend {' or '.join(EXPORT_FORMATS)}, or leave --exported out",
            code="usage.export",
        )
    return bundle.networks


def load_exported(bundle: Bundle, form: str, folder: Path | None = None, *, bf16: bool) -> list[ExportedNetwork]:
    """Return the networks of an export, one per fold.

    Args:
        bundle: the bundle that was exported.
        form: name of the backend.
        folder: of the export; None: `default_export_folder`.
        bf16: compute in bfloat16 where the backend can.
    Raises:
        UsageError: an unknown backend, a missing package, or ``usage.not_exported``.
        BundleError: ``model.export``, the export is of another bundle or format; ``model.checksum``, it was changed.
    """
    backend = find_backend(form)
    chosen = folder or default_export_folder(bundle, form)
    document = _read_document(chosen, bundle, form, given=folder is not None)
    wrong = [name for name, digest in document["sha256"].items() if _digest(chosen / name) != digest]
    if wrong:
        raise BundleError(
            f"{', '.join(sorted(wrong))}: checksum mismatch",
            where=chosen,
            cure=_export_command(bundle, form, folder),
            code="model.checksum",
        )
    return [
        ExportedNetwork(
            backend.open_graph(chosen / graph["file"], threads=torch.get_num_threads(), bf16=bf16),
            in_channels=document["in_channels"],
            out_channels=document["out_channels"],
            divisor=document["divisor"],
        )
        for graph in document["graphs"]
    ]


def _export_network(network: SegmentationNetwork, backend: Backend, graph: Path, bundle: Bundle) -> dict[str, Any]:
    """Write the graph of a network, compare it with torch, and return the figures."""
    shapes = _checked_shapes(network)
    draws = torch.Generator().manual_seed(0)
    images = [torch.randn(shape, generator=draws) for shape in shapes]
    with tempfile.TemporaryDirectory() as scratch:
        onnx = Path(scratch) / "network.onnx"
        try:
            write_onnx(network, onnx, images[0])
            backend.convert_from_onnx(onnx, graph)
            session = backend.open_graph(graph, threads=torch.get_num_threads(), bf16=False)
            figures = _compare(network, session, images)
        except (MetsegError, OSError):
            raise
        except Exception as error:  # of torch's exporter or of the backend; these have no common class
            raise BundleError(
                f"the architecture '{bundle.recipe.model.name}' cannot be exported for {backend.title}",
                where=bundle.folder,
                got=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
                cure="predict with --backend torch",
                code="model.export",
            ) from error
    if not figures["max_difference"] <= TOLERANCE * figures["largest_logit"]:
        raise BundleError(
            f"the exported network does not give torch's outputs with {backend.title}",
            where=bundle.folder,
            expected=f"logits that differ by at most {TOLERANCE:g} of the largest",
            got=f"{figures['max_difference']:.2g} of {figures['largest_logit']:.2g}",
            cure="predict with --backend torch",
            code="model.export",
        )
    return {"checked_shapes": [list(shape) for shape in shapes], **figures}


def _checked_shapes(network: SegmentationNetwork) -> list[tuple[int, ...]]:
    axes = network.dimensions
    return [
        (batch, network.in_channels, *padded_sizes(sides[:axes], network.divisor))
        for batch, sides in zip(CHECKED_BATCHES, CHECKED_SIDES, strict=True)
    ]


@torch.inference_mode()
def _compare(network: SegmentationNetwork, session: Session, images: Sequence[Tensor]) -> dict[str, float]:
    differences, largest = [], []
    for batch in images:
        expected = torch.as_tensor(network(batch)).float()
        differences.append(float((torch.from_numpy(session(batch.numpy())) - expected).abs().max()))
        largest.append(float(expected.abs().max()))
    # NaN would be smaller than everything for max().
    return {"max_difference": float(np.max(differences)), "largest_logit": float(np.max(largest))}


def _facts(bundle: Bundle, form: str) -> dict[str, Any]:
    """Return what export.json says of the bundle and of its networks."""
    first = bundle.networks[0]
    rows = [line.split(maxsplit=1) for line in read_text(bundle.folder / CHECKSUMS).splitlines()]
    stated = {name: digest for digest, name in rows}
    return {
        "metseg": __version__,
        "format": form,
        "torch": torch.__version__,
        "opset": OPSET,
        "model": bundle.model_name,
        "bundle": bundle.fingerprint,
        "weights": {path.name: stated[path.name] for path in weights_files(bundle.folder)},
        "input": f"images (N, C, {', '.join('XYZ'[: first.dimensions])}) float32; sides are multiples of the divisor",
        "output": f"logits (N, K, {', '.join('XYZ'[: first.dimensions])}) float32",
        "in_channels": first.in_channels,
        "out_channels": first.out_channels,
        "divisor": list(first.divisor),
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _require_free(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier export."""
    if folder.exists() and not (folder / EXPORT_FILE).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            "the folder exists and holds no export, so it is not replaced",
            where=folder,
            cure="choose a new folder",
            code="usage.export",
        )


def _read_document(folder: Path, bundle: Bundle, form: str, *, given: bool) -> dict[str, Any]:
    """Return export.json, checked to be of the bundle and the format."""
    command = _export_command(bundle, form, folder if given else None)
    if not (folder / EXPORT_FILE).is_file():
        raise UsageError(
            f"the model was not exported for the backend '{form}'",
            where=folder,
            expected=f"a folder with {EXPORT_FILE}",
            cure=command,
            code="usage.not_exported",
        )
    try:
        document: dict[str, Any] = json.loads(read_text(folder / EXPORT_FILE))
        found = (document["bundle"], document["format"])
        is_whole = {graph["file"] for graph in document["graphs"]} <= set(document["sha256"])
        is_whole = is_whole and {"in_channels", "out_channels", "divisor"} <= set(document)
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise BundleError(f"{EXPORT_FILE} is damaged", where=folder, cure=command, code="model.export") from None
    if found != (bundle.fingerprint, form):
        raise BundleError(
            "the export is of another bundle, or for another backend",
            where=folder,
            expected=f"bundle {bundle.fingerprint}, format {form}",
            got=f"bundle {found[0]}, format {found[1]}",
            cure=command,
            code="model.export",
        )
    return document


def _export_command(bundle: Bundle, form: str, folder: Path | None) -> str:
    out = "" if folder is None else f" --out {folder}"
    return f"export it: metseg models export {bundle.name} --format {form}{out}"
