"""Maps: a value, its reverse derivative and its differential (item B2).

Every elementary map f of the network is a function that returns f(x) *and* its pullback rf_x, the
adjoint of the differential df_x: ⟨rf_x(ζ), ξ⟩ = ⟨ζ, df_x(ξ)⟩ (Matt R §3.3). A second function
computes the differential. A :class:`Map` combines the two, so that one test can verify the identity
for every map of the registry (``deltarule.reference.registry``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

__all__ = ["Map"]


class Map(NamedTuple):
    """A differentiable map of the registry.

    ``value(*primals)`` returns (f(primals), pullback). ``pullback(ζ)`` returns an array for a map
    of one argument, and a tuple for several. ``differential(*primals, *tangents)`` returns
    df. ``shapes`` names the axes of each differentiable argument ("n p", "p q", "q").
    """

    name: str
    value: Callable[..., Any]
    differential: Callable[..., Any]
    shapes: tuple[str, ...]
    domain: Literal["real", "positive"] = "real"
    targets: Literal["none", "real", "binary", "simplex", "counts"] = "none"
