"""Activations and losses of the user: against the built-in ones, gradient checks, closed forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_strict as xp_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deltarule as dr
from deltarule import functions
from deltarule.errors import ShapeError, SpecError
from deltarule.network.backend import interpreter_of
from deltarule.program import Interpreter

rng = np.random.default_rng(3)
X = rng.normal(size=(9, 3))
Y = rng.normal(size=(9, 2))


def silu(z: Any) -> Any:
    return z / (1 + np.exp(-z))


def log_cosh(a: Any, y: Any) -> Any:
    return np.log(np.cosh(a - y))


def net_of(activation: Any, loss: Any = "squared_error", **options: Any) -> dr.Network:
    layers = [dr.Dense(4, activation, initializer="glorot_uniform"), dr.Dense(2)]
    return dr.Network(3, layers, loss, **options)


@pytest.mark.parametrize(
    ("own", "name"),
    [(np.tanh, "tanh"), (np.exp, "exp"), (silu, "silu"), (functions.gelu, "gelu"),
     (functions.relu, "relu"), (lambda z: np.log1p(np.exp(z)), "softplus")],
)  # fmt: skip
@pytest.mark.parametrize("members", [1, 3])
def test_a_function_gives_what_the_built_in_activation_of_the_same_name_gives(
    own: Callable[[Any], Any], name: str, members: int
) -> None:
    mine, built_in = net_of(own, members=members), net_of(name, members=members)
    state = built_in.initialize(1)
    np.testing.assert_array_equal(mine.initialize(1).theta, state.theta)
    given = mine.gradients(state, X, Y)
    for key, expected in built_in.gradients(state, X, Y, engine="reference").items():
        np.testing.assert_allclose(given[key], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(mine.predict(state, X), built_in.predict(state, X), rtol=1e-12)
    np.testing.assert_allclose(mine.predictor(state)(X), mine.predict(state, X), rtol=1e-12)
    assert dr.check_gradients(mine, state, X, Y).verdict == "right"


@given(x=st.floats(-20, 20))
def test_the_complex_step_is_the_derivative_of_a_formula(x: float) -> None:
    net = dr.Network(1, [dr.Dense(1, lambda z: z**3 * np.sin(z)), dr.Dense(1)])
    state = net.initialize(0)
    state.theta[:] = [1.0, 0.0, 1.0, 0.0]
    out = x**3 * np.sin(x)
    slope = 3 * x**2 * np.sin(x) + x**3 * np.cos(x)
    found = net.gradients(state, [[x]], [out - 1.0])["b1"].item()  # ∂L/∂a = 1
    assert found == pytest.approx(slope, rel=1e-9, abs=1e-9)


def test_a_wrong_derivative_is_found_and_kinks_are_left_out() -> None:
    wrong = dr.CustomActivation(np.tanh, derivative=lambda z: 1 - np.tanh(z))
    net = net_of(wrong)
    assert dr.check_gradients(net, net.initialize(0), X, Y).verdict == "wrong"
    silent = net_of(lambda z: z * np.abs(z))  # |z + ih| is real: half of the derivative is lost
    assert dr.check_gradients(silent, silent.initialize(0), X, Y).verdict == "wrong"
    kinked = dr.CustomActivation(np.abs, np.sign, kinks=[0.0])
    flat = net_of(kinked)
    state = flat.initialize(0)
    flat.parameters(state)["W1"][:, 0] = 0.0
    check = dr.check_gradients(flat, state, X, Y)
    assert check.verdict == "right"
    assert check.n_kinks == 4  # the three weights and the bias of the unit that is at 0


@pytest.mark.parametrize("derivative", [None, lambda a, y: np.tanh(a - y)])
@pytest.mark.parametrize("members", [1, 2])
def test_a_loss_of_the_user(derivative: Any, members: int) -> None:
    net = net_of("tanh", dr.CustomLoss(log_cosh, derivative), members=members)
    state = net.initialize(2)
    assert dr.check_gradients(net, state, X, Y).verdict == "right"
    if members == 1:
        residual = net.predict(state, X) - Y
        np.testing.assert_allclose(net.losses(state, X, Y), log_cosh(residual, 0).sum(axis=1))
        expected = np.tanh(residual).mean(axis=0)
        np.testing.assert_allclose(net.gradients(state, X, Y)["b2"], expected)


def test_losses_of_rows_and_of_units_are_the_same() -> None:
    rows = net_of("tanh", lambda a, y: ((a - y) ** 2).sum(axis=1) / 2)
    units = net_of("tanh", functions.squared_error)
    built_in = net_of("tanh")
    state = built_in.initialize(0)
    expected = built_in.gradients(state, X, Y)
    for net in (rows, units):
        for key, gradient in net.gradients(state, X, Y).items():
            np.testing.assert_allclose(gradient, expected[key], rtol=1e-10, atol=1e-14)


def test_training_and_curvature_go_as_with_the_built_in_ones() -> None:
    own = dr.CustomActivation(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
    loss = dr.CustomLoss(lambda a, y: ((a - y) ** 2).sum(axis=1) / 2, lambda a, y: a - y)
    mine, built_in = net_of(own, loss), net_of("tanh")
    states = mine.initialize(0), built_in.initialize(0)
    options: dict[str, Any] = {"epochs": 5, "batch_size": 4, "seed": 1}
    dr.train(mine, states[0], X, Y, **options)
    dr.train(built_in, states[1], X, Y, engine="reference", **options)
    np.testing.assert_allclose(states[0].theta, states[1].theta, rtol=1e-10, atol=1e-13)
    v = np.ones(mine.tape.n_parameters)
    np.testing.assert_allclose(
        dr.hessian_vector_product(mine, states[1], X, Y, v),
        dr.hessian_vector_product(built_in, states[1], X, Y, v),
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    assert "function tanh" in mine.summary()
    assert "g = tanh" in str(dr.explain(mine, X[:1], Y[:1], state=states[0]))


def test_float32_and_other_array_libraries() -> None:
    net = net_of(lambda z: z**2, dtype="float32")
    gradients = net.gradients(net.initialize(0), X, Y)
    assert gradients["W1"].dtype == np.float32
    other = net_of(lambda z: z * z)
    state = other.initialize(0, like=xp_strict.asarray([0.0]))
    found = other.gradients(state, xp_strict.asarray(X), xp_strict.asarray(Y))
    expected = other.gradients(other.initialize(0), X, Y)
    np.testing.assert_allclose(np.from_dlpack(found["W1"]), expected["W1"], rtol=1e-12)


def test_a_training_resumes_from_a_checkpoint_of_the_same_functions(tmp_path: Path) -> None:
    def run(activation: Any, epochs: int) -> Any:
        net = net_of(activation)
        state = net.initialize(0)
        checkpoint = dr.Checkpoint(tmp_path, every_epochs=1)
        dr.train(net, state, X, Y, epochs=epochs, checkpoint=checkpoint, schedule="constant")
        return state.theta

    run(silu, 2)
    resumed = run(silu, 4)
    whole = net_of(silu)
    state = whole.initialize(0)
    dr.train(whole, state, X, Y, epochs=4, schedule="constant")
    np.testing.assert_array_equal(resumed, state.theta)
    with pytest.raises(dr.errors.CheckpointError):
        run(np.sin, 5)


def test_the_compiled_engine_refuses_and_auto_takes_the_reference() -> None:
    net = net_of(silu)
    state = net.initialize(0)
    with pytest.raises(SpecError, match=r"cannot run functions of your own; .*silu.*reference"):
        net.gradients(state, X, Y, engine="compiled")
    found: Interpreter = interpreter_of(net.tape)
    assert type(found).__name__ == "Reference"


def test_estimators_and_model_files_take_built_in_activations_alone() -> None:
    with pytest.raises(ValueError, match="'activation' parameter"):
        dr.MLPRegressor(activation=np.tanh).fit(X, Y)
    with pytest.raises(SpecError, match="Use a Network"):
        dr.MLPRegressor(hidden_layer_sizes=(4,), activation=[np.tanh]).fit(X, Y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: dr.CustomActivation(dr.LeakyReLU), SpecError, r"not a class; .*LeakyReLU\(\)"),
        (lambda: dr.Dense(2, lambda: 0), SpecError, r"called as f\(z\)"),
        (lambda: dr.Dense(2, unhashable()), SpecError, "hashable"),
        (lambda: dr.CustomActivation(np.tanh, derivative=3), SpecError, "derivative"),
        (lambda: dr.CustomActivation(np.tanh, range="all"), SpecError, "range"),
        (lambda: dr.CustomActivation(np.tanh, kinks=["a"]), SpecError, "kinks"),
        (lambda: net_of("tanh", lambda a: a), SpecError, r"f\(a, y\)"),
        (lambda: dr.Network(3, [dr.Dense(1, np.tanh)], "poisson"), SpecError, "positive"),
        (lambda: run(np.abs), SpecError, "complex step.*derivative="),
        (lambda: run(lambda z: np.real(z) ** 2), SpecError, "derivative="),
        (lambda: run(lambda z: z.sum()), ShapeError, r"shape \(9, 4\)"),
        (lambda: run(functions.softmax), ShapeError, "softmax"),
        (lambda: run("tanh", lambda a, y: (a - y).mean()), ShapeError, "each row"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_hessians_need_the_first_derivative() -> None:
    for net in (net_of(silu), net_of("tanh", log_cosh)):
        with pytest.raises(SpecError, match="derivative="):
            dr.hessian_vector_product(net, net.initialize(0), X, Y, np.ones(net.tape.n_parameters))


def run(activation: Any, loss: Any = "squared_error") -> Any:
    net = net_of(activation, loss)
    return net.gradients(net.initialize(0), X, Y)


def unhashable() -> Any:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, z: Any) -> Any:
            return z

    return Unhashable()
