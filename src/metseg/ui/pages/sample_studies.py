"""Sample studies: simulated heads with metastases, to try the page without own images.

They show no patient: `metseg simulate` made them from an average brain with synthetic lesions; see `metseg.sample`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metseg.sample import PICTURES as PICTURE_FOLDER
from metseg.sample import STUDY, sample_folder
from metseg.schemas import SEQUENCES, Model
from metseg.ui.upload_selection import ENDINGS, PICTURES, VOLUMES, ChosenFile, ending_of


@dataclass(frozen=True)
class Sample:
    """One sample.

    Args:
        folder: name of the sample in `metseg.sample`.
        title: label of its button.
        use: use that a model must support.
    """

    folder: str
    title: str
    use: str


SAMPLES: Final[Mapping[str, Sample]] = {
    VOLUMES: Sample(STUDY, "Try the sample study", VOLUMES),
    PICTURES: Sample(PICTURE_FOLDER, "Try sample slices", PICTURES),
}


def usable_samples(models: Sequence[Model]) -> list[Sample]:
    """Return the samples that an installed model supports, the volume first."""
    return [sample for use, sample in SAMPLES.items() if any(use in model.default_for for model in models)]


def sample_files(sample: Sample) -> tuple[ChosenFile, ...]:
    """Return the files of a sample. The files of a volume are named by sequence."""
    found = sorted(item for item in sample_folder(sample.folder).iterdir() if ending_of(item.name))
    return tuple(
        ChosenFile(item.name, item.read_bytes(), ENDINGS[ending_of(item.name)], _sequence(item.name)) for item in found
    )


def _sequence(name: str) -> str | None:
    stem = name.partition(".")[0]
    return stem if stem in SEQUENCES else None
