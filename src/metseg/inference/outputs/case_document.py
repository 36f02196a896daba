"""The JSON document of a case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from metseg.disclaimer import NOTICE
from metseg.errors import MetsegError
from metseg.headline import Headline, headline_of
from metseg.inference.lesion_table import InstanceMap, joined
from metseg.inference.outputs.graded_parts import GradedParts
from metseg.inference.prediction_data import PredictionData
from metseg.io.clinical import clinical_attributes
from metseg.lesion import Lesion
from metseg.runtime.atomic_io import write_bytes
from metseg.version import __version__
from metseg.volume import BRAIN_MASK


@dataclass(frozen=True)
class _PartInstances:
    """The voxels of the lesions of a part, and no others: most of a mask is background.

    Args:
        shape: (X, Y, Z).
        places: of the voxels in the flat array.
        numbers: running number of the lesion at each.
    """

    shape: tuple[int, ...]
    places: npt.NDArray[np.intp]
    numbers: npt.NDArray[np.intp]

    @classmethod
    def of(cls, instances: InstanceMap, known: int) -> Self:
        """Return those of an instance map; ``known`` is the last running number before the part."""
        flat = instances.ravel()
        places = np.flatnonzero(flat)
        return cls(instances.shape, places, flat[places].astype(np.intp) + known)

    def numbered(self, ids: npt.NDArray[np.uint32]) -> InstanceMap:
        """Return (X, Y, Z) with the id that each running number has in ``ids``."""
        flat = np.zeros(int(np.prod(self.shape)), dtype=ids.dtype)
        flat[self.places] = ids[self.numbers]
        return flat.reshape(self.shape)


@dataclass
class CaseReport:
    """What becomes the JSON document of a case, gathered from its parts.

    Args:
        case_id: names the document.
        model: name of the model; see `metseg.bundle_folder.model_name`.
        bundle: fingerprint of the bundle; empty where the networks came from elsewhere.
        slice_names: of the pictures predicted so far.
        plane: (X, Y).
        depth: slices predicted so far.
        affine: (4, 4) voxel-to-RAS of the mask, mm; None for pictures.
        timings_s: seconds by phase.
        warnings: each once.
        failed: what could not be read.
        technique: what was read and how it was prepared; see `_technique`.
        sequences: which file or series was read as which sequence, and why.
        clinical: primary tumour, age, sex and earlier treatment, where a table beside the data has them; no network
            saw them.
        labels: label scheme of the model; empty before the first part.
        fitness: of the first part; see `PredictionData`.
        keeps_instances: whether `instance_maps` will be asked for.
        model_reason: why the model was chosen; empty if the user named it.
    """

    case_id: str
    model: str
    bundle: str = ""
    slice_names: list[str] = field(default_factory=list)
    plane: list[int] = field(default_factory=list)
    depth: int = 0
    affine: list[list[float]] | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failed: list[MetsegError] = field(default_factory=list)
    technique: dict[str, Any] = field(default_factory=dict)
    sequences: list[dict[str, str]] = field(default_factory=list)
    clinical: dict[str, str] = field(default_factory=dict)
    labels: str = ""
    fitness: str = ""
    keeps_instances: bool = False
    model_reason: str = ""
    #: Lesions by a running number from 1, in order of appearance; a joined lesion has the lowest number of its parts.
    _found: dict[int, Lesion] = field(default_factory=dict)
    _last_number: int = 0
    #: (X, Y) running number of the lesion at each pixel of the last picture so far, 0: none; None: no picture yet.
    _last: npt.NDArray[np.intp] | None = None
    #: The running number of a lesion that was joined with another, and the number of that.
    _joined: dict[int, int] = field(default_factory=dict)
    #: What belongs to a lesion in each part so far.
    _parts: list[_PartInstances] = field(default_factory=list)
    #: For the grade of gliomas.
    _graded: GradedParts = field(default_factory=GradedParts)

    @property
    def lesions(self) -> list[Lesion]:
        """Return the lesions found so far, in order of appearance."""
        return list(self._found.values())

    def table(self) -> list[Lesion]:
        """Return the lesions found so far, numbered by size: 1 is the largest."""
        return [
            self._found[number].model_copy(update={"id": place})
            for place, number in enumerate(self._by_size(), start=1)
        ]

    def instance_maps(self) -> Iterator[InstanceMap]:
        """Yield, for each part so far, (X, Y, Z) the id in `table` of the lesion at each voxel; 0: background."""
        ids = np.zeros(self._last_number + 1, dtype=np.uint32)
        for place, number in enumerate(self._by_size(), start=1):
            ids[number] = place
        # A lesion is joined with one of a lower number, so that one has its id already.
        for number in sorted(self._joined):
            ids[number] = ids[self._joined[number]]
        for part in self._parts:
            yield part.numbered(ids)

    def _by_size(self) -> list[int]:
        """Return the running numbers of the lesions, the largest lesion first."""
        return sorted(self._found, key=lambda number: -self._found[number].voxels)

    def add(self, prediction: PredictionData) -> None:
        """Take a part in; its slices follow those that are there."""
        moved = [_moved(lesion, self.depth) for lesion in prediction.lesions]
        if prediction.case.is_slice_stack:
            gaps = prediction.case.slice_gaps
            known = self._join(moved, prediction.instances, follows=not any(gaps[:1]))
        else:
            known = self._append(moved)
        if self.keeps_instances:
            self._parts.append(_PartInstances.of(prediction.instances, known))
        self._graded.add(prediction)
        self.slice_names += prediction.case.slice_names
        *self.plane, depth = prediction.labels.shape
        self.depth += depth
        affine = prediction.reference_image.affine
        self.affine = None if affine is None else affine.tolist()
        # The parts of a case are prepared by the same steps; where these differ in a figure, the first part's stands.
        self.technique = self.technique or _technique(prediction)
        self.labels, self.fitness = prediction.scheme, self.fitness or prediction.fitness
        self.sequences = self.sequences or [asdict(record) for record in prediction.case.sequence_records]
        self.clinical = self.clinical or clinical_attributes(prediction.case.attributes)
        self.warnings += [text for text in prediction.warnings if text not in self.warnings]
        for phase, seconds in prediction.timings_s.items():
            self.timings_s[phase] = round(self.timings_s.get(phase, 0.0) + seconds, 4)

    def _join(self, lesions: Sequence[Lesion], ids: InstanceMap, *, follows: bool) -> int:
        """Add the lesions of a part of a stack; one that continues from the part before is joined with it.

        Only lesions that reach the last picture so far can change. The work is in proportion to the part, not to what
        was found before.

        Args:
            lesions: of the part, by their id.
            ids: (X, Y, Z) lesion of each pixel of the part; 0: background.
            follows: whether its first slice follows the last of the part before, with none missing between.
        Returns:
            The last running number before those of the part.
        """
        known = self._append(lesions)
        first, pairs = ids[:, :, 0].astype(np.intp), np.empty((0, 2), dtype=np.intp)
        if follows and self._last is not None and self._last.shape == first.shape:
            meeting = (self._last > 0) & (first > 0)
            pairs = np.unique(np.column_stack([self._last[meeting], known + first[meeting]]), axis=0)
        numbers = np.arange(known, known + len(lesions) + 1)
        numbers[0] = 0
        for number, lowest in sorted(_lowest_of_group(pairs.tolist()).items()):
            if number != lowest:
                self._found[lowest] = joined(self._found[lowest], self._found.pop(number))
                self._joined[number] = lowest
            if number > known:
                numbers[number - known] = lowest
        self._last = numbers[ids[:, :, -1]]
        return known

    def _append(self, lesions: Sequence[Lesion]) -> int:
        """Add lesions under the next numbers, and return the last number before them."""
        known = self._last_number
        self._found |= enumerate(lesions, start=known + 1)
        self._last_number += len(lesions)
        return known

    def headline(self) -> Headline:
        """Return what a reader has to know of the case first."""
        pictures = self.depth if self.affine is None else None
        return headline_of(self.lesions, labels=self.labels or None, pictures=pictures, fitness=self.fitness)

    def document(self) -> dict[str, Any]:
        """Return what ``<case>.json`` holds, as JSON; lesions are numbered by size."""
        return {
            "case": self.case_id,
            "notice": NOTICE,
            "metseg": __version__,
            "model": self.model,
            "model_reason": self.model_reason,
            "bundle": self.bundle,
            "shape": [*self.plane, self.depth],
            "affine": self.affine,
            "slices": self.slice_names,
            "sequences": self.sequences,
            **({"clinical": self.clinical} if self.clinical else {}),
            "technique": self.technique,
            "headline": self.headline().model_dump(mode="json"),
            **self._graded.document(),
            "lesions": [lesion.model_dump(mode="json") for lesion in self.table()],
            "timings_s": self.timings_s,
            "warnings": self.warnings,
            "failed": [{"code": error.code, "message": error.one_line()} for error in self.failed],
        }

    def write(self, path: Path) -> Path:
        """Write the document and return its path."""
        write_bytes(path, json.dumps(self.document(), indent=2).encode())
        return path


def _technique(prediction: PredictionData) -> dict[str, Any]:
    """Return what a reader of the result has to know of how it came about, as JSON."""
    case, reference = prediction.case, prediction.reference or next(iter(prediction.case.images))
    # A brain mask that metseg made is no image that was read: the step `brain_mask` says where it is from.
    images = {name: image for name, image in case.images.items() if name != BRAIN_MASK or not case.brain_mask_record}
    return {
        "labels": prediction.scheme,
        "reference": reference,
        "images": {
            name: {"shape": list(image.shape), "spacing_mm": image.spacing_mm and list(image.spacing_mm)}
            for name, image in images.items()
        },
        "preprocess": [record.to_json() for record in prediction.records],
        "backend": prediction.backend,
        "predict": None if prediction.part is None else prediction.part.model_dump(mode="json"),
    }


def _lowest_of_group(pairs: Iterable[Sequence[int]]) -> dict[int, int]:
    """Return, for each number of the pairs, the lowest number that the pairs connect it with.

    >>> _lowest_of_group([(1, 7), (2, 8), (2, 7), (4, 9)])
    {1: 1, 7: 1, 2: 1, 8: 1, 4: 4, 9: 4}
    """
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while parent.setdefault(number, number) != number:
            parent[number] = number = parent[parent[number]]
        return number

    for one, two in pairs:
        low, high = sorted((root(one), root(two)))
        parent[high] = low
    return {number: root(number) for number in list(parent)}


def _moved(lesion: Lesion, slices: int) -> Lesion:
    """Return a lesion of a part, told where it lies in the whole stack."""
    if lesion.slice_index is None or slices == 0:
        return lesion
    x, y, z = lesion.centre_voxel
    typical = lesion.typical_voxel
    return lesion.model_copy(
        update={
            "typical_voxel": None if typical is None else (*typical[:2], typical[2] + slices),
            "slice_index": lesion.slice_index + slices,
            "slices": tuple(index + slices for index in lesion.slices),
            "centre_voxel": (x, y, round(z + slices, 3)),
        }
    )
