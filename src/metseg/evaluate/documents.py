"""The JSON documents that prediction writes beside its masks: which label scheme the masks have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from metseg.evaluate.case_files import case_id
from metseg.labels import LABEL_SCHEMES, NamedLabels, labels_of_scheme


class Documents:
    """The documents of the predictions under one root; each folder is read once.

    Args:
        root: the folder of the predictions, or the only mask.
    """

    def __init__(self, root: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._in_folder = cache(_labels_by_case)

    def labels_of(self, mask: Path) -> NamedLabels | None:
        """Return the labels of a mask by its document; None where there is no document, or it names no scheme.

        The document of a volume lies beside its mask, that of pictures in the root.
        """
        case = mask.with_name(case_id(mask.name))
        found = (self._in_folder(folder).get(case) for folder in dict.fromkeys((mask.parent, self.root)))
        return next((labels for labels in found if labels is not None), None)


def _labels_by_case(folder: Path) -> Mapping[Path, NamedLabels]:
    """Return the labels of each volume and each picture that a document in a folder describes."""
    return {
        folder / name: labels_of_scheme(scheme, str(path))
        for path in sorted(folder.glob("*.json"))
        for names, scheme in _described(path)
        for name in names
    }


def _described(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the names and the scheme that a file states, if it is the document of a prediction."""
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        scheme, slices = document["technique"]["labels"], [str(name) for name in document["slices"]]
    except (OSError, ValueError, TypeError, KeyError):  # some other JSON file, or an older document
        return
    if isinstance(scheme, str) and scheme in LABEL_SCHEMES:
        yield slices or [path.stem], scheme
