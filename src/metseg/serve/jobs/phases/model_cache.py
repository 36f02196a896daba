"""Models that were loaded once and are kept, as far as number and memory allow: the one used longest ago goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from metseg.bundle_folder import find_bundle, fingerprint_of
from metseg.errors import BundleError
from metseg.inference.predictor import Predictor
from metseg.model.bundle import Bundle, load_bundle


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Args:
        name: of its bundle.
        predictor: ready to be called.
        weights_bytes: what its networks hold.
    """

    name: str
    predictor: Predictor
    weights_bytes: int


class Models:
    """Predictors by name, so many of them and so many bytes of weights at most; the one asked for last always stays.

    Args:
        kept: how many.
        limit_bytes: of all weights together; None: no limit.
        device: such as ``cpu``.
    """

    def __init__(self, *, kept: int, limit_bytes: int | None = None, device: str = "auto") -> None:
        self._kept = kept
        self._limit_bytes = limit_bytes
        self._device = device
        self._loaded: OrderedDict[tuple[Path, str], Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Loaded:
        """Return a model, from memory where its bundle is still the same.

        Raises:
            UsageError: no bundle of that name.
            BundleError: a damaged one.
        """
        folder = find_bundle(name)
        key = (folder.resolve(), _fingerprint(folder))
        with self._lock:
            if key not in self._loaded:
                self._forget_older(key[0])
                self._loaded[key] = _load(folder, self._device)
            self._loaded.move_to_end(key)
            self._make_room()
            return self._loaded[key]

    def clear(self) -> None:
        """Forget every model: memory is needed."""
        with self._lock:
            self._loaded.clear()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the models in memory, the one used longest ago first."""
        return tuple(loaded.name for loaded in self._loaded.values())

    def _forget_older(self, folder: Path) -> None:
        """Forget what a bundle was before it was replaced."""
        for key in [key for key in self._loaded if key[0] == folder]:
            del self._loaded[key]

    def _make_room(self) -> None:
        while len(self._loaded) > 1 and (len(self._loaded) > self._kept or self._are_too_large()):
            self._loaded.popitem(last=False)

    def _are_too_large(self) -> bool:
        total = sum(one.weights_bytes for one in self._loaded.values())
        return self._limit_bytes is not None and total > self._limit_bytes


def _fingerprint(folder: Path) -> str:
    """Return what changes with a bundle; a bundle without checksums is refused when it is loaded."""
    try:
        return fingerprint_of(folder)
    except BundleError:
        return ""


def _load(folder: Path, device: str) -> Loaded:
    bundle = load_bundle(folder)
    return Loaded(bundle.name, Predictor.from_bundle(bundle, device=device), _weights_bytes(bundle))


def _weights_bytes(bundle: Bundle) -> int:
    return sum(
        tensor.numel() * tensor.element_size()
        for network in bundle.networks
        for tensor in network.state_dict().values()
    )
