"""The JSON documents that prediction writes beside its masks: by which model a mask was made, and its labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metseg.evaluation.files.case_files import CasePair, case_id
from metseg.labels import LABEL_SCHEMES, NamedLabels, labels_of_scheme


class Documents:
    """The documents among predicted masks, found by the masks that each is about.

    Args:
        predictions: the folder of the predictions, searched to its depths, or the only mask.
    """

    def __init__(self, predictions: Path) -> None:
        self._by_mask: dict[Path, tuple[Path, dict[str, Any]]] = {}
        found = predictions.rglob("*.json") if predictions.is_dir() else predictions.parent.glob("*.json")
        for path in sorted(found):
            document = _prediction_document(path)
            for name in document.get("slices") or [document.get("case", path.stem)] if document else ():
                self._by_mask[path.parent / str(name)] = path, document

    def of(self, pair: CasePair) -> Sequence[dict[str, Any]]:
        """Return the documents on the masks of a case; an empty one for masks without."""
        found = [(self._find(mask) or (mask, {}))[1] for mask in pair.prediction if mask is not None]
        return [document for index, document in enumerate(found) if document not in found[:index]]

    def labels_of(self, mask: Path) -> NamedLabels | None:
        """Return the labels that a mask has by its document; None where there is none, or it names no scheme."""
        path, document = self._find(mask) or (mask, {})
        technique = document.get("technique")
        scheme = technique.get("labels") if isinstance(technique, dict) else None
        if not isinstance(scheme, str) or scheme not in LABEL_SCHEMES:
            return None
        return labels_of_scheme(scheme, str(path))

    def _find(self, mask: Path) -> tuple[Path, dict[str, Any]] | None:
        # A document that lists no slices is called after their folder.
        return self._by_mask.get(mask.parent / case_id(mask.name)) or self._by_mask.get(mask.parent)


def _prediction_document(path: Path) -> dict[str, Any]:
    """Return what a prediction wrote on a case, but for its lesions; empty for any other file."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or "model" not in document:
        return {}
    return {key: value for key, value in document.items() if key != "lesions"}
