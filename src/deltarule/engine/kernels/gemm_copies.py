"""Copies of factors of matrix products into the order in which a panel reads them."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils

from deltarule.engine.kernels.gemm_panels import function
from deltarule.engine.kernels.simd import I64, Machine, integer

__all__ = ["copy_panel", "copy_strips", "least", "strip_space", "transpose_panel"]


def least(on, a, b):
    """Return the smaller one of two integers."""
    return on.builder.select(on.builder.icmp_signed("<", a, b), a, b)


def copy_panel(machine: Machine, module: Any) -> Any:
    """``(source, leading, columns, depth, panel, ahead)``: rows of a panel, side by side."""
    p, i = machine.pointer, I64
    return function(machine, module, "copy", [p, i, i, i, p, p], _write_copy)


def copy_strips(machine: Machine, module: Any) -> Any:
    """``(source, leading, count, length, target)``: the starts of rows, cut into strips."""
    p, i = machine.pointer, I64
    return function(machine, module, "gather", [p, i, i, i, p], _write_gather)


def transpose_panel(machine: Machine, module: Any) -> Any:
    """``(source, leading, columns, depth, panel)``: rows of a matrix, as columns of a panel."""
    p, i = machine.pointer, I64
    return function(machine, module, "transpose", [p, i, i, i, p], _write_transpose)


def strip_space(machine: Machine) -> int:
    """Return how many numbers a strip takes: what is stored past its end is in its own space."""
    return machine.depth * machine.strip + machine.lanes


def _write_gather(on, source, leading, count, length, target):
    """Copy the starts of so many rows, ``length`` numbers each, cut into strips.

    The numbers of a strip lie side by side, row after row. A vector that is stored may reach into
    the next row, which is stored after it.
    """
    builder, lanes, strip = on.builder, on.machine.lanes, on.machine.strip
    with cgutils.for_range(builder, count) as loop:
        row = on.at(source, builder.mul(loop.index, leading))
        place = on.at(target, builder.mul(loop.index, integer(strip)))
        with cgutils.for_range_slice(builder, integer(0), length, integer(strip), I64) as (x, _):
            number = builder.sdiv(x, integer(strip))
            copy = on.at(place, builder.mul(number, integer(strip_space(on.machine))))
            for y in range(0, strip, lanes):
                first = builder.add(x, integer(y))
                mask = on.mask(builder.sub(length, first))
                on.store(on.load(on.at(row, first), mask), on.at(copy, integer(y)))


def _write_copy(on, source, leading, columns, depth, panel, ahead):
    """Copy ``depth`` rows of a panel to adjacent memory, and prefetch the rows after them."""
    builder, lanes = on.builder, on.machine.lanes
    masks = [on.mask(builder.sub(columns, integer(v * lanes))) for v in (0, 1)]
    with cgutils.for_range(builder, depth) as loop:
        row = on.at(source, builder.mul(loop.index, leading))
        target = on.at(panel, builder.mul(loop.index, integer(2 * lanes)))
        next_row = on.at(ahead, builder.mul(loop.index, leading))
        for v, mask in enumerate(masks):
            place = integer(v * lanes)
            on.prefetch(on.at(next_row, place))
            on.store(on.load(on.at(row, place), mask), on.at(target, place))


def _write_transpose(on, source, leading, columns, depth, panel):
    """Copy rows of ``depth`` numbers as columns, one square of vectors at a time."""
    builder, lanes = on.builder, on.machine.lanes
    step = integer(lanes)
    last = builder.sub(columns, integer(1))
    with cgutils.for_range_slice(builder, integer(0), columns, step, I64) as (j, _):
        rows = [  # past the last row, the last again: those columns of C are never stored
            on.at(source, builder.mul(leading, least(on, builder.add(j, integer(r)), last)))
            for r in range(lanes)
        ]
        with cgutils.for_range_slice(builder, integer(0), depth, step, I64) as (low, _):
            mask = on.mask(builder.sub(depth, low))
            square = _transposed(on, [on.load(on.at(row, low), mask) for row in rows])
            for r, column in enumerate(square):
                row = builder.mul(builder.add(low, integer(r)), integer(2 * lanes))
                on.store(column, on.at(panel, builder.add(row, j)))


def _transposed(on, rows):
    """Return the transpose of a square of vectors, by shuffles of one instruction each.

    First within parts of 128 bits, by interleaving numbers, then pairs of numbers; then between
    parts, by separating the even ones from the odd ones.
    """
    lanes = len(rows)
    part = min(lanes, 16 // on.machine.size)
    unit = 1
    while unit < part:
        halves = [
            [
                from_b * lanes + first + half * (part // 2) + place
                for first in range(0, lanes, part)
                for at in range(0, part // 2, unit)
                for from_b in (0, 1)
                for place in range(at, at + unit)
            ]
            for half in (0, 1)
        ]
        following = list(rows)
        for base in range(0, lanes, 2 * unit):
            for e in range(unit):
                a, b = rows[base + e], rows[base + unit + e]
                following[base + 2 * e] = on.shuffle(a, b, halves[0])
                following[base + 2 * e + 1] = on.shuffle(a, b, halves[1])
        rows, unit = following, 2 * unit

    def gathered(vectors: list[Any]) -> list[Any]:
        if len(vectors) == 1:
            return vectors
        by_parity = []
        for parity in (0, 1):
            order = [x for x in range(2 * lanes) if x // part % 2 == parity]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            by_parity.append(gathered([on.shuffle(a, b, order) for a, b in pairs]))
        return [v for pair in zip(*by_parity, strict=True) for v in pair]

    columns = [gathered(rows[e::part]) for e in range(part)]
    return [columns[x % part][x // part] for x in range(lanes)]
