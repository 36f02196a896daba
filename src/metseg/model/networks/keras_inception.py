"""Read InceptionV3 from Keras' legacy HDF5 file without top, as weights of `InceptionV3`.

The file is ``inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5`` of keras.applications, or one that `tf-keras`
saves (``save_weights`` to ``.h5``). Only arrays are read: HDF5 holds no code. Keras names the layers in the order in
which they are created, which is the order of our modules; its normalisations have no scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metseg.errors import BundleError, UsageError
from metseg.model.networks.inception_v3 import BasicConv2d, InceptionV3

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
Arrays = Mapping[str, np.ndarray]


def is_hdf5(path: Path) -> bool:
    """Return whether a file begins like an HDF5 file."""
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read_keras_inception(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a Keras InceptionV3 without top under the names of `InceptionV3`.

    Args:
        path: legacy HDF5 file of 94 convolutions and as many normalisations.
    Raises:
        UsageError: ``usage.missing_extra``, h5py is not installed.
        BundleError: ``model.invalid``, damaged or of another format; ``model.architecture``, other layers.
    """
    layers = _read_layers(path)
    convolutions = _in_order(layers, "kernel")
    norms = _in_order(layers, "moving_mean")
    ours = [name for name, module in InceptionV3().named_modules() if isinstance(module, BasicConv2d)]
    if not len(convolutions) == len(norms) == len(ours):
        raise BundleError(
            "the weights belong to another architecture",
            where=path,
            expected=f"{len(ours)} convolutions and {len(ours)} normalisations (InceptionV3 without top)",
            got=f"{len(convolutions)} convolutions and {len(norms)} normalisations",
            cure="use Keras' file inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            code="model.architecture",
        )
    weights: dict[str, torch.Tensor] = {}
    for name, convolution, norm in zip(ours, convolutions, norms, strict=True):
        # Keras: (height, width, in, out); torch: (out, in, height, width).
        weights[f"{name}.conv.weight"] = _tensor(convolution["kernel"].transpose(3, 2, 0, 1))
        weights[f"{name}.bn.weight"] = _tensor(norm.get("gamma", np.ones_like(norm["beta"])))
        weights[f"{name}.bn.bias"] = _tensor(norm["beta"])
        weights[f"{name}.bn.running_mean"] = _tensor(norm["moving_mean"])
        weights[f"{name}.bn.running_var"] = _tensor(norm["moving_variance"])
    return weights


def _read_layers(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return name of the layer -> name of the weight without its path -> array."""
    try:
        import h5py
    except ImportError:
        raise UsageError(
            "reading Keras' .h5 file needs h5py",
            where=path,
            cure='install it with pip install "metseg[keras]", or use the .pth file (metseg models fetch inception-v3)',
            code="usage.missing_extra",
        ) from None
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            return {name: _arrays(root[name]) for name in _names(root.attrs["layer_names"])}
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise BundleError(
            "not a Keras weights file of the legacy HDF5 format",
            where=path,
            got=str(error),
            cure="save it with tf-keras: model.save_weights('inception.h5'); Keras 3's .weights.h5 is another format",
            code="model.invalid",
        ) from None


def _arrays(group: Any) -> dict[str, np.ndarray]:
    names = _names(group.attrs["weight_names"])
    return {name.rpartition("/")[2].partition(":")[0]: np.asarray(group[name]) for name in names}


def _names(listed: Iterable[str | bytes]) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in listed]


def _in_order(layers: Mapping[str, Arrays], weight: str) -> list[Arrays]:
    """Return the layers that have this weight in the order of their numbers; a name without a number is the first."""

    def number(name: str) -> int:
        found = re.search(r"_(\d+)$", name)
        return int(found.group(1)) if found else 0

    return [layers[name] for name in sorted(layers, key=number) if weight in layers[name]]


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
