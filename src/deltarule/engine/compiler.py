"""The address of a kernel's machine code: known to this process, read from the cache, or compiled.

A kernel is compiled separately, for one type of number, when a network first needs it; no network
is ever compiled. The object code is stored (``kernel_cache``) and loaded by LLVM without Numba, so
a process whose kernels are all in the cache never imports Numba.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import logging  # noqa: F401 - its fork hooks must precede ours: see _hold_compiler
import mmap
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from deltarule.engine import kernel_cache
from deltarule.engine.numba_settings import (
    CODE_SETTINGS,
    Settings,
    disables_compiler,
    numba_configured,
    settings_of_environment,
    target,
)
from deltarule.engine.records import CONTEXT, structure_of
from deltarule.utils.numpy_code import numpy_code

__all__ = [
    "caller",
    "checks_bounds",
    "code_identity",
    "is_compiled",
    "kernel_address",
]

_LINKING_BYTES = 2**19
"""LLVM takes less than this, in addition to the code, to link a kernel."""
_lock = threading.RLock()
_addresses: dict[tuple[str, str, bool], int] = {}


def is_compiled() -> bool:
    """Whether kernels are compiled; ``NUMBA_DISABLE_JIT=1`` runs them as plain Python."""
    return not disables_compiler()


def checks_bounds() -> bool:
    """Whether kernels check every index: the debug mode ``DELTARULE_CHECK_BOUNDS=1``."""
    return os.environ.get("DELTARULE_CHECK_BOUNDS", "0") not in ("", "0")


def code_identity() -> dict[str, str]:
    """Return what decides the bits that kernels compute in this process, by name."""
    if not is_compiled():
        return {"engine": "kernels as plain Python"} | numpy_code()
    settings = settings_of_environment()
    processor, features = target(settings)
    return {
        "engine": "compiled kernels" + " with bounds checks" * checks_bounds(),
        "processor": processor,
        "features": features,
        "compiler": f"Numba {version('numba')}, llvmlite {version('llvmlite')}",
        "settings": ", ".join(f"{n}={v}" for n, v in settings if n in CODE_SETTINGS) or "default",
    }


def kernel_address(name: str, dtype: str) -> int:
    """Return the address of a kernel for numbers of a type, compiling it if necessary."""
    key = (name, dtype, checks_bounds())
    address = _addresses.get(key)
    if address is not None:
        return address
    with _lock:
        if key not in _addresses:
            _addresses[key] = _load(name, dtype) if is_compiled() else _stand_in(name)
        return _addresses[key]


def caller(dtype: str, context: int, epochs: int = 0) -> Callable[[], None]:
    """Return a call of the driver on one context, whose arguments are converted once.

    With ``epochs``, the address of a record ``EPOCHS``, it is a call for all of these epochs. It
    releases Python's lock. Several threads may call it at the same time.
    """
    name, addresses = ("run_epochs", (context, epochs)) if epochs else ("run", (context,))
    if not is_compiled():
        with numba_configured(settings_of_environment()):
            from deltarule.engine.kernels import KERNELS, numpy_one

        return lambda: KERNELS[name](*addresses, numpy_one(dtype))
    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    function = ctypes.CFUNCTYPE(ctypes.c_int32)(kernel_address(name, dtype))
    nothing, error = ctypes.c_void_p(), ctypes.c_void_p()  # nobody reads what it writes there
    integers = (ctypes.c_int64(address) for address in addresses)
    given = ctypes.byref(nothing), ctypes.byref(error), *integers, number(1.0)

    def call() -> None:
        if function(*given) > 0:
            _end_call(context)
            raise _left_arrays()

    return call


def _left_arrays() -> IndexError:
    return IndexError("a kernel left its arrays: this is a bug in deltarule, please report it.")


def _end_call(context: int) -> None:
    """Release the other threads of a call, which wait for a tile that failed."""
    c = structure_of(CONTEXT).from_address(context)
    shares = [c.shares + 128 * thread for thread in range(c.n_threads)] if c.shares else []
    for counter in (*shares, c.tiles_done):  # in this order: nothing left to claim, all done
        ctypes.c_int64.from_address(counter).value = 2**62


# --- at fork --------------------------------------------------------------------------------------


def _hold_compiler() -> None:
    # If a process forks while another thread compiles, the child inherits Numba's and LLVM's locks
    # held by a thread that it does not have, and half imported modules. So a fork waits for our
    # lock. Hooks run in reverse order of registration: imports under our lock may acquire logging's
    # lock, whose hook must therefore be registered before ours, hence the import above.
    _lock.acquire()


def _free_compiler() -> None:
    _lock.release()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold_compiler, after_in_parent=_free_compiler, after_in_child=_renew_lock
    )


# --- compiled -------------------------------------------------------------------------------------


def _load(name: str, dtype: str) -> int:
    """Return the address of a kernel's machine code, from the cache or from the compiler."""
    settings = settings_of_environment()
    file = f"{name}-{dtype}-{_fingerprint(checks_bounds(), settings)}.kernel"
    kept = kernel_cache.read(file)
    if kept is not None:
        head, _, code = kept.partition(b"\0")
        return _link(head.decode(), code)
    with numba_configured(settings), _without_garbage_collection():
        from deltarule.engine.kernels.build import compile_kernel

        symbol, code = compile_kernel(name, dtype, check_bounds=checks_bounds())
    kernel_cache.write(file, symbol.encode() + b"\0" + code)
    return _link(symbol, code)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Let no search for garbage interrupt a compilation: most of its objects live to its end."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _link(symbol: str, code: bytes) -> int:
    """Load object code; return the address of a symbol in it."""
    import llvmlite.binding as llvm

    try:  # Without memory for the sections of the code, LLVM would abort: this raises instead.
        mmap.mmap(-1, 2 * len(code) + _LINKING_BYTES).close()
    except OSError as error:
        raise MemoryError(f"no memory for a kernel of {len(code)} bytes") from error
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(symbol))
    engine.detach()  # never freed: at exit a thread may still run a kernel
    return address


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)


@cache
def _fingerprint(check_bounds: bool, settings: Settings) -> str:
    """Return a digest of what compiled code depends on: sources, compilers, target, settings."""
    import llvmlite
    import llvmlite.binding as llvm

    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in (*sorted((folder / "kernels").glob("*.py")), folder / "records.py",
                 folder.parent / "program" / "opcodes.py"):  # fmt: skip
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    facts = [
        _numba_version(), llvmlite.__version__, np.__version__, platform.python_version(),
        llvm.get_process_triple(), llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(), *target(settings),
        *(f"{name}={value}" for name, value in settings), str(check_bounds),
    ]  # fmt: skip
    digest.update("\0".join(facts).encode())
    return digest.hexdigest()[:32]


def _numba_version() -> str:
    """Return Numba's version from the file that holds it: its metadata take longer to read."""
    found = find_spec("numba")
    file = None if found is None or found.origin is None else Path(found.origin)
    try:
        return version("numba") if file is None else (file.parent / "_version.py").read_text()
    except OSError:
        return version("numba")


# --- plain Python ---------------------------------------------------------------------------------


def _stand_in(name: str) -> int:
    """Return a number that stands for a kernel's address when nothing is compiled."""
    with numba_configured(settings_of_environment()):
        from deltarule.engine.kernels import KERNELS
        from deltarule.engine.kernels.intrinsics import stand_ins

    number = len(stand_ins) + 1
    stand_ins[number] = KERNELS[name]
    return number
