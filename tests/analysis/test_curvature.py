"""H5: exact Hessian-vector products, eigenvalues, and kinds of critical points."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse import linalg
from scipy.special import expit

from deltarule import (
    L1,
    L2,
    LBFGS,
    BatchNorm,
    Dense,
    Dropout,
    Network,
    State,
    critical_point,
    hessian_eigenvalues,
    hessian_vector_product,
    train,
)
from deltarule.analysis.curvature import hessian_matrix
from deltarule.errors import ShapeError, SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.curvature import hessian_vector, output_differential
from support.networks import HEADS, SEEDS, least_outputs, proves, random_data, random_state
from support.paths import GOLDEN as GOLDEN_FOLDER
from support.regularization import (
    cost_gradient,
    is_moderate,
    moved,
    random_case,
    regularised_networks,
    smooth_pieces,
)

GOLDEN = json.loads((GOLDEN_FOLDER / "batch_norm_traces.json").read_text())

# --- against differences of the gradient ----------------------------------------------------------


def on_one_piece(net: Network, state: State, block: Block, reach: Any) -> bool:
    """Return whether θ ± reach contains no kink, at which the gradient jumps."""
    here, *ends = (smooth_pieces(net, moved(state, k * reach), block) for k in (0, -1, 1))
    return all((a == b).all() for end in ends for a, b in zip(here, end, strict=True))


def differences(net: Network, state: State, block: Block, v: Any) -> Any:
    """Return Hv by central differences of the gradient, extrapolated (error O(h⁴)); None at a
    kink.
    """
    h = 5e-5 / max(1.0, float(np.abs(v).max()))
    if not on_one_piece(net, state, block, 2 * h * v):
        return None
    slopes = {k: cost_gradient(net, moved(state, k * h * v), block) for k in (-2, -1, 1, 2)}
    near, far = (slopes[1] - slopes[-1]) / (2 * h), (slopes[2] - slopes[-2]) / (4 * h)
    return (4 * near - far) / 3


def error_of(found: Any, numeric: Any) -> float:
    """Return ‖Hv − numeric‖ / (‖Hv‖ + ‖numeric‖), with a term for the differences' rounding."""
    size = np.linalg.norm(found) + np.linalg.norm(numeric)
    return float(np.linalg.norm(found - numeric) / (size + 1e-3))


@proves(
    short=50, full=5000, net=regularised_networks(), seed=SEEDS, n=st.integers(3, 7),
    step=st.integers(0, 5),
)  # fmt: skip
def test_products_equal_differences_of_the_gradient(
    net: Network, seed: int, n: int, step: int
) -> None:
    """For networks of every kind: activations, losses, batch norm, dropout, penalties, weights."""
    state, block = random_case(net, n, seed)
    state.step = step
    assume(is_moderate(net, state, block))
    v = np.random.default_rng(seed + 1).normal(size=len(state.theta))
    numeric = differences(net, state, block, v)
    assume(numeric is not None)
    assert error_of(hessian_vector(Reference(net.tape), state, block, v), numeric) <= 1e-6


@pytest.mark.parametrize(
    "wanted", [pytest.param(2, id="short"), pytest.param(5, id="full", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(("loss", "output"), HEADS)
def test_every_loss_with_every_output(loss: str, output: str, wanted: int) -> None:
    layers = [
        Dropout(0.2), Dense(4, "tanh", batch_norm=BatchNorm()),
        Dense(3, "silu", batch_norm=BatchNorm("post_activation")), Dropout(0.4),
    ]  # fmt: skip
    k = max(2, least_outputs(loss, output))
    net = Network(3, [*layers, Dense(k, output)], loss, [L2(0.2), L1(0.1)])
    done = 0
    for seed in range(10):
        state, data = random_state(net, seed), random_data(net, 6, seed)
        v = np.random.default_rng(seed).normal(size=len(state.theta))
        numeric = differences(net, state, data.block, v)
        if numeric is not None:
            done += 1
            given = {"sample_weight": data.weight}
            found = hessian_vector_product(net, state, data.x, data.y, v, **given)
            assert error_of(found, numeric) <= 1e-6
            assert np.linalg.norm(found) > 0.1
        if done == wanted:
            return
    pytest.fail(f"only {done} of 10 points do not lie at kinks")


@proves(short=20, full=2000, net=regularised_networks(), seed=SEEDS, n=st.integers(3, 7))
def test_the_hessian_is_symmetric_and_linear(net: Network, seed: int, n: int) -> None:
    """⟨u, Hv⟩ = ⟨v, Hu⟩ and H(3u + v) = 3Hu + Hv."""
    state, block = random_case(net, n, seed)
    assume(is_moderate(net, state, block))
    reference = Reference(net.tape)
    u, v = np.random.default_rng(seed).normal(size=(2, len(state.theta)))
    hu, hv = (hessian_vector(reference, state, block, w) for w in (u, v))
    lengths = [np.linalg.norm(w) for w in (u, v)]
    size = lengths[0] * np.linalg.norm(hv) + lengths[1] * np.linalg.norm(hu) + 1
    assert abs(u @ hv - v @ hu) <= 1e-12 * size
    both = hessian_vector(reference, state, block, 3 * u + v)
    assert np.linalg.norm(both - 3 * hu - hv) <= 1e-12 * size
    assert not hessian_vector(reference, state, block, np.zeros_like(v)).any()


@pytest.mark.parametrize("seed", range(3))
def test_the_whole_hessian_is_the_jacobian_of_the_gradient(seed: int) -> None:
    net = Network(
        3, [Dense(4, "tanh", batch_norm=BatchNorm()), Dropout(0.3), Dense(3, "softmax")],
        "categorical_cross_entropy", [L2(0.1)],
    )  # fmt: skip
    state, data = random_state(net, seed), random_data(net, 8, seed)
    found = hessian_matrix(net, state, data.x, data.y, sample_weight=data.weight)
    p = len(state.theta)
    assert found.shape == (p, p)
    columns = [differences(net, state, data.block, e) for e in np.eye(p)]
    np.testing.assert_allclose(found, np.stack(columns, axis=1), atol=1e-9)
    v = np.random.default_rng(seed).normal(size=p)
    product = hessian_vector_product(net, state, data.x, data.y, v, sample_weight=data.weight)
    np.testing.assert_allclose(found @ v, product, rtol=1e-11, atol=1e-12)


# --- against other libraries and books ------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "categorical_cross_entropy"])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["position"])
def test_hessians_with_batch_norm_equal_pytorchs(case: Any, loss: str) -> None:
    """PyTorch differentiates twice: every entry agrees to 1e-12 of the largest."""
    d, hidden, k = GOLDEN["widths"]
    norm = BatchNorm(case["position"], epsilon=GOLDEN["epsilon"])
    output = "softmax" if loss.startswith("categorical") else "identity"
    net = Network(d, [Dense(hidden, "tanh", batch_norm=norm), Dense(k, output)], loss)
    x, y = (np.array(case["batches"][0][name]) for name in "xy")
    targets = np.array(case["soft_targets"]) if output == "softmax" else y
    found = hessian_matrix(net, State(np.array(case["theta"])), x, targets)
    expected = np.array(case["hessians"][loss])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("s", [0.0, 0.7])
def test_logistic_regression_has_the_textbook_hessian(s: float) -> None:
    """M1: (1/n) Xᵀ diag(a(1 − a)) X + s I on the weights; positive semi-definite."""
    net = Network(4, [Dense(1, "sigmoid")], "binary_cross_entropy", [L2(s)])
    state, data = random_state(net, 0), random_data(net, 30, 0)
    X = np.hstack([data.x, np.ones((30, 1))])
    a = expit(X @ state.theta)
    for weight in (None, data.weight):
        w = np.ones(30) if weight is None else weight
        expected = X.T @ (X * (w * a * (1 - a))[:, None]) / w.sum() + s * np.diag([1, 1, 1, 1, 0])
        found = hessian_matrix(net, state, data.x, data.y, sample_weight=weight)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
        assert np.linalg.eigvalsh(found)[0] >= -1e-15


def test_squared_error_on_a_sigmoid_is_not_convex() -> None:
    """M1's example: x = y = 1, w = −4 has the second derivative −0.016."""
    net = Network(1, [Dense(1, "sigmoid")])
    state = State(np.array([-4.0, 0.0]))
    found = hessian_matrix(net, state, [[1.0]], [1.0])[0, 0]
    a = expit(-4.0)
    slope = a * (1 - a)
    assert found == pytest.approx(slope**2 + (a - 1) * slope * (1 - 2 * a), rel=1e-12)
    assert round(found, 3) == -0.016


def test_the_hessian_of_least_squares_is_the_gram_matrix() -> None:
    net = Network(3, [Dense(2)])
    state, data = random_state(net, 1), random_data(net, 9, 1)
    X = np.hstack([data.x, np.ones((9, 1))])
    found = hessian_matrix(net, state, data.x, data.y)
    gram = np.kron(X.T @ X / 9, np.eye(2))  # θ = (W, b), row-major: (input, output)
    np.testing.assert_allclose(found, gram, rtol=1e-12, atol=1e-15)


def test_csr_inputs_and_float32_networks() -> None:
    net = Network(4, [Dropout(0.3), Dense(3, "tanh"), Dense(2)])
    state, data = random_state(net, 2), random_data(net, 8, 2)
    x = np.where(data.x > 0, data.x, 0.0)
    v = np.random.default_rng(2).normal(size=len(state.theta))
    dense = hessian_vector_product(net, state, x, data.y, v)
    found = hessian_vector_product(net, state, sparse.csr_array(x), data.y, v)
    np.testing.assert_allclose(found, dense, rtol=1e-12, atol=1e-14)
    single = Network(4, net.layers, dtype="float32")
    at = State(state.theta.astype(np.float32), seed=state.seed)
    found = hessian_vector_product(single, at, x, data.y, v)
    assert found.dtype == np.float64  # exact at the rounded θ
    at.theta = at.theta.astype(np.float64)
    np.testing.assert_array_equal(found, hessian_vector_product(net, at, x, data.y, v))


def test_the_masks_equal_those_of_the_training_step() -> None:
    net = Network(4, [Dense(6, "tanh"), Dropout(0.5), Dense(2)])
    state, data = random_state(net, 3), random_data(net, 8, 3)
    v = np.ones(len(state.theta))
    first = hessian_vector_product(net, state, data.x, data.y, v)
    np.testing.assert_array_equal(first, hessian_vector_product(net, state, data.x, data.y, v))
    state.step = 1
    assert np.abs(first - hessian_vector_product(net, state, data.x, data.y, v)).max() > 1e-3


@proves(short=20, full=1000, net=regularised_networks(), seed=SEEDS, n=st.integers(3, 6))
def test_the_differential_of_the_outputs(net: Network, seed: int, n: int) -> None:
    """B2 through the whole network: J v against differences of a training pass's outputs."""
    state, block = random_case(net, n, seed)
    assume(is_moderate(net, state, block))
    reference = Reference(net.tape)

    def outputs(at: State) -> Any:
        trace = reference.trace(at, block.x, reference.training_pass(at, block))
        return trace.contents[net.tape.output]

    v, h = np.random.default_rng(seed).normal(size=len(state.theta)), 5e-5
    assume(on_one_piece(net, state, block, 2 * h * v))
    near, far = (
        (outputs(moved(state, k * h * v)) - outputs(moved(state, -k * h * v))) / (2 * k * h)
        for k in (1, 2)
    )
    found = output_differential(reference, state, block, v)
    assert found.shape == (n, net.n_outputs)
    assert error_of(found, (4 * near - far) / 3) <= 1e-6


def test_a_direction_of_another_size_is_refused() -> None:
    net = Network(2, [Dense(1)])
    with pytest.raises(
        ShapeError, match=r"v must have shape \(3,\); got \(4,\). .*the layout of θ"
    ):
        hessian_vector_product(net, net.initialize(), np.ones((2, 2)), np.ones(2), np.ones(4))


# --- eigenvalues ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [4, 30])
@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
def test_eigenvalues_from_both_ends(width: int, which: Any) -> None:
    """Full below 300 parameters, by Lanczos iteration above: both against NumPy's."""
    net = Network(8, [Dense(width, "tanh"), Dense(3, "softmax")], "categorical_cross_entropy")
    p = net.tape.n_parameters
    assert (p <= 300) == (width == 4)
    state, data = random_state(net, 0), random_data(net, 25, 0)
    full = np.linalg.eigvalsh(hessian_matrix(net, state, data.x, data.y))
    chosen = {
        "largest": full[-3:],
        "smallest": full[:3],
        "magnitude": full[np.argsort(-np.abs(full))[:3]],
    }[which]
    given = {"k": 3, "which": which}
    found = hessian_eigenvalues(net, state, data.x, data.y, **given)
    np.testing.assert_allclose(found, np.sort(chosen)[::-1], rtol=1e-8, atol=1e-10)
    assert full[0] < -1e-4  # so that the two ends differ
    again = hessian_eigenvalues(net, state, data.x, data.y, **given)
    np.testing.assert_allclose(found, again, rtol=1e-12)


def test_all_eigenvalues() -> None:
    net = Network(2, [Dense(1)])
    state, data = random_state(net, 1), random_data(net, 9, 1)
    X = np.hstack([data.x, np.ones((9, 1))])
    expected = np.linalg.eigvalsh(X.T @ (X * data.weight[:, None]) / data.weight.sum())[::-1]
    found = hessian_eigenvalues(net, state, data.x, data.y, k=99, sample_weight=data.weight)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(SpecError, match="k must be an integer of at least 1; got 0"):
        hessian_eigenvalues(net, state, data.x, data.y, k=0)


# --- critical points ------------------------------------------------------------------------------


def test_the_least_squares_solution_is_a_minimum() -> None:
    net = Network(3, [Dense(1)])
    data = random_data(net, 20, 2)
    X = np.hstack([data.x, np.ones((20, 1))])
    state = State(np.linalg.lstsq(X, data.y[:, 0])[0])
    found = critical_point(net, state, data.x, data.y)
    ends = np.linalg.eigvalsh(X.T @ X / 20)
    assert found.verdict == "minimum"
    assert (found.smallest, found.largest) == (pytest.approx(ends[0]), pytest.approx(ends[-1]))
    assert found.gradient_norm < 1e-12
    assert str(found).startswith("minimum: gradient norm ")
    state.theta += 1.0
    assert critical_point(net, state, data.x, data.y).verdict == "not critical"
    tolerant = critical_point(net, state, data.x, data.y, gradient_tolerance=1e6)
    assert tolerant.verdict == "minimum"


def test_the_origin_of_a_deep_linear_network_is_a_saddle() -> None:
    """C(w₁, w₂) = ½E(w₂w₁x − y)²: the Hessian at 0 has −E[xy] off the diagonal."""
    net = Network(1, [Dense(1), Dense(1)])
    x = np.array([[-1.0], [1.0]])
    found = critical_point(net, State(np.zeros(4)), x, 2 * x)
    assert found.verdict == "saddle"
    assert (found.smallest, found.largest) == (pytest.approx(-2.0), pytest.approx(2.0))


def test_a_saturated_sigmoid_under_squared_error_is_a_plateau() -> None:
    net = Network(1, [Dense(1, "sigmoid")])
    found = critical_point(net, State(np.array([0.0, -400.0])), [[1.0], [2.0]], [1.0, 1.0])
    assert found.verdict == "plateau"
    assert found.gradient_norm < 1e-100
    # The log-loss has no such plateau (H3): its gradient there is −1.
    net = Network(1, [Dense(1, "sigmoid")], "binary_cross_entropy")
    found = critical_point(net, State(np.array([0.0, -400.0])), [[1.0], [2.0]], [1.0, 1.0])
    assert found.verdict == "not critical"


def test_the_minimum_of_silu_below_its_target_is_a_maximum_of_the_cost() -> None:
    """C = ½(silu(b) − y)²: where silu' = 0 and y is above, C'' = (silu − y) silu'' < 0."""
    net = Network(1, [Dense(1, "silu")])
    b = brentq(lambda z: expit(z) * (1 + z * (1 - expit(z))), -2.0, -1.0, xtol=1e-15)
    state = State(np.array([0.5, b]))
    high, low = (critical_point(net, state, [[0.0]], [y]) for y in (1.0, -1.0))
    assert (high.verdict, low.verdict) == ("maximum", "minimum")
    assert high.smallest < -0.1
    assert high.largest == pytest.approx(0.0, abs=1e-12)  # w is behind x = 0: flat


@pytest.mark.parametrize("s", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("hidden", [6, 40])
def test_training_ends_where_no_curvature_is_negative(hidden: int, s: float) -> None:
    """On both paths, below and above 300 parameters; without a penalty most are flat."""
    net = Network(6, [Dense(hidden, "tanh"), Dense(1)], penalties=[L2(s)])
    data, state = random_data(net, 12, 3), net.initialize(3)
    assert (net.tape.n_parameters > 300) == (hidden == 40)
    assert critical_point(net, state, data.x, data.y).verdict == "not critical"
    train(net, state, data.x, data.y, optimizer=LBFGS(tol=0.0), epochs=300)
    full = np.linalg.eigvalsh(hessian_matrix(net, state, data.x, data.y))
    end = critical_point(net, state, data.x, data.y, curvature_tolerance=1e-5)
    assert end.verdict == "minimum"
    assert end.gradient_norm < 5e-4
    assert end.smallest == pytest.approx(full[0], abs=2e-6 * full[-1])
    assert end.largest == pytest.approx(full[-1], rel=1e-9)


def test_a_large_plateau_has_zero_curvature() -> None:
    """Also above 300 parameters, where the full Hessian is never computed."""
    net = Network(300, [Dense(1, "sigmoid")])
    state = State(np.zeros(301))
    state.theta[-1] = -800.0  # σ and its slopes underflow to 0
    found = critical_point(net, state, np.ones((3, 300)), np.ones(3))
    assert (found.verdict, found.smallest, found.largest) == ("plateau", 0.0, 0.0)


def test_one_of_many_equal_eigenvalues_is_found() -> None:
    """H = diag(½, …, ½, 1): one of 400 equal eigenvalues is found."""
    net = Network(400, [Dense(1)], penalties=[L2(0.5)])
    X, y = np.zeros((3, 400)), np.zeros(3)  # only the bias meets data: H = diag(0.5, …, 0.5, 1)
    for which, expected in (("largest", 1.0), ("smallest", 0.5), ("magnitude", 1.0)):
        found = hessian_eigenvalues(net, net.initialize(0), X, y, k=1, which=which)
        assert found.tolist() == [pytest.approx(expected, rel=1e-9)]


def test_eigenvalues_too_close_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The iteration first lowers its tolerance; then the error names a remedy."""
    true, tolerances = linalg.eigsh, []

    def fails(operator: Any, *, tol: float, **given: Any) -> Any:
        tolerances.append(tol)
        if tol < least:
            raise linalg.ArpackNoConvergence("No convergence", np.zeros(0), np.zeros((0, 0)))
        return true(operator, tol=tol, **given)

    monkeypatch.setattr(linalg, "eigsh", fails)
    net = Network(8, [Dense(30, "tanh"), Dense(2)])
    state, data = random_state(net, 4), random_data(net, 20, 4)
    full = np.linalg.eigvalsh(hessian_matrix(net, state, data.x, data.y))
    least = 1e-7
    found = hessian_eigenvalues(net, state, data.x, data.y, k=2)
    np.testing.assert_allclose(found, full[:-3:-1], rtol=1e-5)
    assert tolerances == [1e-9, 1e-6]
    least = 1.0
    with pytest.raises(
        SpecError, match=r"2 largest of 332 eigenvalues are too close .* fewer \(k\)"
    ):
        hessian_eigenvalues(net, state, data.x, data.y, k=2)
