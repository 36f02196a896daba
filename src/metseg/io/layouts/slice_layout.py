"""A layout of 2D images: pairs of image and mask are grouped into stacks of slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metseg.errors import InputError
from metseg.io.file_index import Pair, Pairing, Tree
from metseg.io.images.channel_names import channel_names
from metseg.io.images.slice_grouping import check_numbers, group_by_patient, one_size_each, slice_files
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.layouts.layout import Findings, Layout, refuse_left_out
from metseg.io.patient_table import picture_owners
from metseg.io.volumes.study_source import files_scheme
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart


@dataclass(frozen=True)
class SliceLayout(Layout):
    """One layout of 2D images.

    Args:
        is_arranged: returns whether a tree has this layout.
        pair_up: returns image and mask of each slice.
    """

    is_arranged: Callable[[Tree], bool]
    pair_up: Callable[[Tree], Pairing]

    def matches(self, tree: Tree) -> bool:
        return self.is_arranged(tree)

    def pair(self, tree: Tree, data: DataPart) -> Pairing:
        """Return image and mask of each slice.

        Raises:
            InputError: ``input.layout``, there are only masks; ``input.duplicate_slice``, two masks for one image;
                ``input.left_out``, more than stray pictures would not be read.
        """
        pairing = self.pair_up(tree)
        if data.layout == "auto":
            refuse_left_out(pairing.left_out, tree, "picture")
        if not pairing.pairs:
            raise InputError(
                "there are masks but no images",
                where=tree.root,
                got=pluralize(len(pairing.orphan_masks), "mask"),
                cure="give the folder that holds the images too",
                code="input.layout",
            )
        return pairing

    def find(self, tree: Tree, data: DataPart) -> Findings:
        """Return the slices of each patient in each folder as a case, in the order of the last number in their names.

        Slices of different sizes become several cases, ``<id>_<columns>x<rows>``.
        """
        names = channel_names(data.channels)
        pairing = self.pair(tree, data)
        owners = picture_owners({pair.place: _names(pair) for pair in pairing.pairs}, data, tree.root)
        sources = [
            SliceStackSource(
                case_id,
                patient,
                tree.root,
                attributes=owners.of[pairs[0].place].attributes,
                fold=owners.of[pairs[0].place].fold,
                slices=check_numbers(slice_files(pairs, stack=data.stack)),
                channels=names,
                labels=files_scheme((), data),
                wanted=data.labels,
                region=data.region,
            )
            for case_id, (patient, pairs) in group_by_patient(pairing, lambda place: owners.of[place].patient).items()
        ]
        notes = (*left_out_notes(pairing), *owners.notes)
        return Findings(tuple(one_size_each(sources)), pairing.orphan_masks, notes)


def _names(pair: Pair) -> tuple[str, ...]:
    """Return what a table of patients may call a picture."""
    return str(pair.name), str(pair.place), pair.name.name


def left_out_notes(pairing: Pairing) -> tuple[str, ...]:
    """Return a note on the pictures that are neither images nor masks."""
    if not pairing.left_out:
        return ()
    what = pluralize(len(pairing.left_out), "picture")
    return (f"{what} outside the folders of images and masks: {examples_text(pairing.left_out)}",)
