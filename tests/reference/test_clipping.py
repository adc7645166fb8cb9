"""H4: gradient clipping, and the divergence that it prevents."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import (
    L2,
    SGD,
    ClipNorm,
    ClipValue,
    Dense,
    EarlyStopping,
    History,
    LineSearch,
    Network,
    State,
    train,
)
from deltarule.errors import DivergenceError, SpecError
from deltarule.reference import Reference
from deltarule.reference.clipping import clip
from support.networks import LIBRARIES, SEEDS, proves, random_data, random_state


@pytest.mark.parametrize("xp", LIBRARIES)
def test_numbers_computed_by_hand(xp: Any) -> None:
    g = xp.asarray([3.0, -4.0, 0.0])
    assert np.asarray(clip(g, ClipNorm(1.0))).tolist() == pytest.approx([0.6, -0.8, 0.0])
    assert np.asarray(clip(g, ClipValue(3.5))).tolist() == [3.0, -3.5, 0.0]
    assert clip(g, None) is g
    for loose in (ClipNorm(5.0), ClipValue(4.0)):
        assert np.asarray(clip(g, loose)).tolist() == [3.0, -4.0, 0.0]
    assert np.asarray(g).tolist() == [3.0, -4.0, 0.0]


@proves(
    short=20, full=2000, seed=SEEDS, n=st.integers(1, 9), limit=st.floats(0.01, 10.0),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e3, 1e30]),
)  # fmt: skip
def test_clipping_projects(seed: int, n: int, limit: float, scale: float) -> None:
    """By norm the direction is kept; by value each entry is the nearest within ±limit."""
    g = scale * np.random.default_rng(seed).normal(size=n)
    norm = np.linalg.norm(g)
    by_norm = clip(g, ClipNorm(limit))
    assert np.linalg.norm(by_norm) == pytest.approx(min(norm, limit), rel=1e-12)
    np.testing.assert_allclose(by_norm, g * min(1.0, limit / norm), rtol=1e-12)
    np.testing.assert_array_equal(clip(g, ClipValue(limit)), np.clip(g, -limit, limit))


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float64", 1e250)])
def test_a_gradient_whose_squares_overflow_is_scaled_and_not_lost(dtype: str, size: float) -> None:
    g = np.array([3 * size, -4 * size], dtype=dtype)
    found = clip(g, ClipNorm(1.0))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, [0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("clipping", [ClipNorm(1.0), ClipValue(1.0)], ids=repr)
def test_zero_stays_zero_and_nan_stays_nan(clipping: Any) -> None:
    assert clip(np.zeros(3), clipping).tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(clip(np.array([1.0, np.nan]), clipping)[1])


def test_infinity_is_not_hidden_by_the_norm() -> None:
    assert not np.isfinite(clip(np.array([1.0, np.inf]), ClipNorm(1.0))).all()


@pytest.mark.parametrize("clipping", [ClipNorm(0.5), ClipValue(0.1)], ids=repr)
def test_a_step_follows_the_clipped_gradient_of_the_cost(clipping: Any) -> None:
    """The gradient of loss and penalty together is clipped before the optimiser uses it."""
    net = Network(3, [Dense(4, "tanh"), Dense(2)], penalties=[L2(2.0)])
    state, data = random_state(net, 0), random_data(net, 6, 0)
    reference = Reference(net.tape, SGD(0.1), clipping)
    sums = reference.gradient(state, data.block)
    gradient = reference.cost(state, sums)[2]
    if isinstance(clipping, ClipNorm):
        assert np.linalg.norm(gradient) > 0.5
        expected = gradient * 0.5 / np.linalg.norm(gradient)
    else:
        assert np.abs(gradient).max() > 0.1
        expected = np.clip(gradient, -0.1, 0.1)
    before = state.theta.copy()
    reference.apply_gradient(state, sums, 0.1)
    np.testing.assert_allclose(state.theta - before, -0.1 * expected, rtol=1e-12, atol=1e-16)


# --- divergence -----------------------------------------------------------------------------------


def steep() -> tuple[Network, Any, Any]:
    """Least squares whose largest curvature is far above 2/η."""
    rng = np.random.default_rng(1)
    X = 20 * rng.normal(size=(30, 3))
    return Network(3, [Dense(1)]), X, X @ np.array([1.0, -1.0, 0.5])


def test_a_diverging_run_says_what_to_change() -> None:
    net, X, y = steep()
    state = net.initialize(0)
    start = net.loss_of(state, X, y)
    with pytest.raises(
        DivergenceError, match=r"stopped being finite in epoch \d+; .* try 0.1"
    ) as e:
        train(net, state, X, y, optimizer=SGD(1.0), epochs=400, batch_size=30)
    assert "learning rate 1 is the likely cause" in str(e.value)
    assert np.isfinite(state.theta).all()
    assert net.loss_of(state, X, y) <= start


@pytest.mark.parametrize("clipping", [ClipNorm(1.0), ClipValue(0.5)], ids=repr)
def test_clipping_prevents_it(clipping: Any) -> None:
    net, X, y = steep()
    state, states = net.initialize(0), []
    start = net.loss_of(state, X, y)
    history = train(
        net, state, X, y, optimizer=SGD(1.0), epochs=400, batch_size=30, clipping=clipping,
        stopping=EarlyStopping(patience=500), on_epoch=lambda h: states.append(state.copy()),
    )  # fmt: skip
    assert history.stopped_by == "epochs"
    assert np.isfinite(history.loss).all()
    longest = max(np.linalg.norm(b.theta - a.theta) for a, b in itertools.pairwise(states))
    bound = clipping.limit if isinstance(clipping, ClipNorm) else clipping.limit * 2  # √4 entries
    assert longest <= bound * (1 + 1e-12)
    assert net.loss_of(state, X, y) < start


@pytest.mark.parametrize("factor", [1e6, 1e15])
def test_the_last_finite_best_parameters_are_kept(factor: float) -> None:
    """After 20 good epochs the rate explodes; the parameters of epoch 20 are restored."""

    class Wild:
        def rates(self, initial: float, position: Any, n_steps: int) -> Any:
            return np.full(n_steps, initial * (factor if position.epochs >= 20 else 1.0))

        def observe(self, memory: Any, value: float, rate: float, *, maximize: bool) -> Any:
            return memory, rate

        def on_plateau(self, rate: float) -> None:
            return None

    net, X, y = steep()
    state, states = net.initialize(0), []

    def keep(history: History) -> bool:
        states.append(state.copy())
        return False

    with pytest.raises(DivergenceError):
        train(
            net, state, X, y, optimizer=SGD(1e-4), epochs=200, batch_size=30, schedule=Wild(),
            on_epoch=keep,
        )  # fmt: skip
    assert len(states) >= 20
    np.testing.assert_array_equal(state.theta, states[19].theta)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ClipNorm, ClipValue])
@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan"), "1"])
def test_invalid_limits_are_refused(kind: Any, limit: Any) -> None:
    with pytest.raises(SpecError, match=r"limit must be .*\(0, inf\); got"):
        kind(limit)


def test_train_refuses_other_clippings() -> None:
    net, X, y = steep()
    with pytest.raises(SpecError, match=r"clipping must be ClipNorm\(c\), .* got 1.0"):
        train(net, net.initialize(), X, y, clipping=1.0)
    with pytest.raises(
        SpecError, match=r"clipping=ClipNorm.* does not go with optimizer=LineSearch"
    ):
        train(net, net.initialize(), X, y, clipping=ClipNorm(1.0), optimizer=LineSearch())


def test_a_fresh_state_is_not_clipped() -> None:
    """Clipping that never binds gives the same bits as none."""
    net = Network(3, [Dense(4, "tanh"), Dense(2)])
    data, ends = random_data(net, 12, 2), []
    for clipping in (None, ClipNorm(1e9), ClipValue(1e9)):
        state = State(net.initialize(2).theta)
        train(net, state, data.x, data.y, epochs=2, batch_size=5, clipping=clipping)
        ends.append(state.theta.tobytes())
    assert len(set(ends)) == 1
