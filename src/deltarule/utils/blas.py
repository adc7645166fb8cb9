"""BLAS on one thread: its sums depend on how many threads share them, and ours must not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["dot", "one_blas_thread"]

_lock = threading.Lock()
_libraries: list[Any] | None = None
_users = 0
_before: list[tuple[Any, int]] = []  # each library with the number of threads to return to


def dot(a: Any, b: Any) -> float:
    """Return Σ a_i b_i of two NumPy vectors, summed pairwise by NumPy and never by BLAS."""
    import numpy as np

    return float(np.add.reduce(a * b))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this context BLAS and LAPACK use one thread, in the whole process.

    Contexts may be nested, and open in several threads at once: the last one that ends returns to
    the numbers of threads before the first.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for library in _all_libraries():
                threads = library.get_num_threads()
                if threads is not None and threads > 1:
                    _before.append((library, threads))
                    library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                while _before:
                    library, threads = _before.pop()
                    library.set_num_threads(threads)


def _all_libraries() -> list[Any]:
    global _libraries
    if _libraries is None:
        import scipy.linalg  # noqa: F401 - loads SciPy's BLAS, which is not NumPy's
        from threadpoolctl import ThreadpoolController

        loaded = ThreadpoolController().lib_controllers
        _libraries = [library for library in loaded if library.user_api == "blas"]
    return _libraries


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
