"""The gradient check (B4): every combination passes it, and every fault is found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import (
    ELU,
    L1,
    L2,
    Dense,
    Huber,
    LeakyReLU,
    Network,
    Quantile,
    check_function,
    check_gradients,
)
from deltarule.program import GradientSums, State
from deltarule.program.opcodes import ActivationCode
from deltarule.reference import Reference
from deltarule.reference.activations import ELEMENTWISE
from support.networks import ACTIVATIONS, HEADS, SEEDS, networks, proves, random_data, random_state

HIDDEN = [*ACTIVATIONS, LeakyReLU(0.3), ELU(0.5)]
CORNER = ("squared_error", "tanh")


def combination(depth: int, hidden: Any, head: tuple[str, str]) -> Any:
    """Return a case; in the short form every hidden activation occurs once per depth, and every
    head without and behind a hidden layer.
    """
    short = hidden == "none" or head == CORNER or (hidden == "silu" and depth == 1)
    marks = () if short else pytest.mark.long
    return pytest.param(depth, hidden, *head, id=f"{depth}-{hidden}-{'-'.join(head)}", marks=marks)


COMBINATIONS = [
    combination(depth, hidden, head)
    for depth in (0, 1, 3)
    for hidden in (HIDDEN if depth else ["none"])
    for head in HEADS
]


@pytest.mark.parametrize(("depth", "hidden", "loss", "output"), COMBINATIONS)
def test_combination(depth: int, hidden: Any, loss: str, output: str) -> None:
    """Error ≤ 1e-7 in float64 at random θ with non-zero biases, with weights and penalties."""
    net = Network(
        3,
        [*(Dense(4, hidden) for _ in range(depth)), Dense(3, output)],
        loss,
        penalties=[L2(0.05), L2(0.2, normalization="batch")],
    )
    state, data = random_state(net, seed=depth + 1), random_data(net, 6, seed=1)
    check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
    assert check.verdict == "right", str(check)
    assert check.error <= 1e-7
    assert check.n_checked + check.n_kinks == net.tape.n_parameters
    assert check.n_kinks == 0
    assert np.abs([v for n, v in net.parameters(state).items() if n[0] == "b"][-1]).min() > 0


@proves(short=12, full=1000, net=networks(), seed=SEEDS, n=st.integers(1, 6))
def test_random_networks_are_never_called_wrong(net: Network, seed: int, n: int) -> None:
    state, data = random_state(net, seed), random_data(net, n, seed)
    check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
    assert check.verdict != "wrong", str(check)


# --- faults are found -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda z, c: np.ones_like(z), id="missing"),
        pytest.param(lambda z, c: 1 - np.tanh(z), id="no-square"),
        pytest.param(lambda z, c: (1 - np.tanh(z) ** 2) * (1 + 1e-6), id="off-by-1e-6"),
    ],
)
def test_a_wrong_derivative_is_called_wrong(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2)])
    state, data = random_state(net, 0), random_data(net, 8, 0)
    assert check_gradients(net, state, data.x, data.y).verdict == "right"
    right = ELEMENTWISE[ActivationCode.TANH]
    monkeypatch.setitem(ELEMENTWISE, ActivationCode.TANH, right._replace(derivative=wrong))
    check = check_gradients(net, state, data.x, data.y)
    assert check.verdict == "wrong"
    assert check.error > 1e-7
    assert check.worst.startswith(("W1", "b1"))
    assert str(check).startswith("Gradients: wrong")
    assert check.worst in str(check)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2", "W3", "b3"])
def test_a_sample_covers_every_named_array(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 2000 parameters a fault in any one array is still found, and named."""
    net = Network(40, [Dense(60, "tanh"), Dense(20, "sigmoid"), Dense(3)])
    assert net.tape.n_parameters > 2000
    state, data = random_state(net, 0), random_data(net, 4, 0)
    honest = Reference.gradient

    def spoilt(self: Reference, state: State, *rest: Any) -> GradientSums:
        sums = honest(self, state, *rest)
        net.parameters(State(sums.gradient))[name][...] += 1.0
        return sums

    monkeypatch.setattr(Reference, "gradient", spoilt)
    check = check_gradients(net, state, data.x, data.y, max_parameters=200, seed=seed)
    assert check.verdict == "wrong"
    assert check.worst.startswith(f"{name}[")
    assert abs(check.worst_analytic - check.worst_numeric) == pytest.approx(0.25, rel=1e-6)


def test_the_size_of_a_sample() -> None:
    net = Network(40, [Dense(60, "tanh"), Dense(3)])
    p = net.tape.n_parameters
    state, data = random_state(net, 0), random_data(net, 4, 0)
    check = check_gradients(net, state, data.x, data.y)
    assert check.verdict == "right"
    assert check.error <= 1e-7
    assert p > 2000 >= check.n_checked - 20 > 1900
    assert "(a sample)" in str(check)
    everything = check_gradients(net, state, data.x, data.y, max_parameters=p)
    assert everything.n_checked == everything.n_parameters == p
    assert "(a sample)" not in str(everything)
    again = check_gradients(net, state, data.x, data.y)
    assert again == check
    assert check_gradients(net, state, data.x, data.y, seed=1).error != check.error


def test_a_plain_function() -> None:
    """Matt R's product example."""
    at = [2.0, -3.0, 4.0, 0.5]
    assert check_function(np.prod, lambda x: np.prod(x) / x, at).verdict == "right"
    check = check_function(np.prod, lambda x: np.prod(x) / x + np.eye(4)[2], at)
    assert check.verdict == "wrong"
    assert check.worst == "x[2]"
    assert check.worst_numeric == pytest.approx(-3.0)
    assert check.worst_analytic == pytest.approx(-2.0)
    numeric, claimed = np.array([-6.0, 4, -3, -24]), np.array([-6.0, 4, -2, -24])
    error = 1 / (np.linalg.norm(numeric) + np.linalg.norm(claimed))
    assert check.error == pytest.approx(error, rel=1e-6)


def test_zero_over_zero_is_zero() -> None:
    check = check_function(lambda x: 7.0, np.zeros_like, [1.0, 2.0])
    assert (check.verdict, check.error) == ("right", 0.0)


@pytest.mark.parametrize("slope", [1e-3, 1e-6, 1.0])
def test_a_gradient_of_zero_is_called_wrong(slope: float) -> None:
    check = check_function(lambda x: slope * float(x.sum()), np.zeros_like, [1.0, 2.0])
    assert check.verdict == "wrong"
    assert check.error == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_wrong_if_the_cost_is_finite(bad: float) -> None:
    check = check_function(lambda x: float(x @ x), lambda x: np.array([bad, 4.0]), [1.0, 2.0])
    assert (check.verdict, check.worst) == ("wrong", "x[0]")


# --- where no verdict is possible -----------------------------------------------------------------


@proves(short=12, full=500, seed=SEEDS)
def test_at_a_minimum_nothing_is_called_wrong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3))
    y = rng.normal(size=(20, 1)) * 10 ** rng.uniform(-3, 3)
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(20)]), y)[0]
    net = Network(3, [Dense(1)])
    state = net.initialize()
    state.theta[:] = solution[:, 0]
    check = check_gradients(net, state, X, y)
    assert check.verdict in ("cannot tell", "right"), str(check)
    if check.verdict == "cannot tell":
        assert check.error > check.tolerance
        assert "rounding" in str(check)


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_a_perfect_fit_is_not_called_wrong(size: float) -> None:
    """At a minimum of cost zero both gradients consist of rounding errors."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    y = size * (X @ [1.0, -0.5, 0.3] + 0.3)
    net = Network(3, [Dense(1)])
    state = net.initialize()
    state.theta[:] = np.linalg.lstsq(np.column_stack([X, np.ones(20)]), y)[0]
    assert check_gradients(net, state, X, y).verdict != "wrong"


def test_a_minimum_whose_cost_is_large_cannot_be_told() -> None:
    check = check_function(
        lambda x: 1e6 + float(x @ x), lambda x: 2 * x, np.full(3, 1e-9), epsilon=1e-6
    )
    assert check.verdict == "cannot tell"
    assert check.floor > 0


def test_kinks_are_excluded_and_counted() -> None:
    """Zero biases put ReLU inputs on the kink where the inputs of a row are zero."""
    net = Network(2, [Dense(3, "relu"), Dense(1)])
    state = net.initialize(0)
    X, y = np.array([[0.0, 0.0], [1.0, -0.5]]), np.array([0.3, -1.0])
    check = check_gradients(net, state, X, y)
    assert (check.verdict, check.n_kinks) == ("right", 3)  # b1; W1 does not move zero inputs
    assert check.n_checked == net.tape.n_parameters - 3
    assert "Excluded at a kink: 3" in str(check)
    smooth = Network(2, [Dense(3, "tanh"), Dense(1)])
    assert check_gradients(smooth, state, X, y).n_kinks == 0
    net.parameters(state)["b1"][...] = 0.1
    assert check_gradients(net, state, X, y).n_kinks == 0


KINKED = {
    "absolute_error": [0.0],
    "quantile": [0.0],
    Quantile(0.9): [0.0],
    "huber": [-1.0, 1.0],
    Huber(0.25): [-0.25, 0.25],
}


@pytest.mark.parametrize("loss", KINKED, ids=str)
def test_kinks_of_losses_are_counted(loss: Any) -> None:
    """Parameters that move a residual at a kink are excluded; the others are not."""
    net = Network(1, [Dense(1)], loss)
    X = np.array([[1.0], [-0.5]])
    for kink in KINKED[loss]:
        state = State(np.array([0.75, 0.5]))
        a = net.predict(state, X)[:, 0]
        y = a - np.array([kink, 3.0])  # the first row's residual is the kink, the second's is 3
        check = check_gradients(net, state, X, y)
        assert (check.verdict, check.n_kinks, check.n_checked) == ("cannot tell", 2, 0)
        check = check_gradients(net, state, X, y - np.array([0.05, 0.0]))
        assert (check.verdict, check.n_kinks) == ("right", 0)
        assert check.error <= 1e-7
    smooth = Network(1, [Dense(1)])
    assert check_gradients(smooth, state, X, y).n_kinks == 0


@pytest.mark.parametrize(
    ("name", "kinks"),
    [
        ("relu", [0.0]), ("leaky_relu", [0.0]), ("elu", [0.0]), ("selu", [0.0]),
        ("hard_tanh", [-1.0, 1.0]), ("hard_sigmoid", [-3.0, 3.0]), ("softsign", [0.0]),
        ("tanh", []),
    ],
)  # fmt: skip
def test_kinks_of_activations_are_counted(name: str, kinks: list[float]) -> None:
    net = Network(1, [Dense(1, name), Dense(1)])
    for z in (-3.0, -1.0, 0.0, 1.0, 3.0):
        state = State(np.array([1.0, 0.0, 2.0, 0.5]))
        check = check_gradients(net, state, np.array([[z]]), np.array([9.0]))
        moved = 2 if z else 1  # W1 moves no input of zero
        assert check.n_kinks == (moved if z in kinks else 0)
        assert check.verdict == "right", str(check)


def test_weights_of_zero_are_at_the_kink_of_l1() -> None:
    """R2: s Σ|w|; biases and weights away from zero are compared."""
    net = Network(
        2, [Dense(2, "tanh"), Dense(1)], penalties=[L1(0.3), L1(0.2, normalization="batch")]
    )
    state, data = random_state(net, 0), random_data(net, 5, 0)
    views = net.parameters(state)
    views["W1"][0, 1] = views["W2"][1, 0] = 0.0
    check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
    assert (check.verdict, check.n_kinks) == ("right", 2)
    assert check.error <= 1e-7
    proximal = Network(2, net.layers, penalties=[L1(0.3, proximal=True)])
    assert check_gradients(proximal, state, data.x, data.y).n_kinks == 0


def test_only_the_step_that_crosses_counts() -> None:
    net = Network(1, [Dense(1, "relu"), Dense(1)])
    state = State(np.array([1.0, -1.0 + 5e-7, 1.0, 0.0]))  # z = 5e-7: inside ε, outside ε/10
    X, y = np.array([[1.0]]), np.array([2.0])
    assert check_gradients(net, state, X, y, epsilon=1e-6).n_kinks == 2
    assert check_gradients(net, state, X, y, epsilon=1e-7).n_kinks == 0


def test_when_everything_is_at_a_kink_it_cannot_tell() -> None:
    net = Network(1, [Dense(1, "relu")])
    check = check_gradients(net, State(np.zeros(2)), np.array([[1.0]]), np.array([[1.0]]))
    assert (check.verdict, check.n_checked, check.n_kinks) == ("cannot tell", 0, 2)
    assert check.worst == ""
    assert "Every parameter is at a kink. Check at random parameters." in str(check)
    assert "Largest difference" not in str(check)


@pytest.mark.parametrize("hidden", ["relu", "tanh"])
def test_a_float32_network_is_checked_in_float64(hidden: str) -> None:
    layers = [Dense(5, hidden), Dense(3, "softmax")]
    net = Network(4, layers, "categorical_cross_entropy", dtype="float32")
    state, data = random_state(net, 1), random_data(net, 10, 1)
    assert state.theta.dtype == np.float32
    before = state.theta.copy()
    check = check_gradients(net, state, data.x, np.argmax(data.y, axis=1))
    assert check.verdict == "right"
    assert check.error <= 1e-7
    assert state.theta.dtype == np.float32
    np.testing.assert_array_equal(state.theta, before)
