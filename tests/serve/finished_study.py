"""A finished study as a worker leaves it, made without a network."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
from fastapi.testclient import TestClient

from metseg.inference.lesion_table import find_lesions
from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE, write_nifti
from metseg.labels import LABEL_SCHEMES
from metseg.serve.service_context import Service
from metseg.serve.storage.job_repository import Store

#: A large lesion, a smaller one, and a region that the model gives a probability of 0.27.
LARGE, SMALL, MISSED = np.s_[4:7, 5:8, 3:6], np.s_[12:14, 14:16, 5:7], np.s_[4:6, 16:18, 6:8]
INSIDE_MISSED = [4, 16, 6]


def scan(make: SimpleNamespace) -> np.ndarray:
    data = make.volume()
    data[SMALL], data[MISSED] = 300, 190
    return data


def finished(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    *,
    more: dict[str, tuple[str, bytes]] | None = None,
    sequences: tuple[str, ...] = ("t1c",),
    **headers: str,
) -> str:
    """Upload a study, store its results, and return its id.

    Args:
        client: of the service.
        service: its components.
        make: makes files.
        more: further files, by their form field.
        sequences: that were read.
        headers: of the request.
    """
    files = {"t1c": ("a.nii.gz", make.nifti(scan(make))), **(more or {})}
    answer = client.post("/studies", files=files, data={"model": "bright-t1c"}, headers=headers)
    study_id = str(answer.json()["id"])
    finish(service, study_id, scan(make), make.affine, sequences)
    return study_id


def finish(
    service: Service,
    study_id: str,
    image: np.ndarray,
    affine: np.ndarray,
    sequences: tuple[str, ...],
    *,
    scheme: str = "binary",
) -> None:
    """Store the results of a model that finds what is brighter than 200, as the worker does."""
    probability = (1 / (1 + np.exp(-0.1 * (image.astype(np.float32) - 200)))).astype(np.float32)
    labels = (probability > 0.5).astype(np.uint8)
    lesions, instances = find_lesions(labels, probability, affine, LABEL_SCHEMES[scheme], slicewise=False)
    stored = np.rint(probability * PROBABILITY_SCALE).astype(np.uint16)
    document = {
        "case": study_id, "notice": "", "metseg": "0", "model": "bright-t1c", "bundle": "", "shape": image.shape,
        "affine": affine.tolist(), "technique": {"labels": scheme, "reference": "t1c"}, "slices": [],
        "lesions": [lesion.model_dump(mode="json") for lesion in lesions],
        "warnings": ["lesion 1 touches the border of the brain mask: check it", "a warning"], "failed": [],
    }  # fmt: skip
    store = Store(service.database, service.settings)
    work = store.claim(study_id, "worker-1:life-1")
    for name, data, slope in (
        ("image.nii.gz", image, None),
        ("mask.nii.gz", labels, None),
        ("probability.nii.gz", stored, 1 / PROBABILITY_SCALE),
        ("lesions.nii.gz", instances, None),
    ):
        with store.artifact(work, name) as path:
            write_nifti(data, affine, path, slope=slope)
    with store.artifact(work, "lesions.json") as path:
        path.write_text(json.dumps(document))
    store.set_lesions(work, lesions)
    facts = {"model": "bright-t1c", "scheme": scheme, "threshold": 0.5, "shape": image.shape, "affine": affine.tolist()}
    store.add_facts(work, **facts, reference="t1c", sequences=sequences)
    store.finish(work)
