"""Signals of tissues against hand-computed values, and the contrasts every radiologist expects."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.simulation import PhantomOptions, describe_patient
from metseg.simulation.anatomy.tissues import INVERSION_PREPARED, SEQUENCE_TIMING, TISSUES, Sequence, Tissue, signal
from metseg.simulation.scanner.mri_signal import timing_of, tissues_of


def test_spin_echo_by_hand() -> None:
    # 0.8 (1 - e^-1) e^-0.5 with TR = T1 and TE = T2 / 2.
    assert signal(Tissue(0.8, 1000, 80), Sequence(1000, 40)) == pytest.approx(0.8 * 0.6321206 * 0.6065307, rel=1e-6)


def test_inversion_by_hand() -> None:
    # TI = T1, TR = 3 T1, TE = T2 / 2: |1 - 2 e^-1 + e^-3| e^-0.5 = 0.3140283 * 0.6065307.
    assert signal(Tissue(1, 1000, 80), Sequence(3000, 40, inversion_ms=1000)) == pytest.approx(0.1904678, rel=1e-5)


def test_contrast_agent_by_hand() -> None:
    # 1/T1 = 1/1 s + 4.5 * 2 = 10 per s: T1 = 100 ms; 1/T2 = 1/0.1 s + 5.5 * 2 = 21 per s.
    with_agent = signal(Tissue(1, 1000, 100, uptake=2.0), Sequence(100, 10, agent=True))
    assert with_agent == pytest.approx((1 - 2.718281828**-1) * 2.718281828**-0.21, rel=1e-6)
    assert with_agent > signal(Tissue(1, 1000, 100, uptake=2.0), Sequence(100, 10))


def contrasts(sequence: str) -> dict[str, float]:
    return {name: signal(tissue, SEQUENCE_TIMING[sequence]) for name, tissue in TISSUES.items()}


def test_native_t1() -> None:
    s = contrasts("t1n")
    assert s["fat"] > s["white"] > s["grey"] > s["oedema"] > s["fluid"] > s["bone"]


def test_t1_after_contrast_agent() -> None:
    s = contrasts("t1c")
    assert min(s["tumour_weak"], s["tumour_strong"], s["vessel"], s["dura"], s["choroid"]) > 1.15 * s["white"]
    assert s["necrosis"] < s["grey"]


def test_t2() -> None:
    s = contrasts("t2w")
    assert s["fluid"] > s["necrosis"] > s["oedema"] > s["grey"] > s["white"] > s["vessel"]


def test_flair() -> None:
    s = contrasts("t2f")
    assert s["oedema"] > 1.3 * s["white"]
    assert s["grey"] > s["white"]
    assert s["fluid"] < 0.1 * s["white"]


def test_a_watery_cyst_is_dark_in_flair_where_dead_tissue_is_not() -> None:
    s = contrasts("t2f")
    assert s["cyst"] < 0.6 * s["white"] < s["necrosis"]
    assert contrasts("t2w")["cyst"] > contrasts("t2w")["necrosis"]


def test_an_inversion_pulse_sets_grey_and_white_further_apart() -> None:
    spin_echo, prepared = (
        {name: signal(TISSUES[name], timing) for name in ("white", "grey", "fluid")}
        for timing in (SEQUENCE_TIMING["t1n"], INVERSION_PREPARED["t1n"])
    )
    assert prepared["white"] / prepared["grey"] > 1.2 * spin_echo["white"] / spin_echo["grey"]
    assert prepared["fluid"] / prepared["white"] < 0.5 * spin_echo["fluid"] / spin_echo["white"]


def test_among_many_hospitals_patients_differ_more_and_t1_is_weighted_in_two_ways() -> None:
    one, many = PhantomOptions(), PhantomOptions(scanners="many")
    patients = [describe_patient(3, index, one) for index in range(40)]
    spread = [
        np.std([np.log(tissues_of(patient, options)["grey"].t1_ms) for patient in patients]) for options in (one, many)
    ]
    assert spread[0] == pytest.approx(0.02, rel=0.4)
    assert spread[1] == pytest.approx(3 * spread[0])

    def prepared(options: PhantomOptions, sequence: str) -> list[bool]:
        rng = np.random.default_rng(0)
        return [timing_of(sequence, patient, options, rng).inversion_ms is not None for patient in patients]

    assert not any(prepared(one, "t1n"))
    assert 10 < sum(prepared(many, "t1n")) < 30
    assert prepared(many, "t1n") == prepared(many, "t1c")
    assert all(prepared(many, "t2f"))


def test_fluid_is_dark_in_flair_wherever_it_is_made() -> None:
    """TI follows TR; what is left comes of the patient's own relaxation time."""
    rng = np.random.default_rng(1)
    left = []
    for options in (PhantomOptions(), PhantomOptions(scanners="many")):
        for index in range(200):
            patient = describe_patient(7, index, options)
            timing, tissues = timing_of("t2f", patient, options, rng), tissues_of(patient, options)
            left.append(signal(tissues["fluid"], timing) / signal(tissues["white"], timing))
    assert max(left[:200]) < 0.25
    assert np.quantile(left[200:], 0.9) < 0.5
