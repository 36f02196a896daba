"""What a model returns for a case: a mask, probabilities and lesions, ready to be saved, drawn and tabulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.argument_checks import require_path, require_texts
from metseg.errors import UsageError
from metseg.geometry import spacing_mm, turn_to_ras
from metseg.inference.prediction_data import PredictionData
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import lesions_csv
from metseg.message_text import pluralize

if TYPE_CHECKING:
    import pandas as pd

#: A file of this name holds a mask; every other path is a folder.
MASK_ENDING = ".nii.gz"


@dataclass(frozen=True, repr=False)
class Prediction(PredictionData):
    """What a model returns for a case.

    Args:
        case: the case that was predicted.
        labels: (X, Y, Z) uint8 class ids on the case's own grid.
        probability: (X, Y, Z) float32, the probability of any lesion class, 0 to 1.
        lesions: connected lesions, largest first.
        instances: (X, Y, Z) the id of the lesion at each voxel; 0: background.
        timings_s: seconds by phase.
        warnings: of reading, preprocessing and prediction, one sentence each.
        model: name of the recipe that made the model.
        scheme: name of the label scheme of the class ids.
        reference: name of the image that the result shares its grid with; empty: the first of the case.
        records: what the preprocessing did, step by step.
        part: how masks were made of probabilities; None: not by a `Predictor`.
        fingerprint: of the model's bundle; empty: the model came from no bundle.
        backend: what ran the networks: torch, onnx or openvino.
        uncertainty: (X, Y, Z) float32, standard deviation of the probabilities of lesion of networks and mirror images;
            None: not measured.

    Examples:
        A prediction comes from `metseg.predict`::

            prediction = metseg.predict("patient_folder", "mets-sim")
            prediction.labels.shape, prediction.probability.max()
            prediction.lesions_frame()
            prediction.plot(lesions=2)
            prediction.save("out")
    """

    def lesions_frame(self) -> pd.DataFrame:
        """Return the lesions as a data frame, one row each, largest first, with the columns of ``lesions.csv``.

        A model of several classes has a column for each size and class, such as ``volume_ml_ET``; it is empty (NaN)
        where the lesion has nothing of the class.
        """
        import pandas as pd

        classes = tuple(LABEL_SCHEMES[self.scheme].classes.values())
        return pd.read_csv(StringIO(lesions_csv(self.lesions, classes)))

    def save(self, path: str | Path, *, formats: Sequence[str] = ("mask",)) -> list[Path]:
        """Write the prediction, as ``metseg predict`` does, and return the files.

        Args:
            path: a folder, which is made if absent: it receives the formats and the document ``<case>.json`` with the
                lesions. Or the name of a single file that ends with ``.nii.gz``: it receives the mask of a volume.
                Existing files of these names are replaced.
            formats: what a folder receives: ``mask``, ``overlay``, ``probability``, ``instances``, of models that work
                on the brain alone ``brain-mask``, and ``uncertainty`` where it was measured. Volumes
                are written as ``<case>-seg.nii.gz``,
                ``<case>-overlay.png``, ``<case>-probability.nii.gz``, ``<case>-lesions.nii.gz`` and
                ``<case>-brain_mask.nii.gz``, pictures as one PNG file per slice.
        Raises:
            UsageError: an unknown format, the brain mask of a model that uses none, a file name with another ending,
                or formats for a single file.
            GeometryError: a ``.nii.gz`` file for pictures, which have no place in space.
            ResourceError: the disk is full.
        """
        # Not above: these need Matplotlib and nibabel, which reading a prediction does not.
        from metseg.inference.outputs.case_document import CaseReport
        from metseg.inference.outputs.output_formats import document_path, find_formats, need_instances, result_paths
        from metseg.inference.outputs.volume_outputs import affine_of, write_nifti

        target, names = require_path("path", path), require_texts("formats", formats)
        uses_brain_mask = any(record.step == "brain_mask" for record in self.records)
        chosen = find_formats(names, uses_brain_mask=uses_brain_mask, measures_uncertainty=self.uncertainty is not None)
        if _is_folder(target):
            keeps = need_instances(chosen)
            report = CaseReport(self.case.case_id, self.model, self.fingerprint, keeps_instances=keeps)
            report.add(self)
            for form in chosen:
                form.write_part(self, target)
                form.write_case(report, target)
            written = result_paths(self.case.case_id, self.case.slice_names, target, chosen)
            return [*written, report.write(document_path(target, self.case.case_id))]
        if names != ("mask",):
            raise UsageError(
                "a single file can hold only the mask",
                where=target,
                got=", ".join(names) or "no format",
                cure="give a folder to write other formats",
                code="usage.formats",
            )
        write_nifti(self.labels, affine_of(self), target)
        return [target]

    def plot(self, lesions: int = 1) -> npt.NDArray[np.object_]:
        """Draw the largest lesions over the images.

        Volumes are shown in three planes through the centre of each lesion, with the patient's right on the left and
        the nose up; pictures in the slice that holds the largest part of each lesion. Without lesions the middle of
        the case is shown.

        Args:
            lesions: how many lesions are drawn at most, one row of axes for each (pictures: one column).
        Returns:
            Matplotlib axes of a new pyplot figure, (lesions, 3) for volumes and (1, lesions) for pictures;
            ``plt.show()`` displays it in a script.
        Raises:
            UsageError: ``lesions`` is not a whole number above 0.
        """
        if not isinstance(lesions, int) or isinstance(lesions, bool) or lesions < 1:
            raise UsageError("wrong number of lesions", where="lesions", expected="1 or more", got=lesions)
        return self._plot_slices(lesions) if self.case.is_slice_stack else self._plot_planes(lesions)

    def _plot_planes(self, lesions: int) -> npt.NDArray[np.object_]:
        from metseg.inference.outputs.volume_outputs import affine_of, caption_of, lesion_cuts
        from metseg.plot.images.planes import show_planes

        affine = affine_of(self)
        turn = turn_to_ras(affine)
        return show_planes(
            turn(self.reference_image.data),
            turn(self.labels),
            spacing_mm=spacing_mm(turn.affine(affine, self.labels.shape)),
            cuts=lesion_cuts(self.lesions, self.labels.shape, turn, lesions),
            caption=caption_of(self),
        )

    def _plot_slices(self, lesions: int) -> npt.NDArray[np.object_]:
        from metseg.class_styles import class_styles
        from metseg.plot.images.overlay import draw_labels, grey
        from metseg.plot.images.slice_panels import Panel, show_panels

        titles = {lesion.slice_index or 0: f"lesion {lesion.id}" for lesion in reversed(self.lesions[:lesions])}
        titles = titles or {self.labels.shape[2] // 2: "no lesion found"}
        panels, styles = [], class_styles(self.scheme)
        for z, title in reversed(titles.items()):
            drawn = draw_labels(grey(self.case.background.data[:, :, z]), self.labels[:, :, z], styles)
            panels.append(Panel(drawn.transpose(1, 0, 2), f"{title}, slice {z}"))
        return show_panels(panels)

    def __repr__(self) -> str:
        return f"<Prediction {self.case.case_id}: {pluralize(len(self.lesions), 'lesion')}, model {self.model}>"


def _is_folder(path: Path) -> bool:
    """Return whether a path means a folder, not a mask.

    Raises:
        UsageError: it means a file of another kind.
    """
    if path.name.lower().endswith(MASK_ENDING) and not path.is_dir():
        return False
    if path.suffix and not path.is_dir():
        raise UsageError(
            "predictions cannot be saved in this file format",
            where=path,
            expected=f"a folder, or a name that ends with {MASK_ENDING}",
            cure="choose a folder; it receives masks, overlays and the lesions as JSON",
            code="usage.file_ending",
        )
    return True
