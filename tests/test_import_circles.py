"""No module of metseg imports itself by way of others, imports for type checkers included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grimp


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Return every group of modules that can reach one another, sorted."""
    reach = {module: set(_reachable(module, imports)) for module in imports}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in imports}
    return sorted(sorted(group) for group in groups if group)


def _reachable(start: str, imports: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the modules that importing one leads to; the module itself only where a circle leads back to it."""
    waiting, seen = [start], set[str]()
    while waiting:
        for module in imports[waiting.pop()] - seen:
            seen.add(module)
            waiting.append(module)
            yield module


def test_a_circle_of_three_is_found_and_a_chain_is_not() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set[str]()}
    assert circles(imports) == [["a", "b", "c"]]


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("metseg", exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert sum(map(len, imports.values())) > 1000
    assert circles(imports) == []
