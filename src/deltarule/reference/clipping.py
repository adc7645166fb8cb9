"""Gradient clipping by norm and by value (item H4)."""

from __future__ import annotations

from deltarule.spec.gradient_clipping import ClipNorm, Clipping
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["clip"]


def clip(gradient: Array, clipping: Clipping | None) -> Array:
    """Return g min(1, c/‖g‖), or min(max(g, −c), c) of every entry, or g without clipping."""
    if clipping is None:
        return gradient
    xp = array_namespace(gradient)
    if isinstance(clipping, ClipNorm):
        largest = float(xp.max(xp.abs(gradient)))
        if not 0 < largest < float("inf"):
            return gradient  # zero, or not finite: training checks the next loss
        scaled = gradient / largest  # so that no square overflows
        norm = largest * float(xp.sqrt(xp.sum(scaled * scaled)))
        return gradient if norm <= clipping.limit else gradient * (clipping.limit / norm)
    bound = xp.asarray(clipping.limit, dtype=gradient.dtype)
    return xp.minimum(xp.maximum(gradient, -bound), bound)
