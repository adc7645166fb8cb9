"""The matrix product that kernels call: SciPy's BLAS, and how many threads it may use."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from scipy.linalg import cython_blas

__all__ = ["gemm_address", "one_thread_each", "small_product"]

# OpenBLAS builds whose kernels multiply small matrices without packing, up to m n k = 100³.
_WITHOUT_PACKING = ("SkylakeX", "Cooperlake", "SapphireRapids")
_SMALL_PRODUCT = 1_000_000


@cache
def gemm_address(dtype: str) -> int:
    """Return the address of ``sgemm`` or ``dgemm`` (Fortran's calling convention)."""
    name = {"float32": "sgemm", "float64": "dgemm"}[dtype]
    capsule = cython_blas.__pyx_capi__[name]
    read_name = ctypes.pythonapi.PyCapsule_GetName
    read_name.restype, read_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    read_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    read_pointer.restype = ctypes.c_void_p
    read_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(read_pointer(capsule, read_name(capsule)) or 0)


@cache
def small_product() -> int:
    """Return the largest m n k that this BLAS multiplies without packing; 0 if it always packs."""
    architectures = {getattr(library, "architecture", None) for library in _libraries()}
    without = bool(architectures) and architectures <= set(_WITHOUT_PACKING)
    return _SMALL_PRODUCT if without else 0


@cache
def _libraries() -> list[Any]:
    """Return threadpoolctl's hold on SciPy's BLAS, or on every BLAS where SciPy has none apart."""
    from threadpoolctl import ThreadpoolController

    found = [
        library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"
    ]
    own = [
        library for library in found if {"scipy", "scipy.libs"} & {*Path(library.filepath).parts}
    ]
    return own or found


def _setter(library: Any) -> Callable[[int], object]:
    """Return what sets a library's number of threads.

    threadpoolctl (from 3.7) lets a single thread set OpenBLAS's, and ignores every other one, but
    the last of several calls may end on any thread: OpenBLAS itself is asked.
    """
    if getattr(library, "threading_layer", None) == "pthreads":
        for name in product(("scipy_", ""), ("openblas_set_num_threads",), ("", "64_", "_64")):
            function: Callable[[int], object] | None = getattr(library.dynlib, "".join(name), None)
            if function is not None:
                return function
    given: Callable[[int], object] = library.set_num_threads
    return given


@cache
def _setters() -> list[Callable[[int], object]]:
    return [_setter(library) for library in _libraries()]


class _Limit:
    """How many calls run that need BLAS on one thread, and what to go back to after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[object] = set()
        self._before: list[int] = []

    def take(self, call: object) -> None:
        with self._lock:
            if not self._calls:
                self._before = [library.num_threads for library in _libraries()]
            self._calls.add(call)
            if len(self._calls) == 1:
                for set_threads in _setters():
                    set_threads(1)

    def drop(self, call: object) -> None:
        """End a call, if it began. If this is interrupted, it can be called again."""
        with self._lock:
            if self._calls == {call}:
                self._restore()
            self._calls.discard(call)

    def forget(self) -> None:
        """End every call."""
        if self._calls:
            self._restore()

    def _restore(self) -> None:
        for set_threads, threads in zip(_setters(), self._before, strict=True):
            set_threads(threads)


_limit = _Limit()


def _forget_calls() -> None:
    """A forked child has none of the calls that ran on its parent's other threads."""
    global _limit
    parents, _limit = _limit, _Limit()
    parents.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_calls)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep BLAS to the calling thread while this context, or another one like it, is open."""
    limit, call = _limit, object()
    try:
        limit.take(call)
        yield
    finally:
        try:
            limit.drop(call)
        except BaseException:  # Ctrl-C
            limit.drop(call)
            raise
