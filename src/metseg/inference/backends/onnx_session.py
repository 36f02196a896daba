"""ONNX Runtime as a backend."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.inference.backends.backend_table import Session
from metseg.inference.backends.onnx_graph import INPUT


def convert(onnx: Path, graph: Path) -> None:
    """Copy the ONNX file: it is the graph."""
    shutil.copyfile(onnx, graph)


def open_graph(graph: Path, *, threads: int, bf16: bool) -> Session:  # noqa: ARG001
    """Return the session of an ONNX file on the CPU, in float32: ONNX Runtime has no bfloat16 convolutions there."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = session.run(None, {INPUT: images})[0]
        return logits

    return run
