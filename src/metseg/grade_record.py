"""The record of the grade of one case, shared by documents, service, page and reports."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

#: Why a model of other tumours has no grade. Reports and pages leave the grade out then.
NO_GLIOMAS: Final = "this model was not trained on gliomas, and the grades are those of gliomas"
#: Why a corrected version has no grade, if the result of the model has one.
OUTLINES_CORRECTED: Final = "its outlines were corrected"

Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class GradeReason(BaseModel):
    """A feature of a case and its contribution to the logit of the higher grade."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    feature: str
    value: Number | None
    unit: str = ""
    contribution: Number


class CaseGrade(BaseModel):
    """The more probable grade of a case, with the AUC of the classifier on patients outside its training."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    column: str
    grade: str
    other: str
    probability: Share = Field(description="Of `grade`; at least 0.5.")
    auc_text: str
    decided_by: tuple[GradeReason, ...]
