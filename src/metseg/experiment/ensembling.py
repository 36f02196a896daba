"""Combine several trained bundles of one recipe, such as those of folds, into one that averages their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metseg.errors import UsageError
from metseg.io.splits import Split
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.training.model_card import about_model

#: Parts of a recipe that define a network and its predictions; the bundles must agree in these. The fill value of
#: missing sequences is in `augment`.
AGREED = ("name", "data", "preprocess", "augment", "model")

NOT_SCORED = (
    "The ensemble was not scored: each network has seen patients that others were validated or tested on."
    " To score it on patients that no network has seen, run `metseg predict`, then `metseg evaluate`."
)


def join_bundles(places: Sequence[str | Path], out: str | Path) -> Path:
    """Write one bundle with the networks of several bundles, and return its folder.

    Args:
        places: names or folders of bundles of one recipe, such as those of the folds of a split.
        out: the new bundle.
    Raises:
        UsageError: fewer than two bundles, one of them twice, different recipes, or a bundle that is joined already.
        BundleError: a path is not a bundle, or the bundle is damaged.
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
        raise _refused("fewer than two bundles", got=f"{len(bundles)} bundle(s)", cure="give two or more bundles")
    first = bundles[0]
    for bundle in bundles:
        if bundle.folder.resolve() == out.resolve():
            cure = "choose a new folder with --out"
            raise _refused(f"'{_called(bundle)}' would be replaced", got=str(out), cure=cure)
        if len(bundle.networks) > 1:
            raise _refused(
                f"'{_called(bundle)}' already has several networks", cure="join bundles with one network each"
            )
        if bundle.recipe.predict != first.recipe.predict:
            raise _refused(
                f"'{_called(bundle)}' and '{_called(first)}' have different operating points",
                cure="join them as they were trained, then choose an operating point for the new bundle",
            )
        mine, others = _without_licence(bundle.recipe), _without_licence(first.recipe)
        differing = [part for part in AGREED if getattr(mine, part) != getattr(others, part)]
        if differing:
            raise _refused(
                f"'{_called(bundle)}' and '{_called(first)}' have different recipes",
                got=f"different {', '.join(differing)}",
                cure="join bundles of one recipe",
            )
    fingerprints = [bundle.fingerprint for bundle in bundles]
    if len(set(fingerprints)) < len(fingerprints):
        raise _refused("one bundle is given twice", got=", ".join(fingerprints), cure="give each bundle once")


def _without_licence(recipe: Recipe) -> Recipe:
    """Return a recipe without its data's licence: trainings of one recipe may use different data."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"licence": ""})})


def _of_all_data(bundles: Sequence[Bundle]) -> Recipe:
    """Return the joint recipe, which lists the data of each bundle once."""
    licences = dict.fromkeys(bundle.recipe.data.licence for bundle in bundles if bundle.recipe.data.licence)
    recipe = bundles[0].recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"licence": "; ".join(licences)})})


def _called(bundle: Bundle) -> str:
    """Return a name that distinguishes the folds of a comparison, which all store their bundle in a folder `bundle`."""
    return bundle.folder.parent.name if bundle.name == "bundle" else bundle.name


def _split(splits: Sequence[Mapping[str, Any] | None], *, where: Path) -> Mapping[str, Any] | None:
    """Return the joint split: a patient is in its test part only if each bundle tested on that patient.

    Each fold of a comparison has its own split; the other folds train on the test patients of one fold.
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
    """Return the joint metrics, without scores: the ensemble was not scored."""
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
    leaks = (
        ("**Leaks patients**: at least one of these trainings leaks patients.", "") if metrics["leaks_patients"] else ()
    )
    return "\n".join(
        [
            *about_model(recipe, parameters=metrics["parameters"]),
            "## Networks",
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
