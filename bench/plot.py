"""The figures as an SVG: one bar per row, and the mark that it should not pass."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.measuring import Figure

_ROW, _LEFT, _BARS, _RIGHT = 34, 430, 420, 90
# Where a bar is cut off, in multiples of the row's target.
_LONGEST = 2.0


def plot(figures: Sequence[Figure], title: str) -> str:
    """Bars in multiples of each row's target, so that one mark serves all; a row whose target is 0 is a count."""
    width, height = _LEFT + _BARS + _RIGHT, 64 + _ROW * len(figures)
    mark = _LEFT + _BARS / _LONGEST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600" fill="#1f2328">{escape(title)}</text>',
        f'<text x="{mark:.0f}" y="46" text-anchor="middle" fill="#59636e">reach</text>',
    ]
    for number, figure in enumerate(figures):
        top = 54 + number * _ROW
        share = figure.ratio / figure.reach if figure.reach else (0.0 if figure.ratio == 0 else _LONGEST)
        length = min(share, _LONGEST) / _LONGEST * _BARS
        colour = "#2da44e" if figure.reached else "#bf8700"
        said = f"{figure.ratio:.2f} (reach {figure.reach:g})" if figure.reach else f"{figure.ratio:g}"
        lines += [
            f'<text x="{_LEFT - 12}" y="{top + 18}" text-anchor="end" fill="#1f2328">{escape(figure.name)}</text>',
            f'<rect x="{_LEFT}" y="{top + 5}" width="{max(length, 1):.1f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{_LEFT + length + 8:.1f}" y="{top + 18}" fill="#1f2328">{escape(said)}</text>',
        ]
    bottom = height - 8
    lines += [
        f'<path d="M{mark:.1f} 50V{bottom}" stroke="#1f2328" stroke-width="1" stroke-dasharray="4 3"/>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
