"""Sample studies: simulated heads with metastases, to try the page without own images.

They show no patient: `metseg simulate` made them from an average brain with synthetic lesions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from metseg.schemas import SEQUENCES, Model
from metseg.ui.upload_selection import ENDINGS, PICTURES, VOLUMES, ChosenFile, ending_of


@dataclass(frozen=True)
class Sample:
    """One sample.

    Args:
        folder: folder below ``sample/``.
        title: label of its button.
        use: use that a model must support.
    """

    folder: str
    title: str
    use: str


SAMPLES: Final[Mapping[str, Sample]] = {
    VOLUMES: Sample("volume", "Try the sample study", VOLUMES),
    PICTURES: Sample("pictures", "Try sample slices", PICTURES),
}


def usable_samples(models: Sequence[Model]) -> list[Sample]:
    """Return the samples that an installed model supports, the volume first."""
    return [sample for use, sample in SAMPLES.items() if any(use in model.default_for for model in models)]


def sample_files(sample: Sample) -> tuple[ChosenFile, ...]:
    """Return the files of a sample. The files of a volume are named by sequence."""
    folder = resources.files("metseg.ui") / "sample" / sample.folder
    found = sorted((item for item in folder.iterdir() if ending_of(item.name)), key=lambda item: item.name)
    return tuple(
        ChosenFile(item.name, item.read_bytes(), ENDINGS[ending_of(item.name)], _sequence(item.name)) for item in found
    )


def _sequence(name: str) -> str | None:
    stem = name.partition(".")[0]
    return stem if stem in SEQUENCES else None
