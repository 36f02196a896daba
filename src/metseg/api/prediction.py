"""Load a trained model and predict."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy.typing as npt

from metseg.api.reading import only_source
from metseg.argument_checks import optional_path, require_instance, require_mapping, wrong_type
from metseg.errors import UsageError
from metseg.inference.backends.backend_table import TORCH
from metseg.inference.prediction import Prediction
from metseg.inference.predictor import Predictor
from metseg.io.images.channel_names import GreyRule
from metseg.io.prediction_inputs import study_of_named
from metseg.model.bundle import load_bundle
from metseg.model_terms import require_accepted
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.recipe import DataPart, Recipe
from metseg.volume import Case, is_nibabel_image

EXPECTED = "a path, a metseg.Case, a nibabel image, an array, or a mapping from sequence to one of these"


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    tta: bool | None = None,
    threshold: float | None = None,
    minimum_mm3: float | None = None,
    backend: str = TORCH,
    exported: str | Path | None = None,
    uncertainty: bool = False,
) -> Predictor:
    """Load a trained model, to pass to `metseg.predict` for any number of cases.

    Args:
        name_or_path: a bundle's name (``metseg models list``), its folder, or the folder of a training.
        device: such as ``auto``, ``cpu``, ``cuda``.
        tta: average over mirror images (test-time augmentation), which takes 2, 4 or 8 times as long; None: as the
            bundle says.
        threshold: smallest probability of a lesion voxel, between 0 and 1; None: the bundle's. With another one, a
            warning of every prediction says that the model's scores do not apply.
        minimum_mm3: smallest volume of a lesion in mm³, for images with a voxel size; None: the bundle's. The same
            warning.
        backend: what runs the network: ``torch``, ``onnx`` or ``openvino``. The latter two compute on the CPU and need
            an export of the model (``metseg models export``) and an extra of metseg.
        exported: folder of the export; None: where exports are kept by default.
        uncertainty: also measure how far the predictions of mirror images and folds differ: a map, and a range for the
            volume of each lesion. It needs ``tta=True`` or a model of several folds, and is not calibrated.
    Raises:
        BundleError: not a bundle, or a damaged one; a damaged export, or one of another bundle.
        UsageError: no bundle of that name, an argument of a wrong type or out of range, or a bundle for non-commercial
            use only with terms that have not been accepted (``licence.not_accepted``).

    Examples:
        The model that comes with the package, for four sequences of a volume::

            model = metseg.load_model("mets-sim", device="cpu")
            model.recipe.data.inputs
    """
    if not isinstance(name_or_path, str | Path):
        raise wrong_type("name_or_path", name_or_path, expected="the name of a bundle, or its folder")
    require_instance("device", device, str, expected="a text such as 'cpu'")
    if tta is not None:
        require_instance("tta", tta, bool, expected="True, False or None")
    for name, value in (("threshold", threshold), ("minimum_mm3", minimum_mm3)):
        if value is not None and not isinstance(value, Real):
            raise wrong_type(name, value, expected="a number or None")
    require_instance("backend", backend, str, expected="a text such as 'torch'")
    require_instance("uncertainty", uncertainty, bool, expected="True or False")
    folder = optional_path("exported", exported)
    require_accepted(name_or_path)
    bundle = load_bundle(name_or_path)
    return Predictor.from_bundle(
        bundle,
        device=device,
        tta=tta,
        threshold=threshold,
        minimum_mm3=minimum_mm3,
        backend=backend,
        exported=folder,
        uncertainty=uncertainty,
    )


def predict(
    image: Case | str | Path | npt.ArrayLike | Mapping[str, Any] | Any,
    model: Predictor | str | Path,
    *,
    affine: npt.ArrayLike | None = None,
    sequence: str | None = None,
) -> Prediction:
    """Predict the lesions in a case.

    Args:
        image: one of

            - a `metseg.Case`;
            - the path of a picture or a NIfTI file, or of a folder or DICOM archive of one patient;
            - a nibabel image;
            - an array (X, Y, Z), or (X, Y) for one slice; see ``affine``;
            - a mapping from sequence to path, to nibabel image or to array, such as ``{"t1c": ..., "flair": ...}``.

            Masks beside the images are ignored.
        model: from `metseg.load_model`, or what `metseg.load_model` takes.
        affine: for arrays only: (4, 4) voxel-to-RAS matrix, mm. A model for volumes requires it; None: the arrays are
            pictures.
        sequence: the sequence of a single image or array, such as ``"t1c"``. None: it is read from the file names of a
            path, or it is the only sequence of the model; it is never guessed.
    Returns:
        a `metseg.Prediction`: ``labels`` (X, Y, Z) uint8 on the case's own grid, ``probability``, ``lesions``, timings
        and warnings.
    Raises:
        UsageError: an argument of a wrong type; an unknown sequence (``usage.sequence``); an affine that is missing
            for arrays, or given for an image that has its own (``usage.affine``).
        InputError: the case cannot be read, or lacks a sequence that the model needs.
        BundleError: the model cannot be loaded.

    Examples:
        From files, from nibabel and from arrays::

            prediction = metseg.predict("patient_folder", "mets-sim")
            prediction = metseg.predict({"t1c": nibabel.load("t1c.nii.gz")}, "mets-sim")
            prediction = metseg.predict({"t1c": array}, "mets-sim", affine=affine)
            prediction = metseg.predict(array, "mets-sim", affine=affine, sequence="t1c")
    """
    if isinstance(model, Predictor):
        predictor = model
    elif isinstance(model, str | Path):
        predictor = load_model(model)
    else:
        raise wrong_type("model", model, expected="a model from metseg.load_model, its name, or its folder")
    if sequence is not None:
        require_instance("sequence", sequence, str, expected="the name of a sequence, such as 't1c'")
    return predictor(_case_of(image, predictor.recipe, affine=affine, sequence=sequence))


def _case_of(image: Any, recipe: Recipe, *, affine: npt.ArrayLike | None, sequence: str | None) -> Case:
    if isinstance(image, Case):
        _refuse_affine(affine, "the case has")
        _refuse_sequence(sequence, "the case already names its sequences")
        return image
    if isinstance(image, Mapping):
        _refuse_sequence(sequence, "the mapping already names the sequences")
        return _case_of_mapping(image, recipe, affine)
    if isinstance(image, str | Path):
        _refuse_affine(affine, "the files have")
        if sequence is not None:
            return _case_of_mapping({sequence: image}, recipe, None)
        return only_source(Path(image), _data_of(recipe), with_masks=False, grey=grey_sequence(recipe)).load()
    if image is None or isinstance(image, bytes):
        raise wrong_type("image", image, expected=EXPECTED)
    return _case_of_mapping({sequence or _only_sequence(recipe): image}, recipe, affine)


def _case_of_mapping(images: Mapping[str, Any], recipe: Recipe, affine: npt.ArrayLike | None) -> Case:
    """Return a case of images by sequence, which are all paths, all nibabel images or all arrays."""
    values = list(require_mapping("image", images, expected="a mapping from sequence to image").values())
    if all(isinstance(value, str | Path) for value in values):
        _refuse_affine(affine, "the files have")
        files = {name: str(path) for name, path in images.items()}
        return study_of_named(files, _data_of(recipe), grey=GreyRule(grey_sequence(recipe))).load()
    if all(is_nibabel_image(value) for value in values):
        _refuse_affine(affine, "the nibabel images have")
        return Case.from_nibabel(images)
    if any(isinstance(value, str | Path) or is_nibabel_image(value) for value in values):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise UsageError(
            "the images are of several kinds",
            where="image",
            expected="all paths, all nibabel images, or all arrays",
            got=kinds,
            cure="load the files with nibabel.load first",
            code="usage.type",
        )
    if affine is None and recipe.data.dimensions == 3:
        raise UsageError(
            "the model needs volumes with an affine, and the arrays have none",
            where="affine",
            expected="a (4, 4) voxel-to-RAS matrix in mm",
            cure="pass affine=, for instance numpy.diag([1, 1, 3, 1]) for voxels of 1 x 1 x 3 mm",
            code="usage.affine",
        )
    return Case.from_arrays(images, affine)


def _data_of(recipe: Recipe) -> DataPart:
    """Return the data part of a recipe, without the keys that describe its training files."""
    return recipe.data.model_copy(update={"layout": "auto", "patient_pattern": None, "patients": None})


def _only_sequence(recipe: Recipe) -> str:
    """Return the only sequence of a model.

    Raises:
        UsageError: ``usage.sequence``, the model sees several.
    """
    inputs = recipe.data.inputs
    if len(inputs) == 1:
        return inputs[0]
    raise UsageError(
        "the sequence of the image is not given",
        where="sequence",
        expected=f"one of {', '.join(inputs)}" if inputs else "the name of a sequence",
        cure='pass sequence="t1c", or a mapping from sequence to image',
        code="usage.sequence",
    )


def _refuse_affine(affine: npt.ArrayLike | None, owner: str) -> None:
    if affine is not None:
        raise UsageError(
            f"an affine is given, but {owner} an affine already",
            where="affine",
            cure="leave it out, or pass arrays",
            code="usage.affine",
        )


def _refuse_sequence(sequence: str | None, reason: str) -> None:
    if sequence is not None:
        what = f"a sequence is given, but {reason}"
        raise UsageError(what, where="sequence", cure="leave it out", code="usage.sequence")
