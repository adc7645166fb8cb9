"""Panels of matrix products, as LLVM functions: blocks of C stay in registers over all terms."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from deltarule.engine.kernels.simd import I64, Machine, Writer, integer

__all__ = ["ROW", "function", "over_panels", "row", "stack", "zeros"]

_LEVELS = 32  # of the tree in which shards are added
ROW = 8
"""Vectors of a row that are computed at once if A has no other row."""


def function(machine: Machine, module: Any, name: str, kinds: list[Any], write: Any) -> Any:
    """Return a function of a module, and write it first if the module does not have it yet."""
    name = f"deltarule_{name}_{machine.name}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    write(Writer(machine, builder), *function.args)
    builder.ret_void()
    return function


def stack(on, count):
    """Return the address of ``count`` numbers on the stack.

    Call it at the start of a function. ``cgutils.alloca_once`` would also fill them with zeros.
    """
    cell = on.builder.alloca(ir.ArrayType(on.machine.kind, count))
    cell.align = 64
    return on.builder.bitcast(cell, on.machine.pointer)


def zeros(on, vectors=2):
    """Return the address of a row of zeros, as long as a panel is wide or so many vectors."""
    kind = ir.ArrayType(on.machine.kind, vectors * on.machine.lanes)
    cell = cgutils.alloca_once(on.builder, kind)
    on.builder.store(ir.Constant(kind, None), cell)
    return on.builder.bitcast(cell, on.machine.pointer)


# --- a panel: all rows, two vectors of columns ------------------------------------------------


def _panel(machine: Machine, module: Any, vectors: int, masked: bool, of_shards: bool) -> Any:
    """C (m, columns) ← start + A B, blocks of rows over as many columns as vectors hold.

    With shards, ``start`` is their bounds and k their number: C is the sum of their products.
    """

    def write(on, a, down, along, b, ldb, start, lds, c, ldc, m, k, columns):
        builder, most = on.builder, machine.rows
        masks = [
            on.mask(builder.sub(columns, integer(v * machine.lanes))) if masked else None
            for v in range(vectors)
        ]
        waiting = bounds = None
        if of_shards:
            waiting = stack(on, _LEVELS * most * vectors * machine.lanes)
            bounds = builder.bitcast(start, I64.as_pointer())

        def block(rows: int, i: Any) -> None:
            if of_shards:
                rest = (on, a, down, along, b, ldb, bounds, k, waiting, c, ldc)
                _block_of_shards(*rest, rows, i, masks)
            else:
                _block(on, a, down, along, b, ldb, start, lds, c, ldc, k, rows, i, masks)

        # The last block of rows overlaps rows that are done, and computes the same numbers again;
        # not if sums start from C itself (lds ≠ 0), which would add twice.
        row = cgutils.alloca_once_value(builder, integer(0))
        head, body, end = (builder.append_basic_block(n) for n in ("rows", "row", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.load(row)
        left = builder.sub(m, i)
        builder.cbranch(builder.icmp_signed(">", left, integer(0)), body, end)
        builder.position_at_end(body)
        same = builder.icmp_signed("==", lds, integer(0))
        within_reach = builder.select(same, m, left)

        def fits(least: int, rows: int) -> Any:
            many = builder.icmp_signed(">=", left, integer(least))
            return builder.and_(many, builder.icmp_signed(">=", within_reach, integer(rows)))

        def reaching(rows: int) -> None:
            back = builder.sub(m, integer(rows))
            low = builder.select(builder.icmp_signed("<", i, back), i, back)
            block(rows, low)
            builder.store(builder.add(low, integer(rows)), row)

        half = most // 2
        with builder.if_else(fits(half + 1, most)) as (yes, no):
            with yes:
                reaching(most)
            with no, builder.if_else(fits(3, half)) as (some, few):
                with some:
                    reaching(half)
                with few, builder.if_else(fits(2, 2)) as (two, one):
                    with two:
                        reaching(2)
                    with one:
                        reaching(1)
        builder.branch(head)
        builder.position_at_end(end)

    i, p = I64, machine.pointer
    kinds = [p, i, i, p, i, p, i, p, i, i, i, i]
    name = f"panel_{vectors}{'m' if masked else ''}{'_of_shards' if of_shards else ''}"
    return function(machine, module, name, kinds, write)


def _block(on, a, down, along, b, ldb, start, lds, c, ldc, k, rows, i, masks):
    """Write a block of C: a loop over k that keeps the block in registers."""
    begins = [
        on.load(on.at(p, integer(v * on.machine.lanes)), mask)
        for p in _rows_of(on, start, lds, rows, i)
        for v, mask in enumerate(masks)
    ]
    corner = on.at(a, on.builder.mul(i, down))
    sums = _sums(on, corner, down, along, b, ldb, k, begins, rows, masks)
    _store_block(on, sums, c, ldc, rows, i, masks)


def _rows_of(on, base, leading, rows, i):
    """Return the addresses of rows i, i + 1, … of a matrix."""
    numbers = [on.builder.add(i, integer(r)) for r in range(rows)]
    return [on.at(base, on.builder.mul(number, leading)) for number in numbers]


def _store_block(on, sums, c, ldc, rows, i, masks):
    values = iter(sums)
    for p in _rows_of(on, c, ldc, rows, i):
        for v, mask in enumerate(masks):
            on.store(next(values), on.at(p, integer(v * on.machine.lanes)), mask)


def _sums(on, corner, down, along, b, ldb, k, begins, rows, masks):
    """Write the loop over k > 0 terms; return the sums, which start from ``begins``."""
    builder, lanes = on.builder, on.machine.lanes
    offsets = [builder.mul(down, integer(r)) for r in range(rows)]
    before = builder.block
    loop, end = builder.append_basic_block("k"), builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    left, left_at = builder.phi(I64), builder.phi(corner.type)
    right_at = builder.phi(b.type)
    sums = [builder.phi(on.machine.vector) for _ in begins]
    right = [on.load(on.at(right_at, integer(v * lanes)), m) for v, m in enumerate(masks)]
    after = []
    for r in range(rows):
        entry = on.broadcast(on.at(left_at, offsets[r]))
        for v, vector_of_b in enumerate(right):
            after.append(on.multiply_add(entry, vector_of_b, sums[r * len(masks) + v]))
    fewer = builder.sub(left, integer(1))
    pairs = [(left, k, fewer), (left_at, corner, on.at(left_at, along)),
             (right_at, b, on.at(right_at, ldb)),
             *zip(sums, begins, after, strict=True)]  # fmt: skip
    builder.cbranch(builder.icmp_signed(">", fewer, integer(0)), loop, end)
    for phi, first, following in pairs:
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    builder.position_at_end(end)
    return after


def _block_of_shards(on, a, down, along, b, ldb, bounds, count, waiting, c, ldc, rows, i, masks):
    """Write a block of C: the products of shards of the terms, added in a balanced binary tree.

    Sums that wait for their right neighbour stand in a stack, ``waiting``; after shard s, as many
    pairs are complete as s has trailing ones in binary. The last sum is that of all.
    """
    builder, lanes, n = on.builder, on.machine.lanes, rows * len(masks)
    nothing = [ir.Constant(on.machine.vector, None)] * n
    corner = on.at(a, builder.mul(i, down))
    names = ("shard", "some", "joined", "pairs", "pair", "wait", "all")
    head, some, joined, pairs, pair, wait, end = map(builder.append_basic_block, names)
    before = builder.block
    builder.branch(head)

    builder.position_at_end(head)
    shard, level = builder.phi(I64), builder.phi(I64)
    low = builder.load(builder.gep(bounds, [shard]))
    following = builder.add(shard, integer(1))
    terms = builder.sub(builder.load(builder.gep(bounds, [following])), low)
    builder.cbranch(builder.icmp_signed(">", terms, integer(0)), some, joined)

    builder.position_at_end(some)
    left, right = on.at(corner, builder.mul(low, along)), on.at(b, builder.mul(low, ldb))
    computed = _sums(on, left, down, along, right, ldb, terms, nothing, rows, masks)
    computed_in = builder.block
    builder.branch(joined)

    builder.position_at_end(joined)
    sums = [builder.phi(on.machine.vector) for _ in range(n)]
    builder.branch(pairs)

    builder.position_at_end(pairs)
    added = [builder.phi(on.machine.vector) for _ in range(n)]
    ones, height = builder.phi(I64), builder.phi(I64)
    is_odd = builder.icmp_signed("!=", builder.and_(ones, integer(1)), integer(0))
    builder.cbranch(is_odd, pair, wait)

    def places(at: Any) -> list[Any]:
        base = on.at(waiting, builder.mul(at, integer(n * lanes)))
        return [on.at(base, integer(x * lanes)) for x in range(n)]

    builder.position_at_end(pair)
    lower = builder.sub(height, integer(1))
    both = [builder.fadd(on.load(p), x) for p, x in zip(places(lower), added, strict=True)]
    rest = builder.ashr(ones, integer(1))
    builder.branch(pairs)

    builder.position_at_end(wait)
    for p, x in zip(places(height), added, strict=True):
        on.store(x, p)
    higher = builder.add(height, integer(1))
    builder.cbranch(builder.icmp_signed("<", following, count), head, end)

    for phi, first, then in ((shard, integer(0), following), (level, integer(0), higher)):
        phi.add_incoming(first, before)
        phi.add_incoming(then, wait)
    for x, phi in enumerate(sums):
        phi.add_incoming(nothing[x], head)
        phi.add_incoming(computed[x], computed_in)
    for phi, first, then in (*zip(added, sums, both, strict=True), (ones, shard, rest),
                             (height, level, lower)):  # fmt: skip
        phi.add_incoming(first, joined)
        phi.add_incoming(then, pair)
    builder.position_at_end(end)
    _store_block(on, added, c, ldc, rows, i, masks)


def over_panels(on, arguments, columns, *, of_shards=False):
    """Write a call of the panel function that fits the number of columns."""
    machine, builder, module = on.machine, on.builder, on.builder.module
    lanes = machine.lanes

    def panel(vectors: int, masked: bool) -> None:
        builder.call(_panel(machine, module, vectors, masked, of_shards), [*arguments, columns])

    whole = builder.icmp_signed(">=", columns, integer(2 * lanes))
    with builder.if_else(whole) as (full, part):
        with full:
            panel(2, False)
        with part:
            wide = builder.icmp_signed(">", columns, integer(lanes))
            with builder.if_else(wide) as (two, one):
                with two:
                    panel(2, True)
                with one:
                    panel(1, True)


def row(machine: Machine, module: Any) -> Any:
    """One row of C over several vectors of columns: two would wait for each other's sums."""

    def write(on, a, along, b, ldb, start, c, k):
        zero = integer(0)
        _block(on, a, zero, along, b, ldb, start, zero, c, zero, k, 1, zero, [None] * ROW)

    i, p = I64, machine.pointer
    return function(machine, module, "row", [p, i, p, i, p, p, i], write)
