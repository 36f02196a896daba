"""By which protocol and which label scheme masks are scored, and what is known of their files."""

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
    """How masks are scored; what cannot be is refused when it is made, before any mask is read.

    Args:
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES` or a scheme of your own; None: the protocol's (``binary`` for ``voxel``).
        truth_labels: label scheme of the truth's files, where it is another than `scheme`; see `LABEL_MAPS`.
        prediction_labels: that of the predictions' files. Values cannot tell it: 4 was enhancing tumour until 2021,
            and is a resection cavity since 2024.
        allow_affine_mismatch: masks of one shape that their files put in different places are compared voxel by voxel,
            as they are stored, with a warning; they are refused otherwise.
    Raises:
        UsageError: an unknown protocol or scheme, a scheme that lacks a region of the protocol, or labels of files
            that cannot become those of the scheme.
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
        """Return what the label scheme is called; None for one of your own."""
        scheme = self.scheme or self.rules.scheme
        return scheme if isinstance(scheme, str) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what stands in every result: which labels were given another number."""
        files = {"truth": self.truth_labels, "predictions": self.prediction_labels}
        return tuple(
            f"labels of the {side} were read as {scheme} and scored as {self.scheme or self.rules.scheme}"
            for side, scheme in files.items()
            if scheme is not None
        )

    def map_of(self, files: str) -> Mapping[int, int]:
        """Return what each class id of files of a scheme becomes.

        Raises:
            UsageError: there is no way from their scheme to the one that is scored.
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
        """Return the same manner where a second reader's masks stand in the predictions' place."""
        return replace(self, prediction_labels=self.truth_labels)


#: This project's own protocol on masks of one class.
VOXELWISE = ScoringConfig()
