"""A picture of a table: a histogram of each column, the target's first, and the missing cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.tables import ColumnValues, DataValues
from deltarule.tables.dates import DAY
from deltarule.tables.record import DateNotation

__all__ = ["draw_data"]

# Blue and vermilion of Okabe and Ito (2008), which colour-blind people can tell apart.
_COLUMN, _TARGET, _INK, _QUIET = "#0072B2", "#D55E00", "#222222", "#666666"
_ACROSS = 4
_BARS = 7
"""Categories that are drawn one by one."""
_MOST_MISSING = 20
"""Columns whose missing cells are drawn."""
_NAME = 26
"""Characters of a name that fit above a panel."""


def draw_data(values: DataValues) -> Any:
    """Return a figure of the values of a table's columns."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, max(len(values.columns), 2))
    down = -(-len(values.columns) // across)
    bars = min(len(values.missing), _MOST_MISSING)
    heights = [1.0] * down + [0.25 + 0.13 * bars]
    figure = Figure(figsize=(2.7 * across, 0.5 + 1.9 * sum(heights)), layout="constrained")
    grid = figure.add_gridspec(down + 1, across, height_ratios=heights)
    for number, column in enumerate(values.columns):
        ax = figure.add_subplot(grid[number // across, number % across])
        _draw_column(ax, column, values)
    _draw_missing(figure.add_subplot(grid[down, :]), values)
    figure.suptitle(_heading(values), fontsize=10, color=_INK)
    return figure


def _heading(values: DataValues) -> str:
    words = [f"{values.rows:,} rows".replace(",", "\N{NARROW NO-BREAK SPACE}")]
    if values.omitted:
        words.append(f"{values.omitted} more columns are not drawn")
    if values.sampled:
        words.append("numbers and dates: a sample of 16384 rows")
    return "; ".join(words)


def _draw_column(ax: Any, values: ColumnValues, data: DataValues) -> None:
    """Draw the values of a column: a histogram, or bars of its categories."""
    column, is_target = values.column, values.column.name == data.target
    colour = _TARGET if is_target else _COLUMN
    words = ["target"] * is_target
    if values.numbers is None:
        words.append(f"{len(values.counts)} classes" if is_target else column.in_words)
        _draw_bars(ax, values.counts, colour)
    else:
        words.append(column.in_words)
        words += _draw_histogram(ax, values, colour)
    if column.name in data.missing:
        words.append(f"{_percent(data.missing[column.name])} missing")
    ax.set_title(_cut(column.name, _NAME), fontsize=9, loc="left", pad=15, parse_math=False,
                 color=colour if is_target else _INK, fontweight="bold")  # fmt: skip
    ax.text(0, 1.03, ", ".join(words), transform=ax.transAxes, fontsize=7, color=_QUIET,
            parse_math=False)  # fmt: skip
    ax.tick_params(labelsize=7, length=2, colors=_INK)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_histogram(ax: Any, values: ColumnValues, colour: str) -> list[str]:
    """Draw numbers or dates; return what is special about the picture."""
    numbers = values.numbers
    assert numbers is not None
    said: list[str] = []
    if len(numbers) == 0:
        return said
    low, high = np.quantile(numbers, [0.005, 0.995])
    if 0 < high - low < 0.2 * np.ptp(numbers):
        numbers = numbers[(numbers >= low) & (numbers <= high)]
        said.append("the middle 99 %")
    notation = values.column.notation
    is_date = isinstance(notation, DateNotation) and notation.form != "time"
    if isinstance(notation, DateNotation) and not is_date:
        numbers = numbers / 3600  # times of day, in hours
        said.append("hours")
    count = int(np.clip(np.sqrt(len(numbers)), 5, 30))
    whole = not is_date and bool((numbers == np.round(numbers)).all())
    if whole and np.ptp(numbers) <= 20 * count:  # each bar has equally many whole numbers
        step = max(1, round(np.ptp(numbers) / count))
        edges = np.arange(numbers.min() - 0.5, numbers.max() + step, step)
    else:
        edges = np.histogram_bin_edges(numbers, count)
    heights, edges = np.histogram(numbers, edges)
    ax.bar(edges[:-1], heights, np.diff(edges), align="edge", color=colour, edgecolor="white",
           linewidth=0.4)  # fmt: skip
    if is_date:
        _date_axis(ax, float(numbers.min()), float(numbers.max()))
    else:
        ax.locator_params(axis="x", nbins=4, integer=whole)
        ax.ticklabel_format(axis="x", scilimits=(-3, 5), useOffset=False)
        ax.xaxis.get_offset_text().set_fontsize(7)
    _count_axis(ax.yaxis, int(heights.max()))
    ax.set_ylim(0, heights.max() * 1.05)
    return said


def _draw_bars(ax: Any, counts: dict[str, int], colour: str) -> None:
    """Draw how often categories occur, the most frequent on top, and the others together."""
    shown = list(counts.items())
    if len(shown) > _BARS + 1:
        rest = shown[_BARS:]
        shown = [*shown[:_BARS], (f"{len(rest)} others", sum(count for _, count in rest))]
    names = [_cut(name, 14) or "(blank)" for name, _ in shown]
    places = np.arange(len(shown))
    drawn = ax.barh(places, [count for _, count in shown], 0.75, color=colour)
    if len(names) < len(counts):
        drawn[-1].set_color(_QUIET)
    ax.set_yticks(places, names)
    ax.set_ylim(max(len(shown), 3) - 0.4, -0.6)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    _count_axis(ax.xaxis, max((count for _, count in shown), default=0))


def _draw_missing(ax: Any, values: DataValues) -> None:
    """Draw the shares of missing cells of the columns that have some."""
    shown = list(values.missing.items())[:_MOST_MISSING]
    ax.spines[["top", "right"]].set_visible(False)
    more = len(values.missing) - len(shown)
    title = "missing cells" + (f" (and {more} more columns)" if more else "")
    if not shown:
        ax.axis("off")
        title = "no cell is missing"
    ax.set_title(title, fontsize=9, loc="left", color=_INK, fontweight="bold")
    if not shown:
        return
    places = np.arange(len(shown))
    shares = [100 * share for _, share in shown]
    colours = [_TARGET if name == values.target else _COLUMN for name, _ in shown]
    ax.barh(places, shares, 0.7, color=colours)
    for place, (_, share) in enumerate(shown):
        ax.annotate(_percent(share), (100 * share, place), (3, 0), textcoords="offset points",
                    fontsize=7, va="center", color=_INK)  # fmt: skip
    ax.set_yticks(places, [_cut(name, _NAME) for name, _ in shown])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlim(0, max(5, min(108, 1.15 * max(shares))))
    ax.tick_params(labelsize=7, length=2, colors=_INK)
    ax.set_xlabel("per cent of the rows", fontsize=7, color=_QUIET)


def _date_axis(ax: Any, first: float, last: float) -> None:
    """Place ticks at the first and the last date, with the time of day if they are near."""
    ends = [first, last] if last > first else [first]
    texts = [str(np.datetime64(round(end), "s")).replace("T", " ") for end in ends]
    texts = [text[:16] if last - first < 2 * DAY else text[:10] for text in texts]
    ax.set_xticks(ends, texts)
    for label, side in zip(ax.get_xticklabels(), ("left", "right"), strict=False):
        label.set_horizontalalignment(side if len(ends) > 1 else "center")


def _count_axis(axis: Any, most: int) -> None:
    """Place ticks at 0 and at the largest count."""
    axis.set_ticks([0, most] if most else [0])


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def _cut(name: str, most: int) -> str:
    """Return a name on one line, cut so that it fits."""
    text = "".join(c if c.isprintable() else " " for c in name)
    return text if len(text) <= most else text[: most - 1] + "…"
