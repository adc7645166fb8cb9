"""From a kernel's Python function to its machine code: by Numba, but for matrix products."""

from __future__ import annotations

from numba import njit, types

from deltarule.engine.kernels import KERNELS
from deltarule.engine.kernels.blocks import PRODUCTS, compile_product
from deltarule.engine.kernels.memory import FAST

__all__ = ["compile_kernel"]

_I, _F = types.int64, types.float64

# What the kernels take before ``one``, by name or by the end of their names.
_ARGUMENTS = {
    "run": (_I,),
    "run_pass": (_I,) * 8,
    "look_at_loss": (_I,) * 4,
    "end_step": (_I,) * 4,
    "gradient_scale": (_I,) * 4,
    "weights_scale": (_I,) * 4,
    "clip_columns": (_I,) * 5,
    "clip_norm": (_I, _I, _I),
    "clip_entries": (_I, _I, _I),
    "keep_statistics": (_I,) * 5,
    "_chunk": (_I,) * 5,
    "_loss": (_I,) * 9,
    "dropout_forward": (_I,) * 7,
    "dropout_backward": (_I,) * 7,
    "normalize_forward": (_I,) * 7,
    "normalize_with_population": (_I,) * 7,
    "normalize_backward": (_I,) * 7,
    "l1_step": (_I, _I, _I, _F, _I),
    "sparse_forward": (_I,) * 7,
    "sparse_gradient": (_I,) * 7,
    "_forward": (_I, _I, _I, _I, _I, _F),
    "_backward": (_I, _I, _I, _I, _I, _I, _I, _F),
}
_UPDATE = (_I, _I, _I, _I, _I, _F, _I, _I, _F, _I, _I)


def compile_kernel(name: str, dtype: str, *, check_bounds: bool) -> tuple[str, bytes]:
    """Return a kernel's symbol and object code for numbers of a type."""
    if name in PRODUCTS:
        return compile_product(name, dtype)
    taken = _arguments_of(name)
    signature = types.none(*taken, {"float32": types.float32, "float64": types.float64}[dtype])
    dispatcher = njit(
        nogil=True,
        error_model="numpy",
        fastmath=FAST,
        boundscheck=check_bounds,
        _nrt=False,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(KERNELS[name])
    dispatcher.compile(signature)
    (result,) = dispatcher.overloads.values()
    return result.fndesc.llvm_func_name, result.library._get_compiled_object()


def _arguments_of(name: str) -> tuple[types.Type, ...]:
    if name in _ARGUMENTS:
        return _ARGUMENTS[name]
    return next((a for end, a in _ARGUMENTS.items() if name.endswith(end)), _UPDATE)
