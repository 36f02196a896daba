"""The released bundles: what `metseg models fetch` can install, with checksum and licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Setting with the address of the folder that holds the files, such as
#: ``https://github.com/OWNER/REPOSITORY/releases/download/models-1``. The project has no public repository yet, so
#: there is no default.
ADDRESS_SETTING: Final = "METSEG_MODELS_URL"


@dataclass(frozen=True)
class Release:
    """One released bundle.

    Args:
        file: name of its archive below the address; `metseg models pack` makes it.
        sha256: of the archive, in hexadecimal digits.
        size: of the archive in bytes.
        licence: terms of the weights.
    """

    file: str
    sha256: str
    size: int
    licence: str


#: Name of the bundle to its release.
RELEASES: Final[Mapping[str, Release]] = {
    "lgg-flair": Release(
        "lgg-flair-1.zip",
        "9191f60d8f20d99d6f9b9bcd1b3fa5a79b99308fd6a8567216c9c6d7de0ecd95",
        17_693_893,
        "CC BY-NC-SA 4.0, non-commercial (TCGA-LGG slices, Buda et al. 2019)",
    ),
}
