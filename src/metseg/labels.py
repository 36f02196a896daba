"""Label schemes: which class ids a mask may hold, and which unions of them (regions) are scored.

Sources: the papers of BraTS-METS (arXiv:2306.00838) and BraTS glioma (arXiv:2107.02314), and the data sets' notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError, UsageError
from metseg.tables import lookup


@dataclass(frozen=True)
class LabelScheme:
    """The meaning of the class ids in a mask.

    Args:
        classes: class id to short name, background left out.
        regions: region name to the class ids it unites.
    """

    classes: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]

    @property
    def values(self) -> tuple[int, ...]:
        """Return every value a mask of this scheme may hold, background first."""
        return (0, *self.classes)

    def region_mask(self, labels: npt.NDArray[np.integer], region: str) -> npt.NDArray[np.bool_]:
        """Return where ``labels`` (any shape) belongs to ``region``."""
        # A region has few ids: comparing with each in turn is several times as fast as `np.isin`.
        inside = np.zeros(labels.shape, dtype=bool)
        for value in lookup("region", self.regions, region):
            inside |= labels == value
        return inside

    def to_indices(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Return class ids as consecutive indices 0..K, as a softmax network needs them (1, 2, 4 -> 1, 2, 3)."""
        table = np.zeros(max(self.values) + 1, dtype=np.uint8)
        table[list(self.values)] = np.arange(len(self.values))
        return np.asarray(table[labels], dtype=np.uint8)

    def from_indices(self, indices: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Return class ids from indices 0..K; the inverse of `to_indices`."""
        return np.asarray(np.asarray(self.values)[indices], dtype=np.uint8)


LABEL_SCHEMES: Mapping[str, LabelScheme] = {
    "binary": LabelScheme({1: "lesion"}, {"lesion": (1,)}),
    "brats-met-2023": LabelScheme({1: "NETC", 2: "SNFH", 3: "ET"}, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}),
    "brats-met-2024": LabelScheme(
        {1: "NETC", 2: "SNFH", 3: "ET", 4: "RC"}, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "RC": (4,)}
    ),
    "brats-gli-2021": LabelScheme({1: "NCR", 2: "ED", 4: "ET"}, {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}),
    "brats-gli-2023": LabelScheme({1: "NCR", 2: "ED", 3: "ET"}, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}),
    "brats-2015": LabelScheme(
        {1: "necrosis", 2: "oedema", 3: "non-enhancing", 4: "enhancing"},
        {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)},
    ),
    "decathlon-brain": LabelScheme({1: "ED", 2: "NCR", 3: "ET"}, {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)}),
}

#: (scheme of the files, scheme wanted) to what each class id becomes. To `binary` every scheme has a map; none leads
#: from fewer classes to more.
LABEL_MAPS: Mapping[tuple[str, str], Mapping[int, int]] = {
    ("brats-gli-2021", "brats-gli-2023"): {1: 1, 2: 2, 4: 3},
    ("brats-gli-2023", "brats-gli-2021"): {1: 1, 2: 2, 3: 4},
    # What does not enhance was joined with necrosis from 2017 on (arXiv:1811.02629).
    ("brats-2015", "brats-gli-2021"): {1: 1, 2: 2, 3: 1, 4: 4},
    ("brats-2015", "brats-gli-2023"): {1: 1, 2: 2, 3: 1, 4: 3},
    # The decathlon's brain task is BraTS 2016 and 2017 with oedema first (arXiv:2106.05735).
    ("decathlon-brain", "brats-gli-2021"): {1: 2, 2: 1, 3: 4},
    ("decathlon-brain", "brats-gli-2023"): {1: 2, 2: 1, 3: 3},
    # Metastases before treatment have no resection cavity.
    ("brats-met-2023", "brats-met-2024"): {1: 1, 2: 2, 3: 3},
}

#: Lesion or not: the union of a scheme's labels, or one of its regions.
BINARY = "binary"

#: A label this far from an integer is still that integer: float masks store 1 as 0.99999997.
ROUNDING_TOLERANCE = 1e-3


def check_labels(labels: npt.NDArray[np.generic], scheme: LabelScheme, *, where: object) -> npt.NDArray[np.uint8]:
    """Return a mask as uint8 class ids of a scheme.

    Two-valued masks {0, 255} of a one-class scheme become {0, 1}.

    Args:
        labels: any shape, any real type.
        scheme: which values may occur.
        where: the file or case, for messages.
    Raises:
        InputError: a fraction that is not rounding noise, instance ids, or a value outside the scheme, by name.
    """
    values = _values(labels)
    rounded = np.rint(values.astype(np.float64))
    off = np.abs(values.astype(np.float64) - rounded) > ROUNDING_TOLERANCE
    if off.any() or not np.isfinite(rounded).all():
        raise InputError(
            "the mask holds a value that is no class id",
            where=where,
            expected=scheme.values,
            got=float(values[off][0]) if off.any() else "NaN or infinity",
            cure="masks hold whole numbers; a probability map has to be thresholded first",
            code="input.labels",
        )
    present = [int(value) for value in rounded]
    whole = labels if labels.dtype.kind in "bui" else np.rint(labels)
    if len(scheme.classes) == 1 and set(present) <= {0, 255}:
        return np.asarray(whole != 0, dtype=np.uint8)
    unknown = sorted(set(present) - set(scheme.values))
    if unknown:
        _refuse_unknown(present, unknown, scheme, where)
    return whole.astype(np.uint8)


def _values(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return every value of a mask, and 0, sorted."""
    if labels.dtype == np.uint8:
        there = np.zeros(256, dtype=bool)
        there[labels[labels != 0]] = there[0] = True  # most of a mask is background: looked up only where it is not
        return np.flatnonzero(there).astype(np.uint8)
    # Sorting the background too would take most of the time; NaN is not zero, so it stays.
    return np.unique(np.append(labels[labels != 0], labels.dtype.type(0)))


def label_map(files: str, wanted: str, *, region: str | None = None) -> Mapping[int, int]:
    """Return what each class id of the files becomes; background stays background.

    Args:
        files: name of the files' scheme.
        wanted: name of the scheme wanted.
        region: which region of the files' scheme is the lesion, where `wanted` is binary; None: whatever is labelled.
    Raises:
        UsageError: an unknown scheme or region, or no way from one scheme to the other.

    >>> label_map("brats-2015", "brats-gli-2023"), label_map("brats-2015", "binary", region="ET")
    ({1: 1, 2: 2, 3: 1, 4: 3}, {1: 0, 2: 0, 3: 0, 4: 1})
    """
    scheme = lookup("label scheme", LABEL_SCHEMES, files)
    lookup("label scheme", LABEL_SCHEMES, wanted)
    if wanted == BINARY:
        lesion = scheme.classes if region is None else lookup("region", scheme.regions, region)
        return {value: int(value in lesion) for value in scheme.classes}
    if files == wanted:
        return {value: value for value in scheme.classes}
    if (files, wanted) not in LABEL_MAPS:
        ways = ", ".join(target for source, target in LABEL_MAPS if source == files)
        raise UsageError(
            f"labels '{files}' cannot become '{wanted}'",
            where="labels",
            expected=f"{files}, {ways + ', ' if ways else ''}{BINARY}",
            cure="set labels to one of these, or file_labels to what the files hold",
            code="usage.labels",
        )
    return LABEL_MAPS[files, wanted]


def convert_labels(labels: npt.NDArray[np.uint8], table: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Return class ids (any shape) of one scheme as those of another; see `label_map`.

    >>> convert_labels(np.array([0, 4, 2], dtype=np.uint8), {1: 1, 2: 2, 4: 3}).tolist()
    [0, 3, 2]
    """
    if all(value == target for value, target in table.items()):
        return labels
    lookup_table = np.zeros(max(table) + 1, dtype=np.uint8)
    lookup_table[list(table)] = list(table.values())
    return np.asarray(lookup_table[labels], dtype=np.uint8)


def _refuse_unknown(present: list[int], unknown: list[int], scheme: LabelScheme, where: object) -> None:
    looks_like_instances = len(present) > 6 and max(present) <= 2 * len(present)
    cure = (
        "these look like lesion numbers (instances), not classes: binarise the mask, or say so if every id is a class"
        if looks_like_instances
        else f"name the mask's label scheme, one of {', '.join(LABEL_SCHEMES)}"
    )
    raise InputError(
        f"unknown label {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
        where=where,
        expected=scheme.values,
        got=unknown[:8],
        cure=cure,
        code="input.instances" if looks_like_instances else "input.labels",
    )
