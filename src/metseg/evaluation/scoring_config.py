"""Settings of scoring: the protocol, the label scheme, and the labels of the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from metseg.errors import UsageError
from metseg.evaluation.protocols import PROTOCOLS, Protocol
from metseg.labels import LABEL_SCHEMES, LabelScheme, label_map
from metseg.registry import lookup


@dataclass(frozen=True)
class ScoringConfig:
    """How masks are scored. Invalid settings raise an error on creation, before any mask is read.

    Args:
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES` or a scheme of your own; None: the protocol's (``binary`` for ``voxel``).
        truth_labels: label scheme of the truth's files, if it differs from `scheme`; see `LABEL_MAPS`.
        prediction_labels: label scheme of the predictions' files. Values are ambiguous: 4 was enhancing tumour until
            2021 and is a resection cavity since 2024.
        allow_affine_mismatch: masks of the same shape in different positions are compared voxel by voxel, as stored,
            with a warning; otherwise they raise an error.
    Raises:
        UsageError: an unknown protocol or scheme, a scheme that lacks a region of the protocol, or labels of files
            that cannot be converted to the scheme.
    """

    protocol: str = "voxel"
    scheme: str | LabelScheme | None = None
    truth_labels: str | None = None
    prediction_labels: str | None = None
    allow_affine_mismatch: bool = False

    def __post_init__(self) -> None:
        for files in (self.truth_labels, self.prediction_labels):
            if files is not None:
                self.map_of(files)
        missing = [region for region in self.rules.regions or () if region not in self.labels.regions]
        if missing:
            raise UsageError(
                f"the label scheme has no region {missing[0]}, which the protocol '{self.protocol}' scores",
                where=self.scheme if isinstance(self.scheme, str) else None,
                expected=self.rules.regions,
                got=tuple(self.labels.regions),
                cure=f"use the scheme '{self.rules.scheme}', or another protocol",
                code="usage.protocol_scheme",
            )

    @property
    def rules(self) -> Protocol:
        return PROTOCOLS.lookup(self.protocol)

    @property
    def labels(self) -> LabelScheme:
        """Return the label scheme that is scored."""
        if isinstance(self.scheme, LabelScheme):
            return self.scheme
        return lookup("label scheme", LABEL_SCHEMES, self.scheme or self.rules.scheme)

    @property
    def scheme_name(self) -> str | None:
        """Return the name of the label scheme; None for your own scheme."""
        scheme = self.scheme or self.rules.scheme
        return scheme if isinstance(scheme, str) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return notes for every result on labels that were converted."""
        files = {"truth": self.truth_labels, "predictions": self.prediction_labels}
        return tuple(
            f"labels of the {side} were read as {scheme} and scored as {self.scheme or self.rules.scheme}"
            for side, scheme in files.items()
            if scheme is not None
        )

    def map_of(self, files: str) -> Mapping[int, int]:
        """Return the new class id of each class id in files of a scheme.

        Raises:
            UsageError: their scheme cannot be converted to the scored one.
        """
        if isinstance(self.scheme, LabelScheme):
            raise UsageError(
                "labels of files can be converted to a named scheme only",
                where="labels",
                got="a scheme of your own",
                cure=f"give one of {', '.join(LABEL_SCHEMES)}, or convert the masks",
                code="usage.labels",
            )
        return label_map(files, self.scheme or self.rules.scheme)

    def between_truths(self) -> Self:
        """Return the same settings with a second reader's masks in place of the predictions."""
        return replace(self, prediction_labels=self.truth_labels)


#: metseg's own protocol for masks of one class.
VOXELWISE = ScoringConfig()
