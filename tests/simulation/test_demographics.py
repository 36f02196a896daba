"""Made-up clinical attributes: the same for the same name, with the published shares."""

from __future__ import annotations

from collections import Counter

import pytest

from metseg.io.clinical import clinical_attributes
from metseg.simulation.output.demographics import PRIMARY_SHARES, clinical_row


def test_a_name_has_one_row_and_many_names_have_the_published_shares() -> None:
    rows = [clinical_row(f"{number:06}") for number in range(3000)]
    assert rows[7] == clinical_row("000007")
    shares = Counter(row["primary_cancer"] for row in rows)
    for primary, share in PRIMARY_SHARES.items():
        assert shares[primary] / len(rows) == pytest.approx(share, abs=0.03)
    assert {row["sex"] for row in rows} == {"F", "M"}
    assert all(21 <= row["age"] <= 90 for row in rows)


def test_our_reader_knows_the_columns() -> None:
    row = {name: str(value) for name, value in clinical_row("100101").items()}
    assert set(clinical_attributes(row)) == {"primary tumour", "age", "sex", "earlier treatment"}
