"""Give the encoder of a network public weights, with any number of input channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from metseg.errors import BundleError
from metseg.model.public_weights import how_to_install, installed_weights
from metseg.model.weights import check_keys, read_checkpoint

Weights = dict[str, torch.Tensor]


def load_encoder(
    encoder: nn.Module,
    name: str,
    adapt: Callable[[Mapping[str, torch.Tensor]], Weights],
    *,
    stem: str,
    public: str,
    read: Callable[[Path], Weights] = read_checkpoint,
) -> None:
    """Load public weights into an encoder with any number of input channels; see `fit_channels`.

    Args:
        encoder: changed in place.
        name: a file, or a name of `PUBLIC_WEIGHTS` or `PACKAGED_WEIGHTS`.
        adapt: the file's tensors to those of the encoder, by its names and without a classifier.
        stem: name of the first convolution's weights.
        public: name of the public weights that fit, for messages.
        read: of that file.
    Raises:
        BundleError: the file is absent, damaged, holds code, or is of another network.
    """
    path = Path(name) if Path(name).is_file() else installed_weights(name) or Path(name)
    if not path.is_file():
        raise BundleError(
            "the file of encoder weights does not exist",
            where=path,
            cure=f"run {how_to_install(public)} and set encoder_weights to {public}; or leave encoder_weights out to "
            "start from random weights",
            code="model.encoder_weights",
        )
    weights = fit_channels(adapt(read(path)), encoder, stem=stem)
    check_keys(weights, encoder.state_dict(), where=path, architecture=public)
    encoder.load_state_dict(weights)


def fit_channels(weights: Weights, encoder: nn.Module, *, stem: str) -> Weights:
    """Return public weights, made for 3 channels, for the input channels of an encoder.

    For other than 3 channels each one gets the sum of the filters for red, green and blue divided by the number of
    channels: a grey picture in one channel, or copied into n, then gives exactly the features that it gives as a grey
    colour picture. Counters of batches, absent from old checkpoints, start at 0.

    Args:
        weights: under the encoder's names.
        encoder: unchanged.
        stem: name of the first convolution's weights.
    """
    own = encoder.state_dict()
    fitted = {key: torch.tensor(0) for key in own if key.endswith(".num_batches_tracked")} | weights
    channels = own[stem].shape[1]
    if channels != 3 and stem in fitted:
        fitted[stem] = (fitted[stem].sum(dim=1, keepdim=True) / channels).repeat(1, channels, 1, 1)
    return fitted
