"""Matrix products, without packing: blocks of C held in registers.

BLAS copies both factors into an order that suits it; for layers of a network that costs as much
as it brings. Here the operands are read where they lie, row-major. Only a transposed right factor
is copied, a panel at a time into the thread's stack, so that its columns become vectors.

An entry of C is one chain of fused multiplications and additions over k, in order, from the bias
or 0, whatever block it falls into. Its bits so depend neither on m and n nor on how a product is
cut into rows or columns.

The loops are written as LLVM instructions with vectors of the processor's width: Numba would not
find these blocks, and its flags would let the optimiser reorder the sums.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

__all__ = ["PRODUCTS", "compile_product"]

_I64, _I32, _I1 = ir.IntType(64), ir.IntType(32), ir.IntType(1)
_DEPTH = 512  # how far sums go in one pass over a panel's rows: it stays in the caches
_PANEL = 192  # the same, where the panel is copied onto the stack: 24 KB at most
_ROWS_THAT_PAY = 48  # for copying a panel that need not be
_LONG_ROW = 1024  # bytes from row to row


def _integer(value: int) -> Any:
    return ir.Constant(_I64, value)


class _Machine:
    """The processor that is compiled for: its vectors and registers."""

    def __init__(self, dtype: str) -> None:
        self.triple, self.cpu, self.features = cpu_target.target_context.codegen().magic_tuple()
        has = {f[1:] for f in self.features.split(",") if f.startswith("+")}
        bits = 512 if "avx512f" in has else 256 if "avx2" in has else 128
        self.kind = ir.DoubleType() if dtype == "float64" else ir.FloatType()
        self.size = 8 if dtype == "float64" else 4
        self.name = f"f{8 * self.size}"
        self.lanes = bits // 8 // self.size
        # Two vectors a row, beside those of A and B, fill half or nearly all registers.
        self.rows = 8 if bits == 512 else 6
        is_x86 = self.triple.startswith(("x86", "i386", "i686", "amd64"))
        self.fuses = "fma" in has or bits == 512 or not is_x86
        self.vector = ir.VectorType(self.kind, self.lanes)
        self.pointer = self.kind.as_pointer()

    def emit(self, module: Any) -> bytes:
        """Return a module's object code."""
        target = llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu,
            features=self.features,
            opt=3,
            codemodel="jitdefault",
            jit=True,
        )
        return bytes(target.emit_object(llvm.parse_assembly(str(module))))


class _Writer:
    """Instructions on vectors, in one function."""

    def __init__(self, machine: _Machine, builder: Any) -> None:
        self.machine, self.builder, self.module = machine, builder, builder.module

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        suffix = f".v{self.machine.lanes}{self.machine.name}"
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.module, kind, name.replace(".v", suffix))

    def at(self, base: Any, offset: Any) -> Any:
        return self.builder.gep(base, [offset])

    def mask(self, count: Any) -> Any:
        """Return which lanes are before a count; negative counts are none."""
        lanes = self.machine.lanes
        kind = ir.VectorType(_I32, lanes)
        numbers = ir.Constant(kind, list(range(lanes)))
        limit = self.splat(self.builder.trunc(count, _I32), kind)
        return self.builder.icmp_signed("<", numbers, limit)

    def splat(self, value: Any, kind: Any) -> Any:
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(first, empty, zeros)

    def broadcast(self, pointer: Any) -> Any:
        return self.splat(self.builder.load(pointer), self.machine.vector)

    def load(self, pointer: Any, mask: Any = None) -> Any:
        kind = self.machine.vector
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.machine.size)
        arguments = [pointer.type, _I32, mask.type, kind]
        function = self._intrinsic("llvm.masked.load.v.p0", kind, arguments)
        align = ir.Constant(_I32, self.machine.size)
        nothing = ir.Constant(kind, [0.0] * kind.count)
        return self.builder.call(function, [pointer, align, mask, nothing])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.machine.size)
            return
        arguments = [value.type, pointer.type, _I32, mask.type]
        function = self._intrinsic("llvm.masked.store.v.p0", ir.VoidType(), arguments)
        align = ir.Constant(_I32, self.machine.size)
        self.builder.call(function, [value, pointer, align, mask])

    def prefetch(self, pointer: Any) -> None:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(self.module, kind, "llvm.prefetch.p0i8")
        read, second_cache, data = (ir.Constant(_I32, value) for value in (0, 2, 1))
        place = self.builder.bitcast(pointer, byte)
        self.builder.call(function, [place, read, second_cache, data])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        # Flags of its own: see ``Number``. Without the instruction, fma is a call a lane.
        if not self.machine.fuses:
            product = self.builder.fmul(a, b, flags=("contract",))
            return self.builder.fadd(product, c, flags=("contract",))
        function = self._intrinsic("llvm.fma.v", a.type, [a.type] * 3)
        return self.builder.call(function, [a, b, c], fastmath=("contract",))

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, len(order)), order)
        return self.builder.shuffle_vector(a, b, mask)


def _function(machine: _Machine, module: Any, name: str, kinds: list[Any], write: Any) -> Any:
    """Return a function of a module, written unless it is there; shared by all modules."""
    name = f"deltarule_{name}_{machine.name}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    write(_Writer(machine, builder), *function.args)
    builder.ret_void()
    return function


# --- a panel: all rows, two vectors of columns ------------------------------------------------


def _panel(machine: _Machine, module: Any, vectors: int, masked: bool) -> Any:
    """C (m, columns) ← start + A B, blocks of rows over as many columns as vectors hold."""

    def write(on, a, down, along, b, ldb, start, lds, c, ldc, m, k, columns):
        builder, most = on.builder, machine.rows
        masks = [
            on.mask(builder.sub(columns, _integer(v * machine.lanes))) if masked else None
            for v in range(vectors)
        ]

        def block(rows: int, i: Any) -> None:
            rest = (on, a, down, along, b, ldb, start, lds, c, ldc, k)
            _block(*rest, rows, i, masks)

        # The last block of rows reaches back over rows that are done: they come out the same,
        # unless the start is C itself.
        row = cgutils.alloca_once_value(builder, _integer(0))
        head, body, end = (builder.append_basic_block(n) for n in ("rows", "row", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.load(row)
        left = builder.sub(m, i)
        builder.cbranch(builder.icmp_signed(">", left, _integer(0)), body, end)
        builder.position_at_end(body)
        same = builder.icmp_signed("==", lds, _integer(0))
        within_reach = builder.select(same, m, left)

        def fits(least: int, rows: int) -> Any:
            many = builder.icmp_signed(">=", left, _integer(least))
            return builder.and_(many, builder.icmp_signed(">=", within_reach, _integer(rows)))

        def reaching(rows: int) -> None:
            back = builder.sub(m, _integer(rows))
            low = builder.select(builder.icmp_signed("<", i, back), i, back)
            block(rows, low)
            builder.store(builder.add(low, _integer(rows)), row)

        half = most // 2
        with builder.if_else(fits(half + 1, most)) as (yes, no):
            with yes:
                reaching(most)
            with no, builder.if_else(fits(2, half)) as (some, one):
                with some:
                    reaching(half)
                with one:
                    reaching(1)
        builder.branch(head)
        builder.position_at_end(end)

    i, p = _I64, machine.pointer
    kinds = [p, i, i, p, i, p, i, p, i, i, i, i]
    name = f"panel_{vectors}{'m' if masked else ''}"
    return _function(machine, module, name, kinds, write)


def _block(on, a, down, along, b, ldb, start, lds, c, ldc, k, rows, i, masks):
    """A block of C in registers: a loop over k."""
    builder, lanes = on.builder, on.machine.lanes
    offsets = [builder.mul(down, _integer(r)) for r in range(rows)]

    def rows_of(base: Any, leading: Any) -> list[Any]:
        numbers = [builder.add(i, _integer(r)) for r in range(rows)]
        return [on.at(base, builder.mul(number, leading)) for number in numbers]

    begins = [
        on.load(on.at(p, _integer(v * lanes)), mask)
        for p in rows_of(start, lds)
        for v, mask in enumerate(masks)
    ]
    corner = on.at(a, builder.mul(i, down))
    before = builder.block
    loop, end = builder.append_basic_block("k"), builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    left, left_at = builder.phi(_I64), builder.phi(a.type)
    right_at = builder.phi(b.type)
    sums = [builder.phi(on.machine.vector) for _ in begins]
    right = [on.load(on.at(right_at, _integer(v * lanes)), m) for v, m in enumerate(masks)]
    after = []
    for r in range(rows):
        entry = on.broadcast(on.at(left_at, offsets[r]))
        for v, vector_of_b in enumerate(right):
            after.append(on.multiply_add(entry, vector_of_b, sums[r * len(masks) + v]))
    fewer = builder.sub(left, _integer(1))
    pairs = [(left, k, fewer), (left_at, corner, on.at(left_at, along)),
             (right_at, b, on.at(right_at, ldb)),
             *zip(sums, begins, after, strict=True)]  # fmt: skip
    builder.cbranch(builder.icmp_signed(">", fewer, _integer(0)), loop, end)
    for phi, first, following in pairs:
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    builder.position_at_end(end)
    results = iter(after)
    for p in rows_of(c, ldc):
        for v, mask in enumerate(masks):
            on.store(next(results), on.at(p, _integer(v * lanes)), mask)


def _over_panels(on, arguments, columns):
    """Call the panel that ``columns`` fit."""
    machine, builder, module = on.machine, on.builder, on.builder.module
    lanes = machine.lanes
    whole = builder.icmp_signed(">=", columns, _integer(2 * lanes))
    with builder.if_else(whole) as (full, part):
        with full:
            builder.call(_panel(machine, module, 2, False), [*arguments, columns])
        with part:
            wide = builder.icmp_signed(">", columns, _integer(lanes))
            with builder.if_else(wide) as (two, one):
                with two:
                    builder.call(_panel(machine, module, 2, True), [*arguments, columns])
                with one:
                    builder.call(_panel(machine, module, 1, True), [*arguments, columns])


def _zeros(on):
    """Return the address of as many zeros as a panel has columns."""
    kind = ir.ArrayType(on.machine.kind, 2 * on.machine.lanes)
    cell = cgutils.alloca_once(on.builder, kind)
    on.builder.store(ir.Constant(kind, None), cell)
    return on.builder.bitcast(cell, on.machine.pointer)


def _least(on, a, b):
    return on.builder.select(on.builder.icmp_signed("<", a, b), a, b)


def _write_product(on, a, down, along, b, ldb, bias, c, ldc, m, n, k):
    builder, machine, width = on.builder, on.machine, 2 * on.machine.lanes
    zeros, room = _zeros(on), _room(on)
    has_bias = builder.icmp_unsigned("!=", builder.ptrtoint(bias, _I64), _integer(0))
    # Long rows, a page or a part of one apart, push each other out of the caches.
    many, long = (
        builder.icmp_signed(">=", value, _integer(least))
        for value, least in ((m, _ROWS_THAT_PAY), (ldb, _LONG_ROW // machine.size))
    )
    packs = builder.and_(many, long)
    step = builder.select(packs, _integer(_PANEL), _integer(_DEPTH))
    p, i = machine.pointer, _I64
    copy = _function(machine, builder.module, "copy", [p, i, i, i, p, p], _write_copy)
    with (
        cgutils.for_range_slice(builder, _integer(0), n, _integer(width), _I64) as (j, _),
        cgutils.for_range_slice(builder, _integer(0), k, step, _I64) as (low, _),
    ):
        columns = _least(on, builder.sub(n, j), _integer(width))
        depth = _least(on, builder.sub(k, low), step)
        left = on.at(a, builder.mul(low, along))
        right = on.at(b, builder.add(builder.mul(low, ldb), j))
        with cgutils.if_unlikely(builder, packs):
            following = builder.add(low, step)
            ends = builder.icmp_signed(">=", following, k)
            row = builder.select(ends, _integer(0), following)
            column = builder.select(ends, builder.add(j, _integer(width)), j)
            ahead = on.at(b, builder.add(builder.mul(row, ldb), column))
            builder.call(copy, [right, ldb, columns, depth, room, ahead])
        right = builder.select(packs, room, right)
        leading = builder.select(packs, _integer(width), ldb)
        begin = builder.select(has_bias, on.at(bias, j), zeros)
        start, lds = _start(on, low, begin, on.at(c, j), ldc)
        arguments = [left, down, along, right, leading, start, lds, on.at(c, j), ldc]
        _over_panels(on, [*arguments, m, depth], columns)


def _room(on):
    """Return the address of room for a panel, on the stack."""
    cell = cgutils.alloca_once(
        on.builder, ir.ArrayType(on.machine.kind, _PANEL * 2 * on.machine.lanes)
    )
    cell.align = 64
    return on.builder.bitcast(cell, on.machine.pointer)


def _write_copy(on, source, leading, columns, depth, panel, ahead):
    """Lay ``depth`` rows of a panel side by side, and ask for those that come after them."""
    builder, lanes = on.builder, on.machine.lanes
    masks = [on.mask(builder.sub(columns, _integer(v * lanes))) for v in (0, 1)]
    with cgutils.for_range(builder, depth) as loop:
        row = on.at(source, builder.mul(loop.index, leading))
        target = on.at(panel, builder.mul(loop.index, _integer(2 * lanes)))
        next_row = on.at(ahead, builder.mul(loop.index, leading))
        for v, mask in enumerate(masks):
            place = _integer(v * lanes)
            on.prefetch(on.at(next_row, place))
            on.store(on.load(on.at(row, place), mask), on.at(target, place))


def _start(on, low, begin, target, ldc):
    """Return what sums from ``low`` on begin with: a row, or where they were left off in C."""
    is_first = on.builder.icmp_signed("==", low, _integer(0))
    start = on.builder.select(is_first, begin, target)
    return start, on.builder.select(is_first, _integer(0), ldc)


# --- a transposed right factor ----------------------------------------------------------------


def _write_product_by_transpose(on, a, lda, b, ldb, c, ldc, m, n, k):
    builder, machine = on.builder, on.machine
    width = 2 * machine.lanes
    zeros = _zeros(on)
    panel = _room(on)
    p, i = machine.pointer, _I64
    transpose = _function(machine, builder.module, "transpose", [p, i, i, i, p], _write_transpose)
    with (
        cgutils.for_range_slice(builder, _integer(0), n, _integer(width), _I64) as (j, _),
        cgutils.for_range_slice(builder, _integer(0), k, _integer(_PANEL), _I64) as (low, _),
    ):
        columns = _least(on, builder.sub(n, j), _integer(width))
        depth = _least(on, builder.sub(k, low), _integer(_PANEL))
        source = on.at(b, builder.add(builder.mul(j, ldb), low))
        builder.call(transpose, [source, ldb, columns, depth, panel])
        target = on.at(c, j)
        start, lds = _start(on, low, zeros, target, ldc)
        arguments = [on.at(a, low), lda, _integer(1), panel, _integer(width), start, lds]
        _over_panels(on, [*arguments, target, ldc, m, depth], columns)


def _write_transpose(on, source, leading, columns, depth, panel):
    """Lay rows of ``depth`` numbers out as columns, squares of vectors at a time."""
    builder, lanes = on.builder, on.machine.lanes
    step = _integer(lanes)
    last = builder.sub(columns, _integer(1))
    with cgutils.for_range_slice(builder, _integer(0), columns, step, _I64) as (j, _):
        rows = [  # beyond the last, it again: those columns are never stored in C
            on.at(source, builder.mul(leading, _least(on, builder.add(j, _integer(r)), last)))
            for r in range(lanes)
        ]
        with cgutils.for_range_slice(builder, _integer(0), depth, step, _I64) as (low, _):
            mask = on.mask(builder.sub(depth, low))
            square = _transposed(on, [on.load(on.at(row, low), mask) for row in rows])
            for r, column in enumerate(square):
                row = builder.mul(builder.add(low, _integer(r)), _integer(2 * lanes))
                on.store(column, on.at(panel, builder.add(row, j)))


def _transposed(on, rows):
    """Transpose as many vectors as they have lanes, by shuffles that are one instruction.

    First within parts of 128 bits, by interleaving numbers, then pairs of them; then the
    parts, by taking those at even and at odd places.
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

# Of each: what writes it, how many integers it takes, and which of them are addresses.
PRODUCTS: dict[str, tuple[Any, int, tuple[int, ...]]] = {
    "product": (_write_product, 11, (0, 3, 5, 6)),
    "product_by_transpose": (_write_product_by_transpose, 9, (0, 2, 4)),
}


def compile_product(name: str, dtype: str) -> tuple[str, bytes]:
    """Return a kernel's symbol and object code; it is called as Numba's kernels are."""
    machine = _Machine(dtype)
    module = ir.Module(f"{name}_{dtype}")
    module.triple = machine.triple
    write, count, addresses = PRODUCTS[name]
    byte = ir.IntType(8).as_pointer().as_pointer()
    kind = ir.FunctionType(_I32, [byte, byte, *[_I64] * count, machine.kind])
    function = ir.Function(module, kind, f"deltarule_{name}_{dtype}")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    given = [
        builder.inttoptr(value, machine.pointer) if x in addresses else value
        for x, value in enumerate(function.args[2:-1])
    ]
    write(_Writer(machine, builder), *given)
    builder.ret(ir.Constant(_I32, 0))
    return function.name, machine.emit(module)
