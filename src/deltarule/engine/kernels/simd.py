"""A writer of LLVM instructions on SIMD vectors as wide as the processor's registers."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

__all__ = ["I32", "I64", "Machine", "Writer", "integer", "processor"]

I64, I32 = ir.IntType(64), ir.IntType(32)


def integer(value: int) -> Any:
    """Return a constant as a 64-bit LLVM integer."""
    return ir.Constant(I64, value)


def processor() -> tuple[str, str, str]:
    """Return the triple, name and features of the processor that Numba compiles for."""
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, name, features


class Machine:
    """The target processor: its vectors and registers, for one type of numbers."""

    def __init__(self, dtype: str) -> None:
        self.triple, self.cpu, self.features = processor()
        has = {f[1:] for f in self.features.split(",") if f.startswith("+")}
        bits = 512 if "avx512f" in has else 256 if "avx2" in has else 128
        self.kind = ir.DoubleType() if dtype == "float64" else ir.FloatType()
        self.size = 8 if dtype == "float64" else 4
        self.name = f"f{8 * self.size}"
        self.lanes = bits // 8 // self.size
        # Rows of a block. With two vectors each, and those of A and B, they fill half or nearly all
        # of the registers.
        self.rows = 8 if bits == 512 else 6
        # Bytes of a row of B from which on its panels are copied, beside many rows of A: longer
        # rows, a panel in place, leave only a part of the first cache's sets.
        self.long_row = 1024 if bits == 512 else 256
        # Bytes of a row of B from which on a transposed A is copied, too; None: never. Shorter
        # vectors pass over A more often.
        self.far_row = None if bits == 512 else 8192
        # The same of a row of A, which each row of a block reads at another place; and how a copy
        # is cut: into strips of so many numbers, with short vectors as many as a block has rows.
        self.far_column = 4096
        # Rows of A beside which all columns of B are read: they stay in the second cache, which is
        # small where vectors are short. None: all rows.
        self.high = None if bits == 512 else 1152 // self.size
        # Of each, so many terms of a sum are copied.
        self.strip, self.strips, self.depth = (48, 1, 384) if bits == 512 else (self.rows, 24, 256)
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


class Writer:
    """Writes instructions on vectors into one LLVM function."""

    def __init__(self, machine: Machine, builder: Any) -> None:
        self.machine, self.builder, self.module = machine, builder, builder.module

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        suffix = f".v{self.machine.lanes}{self.machine.name}"
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.module, kind, name.replace(".v", suffix))

    def at(self, base: Any, offset: Any) -> Any:
        """Return the address ``offset`` numbers after ``base``."""
        return self.builder.gep(base, [offset])

    def mask(self, count: Any) -> Any:
        """Return a mask of the lanes below a count; none if it is negative."""
        lanes = self.machine.lanes
        kind = ir.VectorType(I32, lanes)
        numbers = ir.Constant(kind, list(range(lanes)))
        limit = self.splat(self.builder.trunc(count, I32), kind)
        return self.builder.icmp_signed("<", numbers, limit)

    def splat(self, value: Any, kind: Any) -> Any:
        """Return a vector with the same number in all lanes."""
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(first, empty, zeros)

    def broadcast(self, pointer: Any) -> Any:
        """Return a vector with the number at an address in all lanes."""
        return self.splat(self.builder.load(pointer), self.machine.vector)

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """Return the vector at an address; lanes outside a mask are not read, and are 0."""
        kind = self.machine.vector
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.machine.size)
        arguments = [pointer.type, I32, mask.type, kind]
        function = self._intrinsic("llvm.masked.load.v.p0", kind, arguments)
        align = ir.Constant(I32, self.machine.size)
        nothing = ir.Constant(kind, [0.0] * kind.count)
        return self.builder.call(function, [pointer, align, mask, nothing])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        """Store a vector, or its lanes inside a mask."""
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.machine.size)
            return
        arguments = [value.type, pointer.type, I32, mask.type]
        function = self._intrinsic("llvm.masked.store.v.p0", ir.VoidType(), arguments)
        align = ir.Constant(I32, self.machine.size)
        self.builder.call(function, [value, pointer, align, mask])

    def prefetch(self, pointer: Any) -> None:
        """Request the cache line at an address; the address may be invalid."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        function = cgutils.get_or_insert_function(self.module, kind, "llvm.prefetch.p0i8")
        read, second_cache, data = (ir.Constant(I32, value) for value in (0, 2, 1))
        place = self.builder.bitcast(pointer, byte)
        self.builder.call(function, [place, read, second_cache, data])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once if the processor can fuse."""
        # Without that instruction, LLVM's fma would be a function call for each lane.
        if not self.machine.fuses:
            product = self.builder.fmul(a, b, flags=("contract",))
            return self.builder.fadd(product, c, flags=("contract",))
        function = self._intrinsic("llvm.fma.v", a.type, [a.type] * 3)
        return self.builder.call(function, [a, b, c], fastmath=("contract",))

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        """Return the numbers at these positions of the concatenation of two vectors."""
        mask = ir.Constant(ir.VectorType(I32, len(order)), order)
        return self.builder.shuffle_vector(a, b, mask)
