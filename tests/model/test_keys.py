"""Names and shapes of weights stay what they were when bundles were first made: these would not load otherwise."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from metseg.model import build_model

#: Options, and the digest of "name shape" lines as of metseg's first bundles of slice networks.
FIRST_BUNDLES: dict[str, tuple[dict[str, Any], str]] = {
    "unet": ({"channels": (4, 8, 8, 16), "blocks": (1, 1, 1, 2)}, "91e57953441580b8"),
    "attention_unet": ({"channels": (4, 8, 8, 16)}, "25d30c51da115049"),
    "unet_plus_plus": ({"channels": (4, 4, 8, 8, 16)}, "bb51b17340726122"),
    "inception_unet": ({"decoder_channels": (16, 8, 8, 8, 8)}, "8481154284eb835a"),
    "unet_dropout": ({"channels": (4, 8, 8, 8, 16)}, "82b9bff213107017"),
    "cnn": ({"channels": (4, 8)}, "61d90ae62db2f290"),
    "fcn": ({"width": 4, "classifier_channels": 16}, "579241690fa7564a"),
    "swin_unetr": ({"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}, "0293acefb2940247"),
    "dynunet": ({"channels": (8, 8, 16, 16)}, "38071337b0652a92"),
    "gated_unet": ({"channels": (4, 8, 8, 16)}, "16f24666f61fe83a"),
}


@pytest.mark.parametrize("name", FIRST_BUNDLES)
def test_first_bundles_can_still_be_loaded(name: str) -> None:
    options, digest = FIRST_BUNDLES[name]
    network = build_model(name, options, in_channels=3, out_channels=1, initial_weights=False)
    lines = "\n".join(f"{key} {tuple(value.shape)}" for key, value in sorted(network.state_dict().items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest
