"""The interface of a layout: its description, a test for a file tree, and the cases in the tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.io.file_index import Tree
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart

#: So many files that fit no name of a layout may lie anywhere in a data set; more are refused.
MAX_STRAYS = 3


@dataclass(frozen=True)
class Findings:
    """The cases that a layout finds in a tree.

    Args:
        sources: the cases, sorted by id.
        orphan_masks: masks without an image.
        notes: files left out and the reason, one sentence each.
        unlabelled: cases without masks that a data set keeps apart, to be predicted on.
    """

    sources: tuple[CaseSource, ...]
    orphan_masks: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    unlabelled: tuple[CaseSource, ...] = ()


@dataclass(frozen=True)
class Layout(ABC):
    """One folder layout.

    Args:
        looks_like: an example, for messages and the documentation.
    """

    looks_like: str

    @abstractmethod
    def matches(self, tree: Tree) -> bool:
        """Return whether a tree has this layout; opens no file except ``dataset.json``."""

    @abstractmethod
    def find(self, tree: Tree, data: DataPart) -> Findings:
        """Return the cases without reading image data.

        Args:
            tree: what lies there.
            data: what is read of it.
        Raises:
            InputError: contradictory files, or files without a known patient.
            UsageError: `data` requires something that these files lack.
        """


def refuse_left_out(paths: Sequence[PurePosixPath], tree: Tree, what: str, *, images: bool = False) -> None:
    """Refuse a tree if more than a few stray files would be left out.

    Args:
        paths: the files, relative to the root.
        tree: the tree.
        what: singular noun for one of them.
        images: whether at least one is certainly an image; then none may be left out.
    Raises:
        InputError: ``input.left_out``, naming the files.
    """
    if not paths or (len(paths) <= MAX_STRAYS and not images):
        return
    raise InputError(
        f"{pluralize(len(paths), what)} would be left out, because the other files have a different layout",
        where=tree.root,
        got=examples_text(paths),
        cure="move them to a folder outside this one, or name them like the others",
        code="input.left_out",
    )
