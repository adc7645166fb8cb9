"""The plain functions against mpmath, SciPy, scikit-learn and difference quotients."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from deltarule import functions
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.functions import (
    ACTIVATIONS,
    LOSSES,
    binary_cross_entropy,
    categorical_cross_entropy,
    huber,
    leaky_relu,
    log_softmax,
    poisson,
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)
from deltarule.spec.activations import ACTIVATIONS as NAMES

EXACT: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: max(z, z * mpmath.mpf(0.01)),
    "exp": mpmath.exp,
    "selu": lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * mpmath.expm1(z)),
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "gelu": lambda z: z * mpmath.ncdf(z),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_sigmoid": lambda z: min(max(z / 6 + mpmath.mpf(1) / 2, mpmath.mpf(0)), mpmath.mpf(1)),
    "hard_tanh": lambda z: min(max(z, mpmath.mpf(-1)), mpmath.mpf(1)),
}


def test_every_activation_of_a_layer_is_a_function() -> None:
    assert list(ACTIVATIONS) == list(NAMES)
    assert {*EXACT, "softmax"} == set(NAMES)
    assert all(getattr(functions, name) is function for name, function in ACTIVATIONS.items())


@pytest.mark.parametrize("name", EXACT)
@given(z=st.floats(-30, 30))
def test_activations_of_scalars_and_their_derivatives(name: str, z: float) -> None:
    g = ACTIVATIONS[name]
    if any(abs(z - kink) < 1e-3 for kink in g.kinks):
        z = 0.5
    with mpmath.workdps(60):
        exact = EXACT[name]
        value, first, second = (mpmath.diff(exact, mpmath.mpf(z), n, h=mpmath.mpf(10) ** -12)
                                for n in range(3))  # fmt: skip
    assert type(g(z)) is float
    assert_allclose(g(z), float(value), rtol=1e-12, atol=1e-300)
    assert_allclose(g.derivative(z), float(first), rtol=1e-9, atol=1e-12)
    assert_allclose(g.second_derivative(z), float(second), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_lists_arrays_and_types(name: str) -> None:
    g = ACTIVATIONS[name]
    expected = [g(float(z)) for z in (-2, 0, 3)]
    assert g([-2, 0, 3]).tolist() == expected
    grid = np.array([[-2.0, 0.0, 3.0]])
    assert g(grid).tolist() == [expected]
    assert g.derivative(grid).shape == g.second_derivative(grid).shape == (1, 3)
    assert g(grid.astype(np.float32)).dtype == np.float32
    assert g(np.array([1, 2])).dtype == np.float64
    assert g(np.zeros((2, 0))).shape == (2, 0)
    assert np.isnan(g(float("nan")))


def test_softmax_and_its_jacobian() -> None:
    z = np.random.default_rng(0).normal(size=(2, 3, 4)) * 5
    assert_allclose(softmax(z), scipy.special.softmax(z, axis=-1), rtol=1e-14)
    assert_allclose(log_softmax(z), scipy.special.log_softmax(z, axis=-1), rtol=1e-12)
    S = softmax(z)
    jacobian = S[..., :, None] * (np.eye(4) - S[..., None, :])
    assert_allclose(softmax.derivative(z), jacobian, atol=1e-16)
    assert softmax([1.0, 2.0]).shape == (2,)


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_of_losses_are_their_difference_quotients(name: str) -> None:
    rng = np.random.default_rng(1)
    of_classes = name in ("categorical_cross_entropy", "softmax_cross_entropy")
    a = rng.uniform(0.1, 0.9, size=(5, 3))
    y = rng.dirichlet(np.ones(3), size=5) if of_classes else rng.uniform(0, 1, size=(5, 3))
    loss, h = LOSSES[name], 1e-6
    slope = loss.derivative(a, y)
    for i, j in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[i, j] += h
        down[i, j] -= h
        quotient = (np.sum(loss(up, y)) - np.sum(loss(down, y))) / (2 * h)
        assert_allclose(slope[i, j], quotient, rtol=1e-6, atol=1e-8)
    if not of_classes:
        assert type(loss(0.5, 0.25)) is float
        assert_allclose(loss(a, 0.5), loss(a, np.full_like(a, 0.5)), rtol=0)


def test_losses_against_others() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=20), rng.integers(0, 2, size=20)
    assert_allclose(binary_cross_entropy(sigmoid(z), y).mean(), log_loss(y, sigmoid(z)))
    assert_allclose(sigmoid_cross_entropy(z, y), binary_cross_entropy(sigmoid(z), y), rtol=1e-9)
    Z, k = rng.normal(size=(20, 3)), np.arange(20) % 3
    assert_allclose(categorical_cross_entropy(softmax(Z), k).mean(), log_loss(k, softmax(Z)))
    assert_allclose(
        softmax_cross_entropy(Z, k), categorical_cross_entropy(softmax(Z), np.eye(3)[k]), rtol=1e-9
    )
    assert_allclose(softmax_cross_entropy.derivative(Z, k), softmax(Z) - np.eye(3)[k], atol=1e-15)
    r = np.linspace(-3, 3, 31)
    assert_allclose(huber(r, 0, delta=0.7), scipy.special.huber(0.7, r), rtol=1e-14)
    assert squared_error(3, 1) == 2.0  # with the half
    assert categorical_cross_entropy([0.5, 0.5], 1) == pytest.approx(np.log(2))
    assert binary_cross_entropy([0.0, 1.0, 0.0], [0, 1, 1]).tolist() == [0.0, 0.0, np.inf]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sigmoid("a"), DataError, "^z must be real numbers"),
        (lambda: sigmoid([[1], [1, 2]]), DataError, "^z must be real numbers"),
        (lambda: sigmoid(1, slope=2), TypeError, "sigmoid takes no parameter"),
        (lambda: leaky_relu(1, alpha=2), TypeError, "takes only slope"),
        (lambda: leaky_relu(1, slope=2), SpecError, "slope"),
        (lambda: softmax(1.0), ShapeError, "last axis"),
        (lambda: squared_error([1, 2], [1, 2, 3]), ShapeError, r"\(2,\), \(3,\)"),
        (lambda: binary_cross_entropy(1.5, 1), DataError, "a must be probabilities"),
        (lambda: poisson(0.0, 1), DataError, "rates above 0"),
        (lambda: huber(1, 1, delta=-1), SpecError, "delta"),
        (lambda: categorical_cross_entropy([0.5, 0.5], 2), DataError, "from 0 to 1"),
        (lambda: categorical_cross_entropy([0.5, 0.5], [1, 0, 0]), ShapeError, r"\(3,\)"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
