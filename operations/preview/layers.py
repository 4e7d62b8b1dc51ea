"""A layered layout of a dependency graph: dependencies are to the left of what needs them.

Layers by longest path, order within a layer by the median of the neighbours; a layer that is too tall is split into
columns. Pure and deterministic. A cycle, which no engine produces, is cut rather than refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Rows; a taller column fills more than two screens.
_TALLEST = 24
# More sweeps hardly reduce the crossings.
_SWEEPS = 6


@dataclass(frozen=True)
class Layout:
    """Column and row of each node, and the edges to draw: `(before, after)`."""

    cells: Mapping[str, tuple[int, int]]
    edges: Sequence[tuple[str, str]]

    @property
    def columns(self) -> int:
        return max((column for column, _ in self.cells.values()), default=-1) + 1

    @property
    def rows(self) -> int:
        return max((row for _, row in self.cells.values()), default=-1) + 1


def lay_out(dependencies: Mapping[str, Sequence[str]]) -> Layout:
    """`dependencies` has the dependencies of every node; names of other nodes in it are ignored."""
    before = _acyclic(dependencies)
    order = _in_order(before)
    reduced = _reduced(before, order)
    layer: dict[str, int] = {}
    for node in order:
        layer[node] = max((layer[one] + 1 for one in reduced[node]), default=0)
    after: dict[str, list[str]] = {node: [] for node in order}
    for node in order:
        for one in reduced[node]:
            after[one].append(node)
    # A node without dependencies moves next to the first node that needs it, which keeps its edges short.
    for node in reversed(order):
        if after[node] and not reduced[node]:
            layer[node] = min(layer[one] for one in after[node]) - 1
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node in order:
        rows[layer[node]].append(node)
    _untangle(rows, reduced, after)
    return Layout(_cells(rows), [(one, node) for node in order for one in reduced[node]])


def _acyclic(dependencies: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Without edges that close a cycle, duplicates and unknown nodes."""
    before: dict[str, list[str]] = {node: [] for node in dependencies}
    state: dict[str, int] = {}  # 1: being visited, 2: done
    for root in dependencies:
        if root in state:
            continue
        stack = [(root, iter(dependencies[root]))]
        state[root] = 1
        while stack:
            node, rest = stack[-1]
            for one in rest:
                if one not in before or one in before[node] or state.get(one) == 1:
                    continue
                before[node].append(one)
                if one not in state:
                    state[one] = 1
                    stack.append((one, iter(dependencies[one])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return before


def _in_order(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Every node after its dependencies; otherwise in the given order."""
    placed: dict[str, None] = {}
    for root in before:
        stack = [(root, iter(before[root]))]
        while stack:
            node, rest = stack[-1]
            missing = next((one for one in rest if one not in placed), None)
            if missing is None:
                placed.setdefault(node)
                stack.pop()
            else:
                stack.append((missing, iter(before[missing])))
    return list(placed)


def _reduced(before: Mapping[str, Sequence[str]], order: Sequence[str]) -> dict[str, list[str]]:
    """Without edges that a longer path implies. Ancestors are bits of an integer, fast enough for 500 nodes."""
    bit = {node: 1 << position for position, node in enumerate(order)}
    ancestors: dict[str, int] = {}
    reduced = {}
    for node in order:
        indirect = 0
        for one in before[node]:
            indirect |= ancestors[one]
        reduced[node] = [one for one in before[node] if not indirect & bit[one]]
        ancestors[node] = indirect
        for one in before[node]:
            ancestors[node] |= bit[one]
    return reduced


def _untangle(rows: list[list[str]], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> None:
    """Sort each layer by the median position of its neighbours, sweeping right and left by turns."""
    place = {node: position / len(row) for row in rows for position, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for row in rows if forth else reversed(rows):
            row.sort(key=lambda node: (_middle([place[one] for one in neighbours[node]], place[node]), node))
            for position, node in enumerate(row):
                place[node] = position / len(row)


def _middle(places: Sequence[float], own: float) -> float:
    return sorted(places)[len(places) // 2] if places else own


def _cells(rows: Sequence[Sequence[str]]) -> dict[str, tuple[int, int]]:
    cells, column = {}, 0
    for row in rows:
        # All columns of a layer get the same height.
        parts = -(-len(row) // _TALLEST)
        height = -(-len(row) // parts)
        for position, node in enumerate(row):
            cells[node] = (column + position // height, position % height)
        column += parts
    return cells
