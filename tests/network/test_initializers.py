"""Initial weights: distributions, defaults, and why zeros do not work (I1-I5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from deltarule import (
    SGD,
    Adam,
    BatchNorm,
    ConstantInitializer,
    Dense,
    LeakyReLU,
    Network,
    Normal,
    Uniform,
    train,
)
from deltarule.errors import SpecError
from deltarule.network.initialization import default_initializer, draw_weights
from deltarule.spec import INITIALIZERS
from support.networks import ACTIVATIONS, random_data

IN, OUT = 150, 250
N = IN * OUT
VARIANCES = {
    "lecun": 1 / IN,  # I3
    "glorot": 2 / (IN + OUT),  # I4; erratum E-c: the variance, not the standard deviation
    "he": 2 / IN,  # I5; erratum E-d
}
DISTRIBUTIONS = [
    *(
        (f"{family}_{distribution}", distribution, variance)
        for family, variance in VARIANCES.items()
        for distribution in ("normal", "uniform")
    ),
    (Normal(0.03), "normal", 0.03**2),
    (Uniform(0.2), "uniform", 0.2**2 / 3),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("initializer", "distribution", "variance"),
    DISTRIBUTIONS,
    ids=[str(r[0]) for r in DISTRIBUTIONS],
)
def test_the_distribution_of_the_weights(
    initializer: Any, distribution: str, variance: float, seed: int
) -> None:
    """Mean and variance within 4.5 standard errors; Kolmogorov-Smirnov at p = 1e-4."""
    drawn = draw_weights(initializer, IN, OUT, np.random.default_rng(seed)).ravel()
    assert abs(drawn.mean()) <= 4.5 * np.sqrt(variance / N)
    kurtosis = {"normal": 3.0, "uniform": 1.8}[distribution]
    assert abs(np.mean(drawn**2) - variance) <= 4.5 * variance * np.sqrt((kurtosis - 1) / N)
    bound = np.sqrt(3 * variance)
    frozen = {
        "normal": stats.norm(0, np.sqrt(variance)),
        "uniform": stats.uniform(-bound, 2 * bound),
    }[distribution]
    assert stats.kstest(drawn, frozen.cdf).pvalue > 1e-4
    if distribution == "uniform":
        assert 0.999 * bound < np.abs(drawn).max() <= bound


def test_every_name_is_tested() -> None:
    named = {name for name, _, _ in DISTRIBUTIONS if isinstance(name, str)}
    assert named | {"zeros", "orthogonal"} == set(INITIALIZERS)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (7, 3), (3, 7), (1, 5), (5, 1)], ids=str)
def test_orthogonal_weights(shape: tuple[int, int]) -> None:
    """Saxe et al. 2014: orthonormal columns, or rows if there are fewer rows."""
    w = draw_weights("orthogonal", *shape, np.random.default_rng(0))
    assert w.shape == shape
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)
    assert w.flags.c_contiguous


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3)], ids=str)
def test_orthogonal_weights_are_uniformly_distributed(shape: tuple[int, int]) -> None:
    """The distribution is uniform (Mezzadri 2007): moments of an entry of a Haar matrix.

    With m = max(shape): mean 0, variance 1/m, fourth moment 3/(m(m + 2)), and for a square the
    trace has mean 0 and variance 1; within 4.5 standard errors over 20 000 draws.
    """
    rng, count, m = np.random.default_rng(0), 20_000, max(shape)
    drawn = np.stack([draw_weights("orthogonal", *shape, rng) for _ in range(count)])
    fourth = 3 / (m * (m + 2))
    assert np.abs(drawn.mean(axis=0)).max() <= 4.5 * np.sqrt(1 / m / count)
    room = 4.5 * np.sqrt((fourth - 1 / m**2) / count)
    assert np.abs((drawn**2).mean(axis=0) - 1 / m).max() <= room
    if shape[0] == shape[1]:
        traces = np.trace(drawn, axis1=1, axis2=2)
        assert abs(traces.mean()) <= 4.5 / np.sqrt(count)
        assert abs(traces.var() - 1) <= 0.05
    corner = drawn[:, 0, 0]
    # If x is a coordinate of a random unit vector, (x + 1)/2 is Beta((m − 1)/2, (m − 1)/2).
    assert stats.kstest((corner + 1) / 2, stats.beta((m - 1) / 2, (m - 1) / 2).cdf).pvalue > 1e-4


def test_constant_weights_and_zeros() -> None:
    net = Network(
        3, [Dense(2, initializer=ConstantInitializer(0.25)), Dense(1, initializer="zeros")]
    )
    assert net.initialize(5).theta.tolist() == [0.25] * 6 + [0.0] * 5


def test_gammas_begin_at_one_and_betas_at_zero() -> None:
    layers = [
        Dense(4, "relu", batch_norm=BatchNorm()),
        Dense(4, batch_norm=BatchNorm("post_activation")),
        Dense(1),
    ]
    views = Network(3, layers).parameters(Network(3, layers).initialize(1))
    for name, view in views.items():
        if name.startswith("W"):
            assert view.all()
        else:
            np.testing.assert_array_equal(view, 1.0 if name.startswith("gamma") else 0.0)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_glorot_is_lecun_on_square_matrices(distribution: str) -> None:
    glorot, lecun = (
        draw_weights(f"{family}_{distribution}", 20, 20, np.random.default_rng(0))
        for family in ("glorot", "lecun")
    )
    np.testing.assert_allclose(glorot, lecun, rtol=1e-14)


@pytest.mark.parametrize(
    ("activation", "bound"),
    [
        ("relu", np.sqrt(6 / IN)),
        ("leaky_relu", np.sqrt(6 / IN)),
        (LeakyReLU(0.3), np.sqrt(6 / IN)),
        ("tanh", np.sqrt(6 / (IN + OUT))),
        ("sigmoid", np.sqrt(6 / (IN + OUT))),
        ("softmax", np.sqrt(6 / (IN + OUT))),
        ("identity", np.sqrt(3 / IN)),
        ("exp", np.sqrt(3 / IN)),
        ("softplus", np.sqrt(3 / IN)),
        *((name, np.sqrt(6 / IN)) for name in ("elu", "gelu", "silu", "mish")),
        *((name, np.sqrt(6 / (IN + OUT))) for name in ("softsign", "hard_sigmoid", "hard_tanh")),
    ],
    ids=str,
)
def test_defaults_fit_the_activation(activation: Any, bound: float) -> None:
    """He for ReLU kinds, Glorot for tanh, sigmoid and softmax, LeCun otherwise; all uniform."""
    theta = Network(IN, [Dense(OUT, activation)]).initialize(0).theta
    weights, biases = theta[:N], theta[N:]
    assert 0.999 * bound < np.abs(weights).max() <= bound
    np.testing.assert_array_equal(biases, 0.0)


def test_selu_networks_begin_with_lecuns_normal_law() -> None:
    """Klambauer et al. 2017: variance 1/fan_in keeps activations at mean 0 and variance 1."""
    weights = Network(IN, [Dense(OUT, "selu")]).initialize(0).theta[:N]
    assert stats.kstest(weights, stats.norm(0, np.sqrt(1 / IN)).cdf).pvalue > 1e-4
    net = Network(200, [Dense(200, "selu") for _ in range(8)])
    a = net.predict(net.initialize(0), np.random.default_rng(1).normal(size=(500, 200)))
    assert abs(a.mean()) < 0.1
    assert abs(a.var() - 1) < 0.15


def test_every_activation_has_a_tested_default() -> None:
    assert {default_initializer(name) for name in ACTIVATIONS} == {
        "he_uniform", "glorot_uniform", "lecun_uniform", "lecun_normal",
    }  # fmt: skip


def test_layers_are_drawn_independently_with_their_own_widths() -> None:
    net = Network(100, [Dense(100, "tanh"), Dense(100, "tanh"), Dense(400, "relu")])
    views = net.parameters(net.initialize(3))
    assert abs(np.corrcoef(views["W1"].ravel(), views["W2"].ravel())[0, 1]) < 0.05
    assert np.abs(views["W3"]).max() == pytest.approx(np.sqrt(6 / 100), rel=1e-3)


def test_a_seed_determines_every_bit() -> None:
    net = Network(4, [Dense(3, "relu"), Dense(2)])
    theta = net.initialize(7).theta
    np.testing.assert_array_equal(theta, net.initialize(7).theta)
    assert not np.array_equal(theta, net.initialize(8).theta)
    single = Network(4, net.layers, dtype="float32").initialize(7).theta
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, theta.astype(np.float32))


def test_a_callable_draws_the_weights() -> None:
    def diagonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Any:
        return 2.0 * np.eye(fan_in, fan_out)

    net = Network(3, [Dense(2, initializer=diagonal)])
    assert net.initialize().theta.tolist() == [2, 0, 0, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [lambda rng, m, n: np.zeros((n, m)), lambda rng, m, n: np.full((m, n), np.nan)],
    ids=["shape", "nan"],
)
def test_a_callable_must_return_finite_numbers_of_the_shape(bad: Any) -> None:
    net = Network(3, [Dense(2, initializer=bad)])
    with pytest.raises(
        SpecError,
        match=r"initializer must return finite numbers of shape \(3, 2\)",
    ):
        net.initialize()


# --- I1: zeros ------------------------------------------------------------------------------------


def from_zeros(activation: str, optimizer: Any) -> dict[str, Any]:
    net = Network(
        3,
        [Dense(5, activation, "zeros"), Dense(1, "sigmoid", "zeros")],
        "binary_cross_entropy",
    )
    data = random_data(net, 40, 0)
    state = net.initialize()
    assert not state.theta.any()
    train(net, state, data.x, data.y, optimizer=optimizer, batch_size=8, epochs=10)
    return net.parameters(state)


@pytest.mark.parametrize("optimizer", [SGD(0.5), Adam(0.05)], ids=repr)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_from_zero_weights_tanh_and_relu_networks_do_not_move(
    activation: str, optimizer: Any
) -> None:
    views = from_zeros(activation, optimizer)
    for name in ("W1", "b1", "W2"):
        assert not views[name].any()
    assert views["b2"].any()


@pytest.mark.parametrize("optimizer", [SGD(0.5), Adam(0.05)], ids=repr)
def test_from_zero_weights_sigmoid_units_move_identically(optimizer: Any) -> None:
    views = from_zeros("sigmoid", optimizer)
    assert np.abs(views["W1"]).min() > 0
    for array in (views["W1"], views["b1"][None, :], views["W2"].T):
        np.testing.assert_allclose(array, np.repeat(array[:, :1], 5, axis=1), rtol=1e-12)


def test_weights_that_are_too_large_saturate() -> None:
    """I2: the share of tanh units whose derivative is nearly zero."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 50))
    shares = {}
    for scale in (0.01, 5.0):
        net = Network(50, [Dense(50, "tanh", Normal(scale))])
        shares[scale] = np.mean(1 - net.predict(net.initialize(), x) ** 2 < 1e-3)
    assert shares[0.01] == 0.0
    assert shares[5.0] > 0.8
