"""Extract the brain from heads with skull, and check the mask.

The network `brain-extraction` comes with the package and takes one image of any contrast, spacing and orientation.
Nothing heavy is imported at the top: `ensure_brain_mask` goes to the processes that build a cache, and most of them
never run a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.bundle_folder import BRAIN_EXTRACTION, fingerprint_of, packaged_bundle
from metseg.errors import InputError
from metseg.geometry import same_grid
from metseg.inference.brain.deepbet_program import SEQUENCES as DEEPBET_SEQUENCES
from metseg.inference.brain.deepbet_program import installed_version, run_deepbet
from metseg.measure import LARGEST_BRAIN_ML, mask_volume_ml
from metseg.message_text import pluralize
from metseg.preprocess import check_steps
from metseg.preprocess.brain_mask_rules import brain_mask_options, extraction_method, needs_brain_extraction
from metseg.preprocess.head_mask import without_holes
from metseg.preprocess.prepared_case import reference_name
from metseg.preprocess.steps.brain_mask import no_brain_mask
from metseg.recipe import Recipe
from metseg.registry import lookup
from metseg.runtime.progress import OnShare, no_progress
from metseg.volume import BRAIN_MASK, BrainMaskRecord, Case, Volume

if TYPE_CHECKING:
    from metseg.inference.network_predictor import NetworkPredictor

Mask = npt.NDArray[np.bool_]
#: Name of the one image that the network sees.
IMAGE = "mri"
#: Brains of adults and children are not smaller or larger, mL; beyond, the images show a part of the head, or the mask
#: is wrong. A skull-stripped brain has 1083 to 1945 mL in 40 studies.
USUAL_ML = (700.0, 2000.0)
#: Beyond these the mask is not used: what is smaller holds no slab worth looking at, what is larger is a head.
POSSIBLE_ML = (100.0, LARGEST_BRAIN_ML)
#: Pieces beside the largest are named where together they hold more than this share of it.
PIECES_SHARE = 0.05
#: The images that are tried after the reference, the best first.
ORDER = ("t1c", "t1n", "t2w", "t2f")


@dataclass(frozen=True)
class Brain:
    """The brain of one image.

    Args:
        mask: (X, Y, Z) bool on the grid of the image: the largest piece, with its holes filled.
        volume_ml: of the mask.
        warnings: doubts about the mask, one sentence each; empty: it has the volume of a brain and was one piece.
    """

    mask: Mask
    volume_ml: float
    warnings: tuple[str, ...] = ()

    @property
    def is_possible(self) -> bool:
        """Return whether a brain may be that large."""
        return POSSIBLE_ML[0] <= self.volume_ml <= POSSIBLE_ML[1]


def extract_brain(
    image: Volume, *, method: str = "network", device: str = "auto", on_share: OnShare = no_progress
) -> Brain:
    """Return the brain in an image of a head.

    Args:
        image: of any contrast, with an affine; spacing and orientation are free.
        method: a name in `METHODS`.
        device: such as ``auto``, ``cpu``, ``cuda``.
        on_share: told now and then how much is done.
    Raises:
        InputError: the image does not say where it lies (``input.no_affine``).
        UsageError: an unknown method, or a program that is not installed.
    """
    if image.affine is None:
        raise InputError(
            "the image has no voxel size",
            expected="NIfTI or DICOM with an affine",
            cure="convert the original series again",
            code="input.no_affine",
        )
    found = lookup("brain extraction", METHODS, method)(image, device, on_share)
    mask, others_share, others = _largest_piece(found)
    volume_ml = mask_volume_ml(mask, image.affine)
    return Brain(mask, volume_ml, tuple(_remarks(volume_ml, others_share, others)))


def ensure_brain_mask(case: Case, recipe: Recipe, *, device: str = "auto", on_share: OnShare = no_progress) -> Case:
    """Return the case with a brain mask where the recipe needs one and none is there; else the case itself.

    The mask is made from the reference. Where that gives no possible brain, the other images of `ORDER` are tried: on
    the reference's grid, or on any where the recipe brings them to it.

    Args:
        case: as it was read.
        recipe: with or without the step `brain_mask`.
        device: such as ``auto``, ``cpu``, ``cuda``.
        on_share: told now and then how much is done.
    Raises:
        InputError: ``input.brain_mask``, no brain was found and the recipe does not take heads.
    """
    method = extraction_method(recipe)
    if method is None or not needs_brain_extraction(case, recipe):
        return case
    tried: list[str] = []
    for name in _candidates(case, recipe, method):
        brain = extract_brain(case.images[name], method=method, device=device, on_share=on_share)
        if brain.is_possible:
            return _with_mask(case, brain, name, method)
        tried.append(f"{brain.volume_ml:.0f} mL in {name}")
    options = brain_mask_options(recipe)
    if options is not None and options.otherwise == "head":
        return case
    raise no_brain_mask(
        "the images show a head with skull, but no brain was found in them",
        where=case.case_id,
        expected=f"{POSSIBLE_ML[0]:.0f} to {POSSIBLE_ML[1]:.0f} mL of brain",
        got=", ".join(tried) or f"no image that {method} can work on",
    )


def extraction_fingerprint(recipe: Recipe) -> str:
    """Return what a brain mask depends on besides the images and the recipe; empty where the recipe makes none."""
    method = extraction_method(recipe)
    if method == "network":
        return fingerprint_of(bundle_in_use())
    return "" if method is None else f"{method} {installed_version()}"


def _candidates(case: Case, recipe: Recipe, method: str) -> Iterator[str]:
    """Yield the names of the images that the brain may be found in, the best first."""
    reference = reference_name(case, recipe.data)
    target = case.images[reference].grid
    aligns = any(step.spec.kind == "case" for step in check_steps(recipe.preprocess))
    for name in dict.fromkeys((reference, *ORDER)):
        if name not in case.images or (method == "deepbet" and name not in DEEPBET_SEQUENCES):
            continue
        image = case.images[name]
        if image.affine is not None and (aligns or same_grid(image.grid, target)):
            yield name


def _with_mask(case: Case, brain: Brain, name: str, method: str) -> Case:
    volume = Volume(brain.mask.astype(np.uint8), case.images[name].affine)
    model = fingerprint_of(bundle_in_use()) if method == "network" else ""
    record = BrainMaskRecord(method, name, round(brain.volume_ml, 1), model)
    by = f"the network {BRAIN_EXTRACTION}" if method == "network" else method
    note = f"the images show a head with skull; {by} outlined the brain in {name}"
    return replace(
        case,
        images={**case.images, BRAIN_MASK: volume},
        warnings=(*case.warnings, note, *brain.warnings),
        brain_mask_record=record,
    )


def bundle_in_use() -> Path:
    """Return the folder of the network."""
    return packaged_bundle(BRAIN_EXTRACTION)


def _by_network(image: Volume, device: str, on_share: OnShare) -> Mask:
    """Return what the network `brain-extraction` takes for brain."""
    predictor = _predictor(device)
    case = Case(IMAGE, IMAGE, {IMAGE: image})
    labels, _ = predictor.segment(case, predictor.prepare(case), on_share=on_share)
    return np.asarray(labels > 0)


@lru_cache(maxsize=2)
def _predictor(device: str) -> NetworkPredictor:
    """Return the network, loaded once: it has 5 MB."""
    from metseg.inference.network_predictor import NetworkPredictor
    from metseg.model.bundle import load_bundle

    bundle = load_bundle(bundle_in_use())
    # Pieces are counted and holes filled here, for every method in the same way.
    part = bundle.recipe.predict.model_copy(update={"keep_largest": False, "fill_holes": False})
    recipe = bundle.recipe.model_copy(update={"predict": part})
    return NetworkPredictor.from_bundle(replace(bundle, recipe=recipe), device=device)


def _by_deepbet(image: Volume, device: str, on_share: OnShare) -> Mask:
    """Return what deepbet takes for brain; it does not say how far it is."""
    found = run_deepbet(image, on_gpu=device != "cpu")
    on_share(1.0)
    return found


#: How a brain is found; the names are values of the option ``source`` of the step `brain_mask`.
METHODS: Mapping[str, Callable[[Volume, str, OnShare], Mask]] = {"network": _by_network, "deepbet": _by_deepbet}


def _largest_piece(found: Mask) -> tuple[Mask, float, int]:
    """Return the largest piece with its holes filled, and share and number of the others."""
    import cc3d

    pieces = cc3d.connected_components(np.ascontiguousarray(found), connectivity=6)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] == 0:
        return np.zeros(found.shape, dtype=np.bool_), 0.0, 0
    others = int(sizes.sum() - sizes[largest])
    return without_holes(pieces == largest), others / int(sizes[largest]), int(np.count_nonzero(sizes)) - 1


def _remarks(volume_ml: float, others_share: float, others: int) -> Iterator[str]:
    low, high = USUAL_ML
    if not low <= volume_ml <= high:
        yield (
            f"the brain mask has a volume of {volume_ml:.0f} mL; {low:.0f} to {high:.0f} mL is usual: the images show"
            " only a part of the head, or the mask is wrong; check it"
        )
    if others_share > PIECES_SHARE:
        pieces = pluralize(others, "piece was", "pieces were")
        yield f"the brain mask was not connected: the largest piece was kept, {pieces} left out; check it"
