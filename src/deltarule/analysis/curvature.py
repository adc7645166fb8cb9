"""Hessian-vector products, leading eigenvalues, and what a critical point is (items H5, R6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltarule.analysis.gradients import as_double
from deltarule.arrays import Array
from deltarule.checks import check_positive_integer, check_shape
from deltarule.errors import SpecError
from deltarule.network import Network
from deltarule.program import State
from deltarule.reference import Reference
from deltarule.reference.curvature import hessian_vector

__all__ = [
    "CriticalPoint",
    "critical_point",
    "hessian_eigenvalues",
    "hessian_matrix",
    "hessian_vector_product",
]

Vector = npt.NDArray[np.float64]
_DENSE = 300  # parameters up to which the whole Hessian is written out


def hessian_vector_product(
    net: Network, state: State, X: Array, y: Any, v: Any, *, sample_weight: Any = None
) -> Vector:
    """Return H v (p,), H the Hessian of the cost (penalties included) at θ; exact, in float64.

    Parameters
    ----------
    v : (p,) array
        A direction in the space of all parameters, laid out as θ.

    Notes
    -----
    Computed by differentiating backpropagation itself along v (Pearlmutter 1994): the cost of two
    gradients, no differences. At kinks the second derivative counts as 0.
    """
    double, at, block = as_double(net, state, X, y, sample_weight)
    direction = np.asarray(v, dtype=np.float64)
    check_shape("v", direction, (double.tape.n_parameters,), "It must be laid out as θ.")
    product: Vector = hessian_vector(Reference(double.tape), at, block, direction)
    return product


def hessian_matrix(
    net: Network, state: State, X: Array, y: Any, *, sample_weight: Any = None
) -> Vector:
    """Return the whole Hessian (p, p) of the cost, column by column: for small networks."""
    double, at, block = as_double(net, state, X, y, sample_weight)
    reference = Reference(double.tape)
    columns = [hessian_vector(reference, at, block, e) for e in np.eye(double.tape.n_parameters)]
    full = np.stack(columns, axis=1)
    symmetric: Vector = (full + full.T) / 2
    return symmetric


def hessian_eigenvalues(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    k: int = 6,
    which: Literal["largest", "smallest", "magnitude"] = "largest",
    sample_weight: Any = None,
    seed: int = 0,
) -> Vector:
    """Return k eigenvalues of the Hessian of the cost, in descending order.

    Parameters
    ----------
    k : int, default=6
        How many; at most p.
    which : {"largest", "smallest", "magnitude"}, default="largest"
        From which end of the spectrum (algebraically, or by absolute value).
    seed : int, default=0
        Of the Lanczos iteration's first vector.

    Notes
    -----
    By SciPy's ``eigsh`` (Lanczos) over :func:`hessian_vector_product`, to about 1e-9 of the largest
    |eigenvalue|, 1e-6 where they are crowded; a network of at most 300 parameters has its Hessian
    written out.

    Raises
    ------
    SpecError
        If the iteration does not converge, because the eigenvalues asked for are (nearly) equal.
    """
    double, at, block = as_double(net, state, X, y, sample_weight)
    p = double.tape.n_parameters
    k = min(check_positive_integer("k", k), p)
    if p <= _DENSE or k >= p - 1:
        values = np.linalg.eigvalsh(hessian_matrix(net, state, X, y, sample_weight=sample_weight))
        order = np.argsort(-np.abs(values) if which == "magnitude" else values)
        chosen = values[order[-k:]] if which == "largest" else values[order[:k]]
        return np.sort(chosen)[::-1]
    reference = Reference(double.tape)
    return _lanczos(lambda v: hessian_vector(reference, at, block, v), p, k, which, seed)


def _lanczos(product: Callable[[Vector], Vector], p: int, k: int, which: str, seed: int) -> Vector:
    """Return k eigenvalues from an end of the spectrum of v ↦ Hv, in descending order.

    Convergence is judged relative to an eigenvalue, and those of a trained network crowd about 0;
    so H is shifted by c ≈ 2‖H‖, which makes the error one relative to ‖H‖.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    first = np.random.default_rng(seed).normal(size=p)
    shift, v = 0.0, first / np.linalg.norm(first)
    for _ in range(10):
        moved = product(v)
        norm = float(np.linalg.norm(moved))
        if norm == 0:
            break
        shift, v = max(shift, 2 * norm), moved / norm
    if shift == 0:
        return np.zeros(k)  # nothing is curved: H is zero on a random vector
    sign = {"largest": 1.0, "smallest": -1.0, "magnitude": 0.0}[which]

    def shifted(v: Vector) -> Vector:
        flat = v.ravel()
        return product(flat) if sign == 0 else shift * flat + sign * product(flat)

    operator = LinearOperator((p, p), matvec=shifted, dtype=np.float64)
    for tolerance in (1e-9, 1e-6):
        try:
            found = eigsh(
                operator, k=k, which="LM" if sign == 0 else "LA", v0=first, tol=tolerance,
                ncv=min(p, max(2 * k + 1, 60)), maxiter=50, return_eigenvectors=False,
            )  # fmt: skip
        except ArpackNoConvergence:
            continue
        values = found if sign == 0 else sign * (found - shift)
        return np.sort(values)[::-1]
    raise SpecError(
        f"{k} eigenvalues ({which}) lie too close together to be told apart among {p}. Ask for "
        "fewer (k), or for those of the other end."
    )


@dataclass(frozen=True)
class CriticalPoint:
    """What kind of point θ is; ``str()`` says it in words.

    Attributes
    ----------
    verdict : {"minimum", "saddle", "plateau", "maximum", "not critical"}
        "plateau": no curvature beyond the tolerance in the extreme directions on one side.
    gradient_norm : float
        ‖∇C‖.
    smallest, largest : float
        The extreme eigenvalues of the Hessian.
    """

    verdict: Literal["minimum", "saddle", "plateau", "maximum", "not critical"]
    gradient_norm: float
    smallest: float
    largest: float

    def __str__(self) -> str:
        """Return the verdict with its figures."""
        return (
            f"{self.verdict}: gradient norm {self.gradient_norm:.3g}, Hessian eigenvalues from "
            f"{self.smallest:.3g} to {self.largest:.3g}."
        )


def critical_point(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    sample_weight: Any = None,
    gradient_tolerance: float = 1e-3,
    curvature_tolerance: float = 1e-6,
) -> CriticalPoint:
    """Say by the extreme Hessian eigenvalues what kind of point θ is (item H5; Matt R §7).

    Parameters
    ----------
    gradient_tolerance : float, default=1e-3
        Up to which ‖∇C‖ the point counts as critical.
    curvature_tolerance : float, default=1e-6
        Up to which share of the largest |eigenvalue| (and up to which value, where all are
        smaller) an eigenvalue counts as zero. A minimum may have flat directions; where both
        extremes are flat the point is a plateau.
    """
    double, at, block = as_double(net, state, X, y, sample_weight)
    reference = Reference(double.tape)
    gradient = reference.cost(at, reference.gradient(at, block))[2]
    norm = float(np.linalg.norm(gradient))
    ends = [
        float(hessian_eigenvalues(net, state, X, y, k=1, which=end, sample_weight=sample_weight)[0])
        for end in ("smallest", "largest")
    ]
    low, high = ends
    flat = curvature_tolerance * max(abs(low), abs(high), 1.0)
    verdict: Literal["minimum", "saddle", "plateau", "maximum", "not critical"]
    if norm > gradient_tolerance:
        verdict = "not critical"
    elif low < -flat and high > flat:
        verdict = "saddle"
    elif high > flat:
        verdict = "minimum"
    else:
        verdict = "maximum" if low < -flat else "plateau"
    return CriticalPoint(verdict, norm, low, high)
