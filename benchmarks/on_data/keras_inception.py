"""Record what Keras' InceptionV3 answers with known weights: ``tests/fixtures/keras_inception_v3.json``.

The test of the reader of Keras' ``.h5`` files compares with this record, so that it needs no TensorFlow. Run it in an
environment of its own::

    pip install tensorflow-cpu tf-keras
    python benchmarks/on_data/keras_inception.py tests/fixtures/keras_inception_v3.json [--h5 FILE]

The weights follow `values`, a rule without random numbers that the test repeats; every layer has its own, so that two
layers in each other's place are noticed.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 139
#: Layers to compare, and how many of their channels the record holds.
COMPARED = {"mixed2": 4, "mixed7": 4, "mixed10": 16}


def values(layer: str, weight: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of one array by its layer's number, its kind and its shape."""
    found = re.search(r"_(\d+)$", layer)
    index = np.arange(np.prod(shape, dtype=np.int64), dtype=np.float64) + 1000.0 * int(found.group(1) if found else 0)
    if weight == "kernel":
        # As good as random between -1 and 1, so that the features keep their size through 94 convolutions.
        array = (np.modf(np.abs(np.sin(12.9898 * index)) * 43758.5453)[0] * 2 - 1) * np.sqrt(6 / np.prod(shape[:3]))
    elif weight == "moving_variance":
        array = 1 + 0.1 * np.cos(index)
    else:  # beta, moving_mean
        array = 0.01 * np.sin(index + (weight == "beta"))
    return array.reshape(shape).astype(np.float32)


def picture(side: int = SIDE) -> np.ndarray:
    """Return (1, side, side, 3) between -1 and 1."""
    index = np.arange(side * side * 3, dtype=np.float64)
    return np.sin(0.01 * index).astype(np.float32).reshape(1, side, side, 3)


def record(h5: Path) -> dict[str, Any]:
    """Return the layers of the file in its own order, and the answers of the network."""
    import h5py
    import tf_keras

    network = tf_keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in network.layers:
        names = [weight.name.rpartition("/")[2].partition(":")[0] for weight in layer.weights]
        layer.set_weights(
            [values(layer.name, name, w.shape) for name, w in zip(names, layer.get_weights(), strict=True)]
        )
    network.save_weights(str(h5))
    with h5py.File(h5) as file:
        layers = {
            name: {weight: list(file[name][weight].shape) for weight in file[name].attrs["weight_names"]}
            for name in file.attrs["layer_names"]
        }
    taps = tf_keras.Model(network.input, [network.get_layer(name).output for name in COMPARED])
    answers = taps.predict(picture(), verbose=0)
    return {
        "made_by": f"tf-keras {tf_keras.__version__}",
        "layers": layers,
        "features": {
            name: {"mean": float(answer.mean()), "first": np.round(answer[0, :, :, :count].astype(float), 7).tolist()}
            for (name, count), answer in zip(COMPARED.items(), answers, strict=True)
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--h5", type=Path, default=Path("inception.h5"))
    given = parser.parse_args()
    given.out.write_text(json.dumps(record(given.h5)) + "\n", encoding="utf-8")
