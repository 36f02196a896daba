"""The layout of nnU-Net's raw data: ``imagesTr/<case>_0000.nii.gz``, one file per channel, and ``labelsTr``.

Source: nnU-Net v2, documentation/dataset_format.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from metseg.io.file_index import Tree
from metseg.io.layouts.dataset_json import Contents, base_folders, name_channels, read_contents
from metseg.io.layouts.split_folders import Part, listed, parts_of
from metseg.io.layouts.volume_layout import LESIONS, Listing, StudyFile, VolumeLayout
from metseg.io.volumes.image_files import CHANNELS_OF_RECIPE, CHANNELS_OF_TABLE, stem_of
from metseg.recipe import DataPart

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


def is_arranged(tree: Tree) -> bool:
    """Return whether every image's name ends in the number of a channel."""
    folders = base_folders(tree)
    stems = [stem_of(path.name) for path in tree.volumes if path.parent in folders]
    return bool(stems) and all(CHANNEL.match(stem) for stem in stems) and any(s.endswith("_0000") for s in stems)


def list_files(tree: Tree, data: DataPart) -> Listing:
    """Return channels and masks; test cases without masks are left out where there are training cases."""
    return listed(parts_of(tree), lambda part: _files(part, data))


def _files(part: Part, data: DataPart) -> Iterator[StudyFile]:
    cases: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in part.images:
        if match := CHANNEL.match(stem_of(path.name)):
            cases[match["case"]][int(match["channel"])] = path
    contents = read_contents(part.base)
    names = _names(cases, contents, data)
    reason = CHANNELS_OF_TABLE if contents.channels else CHANNELS_OF_RECIPE if data.channels else ""
    for case, channels in cases.items():
        study = part.study(case)
        for index, path in sorted(channels.items()):
            yield StudyFile(study, names[index], path, reason=reason, table=contents.path)
        if (mask := part.mask(case)) is not None:
            yield StudyFile(study, LESIONS, mask, table=contents.path, labels=contents.labels)


def _names(cases: Mapping[str, Mapping[int, Path]], contents: Contents, data: DataPart) -> tuple[str, ...]:
    count = 1 + max(index for channels in cases.values() for index in channels)
    return name_channels(contents.channels or data.channels, max(count, len(contents.channels)))


NNUNET = VolumeLayout(
    "imagesTr/case_0000.nii.gz, labelsTr/case.nii.gz and dataset.json (nnU-Net)", is_arranged, list_files
)
