"""All maps of the reference mathematics, which one test verifies."""

from __future__ import annotations

from deltarule.reference import (
    activations,
    affine,
    dropout,
    elementwise,
    features,
    losses,
    members,
    normalization,
)
from deltarule.reference.maps import Map

__all__ = ["MAPS"]

MAPS: tuple[Map, ...] = (
    *affine.MAPS,
    *elementwise.MAPS,
    *normalization.MAPS,
    *activations.MAPS,
    *dropout.MAPS,
    *losses.MAPS,
    *members.MAPS,
    *features.MAPS,
)
