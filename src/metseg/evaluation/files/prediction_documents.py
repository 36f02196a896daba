"""Read the JSON documents that prediction writes beside its masks: the model and the labels of a mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metseg.evaluation.files.case_files import CasePair, case_id
from metseg.labels import LABEL_SCHEMES, NamedLabels, labels_of_scheme


class Documents:
    """The documents among predicted masks, by mask.

    Args:
        predictions: the folder of the predictions, searched recursively, or a single mask.
    """

    def __init__(self, predictions: Path) -> None:
        self._by_mask: dict[Path, tuple[Path, dict[str, Any]]] = {}
        found = predictions.rglob("*.json") if predictions.is_dir() else predictions.parent.glob("*.json")
        for path in sorted(found):
            document = _prediction_document(path)
            for name in document.get("slices") or [document.get("case", path.stem)] if document else ():
                self._by_mask[path.parent / str(name)] = path, document

    def of(self, pair: CasePair) -> Sequence[dict[str, Any]]:
        """Return the documents of the masks of a case; an empty one for masks without a document."""
        found = [(self._find(mask) or (mask, {}))[1] for mask in pair.prediction if mask is not None]
        return [document for index, document in enumerate(found) if document not in found[:index]]

    def labels_of(self, mask: Path) -> NamedLabels | None:
        """Return the labels of a mask from its document; None if there is no document, or it names no scheme."""
        path, document = self._find(mask) or (mask, {})
        technique = document.get("technique")
        scheme = technique.get("labels") if isinstance(technique, dict) else None
        if not isinstance(scheme, str) or scheme not in LABEL_SCHEMES:
            return None
        return labels_of_scheme(scheme, str(path))

    def _find(self, mask: Path) -> tuple[Path, dict[str, Any]] | None:
        # A document without a list of slices has the name of their folder.
        return self._by_mask.get(mask.parent / case_id(mask.name)) or self._by_mask.get(mask.parent)


def _prediction_document(path: Path) -> dict[str, Any]:
    """Return the document of a predicted case without its lesions; empty for any other file."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or "model" not in document:
        return {}
    return {key: value for key, value in document.items() if key != "lesions"}
