"""The engine's matrix products equal NumPy's for whole numbers, and always have the same bits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")

from deltarule.engine import compiler
from deltarule.engine.kernels import KERNELS, gemm, simd
from deltarule.engine.kernels.build import compile_kernel
from deltarule.program.shards import tree_sum

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
ARGUMENTS = {"product": 11, "product_by_transpose": 9, "product_of_shards": 10}
PROCESSORS = {"512 bits": "avx512f", "256 bits": "avx2", "128 bits": ""}
GUARD = 77.0

Product = Callable[..., None]
Array = npt.NDArray[Any]


def native(name: str, dtype: str) -> Product:
    """Return a kernel as a function, called as the engine calls it."""
    if not compiler.is_compiled():
        one = np.dtype(dtype).type(1)
        return lambda *given: KERNELS[name](*given, one)
    return linked(name, dtype, *compile_kernel(name, dtype, check_bounds=False))


def linked(name: str, dtype: str, symbol: str, code: bytes) -> Product:
    number = {"float64": ctypes.c_double, "float32": ctypes.c_float}[dtype]
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, pointer, pointer, *[whole] * ARGUMENTS[name], number)
    function = kind(compiler._link(symbol, code))

    def run(*given: int) -> None:
        assert function(None, None, *given, 1.0) == 0

    return run


@pytest.fixture(scope="module")
def products() -> dict[tuple[str, str], Product]:
    return {(n, d): native(n, d) for n in ARGUMENTS for d in ("float64", "float32")}


class Case:
    """Operands inside larger arrays, and a target with marked memory around it."""

    def __init__(
        self, m: int, n: int, k: int, dtype: str, seed: int, *, whole: bool = False
    ) -> None:
        self.m, self.n, self.k, self.dtype = m, n, k, dtype
        self._rng, self._whole = np.random.default_rng(seed), whole
        self.a, self.b, self.bias = self.array(m, k), self.array(k, n), self.array(1, n)[0]
        self.exact = self.a.astype(float) @ self.b.astype(float) + self.bias
        self.size = np.dtype(dtype).itemsize

    def array(self, rows: int, columns: int) -> Array:
        """Return a view (rows, columns) into an array with longer rows, at any address."""
        lead = columns + int(self._rng.integers(0, 4))
        first = int(self._rng.integers(0, 16))
        memory = np.full(first + rows * lead + 3, GUARD, self.dtype)
        view = memory[first : first + rows * lead].reshape(rows, lead)[:, :columns]
        if self._whole:
            view[...] = self._rng.integers(-9, 10, (rows, columns))
        else:
            view[...] = self._rng.normal(size=(rows, columns))
        return view

    def copy(self, given: Array) -> Array:
        target = self.array(*given.shape)
        target[...] = given
        return target

    def target(self, rows: int, columns: int) -> tuple[Array, Array]:
        """Return the memory around a target, and the target."""
        lead = columns + 5
        memory = np.full((rows + 2) * lead, GUARD, self.dtype)
        return memory, memory.reshape(rows + 2, lead)[1:-1, :columns]

    def lead(self, array: Array) -> int:
        return array.strides[0] // self.size

    def by(self, product: Product, a: Array, b: Array, bias: Array | None) -> Array:
        """Return A B + bias; A may be a transpose of an array in memory."""
        m, k, n = *a.shape, b.shape[1]
        memory, c = self.target(m, n)
        down, along = (step // self.size for step in a.strides)
        product(
            a.ctypes.data, down, along, b.ctypes.data, self.lead(b),
            0 if bias is None else bias.ctypes.data, c.ctypes.data, self.lead(c), m, n, k,
        )  # fmt: skip
        return checked(memory, c)

    def by_transpose(self, product: Product, a: Array, b: Array) -> Array:
        """Return A Bᵀ."""
        m, k, n = *a.shape, b.shape[0]
        memory, c = self.target(m, n)
        product(
            a.ctypes.data, self.lead(a), b.ctypes.data, self.lead(b),
            c.ctypes.data, self.lead(c), m, n, k,
        )  # fmt: skip
        return checked(memory, c)

    def of_shards(self, product: Product, cuts: Any) -> Array:
        """Return A B, summed over shards of its terms."""
        left, (memory, c) = self.copy(self.a.T), self.target(self.m, self.n)
        bounds = np.array(cuts, dtype=np.int64)
        product(
            left.ctypes.data, self.lead(left), self.b.ctypes.data, self.lead(self.b),
            c.ctypes.data, self.lead(c), self.m, self.n, bounds.ctypes.data, len(bounds) - 1,
        )  # fmt: skip
        return checked(memory, c)

    def is_close(self, c: Array, exact: Array) -> bool:
        """Whether every sum of k terms is within its bound of rounding (Higham, eq. 3.5)."""
        terms = np.abs(self.a).astype(float) @ np.abs(self.b).astype(float) + np.abs(self.bias)
        bound = (self.k + 2) * np.finfo(self.dtype).eps
        return bool((np.abs(c - exact) <= bound * terms).all())


def checked(memory: Array, c: Array) -> Array:
    """Return a copy of C; check that nothing was written around it."""
    result = c.copy()
    c[...] = GUARD
    assert (memory == GUARD).all()
    return result


sizes = st.one_of(st.integers(1, 40), st.sampled_from([47, 48, 49, 64, 65, 96, 127, 130]))
depths = st.one_of(st.integers(1, 40), st.sampled_from([383, 384, 385, 511, 512, 513, 769]))


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, depths, st.sampled_from(["float64", "float32"]), st.integers(0, 10**6))
def test_products_equal_numpys(
    products: dict[tuple[str, str], Product], m: int, n: int, k: int, dtype: str, seed: int
) -> None:
    case = Case(m, n, k, dtype, seed)
    product, by_transpose = products["product", dtype], products["product_by_transpose", dtype]
    c = case.by(product, case.a, case.b, case.bias)
    assert case.is_close(c, case.exact)
    plain = case.by(product, case.a, case.b, None)
    exact = case.exact - case.bias
    assert case.is_close(plain, exact)
    transposed = case.by(product, case.copy(case.a.T).T, case.b, None)
    from_transpose = case.by_transpose(by_transpose, case.a, case.copy(case.b.T))
    if compiler.is_compiled():  # one chain of sums, whatever the layout of the operands
        np.testing.assert_array_equal(transposed, plain)
        np.testing.assert_array_equal(from_transpose, plain)
    else:
        assert case.is_close(transposed, exact)
        assert case.is_close(from_transpose, exact)


@pytest.mark.parametrize("n", [1, 10, 32, 70, 300])
@DTYPES
def test_a_part_of_a_product_has_the_same_bits_as_the_whole(
    products: dict[tuple[str, str], Product], n: int, dtype: str
) -> None:
    """The engine cuts products by rows and by columns, which must not change the bits."""
    if not compiler.is_compiled():
        pytest.skip("NumPy promises no bits")
    case = Case(67, n, 600, dtype, seed=n)
    product, by_transpose = products["product", dtype], products["product_by_transpose", dtype]
    whole = case.by(product, case.a, case.b, case.bias)
    turned = case.copy(case.b.T)
    whole_by_transpose = case.by_transpose(by_transpose, case.a, turned)
    for low, high in ((0, 1), (0, 8), (3, 10), (17, 66), (66, 67)):
        part = case.by(product, case.a[low:high], case.b, case.bias)
        np.testing.assert_array_equal(part, whole[low:high])
        part = case.by_transpose(by_transpose, case.a[low:high], turned)
        np.testing.assert_array_equal(part, whole_by_transpose[low:high])
    for left, right in ((0, 1), (n // 3, n // 3 + 1), (n // 2, n)):
        if right > left:
            part = case.by(product, case.a, case.b[:, left:right], case.bias[left:right])
            np.testing.assert_array_equal(part, whole[:, left:right])
            part = case.by_transpose(by_transpose, case.a, turned[left:right])
            np.testing.assert_array_equal(part, whole_by_transpose[:, left:right])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([1, 5, 6, 8, 23, 24, 47, 48, 49, 97]),
    st.sampled_from([255, 256, 1030, 2048, 2051, 2080]),
    st.sampled_from([1, 70, 256, 383, 384, 385, 769]),
    st.sampled_from(["float64", "float32"]),
    st.integers(0, 10**6),
)
def test_long_rows(
    products: dict[tuple[str, str], Product], m: int, n: int, k: int, dtype: str, seed: int
) -> None:
    """Whatever is copied first, the bits are those of products of one row, which copy nothing."""
    if not compiler.is_compiled():
        pytest.skip("NumPy promises no bits")
    case = Case(m, n, k, dtype, seed)
    product, by_transpose = products["product", dtype], products["product_by_transpose", dtype]
    rows = [case.by(product, case.a[i : i + 1], case.b, case.bias) for i in range(0, m, 7)]
    whole = case.by(product, case.a, case.b, case.bias)
    np.testing.assert_array_equal(whole[::7], np.concatenate(rows))
    turned = case.by(product, case.copy(case.a.T).T, case.b, case.bias)
    np.testing.assert_array_equal(turned, whole)
    plain = case.by(product, case.a, case.b, None)
    from_transpose = case.by_transpose(by_transpose, case.a, case.copy(case.b.T))
    np.testing.assert_array_equal(from_transpose, plain)


@settings(max_examples=80, deadline=None)
@given(
    sizes, sizes, st.integers(1, 256), st.integers(0, 5),
    st.sampled_from(["float64", "float32"]), st.integers(0, 10**6),
)  # fmt: skip
def test_products_of_shards_are_added_in_a_tree(
    products: dict[tuple[str, str], Product],
    m: int,
    n: int,
    k: int,
    levels: int,
    dtype: str,
    seed: int,
) -> None:
    """Shards may be of any size, or empty: each one's product, and the sums of neighbours."""
    case = Case(m, n, k, dtype, seed)
    inside = np.random.default_rng(seed).integers(0, k + 1, 2**levels - 1)
    cuts = [0, *np.sort(inside).tolist(), k]
    found = case.of_shards(products["product_of_shards", dtype], cuts)
    assert case.is_close(found, case.exact - case.bias)
    parts = [np.zeros((m, n), dtype)] * 2**levels
    for s, (low, high) in enumerate(pairwise(cuts)):
        if low < high:
            a, b = case.copy(case.a[:, low:high].T).T, case.b[low:high]
            part = Case.__new__(Case)
            part.__dict__ |= case.__dict__ | {"a": a, "b": b, "k": high - low}
            parts[s] = part.by(products["product", dtype], a, b, None)
    if compiler.is_compiled():  # NumPy promises no bits
        np.testing.assert_array_equal(found, tree_sum(parts, np.add))


@pytest.mark.parametrize("bits", PROCESSORS)
@DTYPES
def test_every_width_of_vectors(bits: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for narrower vectors runs on this processor, too, and is exact for whole numbers."""
    triple, name, features = simd.processor()
    wanted = PROCESSORS[bits]
    if not triple.startswith("x86_64") or f"+{wanted}" not in f"{features},+":
        pytest.skip(f"this processor has no {wanted}")
    fewer = {"512 bits": features, "256 bits": "+avx,+avx2,+fma", "128 bits": "+sse2"}[bits]
    name = {"512 bits": name, "256 bits": "haswell", "128 bits": "x86-64"}[bits]
    monkeypatch.setattr(simd, "processor", lambda: (triple, name, fewer))
    lanes = simd.Machine(dtype).lanes * np.dtype(dtype).itemsize * 8
    assert lanes == int(bits.split()[0])
    product, by_transpose, of_shards = (
        linked(kernel, dtype, *gemm.compile_product(kernel, dtype)) for kernel in ARGUMENTS
    )
    for m, n, k in (
        (1, 1, 1),
        (2, 3, 5),
        (7, 33, 130),
        (13, 17, 200),
        (60, 300, 513),
        (64, 8, 700),
        (50, 2100, 390),  # long rows: a transposed left factor is copied, too
    ):
        case = Case(m, n, k, dtype, seed=m, whole=True)
        c = case.by(product, case.a, case.b, case.bias)
        np.testing.assert_array_equal(c, case.exact)
        c = case.by(product, case.copy(case.a.T).T, case.b, None)
        np.testing.assert_array_equal(c, case.exact - case.bias)
        c = case.by_transpose(by_transpose, case.a, case.copy(case.b.T))
        np.testing.assert_array_equal(c, case.exact - case.bias)
        if k <= 256:
            c = case.of_shards(of_shards, [0, k // 3, k // 2, k // 2, k])
            np.testing.assert_array_equal(c, case.exact - case.bias)


@DTYPES
def test_nan_stays_in_its_row_or_column(
    products: dict[tuple[str, str], Product], dtype: str
) -> None:
    """A lane beyond the matrix, or a row computed twice, must not leak NaN."""
    if not compiler.is_compiled():
        pytest.skip("these are NumPy's")
    case = Case(11, 19, 23, dtype, seed=1)
    case.a[4, 7], case.b[3, 18] = np.nan, np.inf
    c = case.by(products["product", dtype], case.a, case.b, case.bias)
    turned = case.by_transpose(products["product_by_transpose", dtype], case.a, case.copy(case.b.T))
    for found in (c, turned):
        finite = np.isfinite(found)
        expected = np.ones((11, 19), dtype=bool)
        expected[4], expected[:, 18] = False, False
        np.testing.assert_array_equal(finite, expected)
