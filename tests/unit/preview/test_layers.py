"""The layout: dependencies stand to the left, nothing overlaps, and every graph has a layout."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.preview.layers import lay_out

pytestmark = pytest.mark.unit


def test_a_chain_is_a_row() -> None:
    layout = lay_out({"c": ["b"], "a": [], "b": ["a"]})
    assert [layout.cells[node] for node in "abc"] == [(0, 0), (1, 0), (2, 0)]
    assert list(layout.edges) == [("a", "b"), ("b", "c")]


def test_an_edge_that_a_longer_path_says_is_not_drawn() -> None:
    assert set(lay_out({"a": [], "b": ["a"], "c": ["a", "b"]}).edges) == {("a", "b"), ("b", "c")}


def test_what_needs_nothing_stands_beside_what_needs_it() -> None:
    layout = lay_out({"a": [], "b": ["a"], "c": ["b"], "late": [], "d": ["c", "late"]})
    assert layout.cells["late"][0] == layout.cells["c"][0]


def test_a_tall_layer_is_broken_into_columns() -> None:
    layout = lay_out({f"n{number}": [] for number in range(60)})
    assert (layout.columns, layout.rows) == (3, 20)


def test_crossings_are_undone() -> None:
    """Two chains that are given crosswise end up side by side."""
    layout = lay_out({"a1": [], "b1": [], "b2": ["b1"], "a2": ["a1"], "a3": ["a2"], "b3": ["b2"]})
    rows = {name: {layout.cells[f"{name}{at}"][1] for at in (1, 2, 3)} for name in "ab"}
    assert all(len(found) == 1 for found in rows.values())


@pytest.mark.parametrize("graph", [{}, {"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["stranger", "a", "a"]}])
def test_no_graph_is_refused(graph: dict[str, list[str]]) -> None:
    assert set(lay_out(graph).cells) == set(graph)


_NODES = [f"n{number}" for number in range(30)]


@pytest.mark.slow
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(_NODES), st.lists(st.sampled_from(_NODES), max_size=5)))
def test_every_graph_has_a_layout_without_overlap_and_with_edges_to_the_right(graph: dict[str, list[str]]) -> None:
    layout = lay_out(graph)
    assert set(layout.cells) == set(graph)
    assert len(set(layout.cells.values())) == len(graph)
    for before, after in layout.edges:
        assert layout.cells[before][0] < layout.cells[after][0]
        assert before in graph[after]


def test_a_thousand_in_a_chain_are_no_matter() -> None:
    names = [f"n{number}" for number in range(1000)]
    graph = {names[0]: [], **{after: [before] for before, after in pairwise(names)}}
    assert lay_out(dict(reversed(graph.items()))).columns == 1000
