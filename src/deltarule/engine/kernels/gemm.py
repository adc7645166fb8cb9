"""Matrix products without packing, written as LLVM instructions: blocks of C stay in registers.

BLAS first packs both factors into an order that suits it; for a network's layers that costs as
much as it saves. Here both are read in place, row-major. Only a right factor that is transposed, or
has long rows, is copied: one panel at a time, to the thread's stack. So is a transposed left factor
with very long rows, and on short vectors one beside very long rows.

An entry of C is one chain of fused multiply-adds over k, in order, that starts from the bias or 0,
whatever block it belongs to. So its bits depend neither on m and n nor on how a product is cut into
rows or columns.

A sum over shards of the terms is computed block by block, too: the sums of the shards wait for
their neighbours on the stack, and C is written once.

The loops are LLVM instructions on vectors of the processor's width: Numba would not keep these
blocks in registers, and its flags would let the optimiser reorder the sums.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from deltarule.engine.kernels.gemm_copies import (
    copy_panel,
    copy_strips,
    least,
    strip_space,
    transpose_panel,
)
from deltarule.engine.kernels.gemm_panels import ROW, over_panels, row, stack, zeros
from deltarule.engine.kernels.simd import I32, I64, Machine, Writer, integer

__all__ = ["PRODUCTS", "compile_product"]

_DEPTH = (
    512  # terms of a sum in one pass over a panel's rows, so that the panel stays in the caches
)
_PANEL = 384  # the same if the panel is copied to the stack: 48 KB at most
_LEAST_ROWS = 48  # of A, for which it is worth copying a panel
_FAR_ROW = 2**15  # the same; beyond it the rows of Aᵀ, each on pages of its own, are copied


def _write_product(on, a, down, along, b, ldb, bias, c, ldc, m, n, k):
    builder, machine = on.builder, on.machine
    nothing, width = zeros(on, ROW), 2 * machine.lanes
    panel = stack(on, _PANEL * width)
    has_bias = builder.icmp_unsigned("!=", builder.ptrtoint(bias, I64), integer(0))

    # The columns of a row alone that fill many vectors come first; those that are left are a panel.
    together = integer(ROW * machine.lanes)
    is_row = builder.icmp_signed("==", m, integer(1))
    done = builder.select(is_row, builder.sub(n, builder.srem(n, together)), integer(0))
    with cgutils.for_range_slice(builder, integer(0), done, together, I64) as (j, _):
        begin = builder.select(has_bias, on.at(bias, j), nothing)
        given = [a, along, on.at(b, j), ldb, begin, on.at(c, j), k]
        builder.call(row(machine, builder.module), given)
    b, bias, c, n = on.at(b, done), on.at(bias, done), on.at(c, done), builder.sub(n, done)

    def multiply(packs: Any, low: Any, j: Any, ahead: Any, depth: Any,
                 strips: Any) -> None:  # fmt: skip
        """Multiply rows of A and one panel of B, from memory or from a copy.

        ``strips(compute)`` calls ``compute(left, top, rows)`` for the rows from ``top`` on.
        """
        columns = least(on, builder.sub(n, j), integer(width))
        source = on.at(b, builder.add(builder.mul(low, ldb), j))
        with cgutils.if_unlikely(builder, packs):
            copy = copy_panel(machine, builder.module)
            following = on.at(b, builder.add(builder.mul(ahead[0], ldb), ahead[1]))
            builder.call(copy, [source, ldb, columns, depth, panel, following])
        right = builder.select(packs, panel, source)
        leading = builder.select(packs, integer(width), ldb)
        begin = builder.select(has_bias, on.at(bias, j), nothing)

        def compute(left: list[Any], top: Any, rows: Any) -> None:
            target = on.at(c, builder.add(builder.mul(top, ldc), j))
            start, lds = _start(on, low, begin, target, ldc)
            given = [*left, right, leading, start, lds, target, ldc, rows, depth]
            over_panels(on, given, columns)

        strips(compute)

    def whole() -> None:
        # Rows that lie a page, or a part of one, apart evict each other from the caches.
        many, long = (
            builder.icmp_signed(">=", value, integer(fewest))
            for value, fewest in ((m, _LEAST_ROWS), (ldb, machine.long_row // machine.size))
        )
        packs = builder.and_(many, long)
        high, depth = m, integer(_DEPTH)
        if machine.high is not None:
            high = integer(machine.high)
            tall = builder.icmp_signed(">", m, high)
            depth = builder.select(tall, integer(_DEPTH // 2), depth)
        step = builder.select(packs, integer(_PANEL), depth)
        with (  # all columns beside a part of A, which is as large as a cache
            cgutils.for_range_slice(builder, integer(0), k, step, I64) as (low, _),
            cgutils.for_range_slice(builder, integer(0), m, high, I64) as (top, _),
            cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _),
        ):
            following = builder.add(j, integer(width))
            ends = builder.icmp_signed(">=", following, n)
            row = builder.select(ends, builder.add(low, step), low)
            column = builder.select(ends, integer(0), following)
            corner = on.at(a, builder.add(builder.mul(top, down), builder.mul(low, along)))
            depth = least(on, builder.sub(k, low), step)
            rows = least(on, builder.sub(m, top), high)
            multiply(
                packs, low, j, (row, column), depth,
                lambda compute: compute([corner, down, along], top, rows),
            )  # fmt: skip

    def by_columns(room: Any) -> None:
        """Copy both factors: strips of columns of Aᵀ, and a panel of B for these."""
        copy = copy_strips(machine, builder.module)
        at_once, strip = machine.strips * machine.strip, machine.strip
        with (
            cgutils.for_range_slice(builder, integer(0), k, integer(machine.depth), I64) as (
                low,
                _,
            ),
            cgutils.for_range_slice(builder, integer(0), m, integer(at_once), I64) as (top, _),
        ):
            depth = least(on, builder.sub(k, low), integer(machine.depth))
            rows = least(on, builder.sub(m, top), integer(at_once))
            source = on.at(a, builder.add(builder.mul(low, along), builder.mul(top, down)))
            builder.call(copy, [source, along, depth, rows, room])

            def over_strips(compute: Any) -> None:
                each = cgutils.for_range_slice(builder, integer(0), rows, integer(strip), I64)
                with each as (first, _):
                    number = builder.sdiv(first, integer(strip))
                    left = on.at(room, builder.mul(number, integer(strip_space(machine))))
                    count = least(on, builder.sub(rows, first), integer(strip))
                    compute([left, integer(1), integer(strip)], builder.add(top, first), count)

            with cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _):
                following = builder.add(j, integer(width))
                ends = builder.icmp_signed(">=", following, n)
                ahead = low, builder.select(ends, integer(0), following)
                multiply(ir.Constant(ir.IntType(1), 1), low, j, ahead, depth, over_strips)

    room = stack(on, machine.strips * strip_space(machine))
    is_transposed = builder.icmp_signed("!=", along, integer(1))
    copies = builder.and_(is_transposed, _is_far(on, along, n))
    with builder.if_else(copies) as (copied, in_place):
        with copied:
            by_columns(room)
        with in_place:
            whole()


def _is_far(on, along, n):
    """Return whether rows of Aᵀ, ``along`` apart, are to be copied beside n columns of B."""
    builder, machine = on.builder, on.machine
    width = 2 * machine.lanes
    is_far = builder.icmp_signed(">=", along, integer(_FAR_ROW // machine.size))
    if machine.far_row is not None:
        beside = builder.icmp_signed(">=", n, integer(machine.far_row // machine.size))
        apart = builder.icmp_signed(">=", along, integer(machine.far_column // machine.size))
        several = builder.icmp_signed(">", n, integer(width))
        half = machine.far_column // 2 // machine.size
        nearly = builder.icmp_signed(">=", along, integer(half))
        many = builder.icmp_signed(">", n, integer(8 * width))
        for one in (beside, builder.and_(apart, several), builder.and_(nearly, many)):
            is_far = builder.or_(is_far, one)
    return is_far


def _start(on, low, begin, target, ldc):
    """Return what sums over k from ``low`` on start with: the bias row, or the sums so far in C."""
    is_first = on.builder.icmp_signed("==", low, integer(0))
    start = on.builder.select(is_first, begin, target)
    return start, on.builder.select(is_first, integer(0), ldc)


# --- a sum over shards ------------------------------------------------------------------------


def _write_product_of_shards(on, a, along, b, ldb, c, ldc, m, n, bounds, count):
    """C (m, n) ← Σ Aᵀ B over shards of their rows, of which there are at most ``machine.depth``."""
    builder, machine = on.builder, on.machine
    width, strip, at_once = 2 * machine.lanes, machine.strip, machine.strips * machine.strip
    room, panel = stack(on, machine.strips * strip_space(machine)), stack(on, _PANEL * width)
    copy, gather = copy_panel(machine, builder.module), copy_strips(machine, builder.module)
    last = builder.gep(builder.bitcast(bounds, I64.as_pointer()), [count])
    depth, copies = builder.load(last), _is_far(on, along, n)
    with cgutils.for_range_slice(builder, integer(0), m, integer(at_once), I64) as (top, _):
        rows = least(on, builder.sub(m, top), integer(at_once))
        corner = on.at(a, top)
        with builder.if_then(copies):
            builder.call(gather, [corner, along, depth, rows, room])
        with cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _):
            columns = least(on, builder.sub(n, j), integer(width))
            ahead = on.at(b, builder.add(j, integer(width)))
            builder.call(copy, [on.at(b, j), ldb, columns, depth, panel, ahead])
            # In place, all rows are one strip, whose entries in a column are ``along`` apart.
            at_a_time = builder.select(copies, integer(strip), rows)
            apart = builder.select(copies, integer(strip), along)
            with cgutils.for_range_slice(builder, integer(0), rows, at_a_time, I64) as (x, _):
                number = builder.sdiv(x, integer(strip))
                copied = on.at(room, builder.mul(number, integer(strip_space(machine))))
                left = builder.select(copies, copied, corner)
                row = builder.mul(builder.add(top, x), ldc)
                target = on.at(c, builder.add(row, j))
                these = least(on, builder.sub(rows, x), at_a_time)
                given = [left, integer(1), apart, panel, integer(width), bounds,
                         integer(0), target, ldc, these, count]  # fmt: skip
                over_panels(on, given, columns, of_shards=True)


# --- a transposed right factor ----------------------------------------------------------------


def _write_product_by_transpose(on, a, lda, b, ldb, c, ldc, m, n, k):
    builder, machine = on.builder, on.machine
    width = 2 * machine.lanes
    nothing = zeros(on)
    panel = stack(on, _PANEL * width)
    transpose = transpose_panel(machine, builder.module)
    with (
        cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _),
        cgutils.for_range_slice(builder, integer(0), k, integer(_PANEL), I64) as (low, _),
    ):
        columns = least(on, builder.sub(n, j), integer(width))
        depth = least(on, builder.sub(k, low), integer(_PANEL))
        source = on.at(b, builder.add(builder.mul(j, ldb), low))
        builder.call(transpose, [source, ldb, columns, depth, panel])
        target = on.at(c, j)
        start, lds = _start(on, low, nothing, target, ldc)
        arguments = [on.at(a, low), lda, integer(1), panel, integer(width), start, lds]
        over_panels(on, [*arguments, target, ldc, m, depth], columns)


# --- the kernels ----------------------------------------------------------------------------------

# For each kernel: the function that writes it, how many integers it takes, which are addresses.
PRODUCTS: dict[str, tuple[Any, int, tuple[int, ...]]] = {
    "product": (_write_product, 11, (0, 3, 5, 6)),
    "product_of_shards": (_write_product_of_shards, 10, (0, 2, 4, 8)),
    "product_by_transpose": (_write_product_by_transpose, 9, (0, 2, 4)),
}


def compile_product(name: str, dtype: str) -> tuple[str, bytes]:
    """Return a product's symbol and object code, with the calling convention of Numba's kernels."""
    machine = Machine(dtype)
    module = ir.Module(f"{name}_{dtype}")
    module.triple = machine.triple
    write, count, addresses = PRODUCTS[name]
    byte = ir.IntType(8).as_pointer().as_pointer()
    kind = ir.FunctionType(I32, [byte, byte, *[I64] * count, machine.kind])
    function = ir.Function(module, kind, f"deltarule_{name}_{dtype}")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    given = [
        builder.inttoptr(value, machine.pointer) if x in addresses else value
        for x, value in enumerate(function.args[2:-1])
    ]
    write(Writer(machine, builder), *given)
    builder.ret(ir.Constant(I32, 0))
    return function.name, machine.emit(module)
