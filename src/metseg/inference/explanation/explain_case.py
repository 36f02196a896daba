"""Explain the prediction of a case: maps on its own grid, as files and as overlays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.class_styles import class_styles
from metseg.disclaimer import NOTICE
from metseg.geometry import spacing_mm, turn_to_ras
from metseg.inference.explanation.grad_cam import Explainer
from metseg.inference.outputs.volume_outputs import affine_of, caption_of, lesion_cuts, write_probability_nifti
from metseg.inference.prediction import Prediction
from metseg.inference.predictor import Predictor
from metseg.inference.windows.sliding_window import slide
from metseg.model.activation import outputs_of
from metseg.model.bundle import Bundle
from metseg.plot.images.heat_picture import draw_heat_picture
from metseg.plot.images.planes import HeatMap, draw_planes
from metseg.preprocess.adjacent_slices import with_neighbours
from metseg.preprocess.pipeline import restore
from metseg.preprocess.prepared_case import Prepared
from metseg.runtime.atomic_io import write_text
from metseg.runtime.progress import OnShare, no_progress
from metseg.version import __version__
from metseg.volume import Case

Map = npt.NDArray[np.float32]

GRAD_CAM: Final = "gradcam"
#: What each kind of map shows, for colour bars and the JSON document.
CAM_TITLE: Final = "Grad-CAM, share of its largest value in the case"
GATE_TITLE: Final = "attention gate {level}: share of the features that pass"

CAUTION: Final = (
    "Grad-CAM shows where features raised the score of the predicted lesion, at the resolution of its layer; it does "
    "not show that a prediction is right, nor why the network learned it."
)


@dataclass(frozen=True)
class Explanation:
    """The maps of a case on its own grid.

    Args:
        prediction: that is explained.
        maps: name, which is part of the names of files, to (X, Y, Z) float32 from 0 to 1.
        titles: name to what the map shows.
        layer: name of the layer of Grad-CAM.
    """

    prediction: Prediction
    maps: Mapping[str, Map]
    titles: Mapping[str, str]
    layer: str


class CaseExplainer:
    """Explains cases by a bundle, on the CPU in float32, without mirror images.

    Args:
        bundle: of the model.
        layer: name of a layer for Grad-CAM; None: the bottleneck.
    Raises:
        UsageError: ``usage.layer``, there is no such layer, or it returns no features.
    """

    def __init__(self, bundle: Bundle, *, layer: str | None = None) -> None:
        self._bundle, self._recipe = bundle, bundle.recipe
        self._explainer = Explainer(
            bundle.networks, outputs_of(bundle.recipe), threshold=bundle.recipe.predict.threshold, layer=layer
        )

    def __call__(self, case: Case, *, on_share: OnShare = no_progress) -> Explanation:
        """Return the prediction of a case and its maps.

        Args:
            case: as it was read.
            on_share: called with the share of the maps that is done, 0 to 1.
        Raises:
            InputError: as `metseg.inference.network_predictor.NetworkPredictor`.
        """
        predictor = Predictor.from_bundle(self._bundle, device="cpu")
        case = predictor.with_brain_mask(case)
        prepared = predictor.prepare(case)
        labels, probability = predictor.segment(case, prepared)
        prediction = predictor.measure(case, labels, probability, warnings=prepared.warnings, records=prepared.records)
        maps = self.maps(prepared, on_share=on_share)
        titles = {GRAD_CAM: CAM_TITLE}
        titles |= {f"attention-{level}": GATE_TITLE.format(level=level) for level in range(1, len(maps))}
        return Explanation(prediction, maps, titles, self._explainer.layer)

    def maps(self, prepared: Prepared, *, on_share: OnShare = no_progress) -> dict[str, Map]:
        """Return the maps of a prepared case on its own grid: `GRAD_CAM`, then ``attention-1`` for the finest gate.

        Args:
            prepared: from the predictor of the bundle.
            on_share: called with the share of the maps that is done, 0 to 1.
        """
        draw = self._slices if self._recipe.data.dimensions == 2 else self._windows
        found = draw(prepared, on_share)
        cam, *gates = (np.asarray(restore(one[None], prepared.records)[0], dtype=np.float32) for one in found)
        largest = float(cam.max(initial=0))
        gate_maps = {f"attention-{level}": np.clip(gate, 0, 1) for level, gate in enumerate(gates, start=1)}
        return {GRAD_CAM: cam / largest if largest > 0 else cam, **gate_maps}

    def _slices(self, prepared: Prepared, on_share: OnShare) -> Map:
        """Return (maps, X, Y, Z) of a stack or volume, slice by slice; slices of air are left out."""
        image = np.asarray(prepared.image, dtype=np.float32)
        found = np.zeros((1 + self._explainer.gates, *prepared.grid), dtype=np.float32)
        for z in range(prepared.grid[2]):
            if prepared.slice_names or prepared.head is None or prepared.head[..., z].any():
                chunk = with_neighbours(image, self._recipe.data.neighbours, z, z + 1)
                found[..., z] = self._explainer(torch.from_numpy(chunk))[0].numpy()
            on_share((z + 1) / prepared.grid[2])
        return found

    def _windows(self, prepared: Prepared, on_share: OnShare) -> Map:
        """Return (maps, X, Y, Z) of a volume; where windows overlap, their maps are averaged as probabilities are."""
        found = np.zeros((1 + self._explainer.gates, *prepared.grid), dtype=np.float32)
        part = self._recipe.predict

        def explained(window: Tensor) -> Tensor:
            return self._explainer(window)

        slabs = slide(
            explained,
            np.asarray(prepared.image, dtype=np.float32),
            np.ones(prepared.grid, dtype=bool) if prepared.head is None else prepared.head,
            window=part.window or self._recipe.train.patch_size,
            overlap=part.window_overlap,
            device=torch.device("cpu"),
            on_share=on_share,
        )
        for slab in slabs:
            found[:, slab.start : slab.start + slab.chances.shape[1]] = slab.chances.numpy()
        return found


def write_explanation(explanation: Explanation, out: Path) -> list[Path]:
    """Write the maps of a case and return the files.

    Of a volume: ``<case>-<map>.nii.gz`` and an overlay ``<case>-<map>.png`` in planes through the largest lesions. Of
    pictures: an overlay ``<picture>_<map>.png`` for each. Of both: ``<case>-explanation.json``.
    """
    case = explanation.prediction.case
    written = []
    for name, values in explanation.maps.items():
        title = explanation.titles[name]
        if case.is_slice_stack:
            written += _write_pictures(explanation.prediction, values, name, title, out)
        else:
            written += _write_volume(explanation.prediction, values, name, title, out)
    document = out / f"{case.case_id}-explanation.json"
    write_text(document, json.dumps(_document(explanation, written), indent=2) + "\n")
    return [*written, document]


def _write_volume(prediction: Prediction, values: Map, name: str, title: str, out: Path) -> list[Path]:
    affine = affine_of(prediction)
    nifti, png = (out / f"{prediction.case.case_id}-{name}{ending}" for ending in (".nii.gz", ".png"))
    write_probability_nifti(values, affine, nifti)
    turn = turn_to_ras(affine)
    draw_planes(
        turn(prediction.reference_image.data),
        turn(prediction.labels),
        png,
        spacing_mm=spacing_mm(turn.affine(affine, prediction.labels.shape)),
        cuts=lesion_cuts(prediction.lesions, prediction.labels.shape, turn),
        caption=caption_of(prediction),
        heat=HeatMap(turn(values), title),
    )
    return [nifti, png]


def _write_pictures(prediction: Prediction, values: Map, name: str, title: str, out: Path) -> list[Path]:
    written = []
    background, styles = prediction.case.background.data, class_styles(prediction.scheme)
    for z, picture in enumerate(prediction.case.slice_names):
        path = out / f"{picture}_{name}.png"
        draw_heat_picture(
            background[:, :, z],
            prediction.labels[:, :, z],
            values[:, :, z],
            path,
            name=Path(picture).name,
            styles=styles,
            title=title,
        )
        written.append(path)
    return written


def _document(explanation: Explanation, written: list[Path]) -> dict[str, Any]:
    prediction = explanation.prediction
    return {
        "case": prediction.case.case_id,
        "notice": NOTICE,
        "metseg": __version__,
        "model": prediction.model,
        "bundle": prediction.fingerprint,
        "layer": explanation.layer,
        "maps": dict(explanation.titles),
        "caution": CAUTION,
        "lesions": len(prediction.lesions),
        "files": [path.name for path in written],
        "warnings": list(prediction.warnings),
    }
