"""What a layout is: how it looks, whether a tree is arranged so, and which cases lie in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from metseg.io.source import CaseSource
from metseg.io.tree import Tree
from metseg.recipe import DataPart


@dataclass(frozen=True)
class Findings:
    """What a layout finds in a tree.

    Args:
        sources: the cases, sorted by id.
        orphan_masks: masks without an image.
        notes: what was left out, and why, one sentence each.
        unlabelled: cases without masks that a data set keeps apart, to be predicted on.
    """

    sources: tuple[CaseSource, ...]
    orphan_masks: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    unlabelled: tuple[CaseSource, ...] = ()


@dataclass(frozen=True)
class Layout(ABC):
    """One arrangement of files.

    Args:
        looks_like: how it looks, for messages and the documentation.
    """

    looks_like: str

    @abstractmethod
    def matches(self, tree: Tree) -> bool:
        """Return whether a tree is arranged so; no file but a table of contents is opened."""

    @abstractmethod
    def find(self, tree: Tree, data: DataPart) -> Findings:
        """Return the cases, before a single voxel is read.

        Args:
            tree: what lies there.
            data: what is read of it.
        Raises:
            InputError: files that contradict each other, or nothing that says whose they are.
            UsageError: `data` asks for what these files cannot give.
        """
