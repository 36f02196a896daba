"""One way for every network: a `Case` goes in, a mask on the case's own grid comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.errors import UsageError
from metseg.grading.grade_availability import usable_classifier, why_not_available
from metseg.grading.grade_classifier import GradeClassifier
from metseg.inference.backends.backend_table import TORCH
from metseg.inference.backends.exported_model import device_for, networks_for
from metseg.inference.brain.brain_border import border_warnings
from metseg.inference.device import Compute, choose_compute
from metseg.inference.ensemble import AnyNetwork, Ensemble
from metseg.inference.fitness import fitness_sentence
from metseg.inference.input_fit import (
    fit_warnings,
    operating_point_warnings,
    require_dimensions,
    require_voxel_size,
    unmeasured_without,
)
from metseg.inference.lesion_sides import with_sides
from metseg.inference.lesion_table import find_lesions
from metseg.inference.postprocessing import clean_labels
from metseg.inference.prediction import Prediction
from metseg.inference.stopwatch import Stopwatch
from metseg.inference.uncertainty import MemberMaps, Spread, spread_of, with_ranges
from metseg.inference.windows.aggregator import Aggregator
from metseg.inference.windows.sliding_window import Slab, slide
from metseg.inference.windows.test_time_augmentation import mirror_axes
from metseg.labels import LABEL_SCHEMES
from metseg.measure import ConfidenceMap, voxel_volume_mm3
from metseg.model.activation import outputs_of
from metseg.model.bundle import Bundle
from metseg.preprocess import check_steps
from metseg.preprocess.adjacent_slices import with_neighbours
from metseg.preprocess.pipeline import prepare
from metseg.preprocess.prepared_case import Prepared, Record, reference_name
from metseg.recipe import PredictPart, Recipe, validated
from metseg.runtime.progress import OnShare, ShowShare, no_progress, show_no_share
from metseg.volume import Case

#: Slices that go through the network together; more gain nothing on a CPU.
SLICES_AT_ONCE = 8

#: Pictures of a folder that are held in memory together where the recipe allows.
SLICES_IN_MEMORY = 64


class NetworkPredictor:
    """A trained model: called with a `metseg.Case`, it returns a `metseg.Prediction`.

    Args:
        networks: one, or one per fold; their probabilities are averaged. Torch's, or exported ones.
        recipe: how cases are prepared and masks are made.
        compute: device and precision; None: the fastest this machine has.
        part: how masks are made, where it differs from the recipe's.
        fingerprint: of the bundle; empty: the networks come from no bundle.
        metrics: of the bundle; None: unknown, and no warning names what was not measured.
        name: of the model; empty: that of the recipe.
        backend: what runs the networks, a name in `metseg.inference.backends.backend_table.BACKENDS`.
        uncertainty: also measure how far the predictions of networks and mirror images differ.
        grade_classifier: of the bundle, if grades of its results may be shown; None otherwise.
        no_grade: why grades may not be shown, one clause; empty if they may, or if that is not known.
    Raises:
        UsageError: `tta` is on, and the network was trained without flips; or ``usage.uncertainty``, there is only one
            prediction.
    """

    def __init__(
        self,
        networks: Sequence[AnyNetwork],
        recipe: Recipe,
        *,
        compute: Compute | None = None,
        part: PredictPart | None = None,
        fingerprint: str = "",
        metrics: Mapping[str, Any] | None = None,
        name: str = "",
        backend: str = TORCH,
        uncertainty: bool = False,
        grade_classifier: GradeClassifier | None = None,
        no_grade: str = "",
    ) -> None:
        self.recipe = recipe
        self.backend = backend
        self.name = name or recipe.name
        self.fingerprint = fingerprint
        self._metrics = metrics
        self._grade_classifier, self._no_grade = grade_classifier, no_grade
        self.part = part or recipe.predict
        self._outputs = outputs_of(recipe)
        self._scheme = LABEL_SCHEMES[recipe.data.labels]
        self._compute = compute or choose_compute(gains_by_channels_last=_predicts_leaner_in_channels_last(recipe))
        self._ensemble = Ensemble(
            networks,
            mirror_axes(recipe) if self.part.tta else [()],
            outputs=self._outputs,
            compute=self._compute,
            dimensions=recipe.data.dimensions,
        )
        self.measures_uncertainty = uncertainty
        if uncertainty and self._ensemble.members == 1:
            raise UsageError(
                "the uncertainty needs several predictions, and this model makes one",
                where=f"model {self.name}",
                expected="mirror images, or a model of several folds",
                cure="add --tta, or join the models of several folds with metseg models join",
                code="usage.uncertainty",
            )

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        *,
        device: str = "auto",
        tta: bool | None = None,
        threshold: float | None = None,
        minimum_mm3: float | None = None,
        backend: str = TORCH,
        exported: Path | None = None,
        uncertainty: bool = False,
    ) -> Self:
        """Return the predictor of a bundle.

        Args:
            bundle: from `metseg.model.bundle.load_bundle`.
            device: such as ``auto``, ``cpu``, ``cuda``.
            tta: average over mirror images; None: as the bundle's recipe says.
            threshold: smallest probability of a lesion voxel, between 0 and 1; None: the bundle's.
            minimum_mm3: smallest volume of a component in mm³; None: the bundle's.
            backend: what runs the network, a name in `metseg.inference.backends.backend_table.BACKENDS`. All but
                torch compute on the CPU and need an export (``metseg models export``).
            exported: folder of the export; None: where exports are kept by default.
            uncertainty: also measure how far the predictions of networks and mirror images differ.
        Raises:
            UsageError: a threshold or volume out of range; `tta`, and the network was trained without flips; an
                unknown backend, one whose package is not installed, or no export for it.
            BundleError: the export is damaged, or of another bundle; the classifier of the grade is damaged.
        """
        given = {"tta": tta, "threshold": threshold, "minimum_mm3": minimum_mm3}
        changes = {key: value for key, value in given.items() if value is not None}
        part = validated(PredictPart, {**bundle.recipe.predict.model_dump(), **changes}, where="options", key="predict")
        train = bundle.recipe.train
        compute = choose_compute(
            device=device_for(backend, device),
            precision="float32" if train.precision == "float16" else train.precision,
            channels_last=train.channels_last,
            gains_by_channels_last=_predicts_leaner_in_channels_last(bundle.recipe),
        )
        networks = networks_for(bundle, backend, exported, bf16=compute.bf16)
        data = bundle.recipe.data
        origin = {"labels": data.labels, "licence": data.licence, "fingerprint": bundle.fingerprint}
        return cls(
            networks,
            bundle.recipe,
            compute=compute,
            part=part,
            fingerprint=bundle.fingerprint,
            metrics=bundle.metrics,
            name=bundle.model_name,
            backend=backend,
            uncertainty=uncertainty,
            grade_classifier=usable_classifier(bundle.folder, **origin),
            no_grade=why_not_available(bundle.folder, **origin),
        )

    @property
    def needs_whole_case(self) -> bool:
        """Return whether the result in a slice depends on the other slices of its case."""
        return self._joins_slices or any(step.whole_case for step in check_steps(self.recipe.preprocess))

    @property
    def _joins_slices(self) -> bool:
        """Return whether slices that are prepared already depend on one another."""
        return self.part.keep_largest or self.recipe.data.neighbours > 0

    @property
    def views(self) -> int:
        """Return how many times each network sees every slice or window: mirror images are seen too."""
        return self._ensemble.views

    def __call__(self, case: Case, *, show: ShowShare = show_no_share) -> Prediction:
        """Return the prediction for a case.

        Args:
            case: as it was read.
            show: shows the progress of brain extraction and windows, such as `metseg.runtime.progress.share_bar`.
        Raises:
            InputError: a sequence that the model needs is missing, or a step of the recipe cannot work on the case.
        """
        watch = Stopwatch()
        with watch.phase("preprocess"):
            with show("Brain extraction") as on_share:
                case = self.with_brain_mask(case, on_share=on_share)
            prepared = self.prepare(case)
        with show("Slices" if self.recipe.data.dimensions == 2 else "Windows") as on_share:
            return self._predict(case, prepared, watch, on_share=on_share)

    def with_brain_mask(self, case: Case, *, on_share: OnShare = no_progress) -> Case:  # noqa: ARG002
        """Return the case with a brain mask where one has to be made; the first of the four parts of a call.

        Here none is made: `metseg.inference.predictor.Predictor` makes it.

        Args:
            case: as it was read.
            on_share: called with the share that is done, 0 to 1.
        Raises:
            InputError: ``input.brain_mask``, no brain was found; or the case is not of the kind that the model takes.
        """
        require_dimensions(case, self.recipe)
        return case

    def prepare(self, case: Case) -> Prepared:
        """Return what the networks will see of a case; the second part of a call.

        Raises:
            InputError: as a call.
        """
        require_dimensions(case, self.recipe)
        require_voxel_size(case, self.part, self.recipe.predict)
        prepared = prepare(_without_truth(case), self.recipe)
        # First, for the command line shows some warnings only.
        marks = (*operating_point_warnings(self.part, self.recipe.predict), *fit_warnings(case, self.recipe))
        if self._metrics is not None:
            marks += unmeasured_without(case, self.recipe, self._metrics)
        return replace(prepared, warnings=(*marks, *prepared.warnings))

    def in_parts(self, case: Case) -> Iterator[Prediction]:
        """Yield the prediction for a stack of pictures a few slices at a time: the same masks in less memory.

        Only the prepared images are held for the whole case. A volume comes in one part.

        Raises:
            InputError: as a call.
        """
        watch = Stopwatch()
        with watch.phase("preprocess"):
            case = self.with_brain_mask(case)
            prepared = self.prepare(case)
        depth = prepared.grid[2]
        step = SLICES_IN_MEMORY if case.is_slice_stack and not self._joins_slices else depth
        for first in range(0, depth, step):
            chosen = range(first, min(first + step, depth))
            piece = case.take_slices(chosen) if len(chosen) < depth else case
            image = prepared.image[..., first : first + step]
            yield self._predict(piece, replace(prepared, image=image), watch)
            watch = Stopwatch()

    def _predict(
        self, case: Case, prepared: Prepared, watch: Stopwatch, *, on_share: OnShare = no_progress
    ) -> Prediction:
        """Return the prediction for a prepared case; `watch` has seen its preparation."""
        labels, probability, spread = self.segment_with_spread(case, prepared, watch=watch, on_share=on_share)
        return self.measure(
            case, labels, probability, warnings=prepared.warnings, records=prepared.records, watch=watch, spread=spread
        )

    def segment(
        self, case: Case, prepared: Prepared, *, watch: Stopwatch | None = None, on_share: OnShare = no_progress
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return class ids and the probability of lesion of a prepared case; as `segment_with_spread`."""
        labels, probability, _ = self.segment_with_spread(case, prepared, watch=watch, on_share=on_share)
        return labels, probability

    def segment_with_spread(
        self, case: Case, prepared: Prepared, *, watch: Stopwatch | None = None, on_share: OnShare = no_progress
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], Spread | None]:
        """Return class ids, the probability of lesion, and the spread of the predictions; the third part of a call.

        Args:
            case: as it was read.
            prepared: what `prepare` made of it.
            watch: takes the seconds.
            on_share: called with the share that is done, 0 to 1.
        Returns:
            The first two (X, Y, Z) on the grid of the case as it was read, or of its reference; the spread on the same
            grid, None if the uncertainty is not measured.
        """
        watch, slicewise = watch or Stopwatch(), bool(prepared.slice_names)
        members = self._ensemble.members
        maps = MemberMaps(members, prepared.grid, prepared.records) if self.measures_uncertainty else None
        with watch.phase("predict"):
            gathered = self._gather(prepared, maps, dtype=np.float32 if slicewise else np.float16, on_share=on_share)
        with watch.phase("restore"):
            indices, probability = gathered.restored()
            affine = self._reference_affine(case)
            labels = clean_labels(
                self._scheme.from_indices(indices),
                self.part,
                slicewise=slicewise,
                voxel_mm3=None if affine is None else voxel_volume_mm3(affine),
            )
            spread = None if maps is None else spread_of(maps, self.part, slicewise=slicewise)
        return labels, probability, spread

    def measure(
        self,
        case: Case,
        labels: npt.NDArray[np.uint8],
        probability: npt.NDArray[np.float32],
        *,
        warnings: tuple[str, ...] = (),
        records: tuple[Record, ...] = (),
        watch: Stopwatch | None = None,
        spread: Spread | None = None,
    ) -> Prediction:
        """Return the prediction, its lesions measured; the last part of a call.

        Where metseg made the brain mask, a warning names each lesion that touches its border.

        Args:
            case: from `with_brain_mask`.
            labels, probability: from `segment`.
            warnings, records: of the prepared case.
            watch: has seen the parts before.
            spread: of the predictions; None: not measured.
        """
        watch = watch or Stopwatch()
        image = case.images[reference_name(case, self.recipe.data)]
        with watch.phase("measure"):
            lesions, instances = find_lesions(
                labels,
                probability,
                image.affine,
                self._scheme,
                slicewise=case.is_slice_stack,
                gaps=case.slice_gaps,
                confidence=ConfidenceMap(self.part.confidence_slope, self.part.confidence_intercept),
            )
            lesions = with_sides(lesions, image.data, image.affine)
            if spread is not None:
                lesions = with_ranges(
                    lesions, instances, spread, image.affine, slicewise=case.is_slice_stack, gaps=case.slice_gaps
                )
            warnings = (*border_warnings(case, instances, records), *warnings)
        return Prediction(
            case=case,
            labels=labels,
            probability=probability,
            lesions=lesions,
            instances=instances,
            timings_s=watch.seconds,
            warnings=warnings,
            model=self.name,
            scheme=self.recipe.data.labels,
            reference=reference_name(case, self.recipe.data),
            records=records,
            part=self.part,
            fingerprint=self.fingerprint,
            fitness=fitness_sentence(case, self.recipe, self._metrics),
            backend=self.backend,
            uncertainty=None if spread is None else spread.deviation,
            grade_classifier=self._grade_classifier,
            no_grade=self._no_grade,
        )

    def _reference_affine(self, case: Case) -> npt.NDArray[np.float64] | None:
        """Return where the results lie, or None for plain pictures."""
        return case.images[reference_name(case, self.recipe.data)].affine

    @torch.inference_mode()
    def _gather(
        self, prepared: Prepared, maps: MemberMaps | None, *, dtype: type[np.floating], on_share: OnShare
    ) -> Aggregator:
        """Return the mean probabilities of a prepared case; write those of each prediction into ``maps``."""
        gathered = Aggregator(
            prepared.grid,
            channels=self._ensemble.out_channels,
            outputs=self._outputs,
            records=prepared.records,
            threshold=self.part.threshold,
            dtype=dtype,
        )
        if self.recipe.data.dimensions == 2:
            for z, chances in self._slice_chances(prepared):
                self._put(chances, gathered, maps, axis=2, start=z)
                on_share((z + chances.shape[-1]) / prepared.grid[2])
        else:
            for slab in self._slabs(prepared, on_share):
                self._put(slab.chances, gathered, maps, axis=0, start=slab.start)
        return gathered

    def _put(self, chances: Tensor, gathered: Aggregator, maps: MemberMaps | None, *, axis: int, start: int) -> None:
        gathered.put(chances[: self._ensemble.out_channels], axis=axis, start=start)
        if maps is not None:
            maps.put(chances[self._ensemble.out_channels :], axis=axis, start=start)

    @property
    def _network(self) -> Callable[[Tensor], Tensor]:
        return self._ensemble.mean_and_members if self.measures_uncertainty else self._ensemble.mean

    def _slice_chances(self, prepared: Prepared) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of a slice and the probabilities (K, X, Y, n) from there on; slices of air are left out."""
        image = np.asarray(prepared.image, dtype=np.float32)
        # Pictures were given to be looked at; in a volume, most slices at either end show no head.
        looked_at = None if prepared.slice_names else prepared.head
        for first in range(0, prepared.grid[2], SLICES_AT_ONCE):
            if looked_at is None or looked_at[..., first : first + SLICES_AT_ONCE].any():
                chunk = with_neighbours(image, self.recipe.data.neighbours, first, first + SLICES_AT_ONCE)
                yield first, self._network(torch.from_numpy(chunk)).cpu().movedim(0, -1)

    def _slabs(self, prepared: Prepared, on_share: OnShare) -> Iterator[Slab]:
        """Return the probabilities of a volume, slab by slab."""
        return slide(
            self._network,
            np.asarray(prepared.image, dtype=np.float32),
            np.ones(prepared.grid, dtype=bool) if prepared.head is None else prepared.head,
            window=self.part.window or self.recipe.train.patch_size,
            overlap=self.part.window_overlap,
            device=self._compute.device,
            on_share=on_share,
        )


def _without_truth(case: Case) -> Case:
    """Return the case as a new study would come: a truth that happens to lie beside it must not matter."""
    return replace(case, labels=None)


def _predicts_leaner_in_channels_last(recipe: Recipe) -> bool:
    """Return whether predictions in float32 on a CPU take less memory in channels-last: a window of a volume does."""
    return recipe.data.dimensions == 3
