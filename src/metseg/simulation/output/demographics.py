"""Made-up clinical attributes of simulated patients, in the form of a clinical table of brain metastases."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

#: Shares of primary tumours that Kaur and Singh 2024 report for UCSF-BMSR (their Fig. 4); they sum to 0.999.
PRIMARY_SHARES: Mapping[str, float] = {
    "lung": 0.390,
    "breast": 0.245,
    "melanoma": 0.163,
    "renal": 0.043,
    "other": 0.158,
}
TREATMENTS = ("none", "surgery", "radiosurgery")


def clinical_row(patient: str) -> dict[str, Any]:
    """Return primary tumour, age, sex and earlier treatment; the same for the same name.

    They are independent of the images: no network can learn them, and no group differs in truth.
    """
    rng = np.random.default_rng(zlib.crc32(patient.encode()))
    shares = np.array(list(PRIMARY_SHARES.values()))
    return {
        "primary_cancer": str(rng.choice(list(PRIMARY_SHARES), p=shares / shares.sum())),
        "age": int(np.clip(round(rng.normal(61, 12)), 21, 90)),
        "sex": str(rng.choice(["F", "M"])),
        "earlier_treatment": str(rng.choice(TREATMENTS, p=(0.5, 0.2, 0.3))),
    }
