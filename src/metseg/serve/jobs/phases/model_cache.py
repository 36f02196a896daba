"""Cache of loaded models with limits on number and memory; the least recently used model is removed first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from metseg.bundle_folder import find_bundle, fingerprint_of
from metseg.errors import BundleError
from metseg.inference.predictor import Predictor
from metseg.model.bundle import Bundle, load_bundle
from metseg.model_terms import require_accepted
from metseg.recipe.flip_axes import flipped_axes


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Args:
        name: name of its bundle.
        predictor: the predictor.
        weights_bytes: size of the weights in bytes.
    """

    name: str
    predictor: Predictor
    weights_bytes: int


class Models:
    """Cache of predictors by name. The most recently used one always stays.

    Args:
        kept: maximum number of models.
        limit_bytes: maximum size of all weights; None: no limit.
        device: torch device, such as ``cpu``.
    """

    def __init__(self, *, kept: int, limit_bytes: int | None = None, device: str = "auto") -> None:
        self._kept = kept
        self._limit_bytes = limit_bytes
        self._device = device
        self._loaded: OrderedDict[tuple[Path, str, bool], Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, *, uncertainty: bool = False) -> Loaded:
        """Return a model, from memory if its bundle is unchanged.

        Args:
            name: of its bundle.
            uncertainty: return a predictor that measures it, with mirror images where training had them.
        Raises:
            UsageError: no bundle has this name, or its terms have not been accepted; ``usage.uncertainty``, the model
                makes one prediction only.
            BundleError: the bundle is damaged.
        """
        folder = find_bundle(name)
        require_accepted(folder)
        key = (folder.resolve(), _fingerprint(folder), uncertainty)
        with self._lock:
            if key not in self._loaded:
                self._forget_older(*key[:2])
                self._loaded[key] = _load(folder, self._device, uncertainty=uncertainty)
            self._loaded.move_to_end(key)
            self._make_room()
            return self._loaded[key]

    def clear(self) -> None:
        """Remove all models from memory."""
        with self._lock:
            self._loaded.clear()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the models in memory, the least recently used first."""
        return tuple(loaded.name for loaded in self._loaded.values())

    def _forget_older(self, folder: Path, fingerprint: str) -> None:
        """Remove older versions of a bundle that was replaced."""
        for key in [key for key in self._loaded if key[0] == folder and key[1] != fingerprint]:
            del self._loaded[key]

    def _make_room(self) -> None:
        while len(self._loaded) > 1 and (len(self._loaded) > self._kept or self._are_too_large()):
            self._loaded.popitem(last=False)

    def _are_too_large(self) -> bool:
        total = sum(one.weights_bytes for one in self._loaded.values())
        return self._limit_bytes is not None and total > self._limit_bytes


def _fingerprint(folder: Path) -> str:
    """Return the fingerprint of a bundle; "" without checksums, which makes loading fail."""
    try:
        return fingerprint_of(folder)
    except BundleError:
        return ""


def _load(folder: Path, device: str, *, uncertainty: bool) -> Loaded:
    bundle = load_bundle(folder)
    tta = True if uncertainty and flipped_axes(bundle.recipe.augment) else None
    predictor = Predictor.from_bundle(bundle, device=device, tta=tta, uncertainty=uncertainty)
    return Loaded(bundle.name, predictor, _weights_bytes(bundle))


def _weights_bytes(bundle: Bundle) -> int:
    return sum(
        tensor.numel() * tensor.element_size()
        for network in bundle.networks
        for tensor in network.state_dict().values()
    )
