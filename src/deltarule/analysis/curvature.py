"""Hessian-vector products, extreme eigenvalues, and kinds of critical points (items H5, R6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltarule.analysis.gradients import as_double
from deltarule.errors import DataError, SpecError
from deltarule.network import Network
from deltarule.program import State
from deltarule.reference import Reference
from deltarule.reference.curvature import hessian_vector
from deltarule.utils.arrays import Array
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import (
    check_between,
    check_name,
    check_positive_integer,
    check_seed,
    check_shape,
    numeric_array,
)

__all__ = [
    "CriticalPoint",
    "critical_point",
    "hessian_eigenvalues",
    "hessian_matrix",
    "hessian_vector_product",
]

Vector = npt.NDArray[np.float64]
_DENSE = 300  # the largest number of parameters for which the full Hessian is computed


@one_blas_thread()
def hessian_vector_product(
    net: Network, state: State, X: Array, y: Any, v: Any, *, sample_weight: Any = None
) -> Vector:
    """Return H v (p,) in float64, where H is the exact Hessian of the cost (with penalties) at θ.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    v : (p,) array
        A direction in the space of all parameters, in the layout of θ.
    sample_weight : (n,) array, optional
        Weights of the rows.

    Notes
    -----
    Backpropagation itself is differentiated along v (Pearlmutter 1994). This takes as long as two
    gradients and uses no finite differences. At kinks, the second derivative is taken as 0.
    """
    double, at, block = as_double(net, state, X, y, sample_weight)
    direction = numeric_array("v", v).astype(np.float64)
    if not np.isfinite(direction).all():
        raise DataError("v must be finite; got NaN or infinity.")
    check_shape("v", direction, (double.tape.n_parameters,), "It must have the layout of θ.")
    product: Vector = hessian_vector(Reference(double.tape), at, block, direction)
    return product


@one_blas_thread()
def hessian_matrix(
    net: Network, state: State, X: Array, y: Any, *, sample_weight: Any = None
) -> Vector:
    """Return the full Hessian (p, p) of the cost, for small networks."""
    double, at, block = as_double(net, state, X, y, sample_weight)
    reference = Reference(double.tape)
    columns = [hessian_vector(reference, at, block, e) for e in np.eye(double.tape.n_parameters)]
    full = np.stack(columns, axis=1)
    symmetric: Vector = (full + full.T) / 2
    return symmetric


@one_blas_thread()
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
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    k : int, default=6
        The number of eigenvalues; at most p are returned.
    which : {"largest", "smallest", "magnitude"}, default="largest"
        The end of the spectrum: algebraically largest or smallest, or largest absolute values.
    sample_weight : (n,) array, optional
        Weights of the rows.
    seed : int, default=0
        The seed of the Lanczos iteration's first vector.

    Raises
    ------
    SpecError
        If the iteration does not converge because the requested eigenvalues are nearly equal.

    Notes
    -----
    SciPy's ``eigsh`` (Lanczos) with :func:`hessian_vector_product`, accurate to about 1e-9 of the
    largest |eigenvalue|, or 1e-6 for eigenvalues that lie close together. For networks of at most
    300 parameters, the full Hessian is computed.
    """
    check_name("which", which, ("largest", "smallest", "magnitude"))
    check_seed("seed", seed)
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
    """Return k eigenvalues from one end of the spectrum of v ↦ Hv, in descending order.

    Convergence is measured relative to an eigenvalue, and many eigenvalues of a trained network
    are close to 0. So H is shifted by c ≈ 2‖H‖, which makes the error relative to ‖H‖.
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
        return np.zeros(k)  # H is zero: H v = 0 for a random v
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
        f"the {k} {which} of {p} eigenvalues are too close together to be separated. Ask for "
        "fewer (k), or for the other end of the spectrum."
    )


@dataclass(frozen=True)
class CriticalPoint:
    """The result of :func:`critical_point`: the kind of point that θ is.

    Attributes
    ----------
    verdict : {"minimum", "saddle", "plateau", "maximum", "not critical"}
        The kind of point; "plateau" means that no eigenvalue differs from zero by more than the
        tolerance.
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
        """Return the kind of point and its numbers, as one line."""
        return (
            f"{self.verdict}: gradient norm {self.gradient_norm:.3g}, Hessian eigenvalues from "
            f"{self.smallest:.3g} to {self.largest:.3g}."
        )


@one_blas_thread()
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
    """Return the kind of point that θ is, by the extreme Hessian eigenvalues (item H5; Matt R §7).

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    sample_weight : (n,) array, optional
        Weights of the rows.
    gradient_tolerance : float, default=1e-3
        The largest ‖∇C‖ of a critical point.
    curvature_tolerance : float, default=1e-6
        An eigenvalue counts as zero up to this fraction of the largest |eigenvalue| (up to this
        value, if all |eigenvalues| are below 1). A minimum may have flat directions; if both
        extreme eigenvalues count as zero, the point is a plateau.
    """
    check_between("gradient_tolerance", gradient_tolerance, 0.0)
    check_between("curvature_tolerance", curvature_tolerance, 0.0, 1.0)
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
