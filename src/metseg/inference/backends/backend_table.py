"""`BACKENDS`: the programs that can run a network. Reading the table imports none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metseg.errors import UsageError
from metseg.registry import lookup, resolve_function

#: From images (N, C, X, Y[, Z]) float32 to logits (N, K, X, Y[, Z]) float32.
Session = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

#: The backend that needs no export.
TORCH: Final = "torch"


@dataclass(frozen=True)
class Backend:
    """One program that can run a network.

    Args:
        title: its name for people.
        packages: modules that have to be installed.
        extra: the extra of metseg that installs them; empty: always installed.
        suffix: ending of the graph's file; empty: it runs torch's modules and needs no export.
        convert: text "module:function"; called with an ONNX file and the path of the graph to write.
        open: text "module:function"; called with a graph's file, the number of threads and whether bfloat16 is
            wanted; returns a `Session`.
    """

    title: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    suffix: str = ""
    convert: str = ""
    open: str = ""

    @property
    def is_exported(self) -> bool:
        """Return whether it runs an exported graph."""
        return bool(self.suffix)

    def require(self, *also: str) -> None:
        """Check that its packages are installed, and further ones.

        Raises:
            UsageError: ``usage.missing_extra``.
        """
        missing = [name for name in (*self.packages, *also) if find_spec(name) is None]
        if missing:
            raise UsageError(
                f"a package that {self.title} needs is not installed",
                expected=", ".join(missing),
                cure=f"pip install 'metseg[{self.extra}]'",
                code="usage.missing_extra",
            )

    def convert_from_onnx(self, onnx: Path, graph: Path) -> None:
        """Write the graph of this backend from an ONNX file, which is moved or read."""
        resolve_function(self.convert)(onnx, graph)

    def open_graph(self, graph: Path, *, threads: int, bf16: bool) -> Session:
        """Return the session that runs a graph on the CPU."""
        session: Session = resolve_function(self.open)(graph, threads=threads, bf16=bf16)
        return session


BACKENDS: Final[Mapping[str, Backend]] = {
    TORCH: Backend("PyTorch"),
    "onnx": Backend(
        "ONNX Runtime",
        ("onnxruntime",),
        "onnx",
        ".onnx",
        "metseg.inference.backends.onnx_session:convert",
        "metseg.inference.backends.onnx_session:open_graph",
    ),
    "openvino": Backend(
        "OpenVINO",
        ("openvino",),
        "openvino",
        ".xml",
        "metseg.inference.backends.openvino_session:convert",
        "metseg.inference.backends.openvino_session:open_graph",
    ),
}

#: Formats of ``metseg models export``.
EXPORT_FORMATS: Final = tuple(name for name, backend in BACKENDS.items() if backend.is_exported)


def find_backend(name: str) -> Backend:
    """Return a backend with its packages installed.

    Raises:
        UsageError: an unknown name, or ``usage.missing_extra``.
    """
    backend = lookup("backend", BACKENDS, name)
    backend.require()
    return backend


def find_export_format(name: str) -> Backend:
    """Return the backend of an export format, with its packages installed.

    Raises:
        UsageError: an unknown format, or ``usage.missing_extra``.
    """
    lookup("export format", dict.fromkeys(EXPORT_FORMATS), name)
    BACKENDS[name].require("onnx")
    return BACKENDS[name]
