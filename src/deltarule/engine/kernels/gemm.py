"""Matrix products without packing, written as LLVM instructions: blocks of C stay in registers.

BLAS first packs both factors into an order that suits it; for a network's layers that costs as
much as it saves. Here both are read in place, row-major. Only a right factor that is transposed, or
has long rows, is copied: one panel at a time, to the thread's stack. So is a transposed left factor
with very long rows, and on short vectors one beside very long rows.

An entry of C is one chain of fused multiply-adds over k, in order, that starts from the bias or 0,
whatever block it belongs to. So its bits depend neither on m and n nor on how a product is cut into
rows or columns.

The loops are LLVM instructions on vectors of the processor's width: Numba would not keep these
blocks in registers, and its flags would let the optimiser reorder the sums.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from deltarule.engine.kernels.simd import I32, I64, Machine, Writer, integer

__all__ = ["PRODUCTS", "compile_product"]

_DEPTH = (
    512  # terms of a sum in one pass over a panel's rows, so that the panel stays in the caches
)
_PANEL = 384  # the same if the panel is copied to the stack: 48 KB at most
_LEAST_ROWS = 48  # of A, for which it is worth copying a panel
_ROW = 8  # vectors of a row that are computed at once if A has no other row
_FAR_ROW = 2**15  # the same; beyond it the rows of Aᵀ, each on pages of its own, are copied


def _function(machine: Machine, module: Any, name: str, kinds: list[Any], write: Any) -> Any:
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


# --- a panel: all rows, two vectors of columns ------------------------------------------------


def _panel(machine: Machine, module: Any, vectors: int, masked: bool) -> Any:
    """C (m, columns) ← start + A B, blocks of rows over as many columns as vectors hold."""

    def write(on, a, down, along, b, ldb, start, lds, c, ldc, m, k, columns):
        builder, most = on.builder, machine.rows
        masks = [
            on.mask(builder.sub(columns, integer(v * machine.lanes))) if masked else None
            for v in range(vectors)
        ]

        def block(rows: int, i: Any) -> None:
            rest = (on, a, down, along, b, ldb, start, lds, c, ldc, k)
            _block(*rest, rows, i, masks)

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
    name = f"panel_{vectors}{'m' if masked else ''}"
    return _function(machine, module, name, kinds, write)


def _block(on, a, down, along, b, ldb, start, lds, c, ldc, k, rows, i, masks):
    """Write a block of C: a loop over k that keeps the block in registers."""
    builder, lanes = on.builder, on.machine.lanes
    offsets = [builder.mul(down, integer(r)) for r in range(rows)]

    def rows_of(base: Any, leading: Any) -> list[Any]:
        numbers = [builder.add(i, integer(r)) for r in range(rows)]
        return [on.at(base, builder.mul(number, leading)) for number in numbers]

    begins = [
        on.load(on.at(p, integer(v * lanes)), mask)
        for p in rows_of(start, lds)
        for v, mask in enumerate(masks)
    ]
    corner = on.at(a, builder.mul(i, down))
    before = builder.block
    loop, end = builder.append_basic_block("k"), builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    left, left_at = builder.phi(I64), builder.phi(a.type)
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
    results = iter(after)
    for p in rows_of(c, ldc):
        for v, mask in enumerate(masks):
            on.store(next(results), on.at(p, integer(v * lanes)), mask)


def _over_panels(on, arguments, columns):
    """Write a call of the panel function that fits the number of columns."""
    machine, builder, module = on.machine, on.builder, on.builder.module
    lanes = machine.lanes
    whole = builder.icmp_signed(">=", columns, integer(2 * lanes))
    with builder.if_else(whole) as (full, part):
        with full:
            builder.call(_panel(machine, module, 2, False), [*arguments, columns])
        with part:
            wide = builder.icmp_signed(">", columns, integer(lanes))
            with builder.if_else(wide) as (two, one):
                with two:
                    builder.call(_panel(machine, module, 2, True), [*arguments, columns])
                with one:
                    builder.call(_panel(machine, module, 1, True), [*arguments, columns])


def _row(machine: Machine, module: Any) -> Any:
    """One row of C over several vectors of columns: two would wait for each other's sums."""

    def write(on, a, along, b, ldb, start, c, k):
        zero = integer(0)
        _block(on, a, zero, along, b, ldb, start, zero, c, zero, k, 1, zero, [None] * _ROW)

    i, p = I64, machine.pointer
    return _function(machine, module, "row", [p, i, p, i, p, p, i], write)


def _zeros(on, vectors=2):
    """Return the address of a row of zeros, as long as a panel is wide or so many vectors."""
    kind = ir.ArrayType(on.machine.kind, vectors * on.machine.lanes)
    cell = cgutils.alloca_once(on.builder, kind)
    on.builder.store(ir.Constant(kind, None), cell)
    return on.builder.bitcast(cell, on.machine.pointer)


def _least(on, a, b):
    return on.builder.select(on.builder.icmp_signed("<", a, b), a, b)


def _write_product(on, a, down, along, b, ldb, bias, c, ldc, m, n, k):
    builder, machine = on.builder, on.machine
    zeros, width = _zeros(on, _ROW), 2 * machine.lanes
    panel = _stack(on, _PANEL * width)
    has_bias = builder.icmp_unsigned("!=", builder.ptrtoint(bias, I64), integer(0))

    # The columns of a row alone that fill many vectors come first; those that are left are a panel.
    together = integer(_ROW * machine.lanes)
    is_row = builder.icmp_signed("==", m, integer(1))
    done = builder.select(is_row, builder.sub(n, builder.srem(n, together)), integer(0))
    with cgutils.for_range_slice(builder, integer(0), done, together, I64) as (j, _):
        begin = builder.select(has_bias, on.at(bias, j), zeros)
        row = [a, along, on.at(b, j), ldb, begin, on.at(c, j), k]
        builder.call(_row(machine, builder.module), row)
    b, bias, c, n = on.at(b, done), on.at(bias, done), on.at(c, done), builder.sub(n, done)

    def multiply(packs: Any, low: Any, j: Any, ahead: Any, depth: Any,
                 strips: Any) -> None:  # fmt: skip
        """Multiply rows of A and one panel of B, from memory or from a copy.

        ``strips(compute)`` calls ``compute(left, top, rows)`` for the rows from ``top`` on.
        """
        columns = _least(on, builder.sub(n, j), integer(width))
        source = on.at(b, builder.add(builder.mul(low, ldb), j))
        with cgutils.if_unlikely(builder, packs):
            p, i = machine.pointer, I64
            copy = _function(machine, builder.module, "copy", [p, i, i, i, p, p], _write_copy)
            following = on.at(b, builder.add(builder.mul(ahead[0], ldb), ahead[1]))
            builder.call(copy, [source, ldb, columns, depth, panel, following])
        right = builder.select(packs, panel, source)
        leading = builder.select(packs, integer(width), ldb)
        begin = builder.select(has_bias, on.at(bias, j), zeros)

        def compute(left: list[Any], top: Any, rows: Any) -> None:
            target = on.at(c, builder.add(builder.mul(top, ldc), j))
            start, lds = _start(on, low, begin, target, ldc)
            given = [*left, right, leading, start, lds, target, ldc, rows, depth]
            _over_panels(on, given, columns)

        strips(compute)

    def whole() -> None:
        # Rows that lie a page, or a part of one, apart evict each other from the caches.
        many, long = (
            builder.icmp_signed(">=", value, integer(least))
            for value, least in ((m, _LEAST_ROWS), (ldb, machine.long_row // machine.size))
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
            depth = _least(on, builder.sub(k, low), step)
            rows = _least(on, builder.sub(m, top), high)
            multiply(
                packs, low, j, (row, column), depth,
                lambda compute: compute([corner, down, along], top, rows),
            )  # fmt: skip

    def by_columns(room: Any) -> None:
        """Copy both factors: strips of columns of Aᵀ, and a panel of B for these."""
        p, i = machine.pointer, I64
        copy = _function(machine, builder.module, "gather", [p, i, i, i, p], _write_gather)
        at_once, strip = machine.strips * machine.strip, machine.strip
        with (
            cgutils.for_range_slice(builder, integer(0), k, integer(machine.depth), I64) as (
                low,
                _,
            ),
            cgutils.for_range_slice(builder, integer(0), m, integer(at_once), I64) as (top, _),
        ):
            depth = _least(on, builder.sub(k, low), integer(machine.depth))
            rows = _least(on, builder.sub(m, top), integer(at_once))
            source = on.at(a, builder.add(builder.mul(low, along), builder.mul(top, down)))
            builder.call(copy, [source, along, depth, rows, room])

            def over_strips(compute: Any) -> None:
                each = cgutils.for_range_slice(builder, integer(0), rows, integer(strip), I64)
                with each as (first, _):
                    number = builder.sdiv(first, integer(strip))
                    left = on.at(room, builder.mul(number, integer(_strip_space(machine))))
                    count = _least(on, builder.sub(rows, first), integer(strip))
                    compute([left, integer(1), integer(strip)], builder.add(top, first), count)

            with cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _):
                following = builder.add(j, integer(width))
                ends = builder.icmp_signed(">=", following, n)
                ahead = low, builder.select(ends, integer(0), following)
                multiply(ir.Constant(ir.IntType(1), 1), low, j, ahead, depth, over_strips)

    room = _stack(on, machine.strips * _strip_space(machine))
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
    is_transposed = builder.icmp_signed("!=", along, integer(1))
    with builder.if_else(builder.and_(is_transposed, is_far)) as (copied, in_place):
        with copied:
            by_columns(room)
        with in_place:
            whole()


def _strip_space(machine: Machine) -> int:
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
            copy = on.at(place, builder.mul(number, integer(_strip_space(on.machine))))
            for y in range(0, strip, lanes):
                first = builder.add(x, integer(y))
                mask = on.mask(builder.sub(length, first))
                on.store(on.load(on.at(row, first), mask), on.at(copy, integer(y)))


def _stack(on, count):
    """Return the address of ``count`` numbers on the stack.

    Call it at the start of a function. ``cgutils.alloca_once`` would also fill them with zeros.
    """
    cell = on.builder.alloca(ir.ArrayType(on.machine.kind, count))
    cell.align = 64
    return on.builder.bitcast(cell, on.machine.pointer)


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


def _start(on, low, begin, target, ldc):
    """Return what sums over k from ``low`` on start with: the bias row, or the sums so far in C."""
    is_first = on.builder.icmp_signed("==", low, integer(0))
    start = on.builder.select(is_first, begin, target)
    return start, on.builder.select(is_first, integer(0), ldc)


# --- a transposed right factor ----------------------------------------------------------------


def _write_product_by_transpose(on, a, lda, b, ldb, c, ldc, m, n, k):
    builder, machine = on.builder, on.machine
    width = 2 * machine.lanes
    zeros = _zeros(on)
    panel = _stack(on, _PANEL * width)
    p, i = machine.pointer, I64
    transpose = _function(machine, builder.module, "transpose", [p, i, i, i, p], _write_transpose)
    with (
        cgutils.for_range_slice(builder, integer(0), n, integer(width), I64) as (j, _),
        cgutils.for_range_slice(builder, integer(0), k, integer(_PANEL), I64) as (low, _),
    ):
        columns = _least(on, builder.sub(n, j), integer(width))
        depth = _least(on, builder.sub(k, low), integer(_PANEL))
        source = on.at(b, builder.add(builder.mul(j, ldb), low))
        builder.call(transpose, [source, ldb, columns, depth, panel])
        target = on.at(c, j)
        start, lds = _start(on, low, zeros, target, ldc)
        arguments = [on.at(a, low), lda, integer(1), panel, integer(width), start, lds]
        _over_panels(on, [*arguments, target, ldc, m, depth], columns)


def _write_transpose(on, source, leading, columns, depth, panel):
    """Copy rows of ``depth`` numbers as columns, one square of vectors at a time."""
    builder, lanes = on.builder, on.machine.lanes
    step = integer(lanes)
    last = builder.sub(columns, integer(1))
    with cgutils.for_range_slice(builder, integer(0), columns, step, I64) as (j, _):
        rows = [  # past the last row, the last again: those columns of C are never stored
            on.at(source, builder.mul(leading, _least(on, builder.add(j, integer(r)), last)))
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


# --- the kernels ----------------------------------------------------------------------------------

# For each kernel: the function that writes it, how many integers it takes, which are addresses.
PRODUCTS: dict[str, tuple[Any, int, tuple[int, ...]]] = {
    "product": (_write_product, 11, (0, 3, 5, 6)),
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
