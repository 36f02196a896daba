"""The notebooks' Attention U-Net trained by Keras, and by metseg: slices per processor second, in one run.

    python -m venv KERAS && KERAS/bin/pip install tensorflow-cpu
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/on_data/keras_attention_unet.py KERAS/bin/python [--steps 5]

One network: double convolutions, max-pooling, 32 to 256, gates, up-sampling, no normalisation (`gated_unet`), on
256 x 256 slices in batches of 8, with Adam and binary cross-entropy. Keras trains in its own way (`train_on_batch`,
compiled, float32) in a process of the environment that is given; TensorFlow is no dependency of metseg. metseg trains
as `metseg train` does: memory layout and precision by measurement, freed memory kept. The two take turns, step by step,
and one waits while the other computes. Seconds are those of the processor, all threads of a side together: on a shared
core, the side with more threads would get a larger part of it. Both networks must have the same number of parameters.

Exits with 1 below 3 times the slices per second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIDE, BATCH, CHANNELS = 256, 8, (32, 64, 128, 256)
#: Steps of each side before the first one that counts: graphs are compiled in them.
WARM_UP = 2
CLAIM = 3.0
#: Argument by which this file runs in the environment of Keras.
AS_KERAS = "--as-keras"
RECIPE = f"""
name = "keras-benchmark"
data = {{ modalities = ["t2f"] }}
model = {{ name = "gated_unet", channels = {list(CHANNELS)} }}
loss = {{ name = "bce" }}
train = {{ optimizer = "adam", learning_rate = 1e-3, batch_size = {BATCH} }}
"""


def keras_network() -> Any:
    """Return the notebooks' network, compiled as there."""
    import keras
    from keras import layers

    def block(features: Any, width: int) -> Any:
        for _ in range(2):
            features = layers.Conv2D(width, 3, padding="same", activation="relu")(features)
        return features

    def gate(skip: Any, below: Any, width: int) -> Any:
        joined = layers.add([layers.Conv2D(width, 1, use_bias=False)(skip), layers.Conv2D(width, 1)(below)])
        return layers.multiply([skip, layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(joined))])

    image = layers.Input((SIDE, SIDE, 1))
    features, skips = image, []
    for width in CHANNELS[:-1]:
        features = block(features, width)
        skips.append(features)
        features = layers.MaxPooling2D()(features)
    features = block(features, CHANNELS[-1])
    for width in reversed(CHANNELS[:-1]):
        features, skip = layers.UpSampling2D()(features), skips.pop()
        features = block(layers.concatenate([features, gate(skip, features, width)]), width)
    network = keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(features))
    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
    return network


def run_keras() -> None:
    """Answer each line of standard input with the processor seconds of a training step; first, the parameters."""
    import numpy as np
    import tensorflow

    # Not the threads between operations: with one of them, TensorFlow 2.21 waits for itself.
    tensorflow.config.threading.set_intra_op_parallelism_threads(int(os.environ.get("OMP_NUM_THREADS", "0")))
    network = keras_network()
    random = np.random.default_rng(0)
    images = random.random((BATCH, SIDE, SIDE, 1), dtype=np.float32)
    masks = (random.random((BATCH, SIDE, SIDE, 1)) < 0.02).astype(np.float32)
    print(json.dumps({"parameters": network.count_params(), "version": tensorflow.__version__}), flush=True)
    for _ in sys.stdin:
        begin = time.process_time()
        network.train_on_batch(images, masks)
        print(json.dumps(time.process_time() - begin), flush=True)


class KerasSide:
    """Keras in a process of its own environment, idle between the steps that are asked for."""

    def __init__(self, python: str) -> None:
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        quiet.pop("PYTHONPATH", None)  # metseg is not installed there
        self._process = subprocess.Popen(
            [python, __file__, AS_KERAS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        )
        self.facts: dict[str, Any] = self._answer()

    def step(self) -> float:
        """Have one training step done, and return its processor seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return float(self._answer())

    def end(self) -> None:
        """Close the input of the process, which ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process of Keras ended; its error is above")
        return json.loads(line)


def metseg_side() -> tuple[Callable[[], float], int, str]:
    """Return a function that does a training step and returns its processor seconds; the parameters; how it runs."""
    import torch

    from metseg.inference.device import choose_compute, in_memory_format
    from metseg.model import build_from_recipe
    from metseg.recipe import parse_recipe
    from metseg.runtime.malloc_tuning import keep_freed_memory
    from metseg.training.losses import build_loss, deep_supervision_loss
    from metseg.training.optimizers import build_optimizer

    keep_freed_memory()
    recipe = parse_recipe(RECIPE, where="benchmark")
    compute = choose_compute(precision=recipe.train.precision, channels_last=recipe.train.channels_last)
    layout = torch.channels_last if compute.channels_last else torch.contiguous_format
    network = in_memory_format(build_from_recipe(recipe, initial_weights=False), layout).train()
    optimizer, loss = build_optimizer(recipe.train, network), build_loss(recipe.loss)
    torch.manual_seed(0)
    images = torch.rand(BATCH, 1, SIDE, SIDE)
    masks = (torch.rand(BATCH, SIDE, SIDE) < 0.02).long()

    def step() -> float:
        begin = time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=compute.bf16):
            value = deep_supervision_loss(loss, network(images.contiguous(memory_format=layout)), masks)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - begin

    how = f"{'bfloat16' if compute.bf16 else 'float32'}, {'channels last' if compute.channels_last else 'contiguous'}"
    return step, network.parameter_count(), how


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keras_python", help="interpreter of an environment with tensorflow-cpu")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    ours, parameters, how = metseg_side()
    keras = KerasSide(options.keras_python)
    if keras.facts["parameters"] != parameters:
        raise SystemExit(f"not the same network: {parameters} parameters here, {keras.facts['parameters']} in Keras")
    seconds: dict[str, list[float]] = {"keras": [], "metseg": []}
    for number in range(WARM_UP + options.steps):
        for name, step in (("keras", keras.step), ("metseg", ours)):
            taken = step()
            sys.stderr.write(f"step {number}, {name}: {taken:.2f} s\n")
            if number >= WARM_UP:
                seconds[name].append(taken)
    keras.end()
    speed = {name: BATCH / statistics.median(taken) for name, taken in seconds.items()}
    ratio = speed["metseg"] / speed["keras"]
    print(f"{parameters} parameters, batch {BATCH}, {SIDE} x {SIDE}, median of {options.steps} steps, in turns")
    print(f"Keras (TensorFlow {keras.facts['version']}, float32): {speed['keras']:.2f} slices/s of one processor")
    print(f"metseg ({how}): {speed['metseg']:.2f} slices/s, {ratio:.1f} times")
    return 0 if ratio >= CLAIM else 1


if __name__ == "__main__":
    if sys.argv[1:] == [AS_KERAS]:
        run_keras()
    else:
        sys.exit(main())
