"""Drawings of graphs as SVG: boxes in columns, joined by arrows, in the reader's colours."""

from __future__ import annotations

from collections.abc import Hashable
from html import escape
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Box", "Drawing"]

_CHARACTER, _LINE, _GAP, _STEP = 7.5, 17, 22, 70
_STYLE = """\
<style>
.deltarule-graph text { font: 13px system-ui, sans-serif; fill: currentColor; text-anchor: middle }
.deltarule-graph .name { font-weight: 600 }
.deltarule-graph .slope { font-size: 11px; opacity: .75 }
.deltarule-graph rect { fill: none; stroke: currentColor; stroke-width: 1.2 }
.deltarule-graph .variable { fill: #4a90d9; fill-opacity: .16 }
.deltarule-graph path { fill: none; stroke: currentColor; stroke-opacity: .55 }
</style>"""


class Box(NamedTuple):
    """A node as it is drawn: lines of text, the first one bold."""

    lines: tuple[str, ...]
    variable: bool = False


class _Way(NamedTuple):
    """Where an arrow passes through a column between its ends."""

    source: Hashable
    target: Hashable
    column: int


class _Placed(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    box: Box


class Drawing:
    """Boxes in columns from left to right, and arrows between them."""

    def __init__(self) -> None:
        self._columns: dict[int, list[tuple[Hashable, Box]]] = {}
        self._arrows: list[tuple[Hashable, Hashable, str, float | None]] = []

    def add(self, key: Hashable, column: int, box: Box) -> None:
        """Place a box at the bottom of a column."""
        self._columns.setdefault(column, []).append((key, box))

    def connect(
        self, source: Hashable, target: Hashable, label: str = "", strength: float | None = None
    ) -> None:
        """Draw an arrow with a label; a strength in [-1, 1] gives its width and colour."""
        self._arrows.append((source, target, label, strength))

    def svg(self, title: str) -> str:
        """Return the drawing; ``title`` is what a screen reader says."""
        ways = self._ways()
        placed = self._place(ways)
        width = max(p.x + p.width for p in placed.values()) + 8
        height = max(p.y + p.height for p in placed.values()) + 8
        parts = [
            (
                f'<svg class="deltarule-graph" xmlns="http://www.w3.org/2000/svg" role="img" '
                f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:100%;height:auto" '
                f'width="{width:.0f}" height="{height:.0f}">'
            ),
            f"<title>{escape(title)}</title>",
            _STYLE,
            (
                '<defs><marker id="deltarule-arrow" viewBox="0 0 8 8" refX="7" refY="4" '
                'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
                '<path d="M0,0 L8,4 L0,8 Z" style="fill:currentColor;stroke:none"/></marker></defs>'
            ),
        ]
        for (a, b, label, strength), way in zip(self._arrows, ways, strict=True):
            stops = [placed[a], *(placed[stop] for stop in way), placed[b]]
            for first, second in pairwise(stops):
                last = second is stops[-1]
                parts.append(self._arrow(first, second, label if last else "", strength, last=last))
        parts += [self._box(one) for key, one in placed.items() if not isinstance(key, _Way)]
        return "\n".join([*parts, "</svg>"])

    def _ways(self) -> list[list[_Way]]:
        """Return the columns that each arrow passes through."""
        column = {key: c for c, boxes in self._columns.items() for key, _ in boxes}
        return [
            [_Way(a, b, c) for c in range(column[a] + 1, column[b])] for a, b, *_ in self._arrows
        ]

    def _place(self, ways: list[list[_Way]]) -> dict[Hashable, _Placed]:
        columns = {column: list(boxes) for column, boxes in self._columns.items()}
        for way in ways:
            for stop in way:
                columns[stop.column].append((stop, Box(())))
        heights = {
            column: sum(_height(box) + _GAP for _, box in boxes) - _GAP
            for column, boxes in columns.items()
        }
        tallest, x = max(heights.values()), 8.0
        placed: dict[Hashable, _Placed] = {}
        for column in sorted(columns):
            boxes = columns[column]
            width = max(_width(box) for _, box in boxes)
            y = 8 + (tallest - heights[column]) / 2
            for key, box in boxes:
                placed[key] = _Placed(x, y, width, _height(box), box)
                y += _height(box) + _GAP
            x += width + _STEP
        return placed

    @staticmethod
    def _box(one: _Placed) -> str:
        kind = ' class="variable"' if one.box.variable else ""
        lines = [
            (
                f'<rect{kind} x="{one.x:.1f}" y="{one.y:.1f}" width="{one.width:.1f}" '
                f'height="{one.height:.1f}" rx="6"/>'
            )
        ]
        for number, text in enumerate(one.box.lines):
            name = ' class="name"' if number == 0 else ""
            y = one.y + _LINE * (number + 1)
            lines.append(
                f'<text{name} x="{one.x + one.width / 2:.1f}" y="{y:.1f}">{escape(text)}</text>'
            )
        return "\n".join(lines)

    @staticmethod
    def _arrow(a: _Placed, b: _Placed, label: str, strength: float | None, *, last: bool) -> str:
        x1, y1 = a.x + a.width, a.y + a.height / 2
        x2, y2 = b.x - (2 if last else 0), b.y + b.height / 2
        bend = (x2 - x1) / 2
        marker = ' marker-end="url(#deltarule-arrow)"' if last else ""
        through = f"M{a.x:.1f},{y1:.1f} H{x1:.1f}" if not a.box.lines else f"M{x1:.1f},{y1:.1f}"
        if strength is not None:
            colour = "#3b82c4" if strength >= 0 else "#d9742b"  # apart for every colour vision
            width = 0.4 + 2.6 * abs(strength)
            marker = f' style="stroke:{colour};stroke-width:{width:.2f};stroke-opacity:.8"'
        path = (
            f'<path{marker} d="{through} '
            f'C{x1 + bend:.1f},{y1:.1f} {x2 - bend:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"/>'
        )
        if not label:
            return path
        t = _at(x1, bend, x2, x2 - _STEP / 2)
        x, y = _curve(x1, x1 + bend, x2 - bend, x2, t), _curve(y1, y1, y2, y2, t) - 5
        return f'{path}\n<text class="slope" x="{x:.1f}" y="{y:.1f}">{escape(label)}</text>'


def _curve(a: float, b: float, c: float, d: float, t: float) -> float:
    """Return a cubic Bézier curve at t."""
    u = 1 - t
    return u**3 * a + 3 * u * u * t * b + 3 * u * t * t * c + t**3 * d


def _at(x1: float, bend: float, x2: float, x: float) -> float:
    """Return the t at which an arrow is at x, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if _curve(x1, x1 + bend, x2 - bend, x2, middle) < x:
            low = middle
        else:
            high = middle
    return low


def _width(box: Box) -> float:
    return max([44.0, *(len(line) * _CHARACTER + 16 for line in box.lines)])


def _height(box: Box) -> float:
    return len(box.lines) * _LINE + 9
