"""The layouts of the BraTS challenges, by their file names.

Sources: arXiv:1811.02629 (2017 to 2020), arXiv:2107.02314 (2021), arXiv:2306.00838 (2023 on, metastases). The names of
2015 are those of a copy of its training data in NIfTI, already normalised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from metseg.io.file_index import Tree
from metseg.io.layouts.volume_layout import LESIONS, Listing, Study, StudyFile, VolumeLayout
from metseg.io.volumes.image_files import stem_of
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

#: What stands last in a file's name, in lower case, and what the file is.
ROLES_2015 = {
    "flair_subtrmeandivstd": "t2f",
    "t1_subtrmeandivstd": "t1n",
    "t1c_subtrmeandivstd": "t1c",
    "t2_subtrmeandivstd": "t2w",
    "otmulticlass": LESIONS,
    "brainmask": BRAIN_MASK,
}
ROLES_2018 = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f", "seg": LESIONS}
ROLES_2023 = {"t1n": "t1n", "t1c": "t1c", "t2w": "t2w", "t2f": "t2f", "seg": LESIONS}

#: Which challenge a study of 2023 or later belongs to, and the label schemes of its masks; others have to be declared.
SCHEMES_2023: Mapping[str, tuple[str, ...]] = {
    "MET": ("brats-met-2023", "brats-met-2024"),
    "GLI": ("brats-gli-2023",),
    "SSA": ("brats-gli-2023",),
    "MEN": ("brats-met-2023",),
}

NAME_2018 = re.compile(r"^(?P<case>brats(?:17|18|19|20)_.+?)_(?P<what>t1|t1ce|t2|flair|seg)$", re.IGNORECASE)
NAME_2021 = re.compile(r"^(?P<case>brats2021_\d+)_(?P<what>t1|t1ce|t2|flair|seg)$", re.IGNORECASE)
NAME_2023 = re.compile(r"^(?P<case>brats-[a-z]+-\d+-\d+)-(?P<what>t1n|t1c|t2w|t2f|seg)$", re.IGNORECASE)

#: One mask of 2020 kept the name it had before: that of case 355.
STRAY_MASK_2020 = re.compile(r"_segm$", re.IGNORECASE)
CASE_2020 = re.compile(r"^brats20_.+$", re.IGNORECASE)

EXAMINATION_2015 = re.compile(r"^(?P<patient>.*_pat\d+)_(?P<time>\d+)$", re.IGNORECASE)
#: The last number counts a patient's examinations, but in 2020 the patients themselves.
EXAMINATION_2018 = re.compile(r"^(?P<patient>brats(?:17|18|19)_.+_.+)_(?P<time>\d+)$", re.IGNORECASE)
EXAMINATION_2023 = re.compile(r"^(?P<patient>brats-[a-z]+-\d+)-(?P<time>\d+)$", re.IGNORECASE)

GRADES = ("HGG", "LGG")

Lister = Callable[[Tree], Iterator[StudyFile]]


def _files_2015(tree: Tree) -> Iterator[StudyFile]:
    """Yield the files of folders in which at least one has a name of 2015; ``brainmask`` alone says nothing."""
    known = [path for path in tree.volumes if stem_of(path.name).lower() in ROLES_2015]
    folders = {path.parent for path in known if stem_of(path.name).lower() != "brainmask"}
    for path in known:
        if path.parent in folders:
            case = path.parent.name or tree.root.resolve().name
            role = ROLES_2015[stem_of(path.name).lower()]
            study = _study(case, path.parent, EXAMINATION_2015)
            yield StudyFile(study, role, tree.root / path, schemes=("brats-2015",))


def _files_2018(tree: Tree) -> Iterator[StudyFile]:
    for path in tree.volumes:
        stem = stem_of(path.name)
        if match := NAME_2018.match(stem):
            case, role = match["case"], ROLES_2018[match["what"].lower()]
        elif STRAY_MASK_2020.search(stem) and CASE_2020.match(path.parent.name):
            case, role = path.parent.name, LESIONS
        else:
            continue
        study = _study(case, path.parent, EXAMINATION_2018, grade=_grade(path, tree))
        yield StudyFile(study, role, tree.root / path, schemes=("brats-gli-2021",))


def _files_2021(tree: Tree) -> Iterator[StudyFile]:
    for path in tree.volumes:
        if match := NAME_2021.match(stem_of(path.name)):
            study = _study(match["case"], path.parent, None)
            role = ROLES_2018[match["what"].lower()]
            yield StudyFile(study, role, tree.root / path, schemes=("brats-gli-2021",))


def _files_2023(tree: Tree) -> Iterator[StudyFile]:
    for path in tree.volumes:
        if match := NAME_2023.match(stem_of(path.name)):
            study = _study(match["case"], path.parent, EXAMINATION_2023)
            schemes = SCHEMES_2023.get(match["case"].split("-")[1].upper(), ())
            yield StudyFile(study, ROLES_2023[match["what"].lower()], tree.root / path, schemes=schemes)


def _study(case: str, folder: PurePosixPath, examination: re.Pattern[str] | None, *, grade: str | None = None) -> Study:
    match = examination.match(case) if examination else None
    return Study(
        case,
        match["patient"] if match else case,
        folder if folder.name == case else folder / case,
        timepoint=match["time"] if match else None,
        attributes=() if grade is None else (("grade", grade),),
    )


def _grade(path: PurePosixPath, tree: Tree) -> str | None:
    """Return the grade that a folder above a file is named after, the root included."""
    folders = (tree.root.resolve().name, *path.parts[:-1])
    return next((grade for grade in GRADES for part in folders if part.upper() == grade), None)


def _layout(looks_like: str, lister: Lister) -> VolumeLayout:
    def list_files(tree: Tree, _: DataPart) -> Listing:
        return Listing(tuple(lister(tree)))

    return VolumeLayout(looks_like, lambda tree: any(True for _ in lister(tree)), list_files)


#: The names of each period; data sets that were put together from several have more than one of them.
LISTERS: tuple[Lister, ...] = (_files_2015, _files_2018, _files_2021, _files_2023)


def _files_of_every_year(tree: Tree) -> Iterator[StudyFile]:
    for lister in LISTERS:
        yield from lister(tree)


def _is_mixed(tree: Tree) -> bool:
    return sum(any(True for _ in lister(tree)) for lister in LISTERS) > 1


BRATS_MIXED = VolumeLayout(
    "BraTS19_X_1/BraTS19_X_1_t1ce.nii.gz beside BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz (BraTS of several years)",
    _is_mixed,
    lambda tree, _: Listing(tuple(_files_of_every_year(tree))),
)
BRATS_2015 = _layout("brats_x_pat1_1/T1c_subtrMeanDivStd.nii.gz and OTMultiClass.nii.gz", _files_2015)
BRATS_2018 = _layout("HGG/Brats18_X_1/Brats18_X_1_t1ce.nii.gz and Brats18_X_1_seg.nii.gz (2017 to 2020)", _files_2018)
BRATS_2021 = _layout("BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz and BraTS2021_00000_seg.nii.gz", _files_2021)
BRATS_2023 = _layout(
    "BraTS-MET-00001-000/BraTS-MET-00001-000-t1c.nii.gz and BraTS-MET-00001-000-seg.nii.gz (2023 on)", _files_2023
)
