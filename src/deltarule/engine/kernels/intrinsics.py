"""What kernels need of the machine: arrays and records at addresses, atomics, calls by address.

Each function here is an intrinsic, a few LLVM instructions without a Python body. With Numba's
compiler off (``NUMBA_DISABLE_JIT=1``) a plain Python function takes its place, so that a debugger
can step through every kernel.

A kernel takes addresses and indices as integers and, last, ``one``: the number 1 of θ's type, which
tells the type of the arrays at those addresses. So one source serves float64 and float32.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

from deltarule.engine.records import (
    COLUMN_BLOCK,
    CONTEXT,
    EPOCHS,
    INPUT_DROPOUT,
    INSTRUCTION,
    OPTIMIZER,
    PARAMETER_BLOCK,
    PENALTY,
    POPULATION,
    STAGE,
    structure_of,
)

__all__ = [
    "FAST",
    "add_atomically",
    "block_at",
    "call",
    "column_block_at",
    "context_at",
    "copy_bytes",
    "epochs_at",
    "fast",
    "inlined",
    "input_dropout_at",
    "instruction_at",
    "like",
    "load_atomically",
    "optimizer_at",
    "penalty_at",
    "population_at",
    "prefetch",
    "read",
    "read_float",
    "size_of",
    "stage_at",
    "stand_ins",
    "swap_atomically",
    "vector",
    "yield_thread",
]

FAST = {"contract", "afn", "reassoc", "nsz"}
"""What the optimiser may do with sums and products. NaN and infinity keep their meaning."""

fast = njit(nogil=True, error_model="numpy", fastmath=FAST, _nrt=False)
"""Compile a function that kernels call: its sums may be reordered into vectors."""

inlined = njit(nogil=True, error_model="numpy", fastmath=FAST, _nrt=False, inline="always")
"""The same for a function with one caller: it is compiled inside the caller only."""

stand_ins: dict[int, Any] = {}
"""With the compiler off: the kernels, by the numbers that stand for their addresses."""


_settings: Any = config  # Numba sets its attributes at import, so type checkers do not see them

if _settings.DISABLE_JIT:

    def vector(address: int, length: int, one: Any) -> Any:
        """Return the array (length,) of ``one``'s type at an address, without a copy."""
        dtype = np.dtype(np.int64 if isinstance(one, int) else type(one))
        if length <= 0:
            return np.empty(0, dtype)
        memory = (ctypes.c_char * (length * dtype.itemsize)).from_address(int(address))
        return np.frombuffer(memory, dtype)

    def _record_at(record: np.dtype[Any]) -> Any:
        """Return a function: address → the record there, whose fields are read and written."""
        structure = structure_of(record)
        return lambda address: structure.from_address(int(address))

    def _entry_at(record: np.dtype[Any]) -> Any:
        """Return a function: (address of a table, i) → its record i."""
        structure, size = structure_of(record), record.itemsize
        return lambda table, i: structure.from_address(int(table) + size * int(i))

    def read(address: int) -> int:
        """Return the integer at an address."""
        return int(ctypes.c_int64.from_address(int(address)).value)

    def read_float(address: int) -> float:
        """Return the float64 at an address."""
        return float(ctypes.c_double.from_address(int(address)).value)

    def like(one: Any, value: float) -> Any:
        """Return a number as one of θ's type."""
        return type(one)(value)

    def size_of(one: Any) -> int:
        """Return how many bytes a number of θ's type takes."""
        return int(np.dtype(type(one)).itemsize)

    def load_atomically(address: int) -> int:
        """Return the integer at an address as the last thread wrote it."""
        return int(vector(address, 1, 0)[0])

    def add_atomically(address: int, value: int) -> int:
        """Add to the integer at an address; return its value before."""
        cell = vector(address, 1, 0)
        cell[0] += value
        return int(cell[0]) - value

    def swap_atomically(address: int, expected: int, value: int) -> bool:
        """Replace the integer at an address if it is the expected one; return whether it was."""
        cell = vector(address, 1, 0)
        if cell[0] != expected:
            return False
        cell[0] = value
        return True

    def yield_thread(function: int) -> None:
        """Let another thread run."""

    def copy_bytes(source: int, target: int, n: int) -> None:
        """Copy n bytes between places that do not overlap."""
        ctypes.memmove(int(target), int(source), int(n))

    def prefetch(address: int) -> None:
        """Request the cache line at an address, which will be read soon."""

    def call(function: int, arguments: tuple[Any, ...]) -> None:
        """Call the kernel at an address."""
        stand_ins[function](*arguments)

else:
    from llvmlite import ir
    from numba.core import cgutils
    from numba.np.arrayobj import make_array, populate_array
    from numba.np.numpy_support import from_dtype

    _I64 = types.int64

    @intrinsic
    def vector(typingctx, address, length, one):
        """Return the array (length,) of ``one``'s type at an address, without a copy."""
        array_type = types.Array(types.unliteral(one), 1, "C")

        def codegen(context, builder, signature, args):
            kind = context.get_data_type(array_type.dtype)
            size = context.get_constant(types.intp, context.get_abi_sizeof(kind))
            array = make_array(array_type)(context, builder)
            populate_array(
                array,
                data=builder.inttoptr(args[0], kind.as_pointer()),
                shape=[args[1]],
                strides=[size],
                itemsize=size,
                meminfo=None,
            )
            return array._getvalue()

        return array_type(_I64, _I64, types.unliteral(one)), codegen

    def _record_at(record: np.dtype[Any]) -> Any:
        """Return a function: address → the record there, whose fields are read and written."""
        kind = from_dtype(record)

        @intrinsic
        def record_at(typingctx, address):
            def codegen(context, builder, signature, args):
                return builder.inttoptr(args[0], context.get_value_type(kind))

            return kind(_I64), codegen

        return record_at

    def _entry_at(record: np.dtype[Any]) -> Any:
        """Return a function: (address of a table, i) → its record i."""
        kind, size = from_dtype(record), record.itemsize

        @intrinsic
        def entry_at(typingctx, table, i):
            def codegen(context, builder, signature, args):
                offset = builder.mul(args[1], context.get_constant(_I64, size))
                address = builder.add(args[0], offset)
                return builder.inttoptr(address, context.get_value_type(kind))

            return kind(_I64, _I64), codegen

        return entry_at

    @intrinsic
    def read(typingctx, address):
        """Return the integer at an address."""

        def codegen(context, builder, signature, args):
            return builder.load(_cell(builder, args[0]))

        return _I64(_I64), codegen

    @intrinsic
    def read_float(typingctx, address):
        """Return the float64 at an address."""

        def codegen(context, builder, signature, args):
            return builder.load(builder.inttoptr(args[0], ir.DoubleType().as_pointer()))

        return types.float64(_I64), codegen

    @intrinsic
    def like(typingctx, one, value):
        """Return a number as one of θ's type."""
        kind = types.unliteral(one)

        def codegen(context, builder, signature, args):
            return context.cast(builder, args[1], signature.args[1], kind)

        return kind(kind, types.unliteral(value)), codegen

    @intrinsic
    def size_of(typingctx, one):
        """Return how many bytes a number of θ's type takes."""

        def codegen(context, builder, signature, args):
            kind = context.get_data_type(signature.args[0])
            return context.get_constant(_I64, context.get_abi_sizeof(kind))

        return _I64(types.unliteral(one)), codegen

    def _cell(builder, address):
        return builder.inttoptr(address, ir.IntType(64).as_pointer())

    @intrinsic
    def load_atomically(typingctx, address):
        """Return the integer at an address as the last thread wrote it."""

        def codegen(context, builder, signature, args):
            return builder.load_atomic(_cell(builder, args[0]), "acquire", 8)

        return _I64(_I64), codegen

    @intrinsic
    def add_atomically(typingctx, address, value):
        """Add to the integer at an address; return its value before."""

        def codegen(context, builder, signature, args):
            return builder.atomic_rmw("add", _cell(builder, args[0]), args[1], "acq_rel")

        return _I64(_I64, _I64), codegen

    @intrinsic
    def swap_atomically(typingctx, address, expected, value):
        """Replace the integer at an address if it is the expected one; return whether it was."""

        def codegen(context, builder, signature, args):
            cell = _cell(builder, args[0])
            pair = builder.cmpxchg(cell, args[1], args[2], "acq_rel", "acquire")
            return builder.extract_value(pair, 1)

        return types.boolean(_I64, _I64, _I64), codegen

    @intrinsic
    def yield_thread(typingctx, function):
        """Let another thread run."""

        def codegen(context, builder, signature, args):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
            return context.get_dummy_value()

        return types.void(_I64), codegen

    @intrinsic
    def copy_bytes(typingctx, source, target, n):
        """Copy n bytes between places that do not overlap."""

        def codegen(context, builder, signature, args):
            byte = ir.IntType(8).as_pointer()
            source, target = (builder.inttoptr(address, byte) for address in args[:2])
            cgutils.raw_memcpy(builder, target, source, args[2], 1)
            return context.get_dummy_value()

        return types.void(_I64, _I64, _I64), codegen

    @intrinsic
    def prefetch(typingctx, address):
        """Request the cache line at an address, which will be read soon."""

        def codegen(context, builder, signature, args):
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
            given = [builder.inttoptr(args[0], byte), number(0), number(3), number(1)]
            builder.call(function, given)
            return context.get_dummy_value()

        return types.void(_I64), codegen

    @intrinsic
    def call(typingctx, function, arguments):
        """Call the kernel at an address."""
        taken = tuple(types.unliteral(kind) for kind in arguments.types)

        def codegen(context, builder, signature, args):
            convention = context.call_conv
            kind = convention.get_function_type(types.none, taken)
            kernel = builder.inttoptr(args[0], kind.as_pointer())
            values = [
                context.cast(builder, value, given, kept)
                for value, given, kept in zip(
                    cgutils.unpack_tuple(builder, args[1]), arguments.types, taken, strict=True
                )
            ]
            status, _ = convention.call_function(builder, kernel, types.none, taken, values)
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return context.get_dummy_value()

        return types.void(_I64, arguments), codegen


context_at = _record_at(CONTEXT)
epochs_at = _record_at(EPOCHS)
optimizer_at = _record_at(OPTIMIZER)
population_at = _record_at(POPULATION)
instruction_at = _entry_at(INSTRUCTION)
stage_at = _entry_at(STAGE)
block_at = _entry_at(PARAMETER_BLOCK)
penalty_at = _entry_at(PENALTY)
column_block_at = _entry_at(COLUMN_BLOCK)
input_dropout_at = _entry_at(INPUT_DROPOUT)
