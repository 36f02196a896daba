"""Several trainings of one recipe, such as the folds of a split, as one bundle: their probabilities are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metseg.errors import UsageError
from metseg.io.splits import Split
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.training.model_card import about_model

#: Parts of a recipe by which a network is known and predicts; in these the bundles have to agree. What fills in for
#: missing sequences is part of `augment`.
AGREED = ("name", "data", "preprocess", "augment", "model")

NOT_SCORED = (
    "The average was not scored: each network has seen what others were validated or tested on."
    " Patients whom none of them has seen can be: `metseg predict`, then `metseg evaluate`."
)


def join_bundles(places: Sequence[str | Path], out: str | Path) -> Path:
    """Write one bundle with the networks of several, and return its folder.

    Args:
        places: names or folders of bundles of one recipe, such as those of the folds of a split.
        out: the new bundle.
    Raises:
        UsageError: fewer than two, one of them twice, other recipes, or a bundle that is joined already.
        BundleError: one is no bundle, or damaged.
    """
    bundles = [load_bundle(place) for place in places]
    _check(bundles, Path(out))
    first, recipe = bundles[0], _of_all_data(bundles)
    metrics = _metrics(bundles)
    return save_bundle(
        out,
        networks=[bundle.networks[0] for bundle in bundles],
        recipe=recipe,
        card=_card(recipe, metrics),
        metrics=metrics,
        split=_split([bundle.split for bundle in bundles], where=first.folder),
    )


def _check(bundles: Sequence[Bundle], out: Path) -> None:
    if len(bundles) < 2:
        raise _refused("there is nothing to join", got=f"{len(bundles)} bundle(s)", cure="name two bundles or more")
    first = bundles[0]
    for bundle in bundles:
        if bundle.folder.resolve() == out.resolve():
            cure = "choose a new folder with --out"
            raise _refused(f"'{_called(bundle)}' would be replaced", got=str(out), cure=cure)
        if len(bundle.networks) > 1:
            raise _refused(
                f"'{_called(bundle)}' is several networks already", cure="join the bundles of single trainings"
            )
        if bundle.recipe.predict != first.recipe.predict:
            raise _refused(
                f"'{_called(bundle)}' and '{_called(first)}' make their masks differently",
                cure="join them as they were trained, and choose an operating point of the new bundle afterwards",
            )
        mine, others = _without_licence(bundle.recipe), _without_licence(first.recipe)
        differing = [part for part in AGREED if getattr(mine, part) != getattr(others, part)]
        if differing:
            raise _refused(
                f"'{_called(bundle)}' and '{_called(first)}' are of different recipes",
                got=f"another {', another '.join(differing)}",
                cure="join trainings of one recipe",
            )
    fingerprints = [bundle.fingerprint for bundle in bundles]
    if len(set(fingerprints)) < len(fingerprints):
        raise _refused("one bundle is named twice", got=", ".join(fingerprints), cure="name each once")


def _without_licence(recipe: Recipe) -> Recipe:
    """Return a recipe without whose data it was trained on: trainings of one recipe may have had different data."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"licence": ""})})


def _of_all_data(bundles: Sequence[Bundle]) -> Recipe:
    """Return the recipe of bundles, which names the data of each of them once."""
    licences = dict.fromkeys(bundle.recipe.data.licence for bundle in bundles if bundle.recipe.data.licence)
    recipe = bundles[0].recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"licence": "; ".join(licences)})})


def _called(bundle: Bundle) -> str:
    """Return a name that tells the folds of a comparison apart: each has its bundle in a folder `bundle`."""
    return bundle.folder.parent.name if bundle.name == "bundle" else bundle.name


def _split(splits: Sequence[Mapping[str, Any] | None], *, where: Path) -> Mapping[str, Any] | None:
    """Return who was for what, as far as it holds for all: for the test are those who were it in each of them.

    The folds of a comparison have splits of their own; what one of them was tested on, the others have learnt from.
    """
    if all(split == splits[0] for split in splits):
        return splits[0]
    known = [Split.from_dict(split, where=where) for split in splits if split is not None]
    if len(known) < len(splits) or len({split.by for split in known}) > 1:
        return None
    test = set.intersection(*(set(split.test) for split in known))
    seen = set.union(*(set(split.units) for split in known)) - test
    return Split(by=known[0].by, train=tuple(sorted(seen)), test=tuple(sorted(test))).to_dict()


def _refused(what: str, *, got: str | None = None, cure: str) -> UsageError:
    return UsageError(what, where="metseg models join", got=got, cure=cure, code="usage.bundle")


def _metrics(bundles: Sequence[Bundle]) -> dict[str, Any]:
    """Return what is known of them together; no score, for the average has none."""
    joined = [
        {
            "name": _called(bundle),
            "fingerprint": bundle.fingerprint,
            **{key: bundle.metrics.get(key) for key in ("fold", "steps", "minutes", "best_epoch", "began_with")},
        }
        for bundle in bundles
    ]
    return {
        "joined": joined,
        **{key: sum(bundle.metrics.get(key) or 0 for bundle in bundles) for key in ("parameters", "steps", "minutes")},
        "fold": None,
        "split_by": bundles[0].metrics.get("split_by", "patient"),
        "changed_data": [remark for bundle in bundles for remark in bundle.metrics.get("changed_data", [])],
        "leaks_patients": any(bundle.metrics.get("leaks_patients") for bundle in bundles),
    }


def _card(recipe: Recipe, metrics: dict[str, Any]) -> str:
    rows = [
        f"| `{one['name']}` | `{one['fingerprint']}` | {'-' if one['fold'] is None else one['fold']} "
        f"| {one['steps']} | {one['minutes'] or 0:.1f} |"
        for one in metrics["joined"]
    ]
    leaks = ("**Leaks patients**: at least one of these trainings does.", "") if metrics["leaks_patients"] else ()
    return "\n".join(
        [
            *about_model(recipe, parameters=metrics["parameters"]),
            "## Of which trainings",
            "",
            f"The probabilities of {len(rows)} networks are averaged.",
            "",
            "| bundle | fingerprint | fold | steps | minutes |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## How it scored",
            "",
            NOT_SCORED,
            "",
            *([f"**Changed data**: {'; '.join(changed)}.", ""] if (changed := metrics["changed_data"]) else []),
            *leaks,
        ]
    )
