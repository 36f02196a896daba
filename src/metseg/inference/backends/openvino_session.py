"""OpenVINO as a backend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.inference.backends.backend_table import Session


def import_openvino() -> Any:
    """Return OpenVINO, imported without its telemetry.

    OpenVINO reports every import over the internet. If its package for this cannot be imported, it uses a stub.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert(onnx: Path, graph: Path) -> None:
    """Write OpenVINO's graph (``.xml``) and its weights in float32 (``.bin``) beside it."""
    openvino = import_openvino()
    core: Any = openvino.Core()
    openvino.save_model(core.read_model(onnx), graph, compress_to_fp16=False)


def open_graph(graph: Path, *, threads: int, bf16: bool) -> Session:
    """Return the session of an OpenVINO graph on the CPU."""
    openvino = import_openvino()
    core: Any = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "INFERENCE_NUM_THREADS": threads}
    compiled: Any = core.compile_model(core.read_model(graph), "CPU", options)

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # A copy: the next call writes into the same memory.
        return np.array(compiled(images)[0], dtype=np.float32)

    return run
