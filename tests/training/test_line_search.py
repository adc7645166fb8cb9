"""Exact line search: the quadratic's closed form, and lines that are not quadratic (item O6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der
from sklearn.linear_model import LogisticRegression

from deltarule import Dense, Network
from deltarule.program import Block, GradientSums, State
from deltarule.reference import Reference
from deltarule.training.history import History
from deltarule.training.lbfgs import Minimum
from deltarule.training.line_search import Point, descend, minimize_line
from support.networks import LIBRARIES, SEEDS, proves

Vector = npt.NDArray[np.float64]
NOTHING = Block(np.zeros((1, 1)))


class Function:
    """An interpreter whose cost is a function of θ, whatever the block; a penalty of 1/4 of it."""

    def __init__(self, value: Callable[[Vector], float], slope: Callable[[Vector], Vector]) -> None:
        self._value, self._slope = value, slope
        self.calls = 0

    def gradient(self, state: State, block: Block, rows: Any = None) -> GradientSums:
        self.calls += 1
        theta = np.asarray(state.theta)
        gradient = np.asarray(self._slope(theta))
        xp = state.theta.__array_namespace__()
        return GradientSums(
            float(self._value(theta)), 1.0, xp.asarray(gradient, dtype=state.theta.dtype)
        )

    def cost(self, state: State, sums: GradientSums) -> tuple[float, float, Any]:
        return 0.75 * sums.loss, 0.25 * sums.loss, sums.gradient


def quadratic(H: Vector, minimum: Vector, lowest: float = 0.0) -> Function:
    return Function(
        lambda x: 0.5 * (x - minimum) @ H @ (x - minimum) + lowest, lambda x: H @ (x - minimum)
    )


def descended(function: Function, begin: Any, **more: Any) -> tuple[Any, Minimum]:
    state = State(begin)
    ended = descend(function, state, NOTHING, **more)  # type: ignore[arg-type]
    assert state.theta is begin
    return begin, ended


# --- quadratics -----------------------------------------------------------------------------------


@proves(
    short=20,
    full=2000,
    seed=SEEDS,
    n=st.integers(1, 8),
    scale=st.floats(-6, 6),
    spread=st.floats(0, 4),
    lowest=st.floats(-10, 10),
)
def test_the_step_on_a_quadratic(
    seed: int, n: int, scale: float, spread: float, lowest: float
) -> None:
    """α = gᵀg / gᵀHg, and the new gradient is at right angles to the old one."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = 10.0**scale * Q @ np.diag(10 ** rng.uniform(0, spread, n)) @ Q.T
    begin, minimum = rng.normal(size=n), rng.normal(size=n)
    g = H @ (begin - minimum)
    theta, ended = descended(quadratic(H, minimum, lowest), begin.copy(), max_iterations=1, tol=0)
    alpha = g @ g / (g @ H @ g)
    drop = alpha * (g @ g) / 2
    if drop <= 1e-12 * (abs(lowest) + 1):
        return  # the fall drowns in the cost's own rounding
    # What rounding does to the slope along the line, ⟨∇C, g⟩ with ∇C = H(θ − minimum).
    size = np.linalg.norm(begin) + np.linalg.norm(minimum) + alpha * np.linalg.norm(g)
    room = 1e-14 * np.linalg.norm(H) * size * np.linalg.norm(g)
    assert ended.history.learning_rate == [pytest.approx(alpha, rel=1e-9 + room / (g @ g))]
    assert abs(H @ (theta - minimum) @ g) <= 1e-9 * (g @ g) + room
    np.testing.assert_array_equal(theta, begin - ended.history.learning_rate[0] * g)


def test_descent_contracts_as_kantorovich_says() -> None:
    """C_{k+1} ≤ ((κ − 1)/(κ + 1))² C_k, with equality from the worst start."""
    H = np.diag([1.0, 50.0])
    _, ended = descended(quadratic(H, np.zeros(2)), np.array([50.0, 1.0]), tol=0, max_iterations=12)
    costs = np.array([0.5 * (2500 + 50), *ended.history.cost])
    np.testing.assert_allclose(costs[1:] / costs[:-1], (49 / 51) ** 2, rtol=1e-7)


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_descent_ends_at_the_minimum(xp: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    M = rng.normal(size=(4, 4))
    H, minimum = M @ M.T + np.eye(4), rng.normal(size=4)
    begin = xp.asarray(np.zeros(4), dtype=getattr(xp, dtype))
    theta, ended = descended(quadratic(H, minimum), begin, tol=1e-3)
    assert ended.converged
    assert ended.history.stopped_by == "no improvement"
    assert str(theta.dtype).endswith(dtype)
    np.testing.assert_allclose(np.asarray(theta), minimum, rtol=0, atol=2e-3)
    assert ended.history.penalty[-1] == pytest.approx(ended.history.cost[-1] / 4)


# --- lines ----------------------------------------------------------------------------------------


def line(value: Callable[[float], float], slope: Callable[[float], float], **more: Any) -> Point:
    def along(t: float) -> tuple[float, float]:
        return value(t), slope(t)

    return minimize_line(along, Point(0.0, *along(0.0)), **more)


@proves(
    short=20,
    full=2000,
    place=st.floats(-12, 12),
    first=st.floats(-12, 12),
    power=st.sampled_from([2, 4, 6]),
)
def test_a_minimum_is_found_from_any_first_step(place: float, first: float, power: int) -> None:
    t0 = 10.0**place
    found = line(
        lambda t: (t / t0 - 1) ** power,
        lambda t: power * (t / t0 - 1) ** (power - 1) / t0,
        first=10.0**first,
    )
    assert found.t == pytest.approx(t0, rel=1e-12 if power == 2 else 1e-2)


def test_the_minimum_is_that_of_the_first_valley_or_a_lower_one() -> None:
    found = line(lambda t: -math.sin(t), lambda t: -math.cos(t), first=0.3)
    assert found.t == pytest.approx(math.pi / 2, rel=1e-14)


def test_a_kink_is_found_too() -> None:
    found = line(lambda t: abs(t - 0.7) + t / 9, lambda t: math.copysign(1, t - 0.7) + 1 / 9)
    assert found.t == pytest.approx(0.7, rel=1e-12)


def test_a_line_that_falls_for_ever_ends_at_the_largest_step() -> None:
    for first in (1.0, 100.0):
        found = line(lambda t: math.exp(-t), lambda t: -math.exp(-t), first=first, max_step=50.0)
        assert found.t == 50.0


def test_a_minimum_below_a_largest_step_that_is_tried_first() -> None:
    found = line(lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1), first=9.0, max_step=1.5)
    assert found.t == pytest.approx(1.0, rel=1e-12)


def test_values_that_are_not_finite_are_walls() -> None:
    def value(t: float) -> float:
        return -t if t < 0.01 else math.nan

    found = line(value, lambda t: -1.0 if t < 0.01 else math.nan)
    assert found.t == pytest.approx(0.01, rel=1e-6)
    assert found.value == -found.t


def test_a_line_that_only_rises_gives_its_begin_back() -> None:
    assert line(lambda t: t, lambda t: -1.0) == Point(0.0, 0.0, -1.0)


# --- descent --------------------------------------------------------------------------------------


def test_descent_never_rises_on_rosenbrock() -> None:
    theta, ended = descended(Function(rosen, rosen_der), np.array([-1.2, 1.0]), max_iterations=60)
    costs = [rosen([-1.2, 1.0]), *ended.history.cost]
    assert all(b < a for a, b in pairwise(costs))
    assert ended.history.stopped_by == "epochs"
    assert ended.n_iterations == 60
    assert not ended.converged
    assert rosen(theta) == pytest.approx(costs[-1])


def test_a_start_at_the_minimum_takes_no_step() -> None:
    _, ended = descended(quadratic(np.eye(2), np.ones(2)), np.ones(2))
    assert (ended.n_iterations, ended.converged, ended.history.best_epoch) == (0, True, None)


def test_evaluations_are_limited() -> None:
    function = Function(rosen, rosen_der)
    _, ended = descended(function, np.array([-1.2, 1.0]), max_evaluations=100)
    assert 100 <= function.calls < 250
    assert ended.history.stopped_by == "epochs"


def test_a_callback_stops_it_and_sees_the_point_that_was_reached() -> None:
    begin, seen = np.array([-1.2, 1.0]), []

    def stop(history: History) -> bool:
        seen.append((rosen(begin), history.cost[-1]))
        return history.n_epochs == 3

    theta, ended = descended(Function(rosen, rosen_der), begin, on_iteration=stop)
    assert ended.history.stopped_by == "callback"
    assert len(seen) == 3
    assert all(a == pytest.approx(b, rel=1e-12) for a, b in seen)
    assert rosen(theta) == pytest.approx(seen[-1][1])


@pytest.mark.parametrize(
    ("value", "slope"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)]
)
def test_a_start_that_is_not_finite_is_a_divergence(value: float, slope: float) -> None:
    theta, ended = descended(Function(lambda x: value, lambda x: x * slope), np.ones(2))
    assert ended.history.stopped_by == "divergence"
    assert theta.tolist() == [1.0, 1.0]


def test_a_slope_that_is_wrong_ends_it() -> None:
    theta, ended = descended(Function(lambda x: x @ x, lambda x: -x), np.ones(2))
    assert ended.history.stopped_by == "no improvement"
    assert not ended.converged
    assert theta.tolist() == [1.0, 1.0]


def test_an_interrupt_leaves_the_last_point_reached() -> None:
    calls = 0

    def value(x: Vector) -> float:
        nonlocal calls
        calls += 1
        if calls == 60:
            raise KeyboardInterrupt
        return float(rosen(x))

    theta, ended = descended(Function(value, rosen_der), np.array([-1.2, 1.0]))
    assert ended.history.stopped_by == "interrupt"
    assert rosen(theta) == pytest.approx(ended.history.cost[-1], rel=1e-12)


def test_logistic_regression_ends_where_scikit_learns_does() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    y = (x @ [1.0, -2.0, 0.5] + rng.logistic(size=60) > 0).astype(float)[:, None]
    net = Network(3, [Dense(1, "sigmoid")], loss="binary_cross_entropy")
    state = net.initialize(0)
    ended = descend(Reference(net.tape), state, Block(x, y), tol=1e-8)
    assert ended.converged
    oracle = LogisticRegression(C=1e15, solver="newton-cholesky", tol=1e-12).fit(x, y[:, 0])
    exact = [*oracle.coef_[0], *oracle.intercept_]
    np.testing.assert_allclose(state.theta, exact, rtol=0, atol=1e-6)
