"""``imagesTr`` and ``imagesTs``, the parts of nnU-Net's and the decathlon's data sets, and the masks beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metseg.io.file_index import Tree
from metseg.io.layouts.dataset_json import MASK_FOLDERS, base_folders
from metseg.io.layouts.examination_names import examination_of
from metseg.io.layouts.volume_layout import Listing, Study, StudyFile
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS

#: Folder of images to what the part is called among a case's attributes.
PART_NAMES = {"imagesTr": "training", "imagesTs": "test"}


@dataclass(frozen=True)
class Part:
    """One folder of images.

    Args:
        base: the data set's folder.
        folder: ``imagesTr`` or ``imagesTs``.
        place: the folder relative to the root.
        images: its files.
    """

    base: Path
    folder: str
    place: PurePosixPath
    images: tuple[Path, ...]

    @property
    def has_masks(self) -> bool:
        return (self.base / MASK_FOLDERS[self.folder]).is_dir()

    def mask(self, case: str) -> Path | None:
        """Return the mask of a case, or None."""
        candidates = (self.base / MASK_FOLDERS[self.folder] / f"{case}{ending}" for ending in NIFTI_ENDINGS)
        return next((path for path in candidates if path.is_file()), None)

    def study(self, case: str) -> Study:
        """Return the study of a case; known examination names give the patient, other names are one patient each."""
        match = examination_of(case)
        return Study(
            case,
            match["patient"] if match else case,
            self.place / case,
            timepoint=match["time"] if match else None,
            attributes=(("part", PART_NAMES[self.folder]),),
        )


def parts_of(tree: Tree) -> list[Part]:
    """Return the folders of images in a tree, training first."""
    parts = []
    for place, base in base_folders(tree).items():
        images = tuple(tree.root / path for path in tree.volumes if path.parent == place)
        folder = place.name or tree.root.resolve().name
        parts.append(Part(base, folder, place, images))
    return sorted(parts, key=lambda part: part.folder)


def listed(parts: Sequence[Part], files: Callable[[Part], Iterator[StudyFile]]) -> Listing:
    """Return the files of all parts; test parts without masks beside training parts are kept apart."""
    trains = any(part.folder == "imagesTr" for part in parts)
    apart = [part for part in parts if trains and part.folder == "imagesTs" and not part.has_masks]
    return Listing(
        tuple(file for part in parts if part not in apart for file in files(part)),
        unlabelled=tuple(file for part in apart for file in files(part)),
    )
