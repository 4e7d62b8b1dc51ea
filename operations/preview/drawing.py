"""The dependency graph as SVG: one box per resource, coloured by its operation, and one line per dependency.

Colour is never the only mark: a sign and a word say the same. The colours are the page's (`--red`, ...), so the picture
follows its light or dark mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operations.preview.layers import Layout, lay_out
from operations.preview.markup import escape

_BOX_WIDTH, _BOX_HEIGHT = 236, 40
_COLUMN, _ROW = 300, 52
_LANE = (_ROW - _BOX_HEIGHT) // 2
_MARGIN = 16
# Characters that fit into a box at the style sheet's font sizes.
_NAME_LETTERS, _KIND_LETTERS = 25, 33


@dataclass(frozen=True)
class Node:
    """One resource in the picture."""

    key: str
    name: str
    kind: str  # the text below the name
    sign: str
    colour: str  # red, amber, green, plain, same: a class of the page
    anchor: str  # where a click leads: an id of the page
    label: str  # what a screen reader says
    dependencies: Sequence[str]


def draw(nodes: Sequence[Node], title: str) -> str:
    """An `<svg>` element."""
    by_key = {node.key: node for node in nodes}
    layout = lay_out({node.key: node.dependencies for node in nodes})
    width = 2 * _MARGIN + max(layout.columns - 1, 0) * _COLUMN + _BOX_WIDTH
    height = 2 * _MARGIN + max(layout.rows - 1, 0) * _ROW + _BOX_HEIGHT
    lines = [_edge(layout, edge, by_key) for edge in layout.edges]
    # Later elements are drawn on top: edges between changed resources come last.
    lines.sort(key=lambda line: "same" not in line)
    # In the order of keyboard focus: column by column.
    boxes = [_box(by_key[key], cell) for key, cell in sorted(layout.cells.items(), key=lambda item: item[1])]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="group" aria-label="{escape(title)}">',
            f'<g class="edges" aria-hidden="true">{"".join(lines)}</g>',
            *boxes,
            "</svg>",
        ]
    )


def _box(node: Node, cell: tuple[int, int]) -> str:
    x, y = _corner(cell)
    return (
        f'<a href="#{escape(node.anchor)}" aria-label="{escape(node.label)}" class="node {node.colour}">'
        f"<title>{escape(node.label)}</title>"
        f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="5"/>'
        f'<text class="sign" x="{x + 14}" y="{y + 26}" text-anchor="middle">{escape(node.sign)}</text>'
        f'<text class="name" x="{x + 28}" y="{y + 17}">{escape(_shortened(node.name, _NAME_LETTERS))}</text>'
        f'<text class="kind" x="{x + 28}" y="{y + 32}">{escape(_shortened(node.kind, _KIND_LETTERS))}</text></a>'
    )


def _edge(layout: Layout, edge: tuple[str, str], nodes: Mapping[str, Node]) -> str:
    (before_column, _), (after_column, _) = (layout.cells[key] for key in edge)
    (left, top), (right, bottom) = (_corner(layout.cells[key]) for key in edge)
    x1, y1, x2, y2 = left + _BOX_WIDTH, top + _BOX_HEIGHT // 2, right, bottom + _BOX_HEIGHT // 2
    gap = _COLUMN - _BOX_WIDTH
    if after_column - before_column == 1:
        path = f"M{x1} {y1}C{x1 + gap // 2} {y1} {x2 - gap // 2} {y2} {x2} {y2}"
    else:
        # Between two rows, so that the edge does not run behind unrelated boxes.
        lane = top + _BOX_HEIGHT + _LANE if bottom > top else top - _LANE
        path = (
            f"M{x1} {y1}C{x1 + gap // 2} {y1} {x1 + gap // 2} {lane} {x1 + gap} {lane}H{x2 - gap}"
            f"C{x2 - gap // 2} {lane} {x2 - gap // 2} {y2} {x2} {y2}"
        )
    quiet = any(nodes[key].colour == "same" for key in edge)
    return f'<path class="{"same" if quiet else "live"}" d="{path}"/>'


def _corner(cell: tuple[int, int]) -> tuple[int, int]:
    column, row = cell
    return _MARGIN + column * _COLUMN, _MARGIN + row * _ROW


def _shortened(text: str, letters: int) -> str:
    """Keep both ends of the text: names in one component begin alike."""
    if len(text) <= letters:
        return text
    return f"{text[: letters // 2]}…{text[-(letters - letters // 2 - 1) :]}"
