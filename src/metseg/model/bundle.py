"""A bundle is a folder with a trained model: weights, recipe, scores, checksums.

model.safetensors | model_0.safetensors, model_1.safetensors, ...   one file per fold
recipe.toml     how it was made, with all defaults: everything needed to build the network again
card.md         the model card, for people
metrics.json    its scores
split.json      the patients of its training (optional: patient names may be confidential)
reference.json  a prediction for an input made by a formula, for `metseg models verify` (absent before 2026-12)
sha256          checksums of the other files, in the format of ``sha256sum``
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from metseg.bundle_folder import (
    CARD,
    CHECKSUMS,
    METRICS,
    RECIPE,
    REFERENCE,
    SPLIT,
    checksums,
    find_bundle,
    fingerprint_of,
    is_bundle,
    list_bundles,
    model_name,
    read_card,
    read_text,
    verify_bundle,
    weights_files,
    weights_names,
)
from metseg.errors import BundleError, UsageError
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.model.reference_prediction import reference_prediction
from metseg.model.weights import check_keys, read_safetensors
from metseg.recipe import Recipe, parse_recipe
from metseg.runtime.atomic_io import atomic_folder
from metseg.version import __version__

__all__ = ["Bundle", "find_bundle", "list_bundles", "load_bundle", "save_bundle", "verify_bundle"]

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Bundle:
    """A trained model, read into memory.

    Args:
        folder: where it was read from; its name is the bundle's name.
        recipe: how it was made; says how to prepare its input and where its threshold lies.
        networks: one per fold, on the CPU, in evaluation mode; their probabilities are averaged.
        metrics: what it scored.
        card: a Markdown text for people.
        split: which patients it saw, where that is passed on.
        reference: the prediction it keeps; see `metseg.model.reference_prediction`.
    """

    folder: Path
    recipe: Recipe
    networks: tuple[SegmentationNetwork, ...]
    metrics: Mapping[str, Any]
    card: str
    split: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model_name(self) -> str:
        """Return the name of the model for people; see `metseg.bundle_folder.model_name`."""
        return model_name(self.folder, self.recipe.name)

    @property
    def fingerprint(self) -> str:
        """Return what tells this bundle from every other."""
        return fingerprint_of(self.folder)


def save_bundle(
    folder: str | Path,
    *,
    networks: Sequence[SegmentationNetwork | Weights],
    recipe: Recipe,
    card: str,
    metrics: Mapping[str, Any],
    split: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle, wholly or not at all, and return its folder. A bundle already there is replaced.

    Args:
        folder: the bundle's folder; its name is the bundle's name.
        networks: one per fold, or their ``state_dict()``.
        recipe: how they were made.
        card: Markdown for people.
        metrics: numbers by name, nested at will; NaN and infinity become null, for JSON has neither.
        split: which patients were used for what; None: not passed on.
    Raises:
        UsageError: no network, or the folder holds something that is not a bundle.
        BundleError: the weights do not fit the recipe.
        ResourceError: the disk is full; what was there before is unchanged.
    """
    target = Path(folder)
    if not networks:
        raise UsageError("a bundle needs at least one network", where=target, code="usage.bundle")
    if target.exists() and not is_bundle(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            "the folder exists and is not a bundle, so it is not replaced",
            where=target,
            cure="choose a new folder",
            code="usage.bundle",
        )
    texts = {RECIPE: recipe.to_toml(), CARD: card, METRICS: _to_json(metrics)}
    if split is not None:
        texts[SPLIT] = _to_json(split)
    built = [_with_weights(network, recipe) for network in networks]
    texts[REFERENCE] = _to_json(reference_prediction(built, recipe))
    with atomic_folder(target) as partial:
        for name, text in texts.items():
            (partial / name).write_text(text, "utf-8")
        for name, network in zip(weights_names(len(built)), built, strict=True):
            (partial / name).write_bytes(_serialised(network))
        (partial / CHECKSUMS).write_text(checksums(partial), "utf-8")
    return target


def load_bundle(path_or_name: str | Path) -> Bundle:
    """Return the bundle in a folder or of a name, checked: formats, keys and shapes, checksums.

    Nothing outside the folder is needed: files that the recipe names as a starting point of the training, such as an
    encoder pretrained elsewhere, are not read, since the weights here have replaced theirs.

    Raises:
        BundleError: not a bundle, damaged, truncated, a pickle, or weights that do not fit the recipe.
        UsageError: no bundle of that name.
    """
    folder = find_bundle(path_or_name)
    recipe = _read_recipe(folder)
    networks = tuple(_load_network(path, recipe) for path in weights_files(folder))
    verify_bundle(folder)
    return Bundle(
        folder=folder,
        recipe=recipe,
        networks=networks,
        metrics=_read_json(folder / METRICS),
        card=read_card(folder, recipe.name),
        split=_read_json(folder / SPLIT) if (folder / SPLIT).exists() else None,
        reference=_read_json(folder / REFERENCE) if (folder / REFERENCE).exists() else None,
    )


def _with_weights(network: SegmentationNetwork | Weights, recipe: Recipe) -> SegmentationNetwork:
    """Return the network that a bundle's reader will build, in evaluation mode and float32 on the CPU."""
    weights = network.state_dict() if isinstance(network, SegmentationNetwork) else network
    built = build_from_recipe(recipe, initial_weights=False)
    check_keys(weights, built.state_dict(), where="the network to save", architecture=recipe.model.name)
    built.load_state_dict(weights)
    return built.eval()


def _serialised(network: SegmentationNetwork) -> bytes:
    # Contiguous: safetensors knows no channels-last layout, and the layout is the machine's affair, not the model's.
    plain = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    # One entry: safetensors does not keep the order of several, and equal networks should give equal files.
    return safetensors.torch.save(plain, {"metseg": __version__})


def _load_network(path: Path, recipe: Recipe) -> SegmentationNetwork:
    weights = read_safetensors(path)
    try:
        network = build_from_recipe(recipe, initial_weights=False)
    except UsageError as error:
        raise BundleError(
            f"cannot build the recipe's network '{recipe.model.name}': {error.one_line()}",
            where=path.parent / RECIPE,
            cure="install the version of metseg that made the bundle, or a newer one, with its optional packages",
        ) from None
    check_keys(weights, network.state_dict(), where=path, architecture=recipe.model.name)
    network.load_state_dict(weights)
    return network.eval()


def _read_recipe(folder: Path) -> Recipe:
    try:
        return parse_recipe(read_text(folder / RECIPE), where=str(folder / RECIPE))
    except UsageError as error:
        raise BundleError(
            f"the bundle's recipe is damaged: {error.one_line()}", cure="copy the bundle again", code="model.recipe"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise BundleError(
            "not valid JSON", where=path, got=error, cure="copy the bundle again", code="model.invalid"
        ) from None
    if not isinstance(content, dict):
        raise BundleError(
            "not a JSON object",
            where=path,
            got=type(content).__name__,
            cure="copy the bundle again",
            code="model.invalid",
        )
    return content


def _to_json(content: Any) -> str:
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(content: Any) -> Any:
    """Return what JSON can hold: numpy's numbers as Python's, and null for NaN and infinity."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, Integral):
        return content if isinstance(content, bool) else int(content)
    if isinstance(content, Real):
        return float(content) if math.isfinite(content) else None
    return content
