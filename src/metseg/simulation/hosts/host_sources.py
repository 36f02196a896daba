"""Where hosts of simulated metastases come from: real scans, or label maps of heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metseg.io.case_source import CaseSource
from metseg.simulation.heads.head_dataset import label_map_name
from metseg.simulation.heads.label_map_head import LabelMapHead, load_label_map
from metseg.simulation.hosts.host_scan import FloatArray, HostScan, host_scan, mirrored
from metseg.simulation.hosts.insertion import InsertionOptions
from metseg.simulation.hosts.painted_host import PaintingOptions, acquired, painted_host

Rng = np.random.Generator


class PaintedStudyOptions(InsertionOptions, PaintingOptions):
    """Options of studies made from label maps: those of the lesions, and those of the painting."""

    @property
    def insertion(self) -> InsertionOptions:
        """Return the options of the lesions alone."""
        return InsertionOptions(**{name: getattr(self, name) for name in InsertionOptions.model_fields})

    @property
    def painting(self) -> PaintingOptions:
        """Return the options of the painting alone."""
        return PaintingOptions(**{name: getattr(self, name) for name in PaintingOptions.model_fields})


class OpenHost(ABC):
    """A host that has been read; it gives one scan per study."""

    @abstractmethod
    def scan(self, rng: Rng) -> HostScan:
        """Return the scan that lesions of one study are inserted into."""

    @abstractmethod
    def finished(self, images: Mapping[str, FloatArray], scan: HostScan, rng: Rng) -> Mapping[str, FloatArray]:
        """Return the images of a study, (X, Y, Z) each, after lesions have been inserted into ``scan``."""


class HostSource(ABC):
    """A host that is not yet read."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the name in the documents of its studies; unique."""

    @property
    @abstractmethod
    def patient(self) -> str:
        """Return the person; equal for all hosts of one."""

    @abstractmethod
    def open(self) -> OpenHost | None:
        """Read it; None where it cannot be used.

        Raises:
            InputError: it cannot be a host.
        """


@dataclass(frozen=True)
class ScanSource(HostSource):
    """A real scan.

    Args:
        source: skull-stripped scan on one grid of cubic voxels with t1c, labels in the classes of BraTS-METS.
        healthy_only: replace the half that holds a tumour; a scan with tumour in both halves cannot be used.
    """

    source: CaseSource
    healthy_only: bool = False

    @property
    def name(self) -> str:
        return self.source.case_id

    @property
    def patient(self) -> str:
        return self.source.patient

    def open(self) -> OpenHost | None:
        scan = host_scan(self.source.load())
        kept = mirrored(scan) if self.healthy_only else scan
        return None if kept is None else _RealScan(kept)


@dataclass(frozen=True)
class _RealScan(OpenHost):
    """A real scan: the same for all studies, and already acquired."""

    host: HostScan

    def scan(self, rng: Rng) -> HostScan:  # noqa: ARG002
        return self.host

    def finished(
        self,
        images: Mapping[str, FloatArray],
        scan: HostScan,  # noqa: ARG002
        rng: Rng,  # noqa: ARG002
    ) -> Mapping[str, FloatArray]:
        return images


@dataclass(frozen=True)
class LabelMapSource(HostSource):
    """A label map of a whole head; every study has it deformed and painted otherwise.

    Args:
        file: NIfTI with FreeSurfer's ids and ids from 165 on outside the brain.
        options: how much the studies vary.
    """

    file: Path
    options: PaintingOptions

    @property
    def patient(self) -> str:
        return label_map_name(self.file)

    @property
    def name(self) -> str:
        return f"label map {self.patient}"

    def open(self) -> OpenHost:
        return _PaintedHead(self.name, load_label_map(self.file), self.options)


@dataclass(frozen=True)
class _PaintedHead(OpenHost):
    name: str
    head: LabelMapHead
    options: PaintingOptions

    def scan(self, rng: Rng) -> HostScan:
        return painted_host(self.head, rng, name=self.name, options=self.options)

    def finished(self, images: Mapping[str, FloatArray], scan: HostScan, rng: Rng) -> Mapping[str, FloatArray]:
        return acquired(images, scan, rng, options=self.options)
