"""Keep some of the images, in a given order."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metseg.preprocess.prepared_case import Prepared, Record, check_present
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen, Modality


class Options(Frozen):
    #: Sequences to keep, in the order in which the network sees them.
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)]


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Return the named images in the order named.

    Raises:
        InputError: one of them is not there (``input.missing_sequence``).
    """
    check_present(options.modalities, prepared.modalities, where="select_channels")
    places = [prepared.modalities.index(name) for name in options.modalities]
    return prepared.after(
        Record("select_channels", options.model_dump(mode="json")),
        image=prepared.image[places],
        modalities=options.modalities,
    )


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    return f"Of the sequences, {', '.join(record['modalities'])} were used."
