"""Curves over epochs as SVG, and tables as HTML, in the reader's colours: for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite

__all__ = ["curves_svg", "facts_html", "report_html"]

_WIDTH, _HEIGHT = 420, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 12, 12, 40
_MOST_POINTS = 400
_COLOURS = ("#3b82c4", "#d9742b", "#2a9d6f")  # apart for every colour vision
_DASHES = ("", "6 3", "2 3")
_STYLE = """\
<style>
.deltarule-report { font-family: system-ui, sans-serif }
.deltarule-report h4 { margin: .3rem 0 }
.deltarule-report table { border-collapse: collapse; margin: .3rem 0 }
.deltarule-report th { text-align: left; font-weight: 600; padding: .1rem .8rem .1rem 0 }
.deltarule-report td { text-align: left; padding: .1rem 0 }
.deltarule-report svg { display: block; max-width: 100%; height: auto }
.deltarule-report text { font: 12px system-ui, sans-serif; fill: currentColor }
</style>"""


def report_html(title: str, *parts: str) -> str:
    """Return parts below a title, with the style that all reports share."""
    body = "\n".join(part for part in parts if part)
    return f'<div class="deltarule-report">{_STYLE}<h4>{escape(title)}</h4>\n{body}</div>'


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<table>{rows}</table>"


def curves_svg(
    title: str, curves: Mapping[str, Sequence[float]], *, mark: int | None = None
) -> str:
    """Return curves over the epochs 1, 2, … as a drawing; "" if none has a finite value.

    Of a long curve every k-th point is drawn, and the last one.

    Parameters
    ----------
    title : str
        What a screen reader says.
    curves : dict of str to sequence of float
        Up to three; values that are not finite are left out.
    mark : int, optional
        An epoch with a line through it, such as the best one.
    """
    points = {name: _points(values) for name, values in curves.items()}
    points = {name: found for name, found in points.items() if found}
    if not points:
        return ""
    heights = [y for found in points.values() for _, y in found]
    low, high = min(heights), max(heights)
    high = high if high > low else low + (abs(low) or 1.0)
    last = max(2, *(len(values) for values in curves.values()))

    def x_of(epoch: float) -> float:
        return _LEFT + (epoch - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    base = _HEIGHT - _BOTTOM
    axis = 'fill="none" stroke="currentColor" stroke-opacity=".5"'
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" '
            f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(title)}</title>'
        ),
        f'<path {axis} d="M{_LEFT},{_TOP} V{base} H{_WIDTH - _RIGHT}"/>',
        _text(_LEFT - 6, _TOP + 8, f"{high:.3g}", "end"),
        _text(_LEFT - 6, base, f"{low:.3g}", "end"),
        _text(_LEFT, base + 15, "1", "middle"),
        _text(_WIDTH - _RIGHT, base + 15, f"epoch {last}", "end"),
    ]
    if mark is not None:
        parts.append(
            f'<path {axis} stroke-dasharray="2 4" d="M{x_of(mark):.1f},{_TOP} V{base}">'
            f"<title>epoch {mark}</title></path>"
        )
    for number, (name, found) in enumerate(points.items()):
        pen = f'stroke="{_COLOURS[number % 3]}" stroke-width="2"'
        dash = _DASHES[number % 3]
        pen += f' stroke-dasharray="{dash}"' if dash else ""
        way = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in found)
        parts.append(
            f'<polyline fill="none" {pen} points="{way}"/>'
            if len(found) > 1
            else f'<circle fill="{_COLOURS[number % 3]}" r="3" cx="{x_of(found[0][0]):.1f}" '
            f'cy="{y_of(found[0][1]):.1f}"/>'
        )
        x = _LEFT + number * 125
        parts.append(f'<path fill="none" {pen} d="M{x},{_HEIGHT - 8} h22"/>')
        parts.append(_text(x + 27, _HEIGHT - 4, name, "start"))
    return "\n".join([*parts, "</svg>"])


def _points(values: Sequence[float]) -> list[tuple[int, float]]:
    n = len(values)
    step = max(1, -(-n // _MOST_POINTS))
    epochs = sorted({*range(0, n, step), n - 1} if n else ())
    numbers = ((epoch + 1, float(values[epoch])) for epoch in epochs)
    return [(epoch, value) for epoch, value in numbers if isfinite(value)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
