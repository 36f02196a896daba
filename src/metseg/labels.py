"""Label schemes: the class ids that a mask may contain, and the unions of classes (regions) that are scored.

Sources: the papers of BraTS-METS (arXiv:2306.00838) and BraTS glioma (arXiv:2107.02314), and the data sets' notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError, UsageError
from metseg.registry import lookup


@dataclass(frozen=True)
class LabelScheme:
    """Meaning of the class ids in a mask.

    Args:
        classes: class id to short name, background left out.
        regions: region name to the class ids it unites.
    """

    classes: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]

    @property
    def values(self) -> tuple[int, ...]:
        """Return every value that a mask of this scheme may contain, background first."""
        return (0, *self.classes)

    def region_mask(self, labels: npt.NDArray[np.integer], region: str) -> npt.NDArray[np.bool_]:
        """Return a boolean mask of ``region`` in ``labels`` (any shape)."""
        # A region has few ids: comparing with each in turn is several times as fast as `np.isin`.
        inside = np.zeros(labels.shape, dtype=bool)
        for value in lookup("region", self.regions, region):
            inside |= labels == value
        return inside

    def to_indices(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Convert class ids to consecutive indices 0..K, as a softmax network needs them (1, 2, 4 -> 1, 2, 3)."""
        table = np.zeros(max(self.values) + 1, dtype=np.uint8)
        table[list(self.values)] = np.arange(len(self.values))
        return np.asarray(table[labels], dtype=np.uint8)

    def from_indices(self, indices: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Convert indices 0..K to class ids; the inverse of `to_indices`."""
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

#: (scheme of the files, requested scheme) to the new id of each class id. Every scheme can be mapped to `binary`; no
#: map leads from fewer classes to more.
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
    # NETC is to a metastasis what NCR is to a glioma, SNFH what ED is (arXiv:2306.00838): one training may see both.
    ("brats-gli-2021", "brats-met-2023"): {1: 1, 2: 2, 4: 3},
    ("brats-gli-2023", "brats-met-2023"): {1: 1, 2: 2, 3: 3},
    ("brats-2015", "brats-met-2023"): {1: 1, 2: 2, 3: 1, 4: 3},
    ("decathlon-brain", "brats-met-2023"): {1: 2, 2: 1, 3: 3},
    ("brats-gli-2021", "brats-met-2024"): {1: 1, 2: 2, 4: 3},
    ("brats-gli-2023", "brats-met-2024"): {1: 1, 2: 2, 3: 3},
    ("brats-2015", "brats-met-2024"): {1: 1, 2: 2, 3: 1, 4: 3},
    ("decathlon-brain", "brats-met-2024"): {1: 2, 2: 1, 3: 3},
}

#: Lesion or not: the union of a scheme's labels, or one of its regions.
BINARY = "binary"

#: Labels this close to an integer are rounded to it: float masks store 1 as 0.99999997.
ROUNDING_TOLERANCE = 1e-3


def check_labels(labels: npt.NDArray[np.generic], scheme: LabelScheme, *, where: object) -> npt.NDArray[np.uint8]:
    """Check a mask and return it as uint8 class ids of a scheme.

    Two-valued masks {0, 255} of a one-class scheme become {0, 1}.

    Args:
        labels: any shape, any real type.
        scheme: which values may occur.
        where: the file or case, for messages.
    Raises:
        InputError: a fraction beyond rounding noise, instance ids, or a value outside the scheme; the message names it.
    """
    values = _values(labels)
    rounded = np.rint(values.astype(np.float64))
    off = np.abs(values.astype(np.float64) - rounded) > ROUNDING_TOLERANCE
    if off.any() or not np.isfinite(rounded).all():
        raise InputError(
            "the mask contains a value that is not a class id",
            where=where,
            expected=scheme.values,
            got=float(values[off][0]) if off.any() else "NaN or infinity",
            cure="masks contain whole numbers; threshold a probability map first",
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
    """Return the new class id of each class id of the files; background stays background.

    Args:
        files: name of the files' scheme.
        wanted: name of the requested scheme.
        region: region of the files' scheme that is the lesion, if `wanted` is binary; None: all labels.
    Raises:
        UsageError: an unknown scheme or region, or no conversion from one scheme to the other.

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
            f"cannot convert labels '{files}' to '{wanted}'",
            where="labels",
            expected=f"{files}, {ways + ', ' if ways else ''}{BINARY}",
            cure="set labels to one of these, or file_labels to what the files hold",
            code="usage.labels",
        )
    return LABEL_MAPS[files, wanted]


def convert_labels(labels: npt.NDArray[np.uint8], table: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Convert class ids (any shape) from one scheme to another; see `label_map`.

    >>> convert_labels(np.array([0, 4, 2], dtype=np.uint8), {1: 1, 2: 2, 4: 3}).tolist()
    [0, 3, 2]
    """
    if all(value == target for value, target in table.items()):
        return labels
    lookup_table = np.zeros(max(table) + 1, dtype=np.uint8)
    lookup_table[list(table)] = list(table.values())
    return np.asarray(lookup_table[labels], dtype=np.uint8)


#: Tissue to its names in data sets, in the spelling of `plain_name`; label schemes use one of these too.
TISSUES: Mapping[str, tuple[str, ...]] = {
    "NCR": (
        *("ncr", "netc", "ncr net", "net ncr", "net", "ncr ncet", "necrotic core", "necrotic tumor core"),
        *("non enhancing tumor", "nonenhancing tumor", "non enhancing tumor core", "nonenhancing tumor core"),
        *("necrotic and non enhancing tumor", "necrotic and non enhancing tumor core", "necrotic non enhancing core"),
        *("necrotic non enhancing tumor core", "non enhancing core", "nec net", "ncr and net"),
    ),
    "ED": (
        *("ed", "edema", "snfh", "peritumoral edema", "peritumoral edematous invaded tissue", "vasogenic edema"),
        *("peritumoral edematous tissue", "surrounding non enhancing flair hyperintensity", "perilesional edema"),
        "invaded tissue",
    ),
    "ET": (
        *("et", "aet", "enhancing", "enhancing tumor", "enhancing tissue", "enhancing lesion", "enhancing core"),
        *("gd enhancing tumor", "enhancing tumor core", "contrast enhancing tumor", "active tumor"),
    ),
    "RC": ("rc", "resection cavity", "cavity", "surgical cavity"),
    "necrosis": ("necrosis", "necrotic"),
    "non-enhancing": ("non enhancing", "nonenhancing"),
}

#: Tissues by what they mean for a patient, the most important first.
IMPORTANCE: Sequence[str] = ("ET", "non-enhancing", "NCR", "necrosis", "ED", "RC")

#: Region to its names in data sets that list the values of a region; ET is a tissue and a region.
REGIONS: Mapping[str, tuple[str, ...]] = {
    "WT": ("wt", "whole tumor", "complete tumor", "whole lesion"),
    "TC": ("tc", "tumor core", "core"),
}

#: Lesion of any kind: the only information in a mask of one class, which can be converted to `BINARY` only.
ANY_LESION = "lesion"

#: Names of an unspecified lesion in data sets.
LESION_NAMES = ("lesion", "lesions", "tumor", "tumors", "metastasis", "metastases", "met", "mets", "gtv", "foreground")

#: Names that no lesion has.
NOT_LESIONS = ("background", "brain", "brainmask", "brain mask", "head", "skull", "ignore", "healthy", "normal")

#: Two tissues that most schemes combine.
JOINED: Mapping[str, str] = {"necrosis": "NCR", "non-enhancing": "NCR"}


def plain_name(name: str) -> str:
    """Return the name of a class without case, punctuation and British spelling.

    >>> plain_name("peritumoral Oedematous/invaded_tissue"), plain_name("GD-enhancing tumour")
    ('peritumoral edematous invaded tissue', 'gd enhancing tumor')
    """
    american = name.lower().replace("tumour", "tumor").replace("oedema", "edema")
    return re.sub(r"[^a-z0-9]+", " ", american).strip()


def _known(name: str, table: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the entry of a table that a name is a synonym of, also in ``enhancing tumor (ET)``, or None."""
    readings = (name, re.sub(r"\(.*?\)", "", name), *re.findall(r"\((.*?)\)", name))
    plain = {plain_name(reading).removeprefix("the ") for reading in readings}
    found = [key for key, names in table.items() if plain & set(names)]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class NamedLabels:
    """Names of the mask values of a data set, from its own table of contents.

    Args:
        names: each value but background, and the names of the classes or regions that hold it, in the table's order.
        source: the table, for messages.
    """

    names: tuple[tuple[int, tuple[str, ...]], ...]
    source: str

    @property
    def is_one_class(self) -> bool:
        """Return whether the masks contain a single value besides background (lesion or not), under any name."""
        return len(self.names) == 1

    @cached_property
    def tissues(self) -> Mapping[int, str]:
        """Return the tissue of each value: a name of `TISSUES`, or `ANY_LESION` if the names say no more.

        Raises:
            InputError: ``input.labels``, an unknown name, or contradictory names.
        """
        defined = {name for _, names in self.names for name in map(_kind, names)}
        return {
            value: self._tissue(value, {_kind(name): name for name in names}, defined) for value, names in self.names
        }

    def _tissue(self, value: int, kinds: Mapping[str | None, str], defined: set[str | None]) -> str:
        """Return the tissue of a value.

        A value of the whole tumour that is in no other region is oedema, if the table defines the core. A value of the
        core that is in no other region is not enhancing, if the table defines the enhancing tumour.
        """
        if None in kinds and not (self.is_one_class and plain_name(kinds[None]) not in NOT_LESIONS):
            raise self._refusal(f"unknown class '{kinds[None]}'", value)
        classes = [tissue for tissue in TISSUES if tissue in kinds]
        if len(classes) > 1 or (classes in (["ED"], ["RC"]) and "TC" in kinds):
            raise self._refusal(f"value {value} has contradictory names: {' and '.join(kinds.values())}", value)
        if classes:
            return classes[0]
        if "TC" in kinds:
            return "NCR" if "ET" in defined else ANY_LESION
        core_is_told = "TC" in defined or ("ET" in defined and defined & {"NCR", "necrosis"})
        return "ED" if "WT" in kinds and core_is_told else ANY_LESION

    def schemes(self) -> tuple[str, ...]:
        """Return the label schemes that give these values the same meaning.

        Raises:
            InputError: see `tissues`.
        """
        if self.is_one_class:
            return (BINARY,) if set(self.tissues) <= {1, 255} else ()
        return tuple(name for name, scheme in LABEL_SCHEMES.items() if tissues_of(scheme) == dict(self.tissues))

    def map_to(self, wanted: LabelScheme) -> Mapping[int, int]:
        """Return the class id of each value in a scheme, matched by name.

        Raises:
            InputError: ``input.labels``, see `tissues`, or the masks lack a class of the scheme, or have an extra one.
        """
        if len(wanted.classes) == 1:
            return dict.fromkeys(self.tissues, next(iter(wanted.classes)))
        ids = {tissue: value for value, tissue in tissues_of(wanted).items()}
        table: dict[int, int] = {}
        for value, tissue in self.tissues.items():
            target = ids.get(tissue, ids.get(JOINED.get(tissue, "")))
            if target is None:
                raise self._refusal(f"'{self.title(value)}' is not one of the requested classes", value, wanted)
            table[value] = target
        # Metastases before treatment have no resection cavity; all other classes must be separate in the files.
        lacking = set(wanted.classes) - set(table.values()) - {ids.get("RC")}
        if lacking:
            raise self._refusal(f"the masks have no separate class {wanted.classes[min(lacking)]}", None, wanted)
        return table

    def is_like(self, scheme: str) -> bool:
        """Return whether a label scheme gives these values the same meaning; unknown names have none."""
        try:
            return scheme in self.schemes()
        except InputError:
            return False

    def contradiction(self, declared: str) -> tuple[str, ...]:
        """Return a note if the user declared a label scheme that gives these values another meaning."""
        if self.is_like(declared):
            return ()
        return (f"{self.source} says {self.describe()}; masks were read as '{declared}', as declared",)

    def as_scheme(self) -> LabelScheme:
        """Return the masks' own scheme. Its only region is the union of all its classes.

        Raises:
            InputError: see `tissues`.
        """
        titles = {value: self.title(value) for value in self.tissues}
        often = Counter(titles.values())
        classes = {value: title if often[title] == 1 else f"{title} ({value})" for value, title in titles.items()}
        return LabelScheme(classes, {"lesion": tuple(classes)})

    def nearest(self) -> str:
        """Return the label scheme that these labels convert to and share most names with; `BINARY` if none."""
        said = {name for _, names in self.names for name in names}
        possible = [name for name, scheme in LABEL_SCHEMES.items() if name != BINARY and self._can_become(scheme)]

        def fit(name: str) -> tuple[int, int]:
            classes = LABEL_SCHEMES[name].classes
            return len(said & set(classes.values())), len(set(self.tissues) & set(classes))

        return max(possible, key=fit, default=BINARY)

    def title(self, value: int) -> str:
        """Return the name of a value: its tissue, or the table's own name if the tissue is not known."""
        tissue = self.tissues[value]
        return tissue if tissue in TISSUES else self._of(value)[-1]

    def describe(self) -> str:
        """Describe the table in words.

        >>> NamedLabels(((1, ("WT",)), (2, ("WT", "TC"))), "dataset.json").describe()
        '1 = WT, 2 = WT + TC'
        """
        return ", ".join(f"{value} = {' + '.join(names)}" for value, names in self.names)

    def _can_become(self, wanted: LabelScheme) -> bool:
        try:
            self.map_to(wanted)
        except InputError:
            return False
        return True

    def _refusal(self, what: str, value: int | None, wanted: LabelScheme | None = None) -> InputError:
        return InputError(
            what,
            where=self.source,
            expected=None if wanted is None else ", ".join(f"{key} = {name}" for key, name in wanted.classes.items()),
            got=self.describe() if value is None or wanted is not None else f"{value} = {' + '.join(self._of(value))}",
            cure="correct the names in the table, ask for other labels, or state the label scheme of the files "
            "(metseg evaluate: --truth-labels, --prediction-labels; metseg inspect: --file-labels; "
            "recipe: data.file_labels)",
            code="input.labels",
        )

    def _of(self, value: int) -> tuple[str, ...]:
        return dict(self.names)[value]


def _kind(name: str) -> str | None:
    """Return the tissue or region of a name, `ANY_LESION` if it is unspecific, or None if it is unknown."""
    known = _known(name, TISSUES) or _known(name, REGIONS)
    return known or (ANY_LESION if plain_name(name) in LESION_NAMES else None)


def tissues_of(scheme: LabelScheme) -> Mapping[int, str]:
    """Return the tissue of each class id of a scheme, by the names of `TISSUES`; other names are unchanged.

    >>> dict(tissues_of(LABEL_SCHEMES["brats-met-2023"]))
    {1: 'NCR', 2: 'ED', 3: 'ET'}
    """
    return {value: _known(name, TISSUES) or name for value, name in scheme.classes.items()}


def most_important(names: Iterable[str]) -> str:
    """Return the class that names a lesion: the enhancing part first, then the rest of the core, then oedema.

    Args:
        names: the classes in a lesion, at least one; of classes that are no known tissue the first.

    >>> most_important(["SNFH", "ET", "NETC"]), most_important(["ED", "necrosis"]), most_important(["lesion"])
    ('ET', 'necrosis', 'lesion')
    """
    order = list(IMPORTANCE)

    def rank(name: str) -> int:
        tissue = _known(name, TISSUES)
        return order.index(tissue) if tissue in order else len(order)

    return min(names, key=rank)


def named_labels(entries: Iterable[tuple[str, Iterable[int]]], source: str) -> NamedLabels:
    """Return the labels of a table of classes, or of regions, each with the values that belong to it.

    >>> named_labels([("background", [0]), ("WT", [1, 2]), ("TC", [2])], "dataset.json").names
    ((1, ('WT',)), (2, ('WT', 'TC')))
    """
    held: dict[int, list[str]] = {}
    for name, values in entries:
        for value in values:
            if value != 0:
                held.setdefault(value, []).append(name)
    return NamedLabels(tuple((value, tuple(names)) for value, names in sorted(held.items())), source)


def labels_of_scheme(scheme: str, source: str) -> NamedLabels:
    """Return the mask values of a label scheme that a file declares.

    >>> labels_of_scheme("binary", "P1.json").describe()
    '1 = lesion'
    """
    classes = lookup("label scheme", LABEL_SCHEMES, scheme).classes
    return NamedLabels(tuple((value, (name,)) for value, name in sorted(classes.items())), source)


#: More values than this are no classes.
_MOST_CLASSES = 6


def _refuse_unknown(present: list[int], unknown: list[int], scheme: LabelScheme, where: object) -> None:
    is_many = len(present) > _MOST_CLASSES
    # Lesions are numbered from 1 with few gaps; the values of an image begin anywhere.
    looks_like_instances = is_many and max(present) <= 2 * len(present) and unknown[0] <= _MOST_CLASSES
    if looks_like_instances:
        cure = "these look like lesion numbers (instances), not classes: binarise the mask"
    else:
        cure = "this looks like an image, not a mask: give the mask" if is_many else _naming(present)
    raise InputError(
        f"unknown label {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
        where=where,
        expected=scheme.values,
        got=unknown[:8],
        cure=cure,
        code="input.instances" if looks_like_instances else "input.labels",
    )


def _naming(present: Collection[int]) -> str:
    """Return how to name the label scheme of masks with these values; a command shows the remarks with its options."""
    fitting = [name for name, scheme in LABEL_SCHEMES.items() if set(present) <= {0, *scheme.classes}]
    if not fitting:
        return f"change the values to those of a label scheme, one of {', '.join(LABEL_SCHEMES)}"
    first, *others = fitting
    values = ", ".join(f"{value} = {name}" for value, name in LABEL_SCHEMES[first].classes.items())
    more = f" or {', '.join(others)}" if others else ""
    return (
        f"name the label scheme of the masks, such as {first} ({values}){more} (--labels {first})"
        f" (of one side alone: --truth-labels, --prediction-labels) (--set data.file_labels={first})"
    )
