"""The model of an input that names none: which, why, and why not the others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg import bundle_folder
from metseg.bundle_folder import checksums
from metseg.errors import InputError, UsageError
from metseg.inference.input_options import InputOptions
from metseg.inference.model_choice import (
    Candidate,
    InputTraits,
    choose_model,
    installed_candidates,
    require_model,
    traits_of,
)
from metseg.io.data_origin import SIMULATED
from metseg.recipe import DataPart, parse_recipe

FOUR = ("t1n", "t1c", "t2w", "t2f")
PICTURES = InputTraits(is_pictures=True)


def candidate(
    name: str,
    sequences: tuple[str, ...] = ("t1c",),
    *,
    optional: tuple[str, ...] = (),
    licence: str = "",
    dimensions: int = 3,
    channels: tuple[str, ...] = (),
    steps: str = "",
    accepted: bool = True,
) -> Candidate:
    def listed(names: tuple[str, ...]) -> str:
        return "[" + ", ".join(f'"{name}"' for name in names) + "]"

    text = f"""
name = "{name}"
preprocess = [{steps}]
model = {{ name = "cnn", channels = [1, 1] }}
[data]
modalities = {listed(sequences)}
optional = {listed(optional)}
channels = {listed(channels)}
dimensions = {dimensions}
licence = "{licence}"
"""
    return Candidate(name, parse_recipe(text, where="test"), {"patients": {"train": 7}}, accepted)


def volume(*sequences: str, mask: bool = False) -> InputTraits:
    return InputTraits(False, frozenset(sequences), has_brain_mask=mask)


SIM = candidate("sim", FOUR, optional=("t1n", "t2w", "t2f"), licence=SIMULATED)
LGG = candidate("lgg", ("t1n", "t2f", "t1c"), dimensions=2, channels=("t1n", "t2f", "t1c"), licence="Patients")


@pytest.mark.parametrize(("traits", "expected"), [(PICTURES, "lgg"), (volume(*FOUR), "sim"), (volume("t1c"), "sim")])
def test_slices_and_volumes_get_the_model_of_their_kind(traits: InputTraits, expected: str) -> None:
    choice = choose_model([SIM, LGG], [traits])
    assert choice.model == expected
    assert require_model(choice) == expected


def test_the_reason_is_one_sentence_on_kind_sequences_and_training() -> None:
    choice = choose_model([SIM, LGG], [volume("t1c", "t2f")])
    assert choice.reason == (
        "Model sim was chosen: it is the only usable model that fits, it is for volumes, uses t1c and t2f, and was"
        " trained on 7 simulated patients (metseg simulate)."
    )
    assert [(misfit.model, misfit.reason) for misfit in choice.misfits] == [
        ("lgg", "it needs t1n, and only t1c and t2f is declared or recognised")
    ]


def test_a_model_of_pictures_on_a_volume_says_so() -> None:
    choice = choose_model([LGG], [volume(*FOUR)])
    assert choice.model == "lgg"
    assert "can read volumes, which it was not trained on, uses t1n, t2f and t1c (not t2w)" in choice.reason


def test_real_patients_come_before_unknown_data_and_those_before_simulated_ones() -> None:
    real, unknown = candidate("z-real", licence="Hospital A; CC BY 4.0"), candidate("y-unknown")
    simulated = candidate("a-sim", licence=SIMULATED)
    assert choose_model([simulated, unknown, real], [volume("t1c")]).model == "z-real"
    assert choose_model([simulated, unknown], [volume("t1c")]).model == "y-unknown"


def test_among_equals_the_sequences_decide() -> None:
    one, two, four = candidate("a", ("t1c",)), candidate("b", ("t1c", "t2f")), candidate("c", FOUR, optional=FOUR[2:])
    models = [one, two, four]
    assert choose_model(models, [volume("t1c")]).model == "a"
    assert choose_model(models, [volume("t1c", "t2f")]).model == "b"
    assert choose_model(models, [volume(*FOUR)]).model == "c"


def test_a_given_brain_mask_is_used_rather_than_ignored() -> None:
    plain, masked = candidate("a"), candidate("b", steps='{ name = "brain_mask" }')
    assert choose_model([plain, masked], [volume("t1c", mask=True)]).model == "b"
    assert "uses the brain mask" in choose_model([plain, masked], [volume("t1c", mask=True)]).reason
    assert choose_model([plain, masked], [volume("t1c")]).model == "a"
    assert "ignores the brain mask" in choose_model([plain], [volume("t1c", mask=True)]).reason


def test_a_model_without_consent_is_never_chosen_but_named_if_it_is_better() -> None:
    real = candidate("real", licence="Hospital A; CC BY-NC 4.0", accepted=False)
    simulated = candidate("sim-t1c", licence=SIMULATED)
    choice = choose_model([real, simulated], [volume("t1c")])
    assert choice.model == "sim-t1c"
    assert choice.better.endswith("can be used after metseg models accept real.")
    assert choice.text == f"{choice.reason} {choice.better}"
    worse = candidate("worse", ("t1c", "t2f"), optional=("t2f",), licence=SIMULATED, accepted=False)
    assert choose_model([worse, simulated], [volume("t1c")]).better == ""
    with pytest.raises(UsageError, match="metseg models accept real") as refused:
        require_model(choose_model([real], [volume("t1c")]))
    assert refused.value.code == "licence.not_accepted"


def test_if_none_fits_each_model_has_its_reason_and_cure() -> None:
    choice = choose_model([SIM, LGG], [volume("t2f")])
    assert choice.model is None
    assert {misfit.model: misfit.cure for misfit in choice.misfits} == {
        "sim": "add t1c, or name it if it is among the files",
        "lgg": "add t1n and t1c, or name it if it is among the files",
    }
    with pytest.raises(InputError, match=r"sim: it needs t1c.*lgg: it needs t1n and t1c") as refused:
        require_model(choice)
    assert refused.value.code == "input.no_fitting_model"
    assert choose_model([SIM], [PICTURES]).misfits[0].reason == "it needs a volume, and pictures were given"


def test_a_single_image_without_a_name_needs_a_model_of_one_sequence() -> None:
    unnamed = InputTraits(False, frozenset(), is_single_unnamed=True)
    assert choose_model([SIM, LGG, candidate("one")], [unnamed]).model == "one"
    assert "the sequence of the image is not known" in choose_model([SIM], [unnamed]).misfits[0].reason


def test_what_the_operator_set_is_used_where_it_fits() -> None:
    models = [candidate("a"), candidate("b", ("t1c", "t2f"))]
    assert choose_model(models, [volume("t1c", "t2f")], preferred="a").model == "a"
    assert "the operator set it for volumes" in choose_model(models, [volume("t1c")], preferred="a").reason
    assert choose_model(models, [volume("t1c")], preferred="b").model == "a"


def test_of_several_cases_most_decide() -> None:
    models = [candidate("a", ("t2f",)), candidate("b", ("t1c",))]
    choice = choose_model(models, [volume("t1c"), volume("t1c"), volume("t2f")])
    assert choice.model == "b"
    assert choice.reason.startswith("Model b was chosen (for 2 of 3 cases): ")


def test_nothing_is_installed() -> None:
    with pytest.raises(UsageError, match="no model is installed") as refused:
        require_model(choose_model([], [PICTURES]))
    assert refused.value.code == "usage.no_model"


def test_installed_models_are_read_without_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bundle_folder, "bundle_places", lambda: (tmp_path,))
    monkeypatch.delenv("METSEG_ACCEPTED_MODELS", raising=False)
    for name, text in {"bad": "name = ", "nc": SIM.recipe.to_toml().replace(SIMULATED, "CC BY-NC 4.0")}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(text)
        (tmp_path / name / "metrics.json").write_text("{}")
        (tmp_path / name / "sha256").write_text(checksums(tmp_path / name))
    with caplog.at_level(logging.WARNING):
        assert [(found.name, found.accepted) for found in installed_candidates()] == [("nc", False)]
    assert "cannot be read" in caplog.text
    assert installed_candidates(["nc"])[0].accepted


GREY_T1C = candidate("t1c-slices", (), dimensions=2, channels=("t1c",), licence="Patients")
GREY, COLOUR = (InputTraits(is_pictures=True, is_grey=is_grey) for is_grey in (True, False))


def test_grey_pictures_get_the_model_of_one_sequence_and_colour_pictures_that_of_several() -> None:
    models = [LGG, GREY_T1C]
    grey, colour = (choose_model(models, [traits]) for traits in (GREY, COLOUR))
    assert (grey.model, colour.model) == ("t1c-slices", "lgg")
    assert "it is for grey t1c pictures" in grey.reason
    assert choose_model(models, [PICTURES]).model == "lgg"  # nothing is known: the first name


def test_coloured_pictures_do_not_fit_a_model_of_one_sequence() -> None:
    """Its result would mean nothing: three sequences lie in the colours."""
    (misfit,) = choose_model([GREY_T1C], [COLOUR]).misfits
    assert misfit.reason == "it sees grey pictures of t1c, and coloured ones were given"
    waiting = choose_model([GREY_T1C, replace(LGG, accepted=False)], [COLOUR])
    assert waiting.model is None
    assert [misfit.model for misfit in waiting.misfits if misfit.is_waiting] == ["lgg"]


def test_grey_pictures_do_not_fit_a_model_of_several_sequences() -> None:
    (misfit,) = choose_model([LGG], [GREY]).misfits
    assert misfit.reason == "it needs colour pictures of t1n, t2f and t1c, and grey ones were given"
    assert misfit.cure == "give pictures of what it needs"
    hidden = """
name = "hidden"
model = { name = "cnn", channels = [1, 1] }
augment = [{ name = "missing_sequence", reference = 1, fill = "copy" }]
[data]
channels = ["t1n", "t2f", "t1c"]
dimensions = 2
"""
    trained_for_it = Candidate("hidden", parse_recipe(hidden, where="test"))
    assert choose_model([trained_for_it], [GREY]).model == "hidden"
    flair, t1c = (replace(GREY, sequences=frozenset([name])) for name in ("t2f", "t1c"))
    assert choose_model([trained_for_it, GREY_T1C], [flair]).model == "hidden"
    assert choose_model([trained_for_it, GREY_T1C], [t1c]).model == "t1c-slices"
    (misfit,) = choose_model([GREY_T1C], [flair]).misfits
    assert misfit.reason == "it takes grey pictures for t1c, and these show t2f"


def test_a_picture_is_looked_at(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    for name, pixels in (("grey", noise[..., 0]), ("equal", noise[..., :1].repeat(3, 2)), ("colour", noise)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        (source,) = InputOptions().sources([tmp_path / f"{name}.png"], DataPart(), tmp_path / "out")
        assert traits_of(source).is_grey is (name != "colour")
