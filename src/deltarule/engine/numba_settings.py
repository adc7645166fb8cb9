"""Numba's settings for our kernels: from the environment and the processor, never from a file.

Numba also reads ``.numba_config.yaml`` in the working directory, so that whoever can put a file
there would decide what is compiled, and the kernel cache would keep it for every later process.
Kernels are compiled with the variables ``NUMBA_…`` of the environment alone, and only for features
that this processor has. Nothing here imports Numba until a kernel is compiled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deltarule.errors import DeltaruleError, SpecError
from deltarule.utils.settings_files import without_settings_file

__all__ = [
    "CODE_SETTINGS",
    "Settings",
    "disables_compiler",
    "numba_configured",
    "settings_of_environment",
    "target",
]

Settings = tuple[tuple[str, str], ...]
"""The variables ``NUMBA_…`` that are set, sorted by name."""

CODE_SETTINGS = tuple(
    f"NUMBA_{name}"
    for name in (
        *("DEBUGINFO", "DISABLE_INTEL_SVML", "ENABLE_AVX", "LOOP_VECTORIZE", "OPT"),
        "SLP_VECTORIZE",
    )
)
"""The variables that may change the machine code, in addition to those of ``target``."""
_INTEGERS = (
    *("BOUNDSCHECK", "DEBUG", "DEBUGINFO", "DEBUG_CACHE", "DEBUG_FRONTEND", "DEBUG_JIT"),
    *("DEBUG_NRT", "DEBUG_TYPEINFER", "DEVELOPER_MODE", "DISABLE_INTEL_SVML", "DISABLE_JIT"),
    *("DISABLE_PERFORMANCE_WARNINGS", "DUMP_ASSEMBLY", "DUMP_BYTECODE", "DUMP_CFG"),
    *("DUMP_FUNC_OPT", "DUMP_IR", "DUMP_LLVM", "DUMP_OPTIMIZED", "DUMP_SSA", "ENABLE_AVX"),
    *("ENABLE_PROFILING", "EXTEND_VARIABLE_LIFETIMES", "FULL_TRACEBACKS", "LLVM_PASS_TIMINGS"),
    *("LOOP_VECTORIZE", "SHOW_HELP", "SLP_VECTORIZE", "TRACE", "USE_LLVMLITE_MEMORY_MANAGER"),
)
_LEVELS = ("0", "1", "2", "3", "max")


def settings_of_environment() -> Settings:
    """Return the variables ``NUMBA_…`` of the environment; empty ones count as not set.

    Raises
    ------
    SpecError
        If Numba could not use one of them.
    """
    found = {n: v for n, v in os.environ.items() if n.startswith("NUMBA_") and v.strip()}
    for name in sorted(found):
        short = name.removeprefix("NUMBA_")
        if short in _INTEGERS and not _is_integer(found[name]):
            raise _unusable(name, found[name], "a whole number, such as 0 or 1")
        if short == "NUM_THREADS" and not (_is_integer(found[name]) and int(found[name]) > 0):
            raise _unusable(name, found[name], "a whole number of at least 1")
        if short == "OPT" and found[name] not in _LEVELS:
            raise _unusable(name, found[name], f"one of {', '.join(_LEVELS)}")
    return tuple(sorted(found.items()))


def disables_compiler() -> bool:
    """Whether ``NUMBA_DISABLE_JIT`` says that nothing is compiled."""
    given = os.environ.get("NUMBA_DISABLE_JIT", "").strip() or "0"
    if not _is_integer(given):
        raise _unusable("NUMBA_DISABLE_JIT", given, "0 or 1")
    return int(given) != 0


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _unusable(name: str, given: str, expected: str) -> SpecError:
    return SpecError(
        f"the environment variable {name} must be {expected}; got {given!r}. Unset it, or set it "
        "to one of these."
    )


def target(settings: Settings) -> tuple[str, str]:
    """Return name and features of the processor that kernels are compiled for.

    Features that this processor lacks are switched off by name, so that a processor's name in
    ``NUMBA_CPU_NAME`` cannot bring them in.

    Raises
    ------
    SpecError
        If ``NUMBA_CPU_FEATURES`` asks for a feature that this processor does not have.
    """
    import llvmlite.binding as llvm

    chosen, here = dict(settings), llvm.get_host_cpu_features()
    name = chosen.get("NUMBA_CPU_NAME", llvm.get_host_cpu_name())
    given = chosen.get("NUMBA_CPU_FEATURES", "" if name.lower() == "generic" else None)
    if given is None:
        return name, here.flatten()
    wanted = [feature.strip() for feature in given.split(",") if feature.strip()]
    for feature in wanted:
        if feature[:1] not in "+-" or (feature[0] == "+" and not here.get(feature[1:], False)):
            raise _unusable(
                "NUMBA_CPU_FEATURES", given,
                f'features of this processor, such as "+sse2,-avx", and it has no {feature!r}',
            )  # fmt: skip
    missing = [f"-{feature}" for feature in sorted(here) if not here[feature]]
    return name, ",".join([*wanted, *missing])


# --- Numba itself ---------------------------------------------------------------------------------

_generators: dict[Settings, Any] = {}  # Numba's code generators for our kernels


@contextmanager
def numba_configured(settings: Settings) -> Iterator[None]:
    """Within this context Numba has these settings and no others; Numba is imported if needed.

    Kernels are imported and compiled in it. The settings of a program that itself uses Numba are
    put back at its end.
    """
    was_used = "numba.core.registry" in sys.modules
    try:
        with without_settings_file("numba.core.config", ".numba_config.yaml"):
            import numba  # noqa: F401
    except DeltaruleError:
        raise
    except Exception as error:
        given = ", ".join(f"{n}={v!r}" for n, v in settings)
        if not given:
            raise
        raise SpecError(
            f"Numba does not start with the environment variables {given}: "
            f"{(str(error) or type(error).__name__).splitlines()[0]} Unset them."
        ) from error
    from numba.core import config as module
    from numba.core.compiler_lock import global_compiler_lock

    config: Any = module  # Numba makes its names while it starts, so type checkers see none
    reloader = config._env_reloader
    with global_compiler_lock:
        held = {n: v for n, v in vars(config).items() if n.isupper() or n == "_config_fname"}
        environ = reloader.old_environ
        threads = str(config.NUMBA_NUM_THREADS)
        try:
            config._config_fname = ""
            reloader.process_environ({**dict(settings), "NUMBA_NUM_THREADS": threads})
            # What the compiler compares with before it would read the settings again.
            reloader.old_environ = {n: v for n, v in os.environ.items() if n.startswith("NUMBA_")}
            if any(n in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES") for n, _ in settings):
                name, features = target(settings)
                config.CPU_NAME, config.CPU_FEATURES = name, features
            with _code_generator(settings, was_used=was_used):
                yield
        finally:
            vars(config).update(held)
            reloader.old_environ = environ


@contextmanager
def _code_generator(settings: Settings, *, was_used: bool) -> Iterator[None]:
    """Give Numba a code generator for these settings: it makes one only once, and keeps it."""
    from numba.core import codegen
    from numba.core.registry import cpu_target

    make: Any = codegen.JITCPUCodegen
    context: Any = cpu_target.target_context
    before = context._internal_codegen
    if settings not in _generators:
        fresh = not was_used and not _generators  # made a moment ago, with these settings
        _generators[settings] = before if fresh else make("deltarule.kernels")
    context._internal_codegen = _generators[settings]
    try:
        yield
    finally:
        context._internal_codegen = before
