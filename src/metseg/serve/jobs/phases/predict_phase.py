"""Phase 4: segment the lesions: a mask and its probabilities on the grid of the image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.errors import BundleError
from metseg.inference.explanation.explain_case import CaseExplainer
from metseg.inference.outputs.image_outputs import probability_pixels
from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE, write_nifti, write_probability_nifti
from metseg.inference.stopwatch import Stopwatch
from metseg.labels import LABEL_SCHEMES
from metseg.model.bundle import load_bundle
from metseg.preprocess.prepared_case import Prepared
from metseg.runtime.progress import OnShare
from metseg.schemas import Phase
from metseg.serve.jobs.phases.intermediates import load_segmentation, save_segmentation, to_16_bits
from metseg.serve.jobs.phases.job import Job, Outcome, Segmentation
from metseg.serve.jobs.phases.preprocess_phase import the_prepared
from metseg.serve.jobs.phases.read_phase import the_case
from metseg.serve.storage.png_files import write_png

#: Folder of the mask and its probabilities, below ``work/``.
SEGMENTATION = "segmentation"
#: Share of the progress for the masks, if maps of Grad-CAM and of gates follow.
MASK_SHARE = 0.4


def predict(job: Job) -> Outcome:
    """Segment the prepared case.

    Raises:
        BundleError: ``model.replaced``.
        ResourceError: ``resources.memory``.
    """
    _require_same_model(job)
    watch = Stopwatch()
    prepared = the_prepared(job)
    own_share = MASK_SHARE if job.options.explanation else 1.0
    labels, probability, spread = job.predictor.segment_with_spread(
        the_case(job), prepared, watch=watch, on_share=lambda share: job.on_share(0.9 * own_share * share)
    )
    if job.options.explanation:
        _give_explanation(
            job, prepared, on_share=lambda share: job.on_share(0.9 * (own_share + (1 - own_share) * share))
        )
    del prepared
    job.cache.prepared = None  # the largest object in memory, and no later phase needs it
    segmentation = Segmentation(labels, to_16_bits(probability), spread)
    del probability
    save_segmentation(segmentation, job.folder.work / SEGMENTATION)
    job.cache.segmentation = segmentation
    _give_masks(job, segmentation)
    if spread is not None:
        _give_map(job, "uncertainty", spread.deviation)
    return Outcome(kept={"timings_s": watch.seconds})


def _give_explanation(job: Job, prepared: Prepared, *, on_share: OnShare) -> None:
    """Write the maps of Grad-CAM and of the attention gates.

    The bundle is read again: the networks of the predictor may be on a GPU, or folded.
    """
    maps = CaseExplainer(load_bundle(job.model)).maps(prepared, on_share=on_share)
    for name, values in maps.items():
        _give_map(job, name, values)


def _give_map(job: Job, name: str, values: npt.NDArray[np.float32]) -> None:
    """Write a map (X, Y, Z), 0 to 1, for viewers: as NIfTI, and of pictures one picture for each."""
    affine = _reference_affine(job)
    with job.artifact(f"{name}.nii.gz") as path:
        write_probability_nifti(values, affine, path)
    if affine is None:
        for z in range(values.shape[2]):
            with job.artifact(f"{name}-{z + 1}.png") as path:
                write_png(path, probability_pixels(values[:, :, z]))


def the_segmentation(job: Job) -> Segmentation:
    """Return the mask and its probabilities from the cache, or from disk if another process made them."""
    if job.cache.segmentation is None:
        job.cache.segmentation = load_segmentation(job.folder.work / SEGMENTATION)
    return job.cache.segmentation


def _require_same_model(job: Job) -> None:
    """Raise if the model is not the one for which the study was read."""
    begun = job.outcome(Phase.READ).facts["fingerprint"]
    if job.predictor.fingerprint != begun:
        raise BundleError(
            "the model was replaced by another of the same name during the analysis",
            where=job.model,
            expected=begun,
            got=job.predictor.fingerprint,
            cure="upload the study again",
            code="model.replaced",
        )


def _reference_affine(job: Job) -> npt.NDArray[np.float64] | None:
    """Return where the results lie; None for pictures."""
    return the_case(job).images[job.outcome(Phase.READ).kept["reference"]].affine


def _give_masks(job: Job, segmentation: Segmentation) -> None:
    labels, stored = segmentation.labels, segmentation.stored
    affine = _reference_affine(job)
    with job.artifact("mask.nii.gz") as path:
        write_nifti(labels, affine, path)
    with job.artifact("probability.nii.gz") as path:
        write_nifti(stored, affine, path, slope=1 / PROBABILITY_SCALE)
    if affine is not None:
        return
    # As `metseg predict` writes them: 0/255 for one class, class ids for several.
    one_class = len(LABEL_SCHEMES[job.predictor.recipe.data.labels].classes) == 1
    masks = labels * np.uint8(255) if one_class else labels
    for z in range(labels.shape[2]):
        with job.artifact(f"mask-{z + 1}.png") as path:
            write_png(path, masks[:, :, z].T)
        with job.artifact(f"probability-{z + 1}.png") as path:
            write_png(path, stored[:, :, z].T)
