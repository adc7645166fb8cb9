"""Steepest descent with an exact line search, over the whole training set (item O6)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from deltarule.program import Block, Interpreter, State
from deltarule.training.history import History
from deltarule.training.lbfgs import Minimum
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["Point", "descend", "minimize_line"]

_HALVINGS = 100  # of the first step, before the search gives up


class Point(NamedTuple):
    """A point on a line: t, φ(t) and φ'(t)."""

    t: float
    value: float
    slope: float


def minimize_line(
    along: Callable[[float], tuple[float, float]],
    begin: Point,
    *,
    first: float = 1.0,
    max_step: float = inf,
    tol: float = 1e-8,
) -> Point:
    """Return a minimum of φ over 0 ≤ t ≤ max_step, downhill from 0.

    φ'(0) must be negative. Doubling or halving ``first`` brackets a minimum, and SciPy's
    ``minimize_scalar`` (Brent 1973, bounded) narrows it by the values. They determine t up to about
    √u, where u is the unit roundoff; then ``brentq`` narrows it further by the sign of the slopes.
    A value that is not finite counts as +∞.

    Parameters
    ----------
    along : callable
        t -> (φ(t), φ'(t)).
    begin : Point
        The point at t = 0; it is returned if no lower point was found.
    first : float
        The first t that is tried.
    max_step : float
        The largest t; it is returned if φ falls up to it.
    tol : float
        The search by values stops at this width, as a fraction of the bracket's end.

    Examples
    --------
    >>> along = lambda t: ((t - 3.0) ** 2 + 1.0, 2.0 * (t - 3.0))
    >>> round(minimize_line(along, Point(0.0, *along(0.0))).t, 12)
    3.0
    """
    from scipy.optimize import brentq, minimize_scalar

    seen = {begin.t: begin}

    def evaluate(t: float) -> Point:
        t = float(t)
        if t not in seen:
            value, slope = along(t)
            seen[t] = Point(t, value if isfinite(value) else inf, slope)
        return seen[t]

    low, high = begin, evaluate(min(first, max_step))
    for _ in range(_HALVINGS):
        too_short = high.value == begin.value and high.slope < 0
        if high.value < begin.value or too_short:
            break
        high = evaluate(high.t / 2)
    else:
        return begin
    while high.value <= low.value and high.slope < 0:
        if high.t >= max_step:
            return high
        low, high = high, evaluate(min(2 * high.t, max_step))
    while high.value == inf and high.t - low.t > tol * high.t:  # the bracket's end must be finite
        mid = evaluate((low.t + high.t) / 2)
        downhill = mid.value < low.value and mid.slope < 0
        low, high = (mid, high) if downhill else (low, mid)
    minimize_scalar(
        lambda t: evaluate(t).value,
        bounds=(low.t, high.t),
        method="bounded",
        options={"xatol": tol * high.t},
    )
    best = min(seen.values(), key=lambda point: point.value)
    left = max((p for p in seen.values() if p.t <= best.t and p.slope < 0), default=None)
    right = min((p for p in seen.values() if p.t >= best.t and p.slope > 0), default=None)
    if left is not None and right is not None and isfinite(right.value):
        root = evaluate(
            brentq(lambda t: evaluate(t).slope, left.t, right.t, xtol=1e-300, disp=False)
        )
        # Rounding errors of the values are far below a millionth of the fall.
        room = 4 * tol**2 * abs(best.value) + 1e-6 * (begin.value - best.value)
        if root.value <= min(best.value + room, begin.value):
            return root
    return best


def descend(
    interpreter: Interpreter,
    state: State,
    block: Block,
    *,
    max_iterations: int = 200,
    max_evaluations: int = 15_000,
    max_step: float = 1e6,
    tol: float = 1e-4,
    loss_scale: float = 1.0,
    on_iteration: Callable[[History], bool] | None = None,
) -> Minimum:
    """Minimise the cost over the block: θ ← θ − α_k ∇C(θ), α_k = argmin_t C(θ − t ∇C(θ)).

    (Mebsout §6, corrected: erratum E-ac.) On a quadratic with Hessian H and gradient g,
    α = gᵀg / gᵀHg, and each gradient is orthogonal to the last. θ is updated in place; the cost
    never rises.

    Parameters
    ----------
    max_iterations, max_evaluations : int
        Limits on iterations, and on evaluations of cost and gradient. A line search that has
        begun runs to its end.
    max_step : float, default=1e6
        The largest α.
    tol : float, default=1e-4
        The largest entry of the gradient at which the cost counts as minimal.
    loss_scale : float, default=1.0
        Multiplies the loss in the history.
    on_iteration : callable, optional
        Called with the history after every iteration; returning True stops.

    Returns
    -------
    minimum : Minimum
        Its history has the cost after every step, and α_k as the learning rate.
    """
    history = History()
    line = _Line(interpreter, state, block)
    width = float(line.xp.finfo(state.theta.dtype).eps) ** 0.5
    alpha, ending = 1.0, None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            line.begin_at(state.theta)
            while ending is None:
                if not isfinite(line.here.value + line.here.slope):
                    ending = "divergence", "cost or gradient is not finite"
                elif line.steepest <= tol:
                    ending = "no improvement", f"no entry of the gradient is above tol = {tol:g}"
                elif history.n_epochs >= max_iterations or line.evaluations >= max_evaluations:
                    ending = "epochs", "max_iterations or max_evaluations was reached"
                else:
                    found = minimize_line(
                        line.along, line.here, first=alpha, max_step=max_step, tol=width
                    )
                    if found.t == 0:
                        ending = "no improvement", "no step along the gradient lowers the cost"
                        continue
                    alpha = found.t
                    line.begin_at(line.theta - alpha * line.gradient)
                    state.move_to(line.theta)
                    history.loss.append(loss_scale * (line.here.value - line.penalty))
                    history.penalty.append(line.penalty)
                    history.learning_rate.append(alpha)
                    if on_iteration is not None and on_iteration(history):
                        ending = "callback", "on_iteration returned True"
        except KeyboardInterrupt:
            ending = "interrupt", "interrupted"
    state.move_to(line.theta)
    history.best_epoch = history.n_epochs or None
    history.stopped_by, message = ending
    converged = history.stopped_by == "no improvement" and line.steepest <= tol
    return Minimum(history, history.n_epochs, converged, message)


class _Line:
    """θ_k with its cost and gradient, and the cost along −∇C(θ_k): φ(t) = C(θ_k − t ∇C(θ_k))."""

    theta: Array
    gradient: Array
    penalty: float
    here: Point  # φ at t = 0

    def __init__(self, interpreter: Interpreter, state: State, block: Block) -> None:
        self._interpreter, self._block = interpreter, block
        self._state = state.copy()  # other threads may read the state: they see no trial point
        self.xp = array_namespace(state.theta)
        self.theta = self.xp.asarray(state.theta, copy=True)
        self.evaluations = 0

    def begin_at(self, theta: Array) -> None:
        """Begin the next line at θ."""
        theta = self.xp.asarray(theta, copy=True)
        loss, penalty, gradient = self._cost(theta)
        slope = -float(self.xp.sum(gradient * gradient))
        self.theta, self.gradient, self.penalty = theta, gradient, penalty
        self.here = Point(0.0, loss + penalty, slope)

    @property
    def steepest(self) -> float:
        """The largest absolute entry of the gradient."""
        return float(self.xp.max(self.xp.abs(self.gradient)))

    def along(self, t: float) -> tuple[float, float]:
        """Return φ(t) and φ'(t) = −⟨∇C(θ_k − t ∇C(θ_k)), ∇C(θ_k)⟩."""
        loss, penalty, gradient = self._cost(self.theta - t * self.gradient)
        return loss + penalty, -float(self.xp.sum(gradient * self.gradient))

    def _cost(self, theta: Array) -> tuple[float, float, Array]:
        self.evaluations += 1
        self._state.theta[...] = theta
        return self._interpreter.cost(
            self._state, self._interpreter.gradient(self._state, self._block)
        )
