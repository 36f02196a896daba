"""MONAI is told that what it does not need is not there; everybody else finds it. In processes of their own."""

from __future__ import annotations

import subprocess
import sys

HIDDEN_FROM_MONAI = """
import sys
from metseg.runtime.monai_import_filter import import_lean

import_lean()
import_lean()
from monai.networks.nets.dynunet import DynUNet

print(sorted({"cv2", "matplotlib", "pandas", "sklearn", "tensorboard"} & set(sys.modules)))
print(sum(type(finder).__module__ == "metseg.runtime.monai_import_filter" for finder in sys.meta_path))
import pandas
import matplotlib

print(pandas.DataFrame({"dice": [1.0]}).shape)
"""

EVERY_NETWORK_ANSWERS = """
import torch
from metseg.runtime.monai_import_filter import import_lean

import_lean()
from metseg.model import MODELS, build_model

for name in MODELS:
    network = build_model(name, {}, in_channels=1, out_channels=1, initial_weights=False).eval()
    with torch.inference_mode():
        print(name, tuple(network(torch.zeros(1, 1, 64, 64)).shape))
"""


def printed_by(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_monai_does_not_see_what_everybody_else_does() -> None:
    assert printed_by(HIDDEN_FROM_MONAI) == ["[]", "1", "(1, 1)"]


PROGRAM = """
import sys

sys.argv = ["metseg", "models", "list"]
from metseg.cli import main

try:
    main()
except SystemExit:
    print(any(type(finder).__module__ == "metseg.runtime.monai_import_filter" for finder in sys.meta_path))
"""


def test_the_command_line_is_lean() -> None:
    assert printed_by(PROGRAM)[-1] == "True"


def test_every_network_works_without_what_is_hidden() -> None:
    from metseg.model import MODELS

    assert printed_by(EVERY_NETWORK_ANSWERS) == [f"{name} (1, 1, 64, 64)" for name in MODELS]
