"""The layout of the Medical Segmentation Decathlon: all sequences in one file, ``imagesTr/BRATS_001.nii.gz``, 4-D.

Source: arXiv:2106.05735. ``dataset.json`` defines the channels.
"""

from __future__ import annotations

from collections.abc import Iterator

from metseg.errors import InputError
from metseg.io.file_index import Tree
from metseg.io.layouts import nnunet
from metseg.io.layouts.dataset_json import FILE, base_folders, read_contents
from metseg.io.layouts.split_folders import Part, listed, parts_of
from metseg.io.layouts.volume_layout import LESIONS, Listing, StudyFile, VolumeLayout
from metseg.io.volumes.image_files import CHANNELS_OF_RECIPE, CHANNELS_OF_TABLE, channel_files, stem_of
from metseg.recipe import DataPart


def list_files(tree: Tree, data: DataPart) -> Listing:
    """Return every channel and mask; test cases without masks are left out where there are training cases."""
    return listed(parts_of(tree), lambda part: _files(part, data))


def _files(part: Part, data: DataPart) -> Iterator[StudyFile]:
    contents = read_contents(part.base)
    named = contents.channels or data.channels
    if not named:
        raise InputError(
            "the sequences of the images' channels are unknown",
            where=part.base / FILE,
            expected='"modality": {"0": "FLAIR", ...}',
            cure="add dataset.json, or give the channels in file order",
            code="input.channels",
        )
    reason = CHANNELS_OF_TABLE if contents.channels else CHANNELS_OF_RECIPE
    for path in part.images:
        study = part.study(stem_of(path.name))
        for name, file in channel_files(path, named).items():
            yield StudyFile(study, name, file.path, channel=file.channel, reason=reason, table=contents.path)
        if (mask := part.mask(study.case_id)) is not None:
            yield StudyFile(study, LESIONS, mask, table=contents.path, labels=contents.labels)


DECATHLON = VolumeLayout(
    "imagesTr/BRATS_001.nii.gz (4-D), labelsTr/BRATS_001.nii.gz and dataset.json (Medical Segmentation Decathlon)",
    lambda tree: bool(base_folders(tree)) and not nnunet.is_arranged(tree),
    list_files,
)
