"""Tables of named entries: look up a name, and let other packages add entries."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from metseg.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Entry = TypeVar("Entry")
Made = TypeVar("Made", bound=Callable[..., Any])

#: Prefix of every entry-point group; the table's name follows.
GROUP_PREFIX = "metseg."


def lookup(kind: str, table: Mapping[str, Entry], name: str, *, cure: str | None = None) -> Entry:
    """Return ``table[name]``.

    Args:
        kind: kind of the entries, in the singular, for the message ("model", "loss").
        table: name to entry.
        name: the requested name.
        cure: another fix besides correcting the name.
    Raises:
        UsageError: the name is not in the table; the message offers the nearest one and lists all.

    >>> lookup("optimizer", {"adamw": 1}, "adamv")
    Traceback (most recent call last):
    ...
    metseg.errors.UsageError: Unknown optimizer 'adamv'. Did you mean 'adamw'? Known: adamw
    """
    if name in table:
        return table[name]
    raise unknown_name(kind, list(table), name, cure=cure)


def unknown_name(kind: str, names: Sequence[str], name: str, *, cure: str | None = None) -> UsageError:
    """Return the error for a name that is not in a table; ``names`` are the known ones, the rest as for `lookup`."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UsageError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(names)}", cure=cure, code="usage.unknown_name")


def resolve_function(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return the function of a table's entry; import it if the entry gives the text ``package.module:function``.

    Raises:
        UsageError: ``usage.entry_point``, there is no such function, or its module cannot be imported.

    >>> resolve_function("math:hypot")(3, 4)
    5.0
    """
    if not isinstance(function, str):
        return function
    try:
        found: Callable[..., Any] = pkgutil.resolve_name(function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            "a function of a table's entry cannot be loaded",
            where=function,
            expected="a text package.module:function",
            got=f"{type(error).__name__}: {error}",
            cure="repair the package that adds the entry or uninstall it",
            code="usage.entry_point",
        ) from error
    return found


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Mapping from name to entry that other packages can extend.

    It holds metseg's own entries, those that `register` added in this process, and those that installed packages
    declare as entry points of the group ``metseg.<table>``. Entry points are listed on the first read of the table, and
    each is imported on the first use of its entry, so an unused table costs nothing.

    Args:
        kind: what an entry is, in the singular, for messages ("model").
        table: the end of the name of the entry-point group ("models").
        entry_type: class of the entries.
        own: metseg's own entries, in order.
        make: makes an entry from a decorated function and the keywords of `register`; None: `register` does not work
            as a decorator.
    """

    def __init__(
        self,
        kind: str,
        table: str,
        entry_type: type[Any],
        own: Mapping[str, Entry],
        *,
        make: Callable[..., Entry] | None = None,
    ) -> None:
        self.kind = kind
        self.group = GROUP_PREFIX + table
        self._entry_type = entry_type
        self._make = make
        self._own = dict(own)
        self._registered: dict[str, Entry] = {}
        self._loaded: dict[str, Entry] = {}
        self._lock = RLock()

    @property
    def cure(self) -> str:
        """Return the fix for a name that is not in the table."""
        return f"correct the name, or install the package that adds it (entry-point group {self.group})"

    @property
    def own(self) -> tuple[str, ...]:
        """Return the names of metseg's own entries."""
        return tuple(self._own)

    @property
    def registered(self) -> tuple[str, ...]:
        """Return the names that `register` added; other processes know them only if they run the same code."""
        return tuple(self._registered)

    @property
    def added(self) -> tuple[str, ...]:
        """Return the names that are not metseg's own."""
        return (*self._registered, *self._points)

    def package_of(self, name: str) -> str | None:
        """Return the name and version of the package that adds this entry by an entry point; None for other entries."""
        point = self._points.get(name)
        return None if point is None else _package(point)

    def lookup(self, name: str) -> Entry:
        """Return the entry of this name.

        Raises:
            UsageError: ``usage.unknown_name``, with the nearest name; ``usage.entry_point``, the package that adds the
                entry cannot be loaded; ``usage.name_taken``, two packages add the same name.
        """
        return lookup(self.kind, self, name, cure=self.cure)

    @overload
    def register(self, name: str, entry: Entry, /) -> Entry: ...

    @overload
    def register(self, name: str, /, **details: Any) -> Callable[[Made], Made]: ...

    def register(self, name: str, entry: Entry | None = None, /, **details: Any) -> Entry | Callable[[Made], Made]:
        """Add an entry in this process. Installed packages declare an entry point instead.

        Args:
            name: what recipes and options call it.
            entry: the entry; without it, `register` returns a decorator for the function of the entry.
            details: for the decorator, the other fields of the entry.
        Returns:
            the entry, or the decorator, which returns the function unchanged.
        Raises:
            UsageError: ``usage.name_taken``, or ``usage.entry_type``, the entry is of another type.
        """
        if entry is not None:
            if details:
                raise TypeError(f"register takes an entry or its fields, not both: {', '.join(details)}")
            self._add(name, entry)
            return entry

        make = self._make
        if make is None:
            raise TypeError(f"register of {self.group} is no decorator: call register('{name}', entry)")

        def decorate(function: Made) -> Made:
            self._add(name, make(function, **details))
            return function

        return decorate

    def unregister(self, name: str) -> None:
        """Remove an entry that `register` added.

        Raises:
            UsageError: `register` added no such entry.
        """
        with self._lock:
            lookup(f"registered {self.kind}", self._registered, name)
            del self._registered[name]

    def __getitem__(self, name: str) -> Entry:
        if name in self._points:
            return self._load(self._points[name])
        return self._own[name] if name in self._own else self._registered[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._registered or name in self._points

    def __iter__(self) -> Iterator[str]:
        yield from (*self._own, *self.added)

    def __len__(self) -> int:
        return len(self._own) + len(self.added)

    def __repr__(self) -> str:
        return f"<{self.group}: {', '.join(self)}>"

    def _add(self, name: str, entry: Entry) -> None:
        with self._lock:
            if name in self:
                package = self.package_of(name)
                raise self._taken(name, f"package {package}" if package else "metseg or an earlier `register`")
            self._registered[name] = self._checked(name, entry, where="register")

    def _load(self, point: EntryPoint) -> Entry:
        with self._lock:
            if point.name not in self._loaded:
                where = f"package {_package(point)}, entry point {self.group}: {point.name} = {point.value}"
                try:
                    entry = point.load()
                except Exception as error:
                    raise UsageError(
                        f"the {self.kind} '{point.name}' cannot be loaded",
                        where=where,
                        got=f"{type(error).__name__}: {error}",
                        cure="fix the package or uninstall it",
                        code="usage.entry_point",
                    ) from error
                self._loaded[point.name] = self._checked(point.name, entry, where=where)
            return self._loaded[point.name]

    def _checked(self, name: str, entry: Entry, *, where: str) -> Entry:
        if not isinstance(entry, self._entry_type):
            raise UsageError(
                f"the {self.kind} '{name}' is of the wrong type",
                where=where,
                expected=f"an instance of {self._entry_type.__module__}.{self._entry_type.__qualname__}",
                got=type(entry).__qualname__,
                cure="see CONTRIBUTING.md for what an entry holds",
                code="usage.entry_type",
            )
        return entry

    @cached_property
    def _points(self) -> Mapping[str, EntryPoint]:
        """Return the entry points of this table by name; reject duplicates and metseg's own names."""
        from importlib.metadata import entry_points  # takes longer to import than the rest of this file

        points: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._own:
                raise self._taken(point.name, "metseg", package=_package(point))
            if point.name in points:
                raise self._taken(point.name, f"package {_package(points[point.name])}", package=_package(point))
            points[point.name] = point
        return points

    def _taken(self, name: str, by: str, *, package: str | None = None) -> UsageError:
        cure = "choose another name" if package is None else f"uninstall {package.split()[0]} or rename its entry"
        return UsageError(
            f"two entries of {self.group} have the name '{name}'",
            where=None if package is None else f"package {package}",
            expected=f"a {self.kind} with another name",
            got=f"{name}, which {by} adds",
            cure=cure,
            code="usage.name_taken",
        )


def _package(point: EntryPoint) -> str:
    """Return name and version of the package that declares an entry point."""
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"
