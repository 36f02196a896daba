"""Write a network as an ONNX file.

The graph is the architecture alone: its input has sides that are multiples of the divisor. Padding and cropping stay in
Python, as in `SegmentationNetwork`, so that every backend sees the same numbers. Batch and sides are free.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from metseg.model import SegmentationNetwork
from metseg.model.instance_norm import with_usual_instance_norm
from metseg.model.onednn_workarounds import use_usual_convolutions

#: Names of the graph's input and output.
INPUT, OUTPUT = "images", "logits"

#: Version of the ONNX operators: the newest that torch's tracing exporter writes for all architectures.
OPSET: Final = 17

_SIDES = ("x", "y", "z")


class _UsualBody(nn.Module):
    """An architecture made of torch's own operators.

    Where gradients are off, some architectures call oneDNN's operators, which ONNX does not have.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = use_usual_convolutions(with_usual_instance_norm(copy.deepcopy(body))).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            logits: Tensor = self.body(images)
        return logits


def write_onnx(network: SegmentationNetwork, path: Path, images: Tensor) -> None:
    """Write the architecture of a network, folded where it can be, as an ONNX file.

    Args:
        network: on the CPU.
        path: the file.
        images: (N, C, X, Y[, Z]) an example; sides are multiples of the network's divisor.
    """
    axes = {0: "batch", **{2 + axis: side for axis, side in enumerate(_SIDES[: network.dimensions])}}
    with warnings.catch_warnings():
        # Tracing warns about each decision on a shape; the export is compared with torch at two shapes.
        warnings.simplefilter("ignore")
        # The newer exporter of torch takes 20 times as long and needs a further package.
        torch.onnx.export(
            _UsualBody(network.folded().body),
            (images,),
            str(path),
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: axes, OUTPUT: axes},
            opset_version=OPSET,
        )
