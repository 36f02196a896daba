"""By which protocol and which label scheme masks are scored."""

from __future__ import annotations

from dataclasses import dataclass

from metseg.errors import UsageError
from metseg.evaluate.protocols import PROTOCOLS, Protocol
from metseg.labels import LABEL_SCHEMES, LabelScheme
from metseg.tables import lookup


@dataclass(frozen=True)
class Manner:
    """How masks are scored; what cannot be is refused when it is made, before any mask is read.

    Args:
        protocol: a name of `PROTOCOLS`.
        scheme: a name of `LABEL_SCHEMES` or a scheme of your own; None: the protocol's (``binary`` for ``voxel``).
    Raises:
        UsageError: an unknown protocol or scheme, or a scheme that lacks a region of the protocol.
    """

    protocol: str = "voxel"
    scheme: str | LabelScheme | None = None

    def __post_init__(self) -> None:
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
        return lookup("protocol", PROTOCOLS, self.protocol)

    @property
    def labels(self) -> LabelScheme:
        """Return the label scheme that masks are read by."""
        if isinstance(self.scheme, LabelScheme):
            return self.scheme
        return lookup("label scheme", LABEL_SCHEMES, self.scheme or self.rules.scheme)


#: This project's own protocol on masks of one class.
VOXELWISE = Manner()
