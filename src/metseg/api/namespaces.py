"""The tables of metseg as mappings from name to entry, such as ``metseg.models`` and ``metseg.losses``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from metseg.argument_checks import require_instance
from metseg.registry import Registry, unknown_name

if TYPE_CHECKING:
    from metseg.model import SegmentationNetwork
    from metseg.training.losses import Loss


class Namespace(Mapping[str, Any]):
    """One or several tables as one mapping. Their modules are imported when it is first used.

    Args:
        kind: what an entry is, in the singular.
        tables: module and attribute of each table, in the order of their entries.
    """

    def __init__(self, kind: str, *tables: tuple[str, str]) -> None:
        self._kind = kind
        self._tables = tables

    def _registries(self) -> list[Registry[Any]]:
        return [getattr(import_module(module), attribute) for module, attribute in self._tables]

    def _names(self) -> list[str]:
        return [name for registry in self._registries() for name in registry]

    def __getitem__(self, name: str) -> Any:
        """Return the entry of this name.

        Raises:
            UsageError: ``usage.unknown_name``, with the nearest known name.
        """
        require_instance("name", name, str, expected="a text")
        registries = self._registries()
        for registry in registries:
            if name in registry:
                return registry.lookup(name)
        raise unknown_name(self._kind, self._names(), name, cure=registries[0].cure)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def get(self, name: str, default: Any = None) -> Any:
        """Return the entry of this name, or the default if there is none."""
        found = (registry[name] for registry in self._registries() if name in registry)
        return next(found, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return f"<{len(self)} entries, each a {self._kind}: {', '.join(self)}>"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


class Table(Namespace):
    """One table that takes further entries."""

    def __init__(self, kind: str, module: str, attribute: str) -> None:
        super().__init__(kind, (module, attribute))

    def register(self, name: str, entry: Any = None, /, **details: Any) -> Any:
        """Add an entry in this process. Installed packages declare an entry point instead; see CONTRIBUTING.md.

        Args:
            name: what recipes and options call it.
            entry: the entry, an instance of the table's class; without it, `register` returns a decorator for the
                function of a network, loss, metric or preprocessing step.
            details: for the decorator, the other fields of the entry.
        Returns:
            The entry, or the decorator, which returns the function unchanged.
        Raises:
            UsageError: ``usage.name_taken``; ``usage.entry_type``, the entry is of another type.
        """
        require_instance("name", name, str, expected="a text")
        (registry,) = self._registries()
        return registry.register(name, **details) if entry is None else registry.register(name, entry, **details)

    def unregister(self, name: str) -> None:
        """Remove an entry that `register` added.

        Raises:
            UsageError: ``usage.unknown_name``, `register` added no such entry.
        """
        (registry,) = self._registries()
        registry.unregister(name)


class Models(Table):
    """The network families by their names in recipes: ``list(metseg.models)``, ``metseg.models["unet"]``.

    Each entry has its ``dimensions``, ``options`` (a pydantic class) and ``source`` (the paper). Add a family with
    `register`; CONTRIBUTING.md says what an entry of each table holds.
    """

    def build(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        in_channels: int,
        out_channels: int,
        dimensions: int = 2,
    ) -> SegmentationNetwork:
        """Build a network with random weights: a ``torch.nn.Module`` that takes any input size.

        Args:
            name: of the family.
            options: of the family, as in a recipe's ``[model]``; None: the defaults.
            in_channels: number of sequences; 1 or more.
            out_channels: number of logits per voxel; 1 or more.
            dimensions: 2 for slices (N, C, X, Y), 3 for volumes (N, C, X, Y, Z).
        Raises:
            UsageError: an unknown name, a wrong option, or a family without these dimensions.
            BundleError: a file of initial weights that is missing or unusable.

        Examples:
            A U-Net for four sequences::

                network = metseg.models.build("unet", {"channels": [8, 16]}, in_channels=4, out_channels=1)
                logits = network(torch.zeros(1, 4, 64, 64))
        """
        from metseg.model import build_model

        return build_model(
            name, options or {}, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions
        )


class Losses(Table):
    """The losses by their names in recipes: ``list(metseg.losses)``, ``metseg.losses["dice_bce"].options``."""

    def build(self, name: str, options: Mapping[str, Any] | None = None) -> Loss:
        """Build a loss: a function of logits (N, K, X, Y[, Z]) and class indices (N, X, Y[, Z]) uint8.

        Args:
            name: of the loss.
            options: of the loss, as in a recipe's ``[loss]``; None: the defaults.
        Raises:
            UsageError: an unknown name, a wrong option, or ``regions``, which needs the label scheme of a recipe.

        Examples:
            Dice and cross-entropy, with twice the weight on Dice::

                loss = metseg.losses.build("dice_bce", {"dice_weight": 2.0})
                loss(logits, labels).backward()
        """
        from metseg.recipe import Named
        from metseg.training.losses import build_loss

        return build_loss(Named(name=name, options=dict(options or {})))


class Transforms(Namespace):
    """Preprocessing steps and augmentations by their names in recipes; ``steps`` and ``augmentations`` hold one kind.

    Each entry has its ``options``, a pydantic class with a field for each key in a recipe. Add one with
    ``metseg.transforms.steps.register`` or ``metseg.transforms.augmentations.register``.
    """

    def __init__(self) -> None:
        steps, augmentations = ("metseg.preprocess", "STEPS"), ("metseg.dataset.augmentation_table", "AUGMENTATIONS")
        super().__init__("transform", steps, augmentations)
        self.steps = Table("preprocessing step", *steps)
        self.augmentations = Table("augmentation", *augmentations)


class Metrics(Table):
    """The metrics of a case, in the order of ``cases.csv``; each entry has a title, a unit and a better direction.

    `metseg.evaluate_case` computes them: ``scores[region][name]``.

    Examples:
        A metric of your own, computed for every case from then on::

            @metseg.metrics.register("volume_ratio", title="Volume ratio", better="neither", empty=None)
            def volume_ratio(truth, prediction, spacing_mm):
                return prediction.sum() / max(truth.sum(), 1)
    """


class Layouts(Table):
    """The folder layouts that `metseg.load_all` reads, in the order of detection; ``looks_like`` describes each."""


models = Models("model", "metseg.model.architectures", "MODELS")
losses = Losses("loss", "metseg.training.losses.loss_table", "LOSSES")
transforms = Transforms()
metrics = Metrics("metric", "metseg.evaluation.metrics.metric_table", "METRICS")
layouts = Layouts("layout", "metseg.io.layouts", "LAYOUTS")
