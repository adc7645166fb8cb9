"""Compile a kernel: Numba does it, except for the matrix products (``gemm``)."""

from __future__ import annotations

from numba import njit, types

from deltarule.engine.kernels import KERNELS, features, members
from deltarule.engine.kernels.gemm import PRODUCTS, compile_product
from deltarule.engine.kernels.intrinsics import FAST

__all__ = ["compile_kernel"]

_I, _F = types.int64, types.float64

_ON_STAGE_END = (_I,) * 4
_BLOCK = (_I,) * 5
_INSTRUCTION = (_I,) * 7
_CLIP = (_I, _I, _F, _F)

# The types of a kernel's arguments before ``one``, by its name or by the end of its name.
_ARGUMENTS = {
    "run": (_I,),
    "run_epochs": (_I, _I),
    "forward_backward": (_I,) * 8,
    "record_loss": _ON_STAGE_END,
    "record_loss_of_shards": _ON_STAGE_END,
    "count_step": _ON_STAGE_END,
    "find_gradient_scale": _ON_STAGE_END,
    "find_weight_scale": _ON_STAGE_END,
    "clip_columns": _BLOCK,
    "_block": _BLOCK,
    "clip_norm": _CLIP,
    "clip_entries": _CLIP,
    "update_population": (_I, _I, _I),
    "_loss": (_I,) * 9,
    "dropout_forward": _INSTRUCTION,
    "dropout_backward": _INSTRUCTION,
    "normalize_forward": _INSTRUCTION,
    "normalize_with_population": _INSTRUCTION,
    "normalize_backward": _INSTRUCTION,
    "sparse_forward": _INSTRUCTION,
    "sparse_gradient": _INSTRUCTION,
    **dict.fromkeys([*members.__all__, *features.__all__], _INSTRUCTION),
    "l1_step": (_I, _I, _I, _F, _I),
    "_forward": (_I, _I, _I, _I, _I, _F),
    "_backward": (_I, _I, _I, _I, _I, _I, _I, _F),
}
_UPDATE = (_I, _I, _I, _I, _I, _I, _F, _I, _F, _I)  # of the optimisers


def compile_kernel(name: str, dtype: str, *, check_bounds: bool) -> tuple[str, bytes]:
    """Return the symbol and the object code of a kernel for one type of numbers."""
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
