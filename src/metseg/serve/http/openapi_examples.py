"""Examples of the OpenAPI document. A test validates each with its schema."""

from __future__ import annotations

from typing import Any, Final

STUDY_ID: Final = "3f2b8c0d9e4a47f1b6a5c4d3e2f10987"
_MOMENT: Final = "2025-03-14T09:26:53Z"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

LESION: Final[dict[str, Any]] = {
    "id": 1,
    "label": "lesion",
    "voxels": 812,
    "voxels_by_label": {"lesion": 812},
    "volume_ml": 0.812,
    "volume_ml_by_label": {"lesion": 0.812},
    "longest_diameter_mm": 13.4,
    "longest_diameter_mm_by_label": {"lesion": 13.4},
    "longest_axial_diameter_mm": 12.1,
    "longest_axial_diameter_mm_by_label": {"lesion": 12.1},
    "centre_voxel": [91.2, 110.4, 63.0],
    "centre_mm": [-21.3, 14.8, 33.1],
    "typical_voxel": [92, 110, 63],
    "typical_mm": [-20.5, 14.4, 33.1],
    "side": "left",
    "confidence": 0.91,
    "slice_index": None,
    "slices": [],
    "slice_voxels": None,
    "slice_centre": None,
}

ANSWER: Final[dict[str, Any]] = {
    "segmentation": [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]],
    "probabilities": None,
    "rows": 3,
    "columns": 4,
    "classes": {"lesion": 1},
    "lesions": [
        {
            **LESION,
            "voxels": 3,
            "voxels_by_label": {"lesion": 3},
            **dict.fromkeys(("volume_ml", "longest_diameter_mm", "longest_axial_diameter_mm", "centre_mm", "side")),
            **{f"{name}_by_label": {} for name in ("volume_ml", "longest_diameter_mm", "longest_axial_diameter_mm")},
            "centre_voxel": [1.333, 1.333, 0.0],
            "typical_voxel": [1, 1, 0],
            "typical_mm": None,
            "slice_index": 0,
            "slices": [0],
            "slice_voxels": 3,
            "slice_centre": [1.333, 1.333],
        }
    ],
    "model": "lgg-flair",
    "fingerprint": "0f1e2d3c4b5a6978",
    "warnings": [],
    "timings_s": {"preprocess": 0.02, "predict": 0.31, "restore": 0.01, "measure": 0.01},
    "notice": "Research use only: not a medical device.",
}

STUDY: Final[dict[str, Any]] = {
    "id": STUDY_ID,
    "state": "done",
    "phase": "render",
    "progress": 1.0,
    "kind": "nifti",
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
    "finished_at": _MOMENT,
    "expires_at": "2025-04-13T09:26:53Z",
    "options": {
        "model": "mets-t1c",
        "stack": False,
        "allow_gaps": False,
        "series": {},
        "uncertainty": False,
        "explanation": False,
    },
    "inputs": [{"number": 1, "kind": "nifti", "sequence": "t1c", "bytes": 9437184, "sha256": _SHA256}],
    "facts": {
        "model": "mets-t1c",
        "fingerprint": "0f1e2d3c4b5a6978",
        "scheme": "binary",
        "reference": "t1c",
        "sequences": ["t1c"],
        "sequence_records": [{"sequence": "t1c", "source": "file 1", "reason": "the form declares it"}],
        "shape": [182, 218, 182],
        "spacing_mm": [1.0, 1.0, 1.0],
        "threshold": 0.5,
        "slices": 0,
        "timings_s": {"read": 0.9, "predict": 41.2},
    },
    "warnings": [{"phase": "read", "text": "12 NaN or infinite voxels of 7221032 were set to 0"}],
    "lesions": [LESION],
    "failure": None,
    "artifacts": [
        {
            "name": "mask.nii.gz",
            "media_type": "application/gzip",
            "bytes": 20480,
            "sha256": _SHA256,
            "url": f"/studies/{STUDY_ID}/artifacts/mask.nii.gz",
        }
    ],
    "notice": "Research use only: not a medical device.",
}

#: A study that was just accepted.
ACCEPTED: Final[dict[str, Any]] = {
    **STUDY,
    "state": "queued",
    "phase": "receive",
    "progress": 0.0,
    "finished_at": None,
    "expires_at": None,
    "facts": {},
    "warnings": [],
    "lesions": [],
    "artifacts": [],
}

STUDIES: Final[dict[str, Any]] = {
    "studies": [
        {
            "id": STUDY_ID,
            "state": "running",
            "phase": "predict",
            "progress": 0.55,
            "kind": "nifti",
            "created_at": _MOMENT,
            "updated_at": _MOMENT,
            "lesions": None,
            "model": "mets-t1c",
            "failure": None,
        }
    ],
    "next": None,
}

MODELS: Final[dict[str, Any]] = {
    "models": [
        {
            "name": "lgg-flair",
            "recipe": "lgg-attention-unet",
            "description": "Gliomas of low grade in FLAIR slices.",
            "dimensions": 2,
            "sequences": ["t1n", "t2f", "t1c"],
            "optional": [],
            "labels": "binary",
            "threshold": 0.5,
            "default_for": ["pictures"],
            "non_commercial": True,
            "terms": "TCGA-LGG slices: low-grade glioma; CC BY-NC-SA 4.0",
            "accepted": False,
            "data": "TCGA-LGG slices: low-grade glioma; CC BY-NC-SA 4.0",
            "card": "# lgg-flair\n\nResearch use only.",
            "gates": 3,
            "metrics": {"dice": 0.84},
            "fingerprint": "0f1e2d3c4b5a6978",
        }
    ],
    "may_accept": True,
}

CHOICE: Final[dict[str, Any]] = {
    "model": "mets-sim",
    "reason": "Model mets-sim was chosen: it is for volumes, uses t1c and t2f, and was trained on 105 simulated "
    "patients (metseg simulate).",
    "better": "",
    "misfits": [
        {
            "model": "mets-four",
            "reason": "it needs t1n and t2w, and only t1c and t2f is declared or recognised",
            "cure": "add t1n and t2w, or name it if it is among the files",
            "is_waiting": False,
        }
    ],
}

READY: Final[dict[str, Any]] = {
    "ready": True,
    "checks": {"database": True, "disk": True, "folders": True},
    "queued": 2,
    "running": 1,
    "workers": 1,
}

#: Body of a correction.
EDITS: Final[dict[str, Any]] = {
    "parent": 0,
    "edits": [
        {"action": "accept", "lesion": 1},
        {"action": "reject", "lesion": 2},
        {"action": "add", "point_mm": [14.0, -31.5, 22.0]},
    ],
    "note": "lesion 2 is a vessel",
    "author": "reader 1",
}

_MODEL_VERSION: Final[dict[str, Any]] = {
    "number": 0,
    "parent": None,
    "source": "model",
    "created_at": _MOMENT,
    "actor": "",
    "author": "",
    "note": "",
    "lesions": 2,
    "unreviewed": 2,
}
_CORRECTION: Final[dict[str, Any]] = {
    "number": 1,
    "parent": 0,
    "source": "edits",
    "created_at": _MOMENT,
    "actor": "local",
    "author": "reader 1",
    "note": "lesion 2 is a vessel",
    "lesions": 1,
    "unreviewed": 0,
}

VERSIONS: Final[dict[str, Any]] = {"study": STUDY_ID, "versions": [_MODEL_VERSION, _CORRECTION]}

#: A version without its second lesion.
CORRECTED: Final[dict[str, Any]] = {
    **_CORRECTION,
    "study": STUDY_ID,
    "edits": [{"action": "accept", "lesion": 1}, {"action": "remove", "lesion": 2}],
    "mask_sha256": None,
    "grown": [],
    "headline": {
        "fitness": "",
        "finding": "1 lesion found.",
        "lesions": 1,
        "specks": 0,
        "speck_ml": 0.1,
        "figures": [{"name": "volume", "value": 0.812, "unit": "mL"}],
    },
    "table": [{**LESION, "state": "accepted", "was": [1], "changed": False}],
    "comparison": {
        "lesions_before": 2,
        "lesions": 1,
        "voxels_before": 838,
        "voxels": 812,
        "volume_ml_before": 0.838,
        "volume_ml": 0.812,
        "dice": 0.984242,
        "gone": [2],
        "new": [],
    },
    "artifacts": [
        {
            "name": "mask.nii.gz",
            "media_type": "application/gzip",
            "bytes": 20480,
            "sha256": _SHA256,
            "url": f"/studies/{STUDY_ID}/versions/1/artifacts/mask.nii.gz",
        }
    ],
    "notice": "Research use only: not a medical device.",
}

_EARLIER_STUDY: Final = "0c4d5e6f7a8b49c0d1e2f3a4b5c6d7e8"
_FOLLOW_UP_ID: Final = "7d9f2c4b6a8e40f1a3c5e7092b4d6f81"

#: Body of a follow-up.
EXAMINATIONS: Final[dict[str, Any]] = {
    "examinations": [
        {"study": _EARLIER_STUDY, "day": "2024-12-16"},
        {"study": STUDY_ID, "day": "2025-03-14", "steroids": "stable", "clinical": "stable"},
    ],
    "label": "Patient 7",
}

_FOLLOW_UP_SUMMARY: Final[dict[str, Any]] = {
    "id": _FOLLOW_UP_ID,
    "label": "Patient 7",
    "created_at": _MOMENT,
    "expires_at": None,
    "examinations": [
        {"study": _EARLIER_STUDY, "version": 0, "name": "2024-12-16", "day": "2024-12-16"},
        {"study": STUDY_ID, "version": 1, "name": "2025-03-14", "day": "2025-03-14"},
    ],
    "headline": ["From 2024-12-16 to 2025-03-14: 1 lesion larger.", "RANO-BM: SD (stable disease)."],
}
FOLLOW_UPS: Final[dict[str, Any]] = {"follow_ups": [_FOLLOW_UP_SUMMARY], "next": None}
FOLLOW_UP: Final[dict[str, Any]] = {
    **_FOLLOW_UP_SUMMARY,
    "changes": [
        {
            "lesion": 1,
            "kind": "larger",
            "sentence": "Lesion 1 is larger: volume +31 % (error -4 to +4 %), longest axial diameter +1.2 mm (error "
            "-0.9 to +0.9 mm); now 0.81 mL, 12.1 mm.",
            "picture": "lesion-1.png",
        }
    ],
    "document": {
        "metseg": "0.2.0",
        "notice": "Research use only: not a medical device.",
        "patient": "Patient 7",
        "doubts": [],
        "headline": _FOLLOW_UP_SUMMARY["headline"],
        "scheme": "binary",
        "timepoints": [],
        "lesions": [],
        "error_source": "The error of measurement is that of the voxel grid alone.",
        "targets": [1],
        "baseline_sum_mm": 10.9,
        "baseline_sum_ml": 0.62,
        "response": [],
        "sources": {"criteria": "RANO-BM (Lin et al. 2015, doi:10.1016/S1470-2045(15)70057-4)"},
    },
    "artifacts": [
        {
            "name": "report.pdf",
            "media_type": "application/pdf",
            "bytes": 183211,
            "sha256": _SHA256,
            "url": f"/follow-ups/{_FOLLOW_UP_ID}/artifacts/report.pdf",
        }
    ],
    "notice": "Research use only: not a medical device.",
}

PACS_SEARCH: Final[dict[str, Any]] = {"patient_name": "Doe*", "dates": "20260101-20260131", "modality": "MR"}
PACS_STUDIES: Final[dict[str, Any]] = {
    "studies": [
        {
            "study_uid": "1.2.840.99999.1",
            "date": "20260114",
            "patient_id": "4711",
            "patient_name": "Doe^Jane",
            "description": "MR brain with contrast",
            "accession": "A17",
            "modalities": ["MR"],
            "instances": 620,
        }
    ],
    "truncated": False,
}
PACS_FETCH: Final[dict[str, Any]] = {"study_uid": "1.2.840.99999.1", "label": "Visit 2"}
PACS_SENT: Final[dict[str, Any]] = {"stored": ["seg.dcm", "sr.dcm"], "present": [], "failed": []}


def _stow_object(number: int, **others: Any) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.4"]},
        "00081155": {"vr": "UI", "Value": [f"1.2.840.99999.1.{number}"]},
        **others,
    }


_NO_URL: Final[dict[str, Any]] = {"00081190": {"vr": "UR"}}
_STOW_STORED_ITEMS: Final = {"vr": "SQ", "Value": [_stow_object(1, **_NO_URL)]}
#: The transfer syntax is not known.
_STOW_FAILED_ITEMS: Final = {"vr": "SQ", "Value": [_stow_object(2, **{"00081197": {"vr": "US", "Value": [0xC122]}})]}
STOW_STORED: Final[dict[str, Any]] = {**_NO_URL, "00081199": _STOW_STORED_ITEMS}
STOW_STORED_IN_PART: Final[dict[str, Any]] = {**STOW_STORED, "00081198": _STOW_FAILED_ITEMS}
STOW_FAILED: Final[dict[str, Any]] = {**_NO_URL, "00081198": _STOW_FAILED_ITEMS}

#: Example of the detail of each problem.
PROBLEM_DETAILS: Final[dict[str, str]] = {
    "request.url": "a URL or a path is given",
    "request.malformed": "the form cannot be parsed (expected complete multipart/form-data with a name for each part)",
    "request.host": "this host name is not allowed",
    "request.unauthorised": "an API key is required (expected Bearer and an API key)",
    "request.forbidden": "the API key does not allow this (expected scope write)",
    "request.origin": "requests from pages of other origins are not allowed",
    "request.unknown": "the study does not exist",
    "request.not_acceptable": "none of the accepted formats is available (expected application/json or image/png)",
    "request.range": "the file has no such part (expected one range of bytes, such as bytes=0-99)",
    "request.timeout": "the upload took too long (expected at most 30 s without a byte)",
    "request.rate": "this API key makes too many requests (expected at most 1200 in a minute)",
    "request.queue": "the owner of this API key has too many unfinished studies (expected at most 50)",
    "licence.not_accepted": "this model is for non-commercial use only, and its terms have not been accepted",
    "request.state": "the study is finished (got done)",
    "request.results_missing": "the study cannot be followed, because results are missing (expected mask.nii.gz)",
    "request.no_dicom": "the study has no DICOM results",
    "request.pseudonym": "the DICOM results name a pseudonym, so the PACS cannot file them under the patient's study",
    "request.corrected": "the study was corrected, and the DICOM results are those of the model",
    "request.different_patients": "the DICOM headers of the studies have different patient ids",
    "request.conflict": "the parent is not the latest version of the study (expected 2, got 1)",
    "usage.lesion": "the parent version has no such lesion, or an earlier edit removed it (expected 1, 2, got 3)",
    "usage.point": "the point is outside of the image (expected voxels from 0 to 181, 217, 181, got 12, 300, 4)",
    "usage.unknown_name": "the model has no such class (expected lesion)",
    "usage.uncertainty": "the uncertainty needs several predictions, and this model makes one",
    "request.too_large": "the upload is too large (expected at most 2048 MiB)",
    "request.media_type": "the media type of the body is not supported",
    "request.invalid": "query.limit: Input should be less than or equal to 200",
    "request.idempotency": "this Idempotency-Key was used for another upload",
    "input.invalid": "the data cannot be used",
    "input.archive_path": "an archive member is a link, or has an absolute path or '..' in its name",
    "input.too_large": "the image is too large (expected at most 25 megapixels, got 6000 x 6000)",
    "input.format": "not a supported image format (expected PNG, TIFF, JPEG, WebP or BMP, got a GIF)",
    "input.truncated": "the image file is truncated or damaged",
    "input.no_fitting_model": (
        "no installed model fits this input (got mets-sim: it needs t1c, and only t2f is declared or recognised)"
    ),
    "input.no_probability": "the model sees no lesion at this point (expected a probability of at least 0.01, got 0)",
    "input.region_size": "the region at this point is too large (expected at most 10000 voxels)",
    "input.mask_grid": "the mask is not on the grid of the result (got shapes (182, 218, 182) and (91, 109, 91))",
    "input.labels": "unknown label 7 (expected (0, 1))",
    "input.no_affine": (
        "an examination without positions in space cannot be followed (expected volumes with an affine, got pictures)"
    ),
    "input.label_schemes": "the masks of a patient have different label schemes (got binary, brats-met-2023)",
    "usage.dates": "the examinations are not in the order of their dates (got 2025-03-14, 2024-12-16)",
    "usage.clinical_inputs": (
        "steroids is needed for every examination after the first, or for none (expected 2 values, got 1)"
    ),
    "input.no_images": "the study has no images of this modality (expected MR)",
    "usage.date": "not a date or range of dates (expected YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD)",
    "pacs.unreachable": "the PACS does not answer (got no connection)",
    "pacs.not_found": "the PACS has no study with this UID",
    "pacs.refused": "the PACS refused C-FIND with status 0xA700",
    "usage.missing_extra": "the commands for a PACS need packages that are not installed (got no pynetdicom)",
    "service.busy": "the queue is full",
    "service.predictor": "the picture took too long",
    "service.no_model": "no model for pictures is installed",
    "resources.database": "the database cannot be reached",
    "resources.disk": "the disk is full; files written before are unchanged",
    "resources.memory": "memory ran out",
    "internal": "Internal error. The service's log has details under the id of this request.",
}
