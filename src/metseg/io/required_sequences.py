"""A case without some of its optional sequences, to score a network on incomplete input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from metseg.io.case_source import CaseSource
from metseg.volume import Case


@dataclass(frozen=True)
class RequiredOnly(CaseSource):
    """A source that removes some sequences after reading.

    Args:
        source: where the case lies.
        left_out: modalities.
    """

    source: CaseSource | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: CaseSource, left_out: tuple[str, ...]) -> RequiredOnly:
        """Return a source without some sequences."""
        return cls(
            source.case_id,
            source.patient,
            source.root,
            timepoint=source.timepoint,
            attributes=source.attributes,
            source=source,
            left_out=left_out,
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        assert self.source is not None
        return tuple(name for name in self.source.modalities if name not in self.left_out)

    @property
    def has_labels(self) -> bool:
        assert self.source is not None
        return self.source.has_labels

    @property
    def files(self) -> tuple[Path, ...]:
        assert self.source is not None
        return self.source.files

    @property
    def slice_names(self) -> tuple[str, ...]:
        assert self.source is not None
        return self.source.slice_names

    def load(self) -> Case:
        assert self.source is not None
        case = self.source.load()
        return replace(case, images={name: image for name, image in case.images.items() if name not in self.left_out})
