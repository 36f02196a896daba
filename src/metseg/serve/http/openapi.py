"""Additions to the OpenAPI document that FastAPI cannot derive: streamed bodies, problems, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI

from metseg.follow_up_schemas import NewFollowUp
from metseg.pacs_schemas import PacsFetch, PacsSearch, PacsSend
from metseg.schemas import BRAIN_MASK, LABEL_CHARACTERS, PROBLEM_MEDIA_TYPE, SEQUENCES, Problem, StudyChange
from metseg.serve.http.openapi_examples import ANSWER, EDITS, EXAMINATIONS, PROBLEM_DETAILS
from metseg.serve.http.problem_details import STATUS, TITLES, make_problem
from metseg.version_schemas import MAX_AUTHOR, MAX_NOTE, NewVersion

Responses = dict[int | str, dict[str, Any]]

#: Problems of every route.
EVERYWHERE: Final = (
    "request.host",
    "request.origin",
    "request.unauthorised",
    "request.rate",
    "internal",
    "resources.database",
)
#: Additional problems of routes that receive files.
UPLOADS: Final = (
    "request.malformed",
    "request.url",
    "request.timeout",
    "request.too_large",
    "request.media_type",
    "request.invalid",
    "input.archive_path",
    "input.too_large",
    "input.format",
    "service.busy",
    "resources.disk",
)


def problems(*codes: str) -> Responses:
    """Return the documentation of a route's problems, with an example for each code."""
    found: Responses = {}
    for code in dict.fromkeys((*codes, *EVERYWHERE)):
        example = make_problem(code, PROBLEM_DETAILS[code], request="0123456789abcdef")
        status = found.setdefault(example.status, _described(example.status))
        examples = status["content"][PROBLEM_MEDIA_TYPE]["examples"]
        examples[code] = {"value": example.model_dump(exclude_none=True)}
        if example.status in (STATUS["service.busy"], STATUS["request.rate"]):
            status["headers"] = {"Retry-After": _header("Seconds until the next attempt.", "integer")}
    return found


def header(description: str) -> dict[str, Any]:
    """Return the documentation of a response header."""
    return _header(description, "string")


def complete(app: FastAPI) -> None:
    """Add schemas to the document to which the routes refer: of problems, and of bodies that are read as streams."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            # The bodies of these are not read by the framework, which does not know them therefore.
            for model in (Problem, NewVersion, StudyChange, NewFollowUp, PacsSearch, PacsFetch, PacsSend):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas |= {name: part for name, part in schema.pop("$defs", {}).items() if name not in schemas}
                schemas[model.__name__] = schema
            schemas[_DICOM_JSON["title"]] = dict(_DICOM_JSON)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": TITLES[status], "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "examples": {}}}}


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_BINARY: Final[Mapping[str, Any]] = {"type": "string", "format": "binary"}
_MODEL: Final[Mapping[str, Any]] = {
    "type": "string",
    "pattern": "^([A-Za-z0-9][A-Za-z0-9._+-]{0,99})?$",
    "description": "Name of a model from `GET /models`; defaults to the one that fits best, see `GET /models/choice`.",
}

#: Bodies of `POST /predict/`: a form, or the picture itself.
PREDICT_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {**_BINARY, "description": "PNG, TIFF, JPEG, WebP or BMP."},
                        "model": _MODEL,
                        "probabilities": {
                            "type": "boolean",
                            "description": "Add the probability of lesion at each pixel to the JSON.",
                        },
                    },
                    "additionalProperties": False,
                }
            },
            **{f"image/{kind}": {"schema": _BINARY} for kind in ("png", "tiff", "jpeg", "webp", "bmp")},
        },
    }
}

#: Responses of `POST /predict/` by the ``Accept`` header.
PREDICT_ANSWERS: Final[dict[str, Any]] = {
    "description": "The segmentation: JSON; with `Accept: image/png` the mask (0/255 for one class, else class ids); "
    "with `Accept: image/png; view=overlay` the picture with the lesions drawn on it; with `Accept: image/png; "
    "view=probability` the probability of lesion, 16 bits, 0 to 1 as 0 to 65535.",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}, "example": ANSWER},
        "image/png": {"schema": _BINARY},
    },
}

#: Body of `POST /studies`.
STUDY_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": _BINARY,
                            "description": "Pictures of one patient in order; NIfTI, one file per sequence; DICOM, "
                            "files or one zip archive. The sequence of a NIfTI file is read from its name; "
                            "ambiguous names are rejected.",
                        },
                        **{
                            sequence: {**_BINARY, "description": f"NIfTI file of the sequence {sequence}."}
                            for sequence in SEQUENCES
                        },
                        BRAIN_MASK: {
                            **_BINARY,
                            "description": "A brain mask (NIfTI, on the grid of one of the images), for images that"
                            " show the skull. Without one, a network extracts the brain. Accepted with NIfTI and"
                            " DICOM files.",
                        },
                        "model": _MODEL,
                        "stack": {"type": "boolean", "description": "Read the pages of a TIFF as slices."},
                        "allow_gaps": {
                            "type": "boolean",
                            "description": "Fill missing DICOM slices, and add a warning to every output.",
                        },
                        "series": {
                            "type": "array",
                            "items": {
                                "type": "string",
                                "pattern": "^([A-Za-z0-9_]+=([0-9]{1,9}(\\.[0-9]{1,4})?|none))?$",
                            },
                            "description": "Assigns a DICOM series to a sequence, such as `t1c=3`, or leaves it out: "
                            "`t1c=none`.",
                        },
                        "uncertainty": {
                            "type": "boolean",
                            "description": "Measure how far the predictions of mirror images and folds differ: a map "
                            "and a range of each lesion's size. `predictions` of the model must be 2 or more.",
                        },
                        "explanation": {
                            "type": "boolean",
                            "description": "Make a map of Grad-CAM: where the features of the network raised the score "
                            "of the predicted lesions; and one of each attention gate of the network (`gates` of the "
                            "model).",
                        },
                        "label": {
                            "type": "string",
                            "maxLength": LABEL_CHARACTERS,
                            "description": "A few words to find the study again. Never the name of a patient.",
                        },
                    },
                    "additionalProperties": False,
                },
                "encoding": {"series": {"explode": True}},
            }
        },
    }
}

#: Body of STOW-RS.
STOW_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": {
                "schema": {
                    **_BINARY,
                    "description": "DICOM files, one in each part with the media type application/dicom. The header "
                    'Content-Type has type="application/dicom" and the boundary.',
                }
            }
        },
    }
}

#: Answer of STOW-RS: attributes by tag, as DICOM JSON.
_DICOM_JSON: Final[Mapping[str, Any]] = {
    "type": "object",
    "title": "DicomJson",
    "description": "DICOM JSON (PS3.18, F): 00081199 the stored objects, 00081198 those that failed with their reason "
    "(00081197), 0008119A failed objects without valid UIDs. There is no URL to retrieve them (00081190 is empty).",
    "additionalProperties": {
        "type": "object",
        "required": ["vr"],
        "properties": {"vr": {"type": "string"}, "Value": {"type": "array"}},
    },
}

#: Body of `PATCH /studies/{id}`.
LABEL_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/StudyChange"},
                "example": {"label": "Follow-up 2"},
            },
        },
    }
}


def json_body(schema: str, example: Any) -> dict[str, Any]:
    """Return the documentation of a body that is read as a stream: the name of its schema, and an example."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


#: Body of `POST /follow-ups`.
FOLLOW_UP_BODY: Final = json_body("NewFollowUp", EXAMINATIONS)

#: Body of `POST /studies/{id}/versions`.
VERSION_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewVersion"}, "example": EDITS},
        },
    }
}

#: Body of `POST /studies/{id}/masks`.
VERSION_MASK_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "parent"],
                    "properties": {
                        "file": {**_BINARY, "description": "NIfTI with class ids, on the grid of `image.nii.gz`."},
                        "parent": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "Number of the version that was corrected: the latest one.",
                        },
                        "note": {"type": "string", "maxLength": MAX_NOTE, "description": "Why, in words."},
                        "author": {"type": "string", "maxLength": MAX_AUTHOR, "description": "Who corrected it."},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}
