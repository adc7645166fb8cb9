"""Every map of the reference mathematics, in one list, for the tests that prove them all."""

from __future__ import annotations

from deltarule.reference import activations, affine, dropout, elementwise, losses, normalization
from deltarule.reference.maps import Map

__all__ = ["MAPS"]

MAPS: tuple[Map, ...] = (
    *affine.MAPS,
    *elementwise.MAPS,
    *normalization.MAPS,
    *activations.MAPS,
    *dropout.MAPS,
    *losses.MAPS,
)
