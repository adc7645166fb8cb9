"""BLAS baseline: only the matrix products of a step, computed by SciPy's BLAS.

The products are X W of every layer, Xᵀ dZ of every layer and dZ Wᵀ of all but the first, written
into memory that is already allocated. The loop is compiled and calls ``sgemm`` or ``dgemm``
directly, so that no call from Python is included.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from scipy.linalg import cython_blas
from threadpoolctl import ThreadpoolController

from speed.cases import Case
from speed.worker import Repetition

PLAIN, TRANSPOSED = ord("N"), ord("T")


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that runs a repetition."""
    case = Case.of(spec)
    products, alive = _products(case)
    run, address = _runner(case.dtype), _address("sgemm" if case.dtype == "float32" else "dgemm")
    controller = ThreadpoolController()

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        steps = message["epochs"] * case.steps
        with controller.limit(limits=message["threads"]):
            start = time.perf_counter()
            run(address, steps, products)
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "steps": steps, "arrays": len(alive)}

    return repetition


def _products(case: Case) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return one row of ``gemm`` arguments per product, and the arrays that they point into.

    C = op(A) op(B) in row-major order is Cᵀ = op(B)ᵀ op(A)ᵀ in the column-major order of BLAS.
    """
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=case.dtype)

    X = [drawn(case.batch, width) for width in case.widths]
    dZ = [drawn(case.batch, width) for width in case.widths]
    W = [drawn(p, q) for p, q in case.layers]
    dW = [drawn(p, q) for p, q in case.layers]
    rows = []
    for k, (p, q) in enumerate(case.layers):
        x, z, dz, dx, w, dw = (
            a.ctypes.data for a in (X[k], X[k + 1], dZ[k + 1], dZ[k], W[k], dW[k])
        )
        rows.append((PLAIN, PLAIN, q, case.batch, p, w, q, x, p, z, q))
        rows.append((PLAIN, TRANSPOSED, q, p, case.batch, dz, q, x, p, dw, q))
        if k:
            rows.append((TRANSPOSED, PLAIN, p, case.batch, q, w, q, dz, q, dx, p))
    return np.array(rows, dtype=np.int64), [*X, *dZ, *W, *dW]


def _address(name: str) -> int:
    """Return the address of the function in SciPy's BLAS."""
    capsule = cython_blas.__pyx_capi__[name]
    signature = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(pointer(capsule, signature(capsule)))


def _runner(dtype: str) -> Callable[[int, int, np.ndarray], None]:
    """Return the compiled loop that computes all products ``steps`` times."""
    gemm = _gemm(dtype)

    @njit(nogil=True)
    def run(address, steps, products):
        for _ in range(steps):
            for k in range(len(products)):
                t = products[k]
                gemm(address, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10])

    return run


def _gemm(dtype: str) -> Any:
    """Return a function that calls ``gemm`` at an address, with α = 1 and β = 0."""
    real = ir.FloatType() if dtype == "float32" else ir.DoubleType()

    @intrinsic
    def gemm(typing, address, ta, tb, m, n, k, a, lda, b, ldb, c, ldc):
        def codegen(context, builder, signature, arguments):
            def slot(value, kind):
                place = cgutils.alloca_once(builder, kind)
                builder.store(value, place)
                return place

            def number(value):
                return slot(builder.trunc(value, ir.IntType(32)), ir.IntType(32))

            def letter(value):
                return slot(builder.trunc(value, ir.IntType(8)), ir.IntType(8))

            def matrix(value):
                return builder.inttoptr(value, real.as_pointer())

            at, ta, tb, m, n, k, a, lda, b, ldb, c, ldc = arguments
            one, zero = slot(ir.Constant(real, 1.0), real), slot(ir.Constant(real, 0.0), real)
            values = [
                letter(ta), letter(tb), number(m), number(n), number(k), one, matrix(a),
                number(lda), matrix(b), number(ldb), zero, matrix(c), number(ldc),
            ]  # fmt: skip
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
            builder.call(builder.inttoptr(at, kind.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12), codegen

    return gemm
