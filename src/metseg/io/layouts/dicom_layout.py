"""The layout of DICOM: files or zip archives with any names, recognised by their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from metseg.io.file_index import Tree
from metseg.io.layouts.layout import Findings, Layout
from metseg.recipe import DataPart

if TYPE_CHECKING:
    from metseg.io.dicom.study_case import Override


@dataclass(frozen=True)
class DicomLayout(Layout):
    """Studies of DICOM series. `metseg.io.dicom` finds and reads them, and is imported only if needed."""

    def matches(self, tree: Tree) -> bool:
        """Return whether most files are neither volumes nor 2D images, and some of them are DICOM."""
        if tree.masks is not None or tree.volumes or len(tree.rest) <= len(tree.pictures):
            return False
        return holds_dicom(*(tree.root / path for path in tree.rest))

    def find(
        self,
        tree: Tree,
        data: DataPart,
        *,
        overrides: Mapping[str, Override] | None = None,
        beside: bool = False,
        brain_masks: Sequence[Path] = (),
    ) -> Findings:
        """Return each study as a case; patients and studies have pseudonyms. There are no masks of lesions.

        Args:
            tree: what lies there.
            data: what is read of it.
            overrides: see `metseg.io.dicom.find_studies`.
            beside: only files that are neither volumes nor pictures; else everything below the root.
            brain_masks: NIfTI files called so, see `metseg.io.layouts.dicom_study.with_masks_beside`.
        """
        from metseg.io.layouts.dicom_study import studies_asked_for, with_masks_beside

        notes: list[str] = []
        root = [tree.root / path for path in tree.rest] if beside else tree.root
        studies = studies_asked_for(root, data, overrides=overrides, tell=notes.append)
        studies = with_masks_beside(studies, brain_masks, tree.root)
        return Findings(tuple(replace(study, root=tree.root) for study in studies), notes=tuple(notes))


def holds_dicom(*paths: Path) -> bool:
    """Return whether one of the first of these files is DICOM, or an archive of it."""
    from metseg.io.dicom import looks_like_dicom

    return looks_like_dicom(paths)


DICOM = DicomLayout("any/folder/1.dcm with any names, or study.zip (DICOM)")
