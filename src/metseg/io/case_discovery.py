"""Find the cases under a folder without reading image data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from metseg.errors import UsageError
from metseg.io.case_source import CaseSource
from metseg.io.file_index import Tree, scan
from metseg.io.images.channel_names import channel_names
from metseg.io.layouts import Findings, choose_layout
from metseg.io.layouts.mixed_folders import find_in_layout
from metseg.message_text import pluralize
from metseg.recipe import DataPart, validated

#: Between the images' and the masks' root where one argument has to name both.
ROOTS_SEPARATOR = "::"


class DataOptions(TypedDict, total=False):
    """The keys of a `DataPart` as keyword arguments; see there."""

    layout: str
    channels: Sequence[str]
    modalities: Sequence[str]
    optional: Sequence[str]
    reference: str | None
    labels: str
    file_labels: str | None
    stack: bool
    allow_gaps: bool
    region: str | None
    patient_pattern: str | None
    patients: str | None


@dataclass(frozen=True)
class FoundCases(Findings):
    """The cases found under a root, and the files that belong to none.

    Args:
        layout: name of the layout.
        tree: the files.
    """

    layout: str = ""
    tree: Tree = field(default_factory=lambda: Tree(Path(), ()))


def find_cases(
    root: str | Path,
    data: DataPart | None = None,
    *,
    masks: str | Path | None = None,
    **options: Unpack[DataOptions],
) -> list[CaseSource]:
    """Return the cases of a data set, sorted by id: stacks of slices or studies of volumes.

    Args:
        root: the folder; ``IMAGES::MASKS`` if masks are under another root.
        data: settings for reading, as in a recipe; None: the defaults.
        masks: root of the masks, if not `root`.
        options: keys that override those of `data`, such as ``layout="auto"`` or ``channels=("t1n", "t2f")``.
    Raises:
        UsageError: unknown layout, scheme or option, a pattern without a group, labels that cannot become those wanted.
        InputError: no such folder, no known layout, no patient, or files that contradict each other.
    """
    return list(find(root, data, masks=masks, **options).sources)


def find(
    root: str | Path,
    data: DataPart | None = None,
    *,
    masks: str | Path | None = None,
    **options: Unpack[DataOptions],
) -> FoundCases:
    """Return the cases as `find_cases` does, and the files that belong to none."""
    asked = data_part(data, options)
    image_root, mask_root = split_roots(root, masks)
    tree = scan(image_root, mask_root)
    name = choose_layout(tree, asked.layout)
    found = find_in_layout(tree, name, asked)
    notes = (*found.notes, *unlabelled_notes(found.unlabelled))
    return FoundCases(found.sources, found.orphan_masks, notes, found.unlabelled, name, tree)


def unlabelled_notes(unlabelled: Sequence[CaseSource]) -> tuple[str, ...]:
    """Return a note on cases without masks that a data set keeps apart, where they are left out."""
    if not unlabelled:
        return ()
    return (f"left out: {pluralize(len(unlabelled), 'case')} without masks, first {unlabelled[0].case_id}",)


def split_roots(root: str | Path, masks: str | Path | None = None) -> tuple[Path, Path | None]:
    """Return the images' and the masks' root from ``IMAGES::MASKS`` or from two arguments.

    >>> split_roots("a::b")
    (PosixPath('a'), PosixPath('b'))
    """
    images, separator, beside = str(root).partition(ROOTS_SEPARATOR)
    if separator and masks is not None:
        raise UsageError(
            "the masks' folder is given twice",
            where=root,
            got=masks,
            cure="give it once: as IMAGES::MASKS or with --masks",
        )
    if separator:
        return Path(images), Path(beside)
    return Path(root), None if masks is None else Path(masks)


def data_part(data: DataPart | None, options: DataOptions) -> DataPart:
    """Return a data part with the options applied, validated as in a recipe."""
    channel_names(options.get("channels", ()))
    given = {} if data is None else data.model_dump()
    return validated(DataPart, {**given, **options}, where="options") if options else data or DataPart()
