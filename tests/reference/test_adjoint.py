"""Every registered map: its pullback is the adjoint of its differential (item B2).

⟨rf_x(ζ), ξ⟩ = ⟨ζ, df_x(ξ)⟩ proves that pullback and differential agree; difference quotients of
the value prove that neither is wrong together with the other.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import deltarule.reference
from deltarule import BatchNorm, Dense, Network
from deltarule.errors import ShapeError
from deltarule.program.opcodes import ActivationCode, LossCode, Op
from deltarule.reference import MAPS
from deltarule.reference.activations import ELEMENTWISE
from deltarule.reference.affine import affine, product, shift
from deltarule.reference.batch_norm_statistics import inference_norm
from deltarule.reference.dropout import dropout
from deltarule.reference.elementwise import hadamard, power, scale
from deltarule.reference.losses import LOSSES
from deltarule.reference.maps import Map
from deltarule.reference.members import average, expand, heads
from deltarule.reference.normalization import center, mean, normalize, variance
from support.networks import LIBRARIES, SEEDS, inner, magnitude, proves

SIZES = st.fixed_dictionaries(
    {axis: st.integers(1, 6) for axis in ("n", "p", "q")} | {"k": st.integers(1, 4)}
)
KINKS = {ActivationCode(code).name.lower(): g.kinks for code, g in ELEMENTWISE.items()}
EVERY_MAP = pytest.mark.parametrize("f", MAPS, ids=[f.name for f in MAPS])


class Point:
    """A map at a random point: its arguments, its targets if it has any, and directions."""

    def __init__(self, f: Map, sizes: dict[str, int], seed: int, xp: Any = np) -> None:
        self.f, self.xp, self.rng = f, xp, np.random.default_rng(seed)
        if f.name == "softmax_binary_cross_entropy":  # infinite with one output, which is refused
            sizes = {**sizes, "q": max(2, sizes["q"])}
        self.shapes = [tuple(sizes[axis] for axis in names.split()) for names in f.shapes]
        self.at = tuple(self._argument(shape) for shape in self.shapes)
        self.targets = () if f.targets == "none" else (xp.asarray(self._targets()),)

    def _argument(self, shape: tuple[int, ...]) -> Any:
        # Away from the kinks, at 0 and elsewhere, which test_activations tests.
        size = self.rng.uniform(0.1, 3.0, shape)
        sign = 1.0 if self.f.domain == "positive" else self.rng.choice([-1.0, 1.0], shape)
        numbers = size * sign
        for kink in KINKS.get(self.f.name, ()):
            numbers = np.where(np.abs(numbers - kink) < 0.01, kink + 0.02, numbers)
        return self.xp.asarray(numbers)

    def _targets(self) -> Any:
        n, k = shape = self.shapes[0]
        return {
            "real": lambda: np.asarray(self.at[0]) - self._residuals(shape),
            "binary": lambda: self.rng.integers(0, 2, shape).astype(float),
            "simplex": lambda: self.rng.dirichlet(np.ones(k), n),
            "counts": lambda: self.rng.poisson(2.0, shape).astype(float),
        }[self.f.targets]()

    def _residuals(self, shape: tuple[int, ...]) -> Any:
        # Away from 0 and 1 (Huber's delta), where derivatives of the losses jump.
        size = self.rng.uniform(0.1, 0.9, shape) + self.rng.integers(0, 3, shape)
        return size * self.rng.choice([-1.0, 1.0], shape)

    def direction(self, shape: tuple[int, ...]) -> Any:
        return self.xp.asarray(self.rng.normal(size=shape))

    def directions(self) -> tuple[Any, ...]:
        return tuple(self.direction(shape) for shape in self.shapes)

    def value(self, at: tuple[Any, ...] | None = None) -> Any:
        return self.f.value(*(self.at if at is None else at), *self.targets)[0]

    def pulled(self, zeta: Any) -> tuple[Any, ...]:
        given = self.f.value(*self.at, *self.targets)[1](zeta)
        return given if isinstance(given, tuple) else (given,)

    def pushed(self, xi: tuple[Any, ...]) -> Any:
        return self.f.differential(*self.at, *self.targets, *xi)


@EVERY_MAP
@pytest.mark.parametrize("xp", LIBRARIES)
@proves(short=10, full=1000, sizes=SIZES, seed=SEEDS)
def test_the_pullback_is_the_adjoint_of_the_differential(
    f: Map, xp: Any, sizes: dict[str, int], seed: int
) -> None:
    here = Point(f, sizes, seed, xp)
    xi = here.directions()
    zeta = here.direction(here.value().shape)
    back, forth = here.pulled(zeta), here.pushed(xi)
    assert [tuple(b.shape) for b in back] == here.shapes
    assert forth.shape == zeta.shape
    # Also relative to ‖ζ‖‖ξ‖: with two rows the Jacobian of N nearly vanishes by cancellation.
    size = np.sqrt(inner(zeta, zeta) * inner(xi, xi))
    scale = max(size, magnitude(back, xi), magnitude(zeta, forth))
    assert abs(inner(back, xi) - inner(zeta, forth)) <= 1e-12 * scale


@EVERY_MAP
@proves(short=8, full=500, sizes=SIZES, seed=SEEDS)
def test_the_differential_is_the_limit_of_difference_quotients(
    f: Map, sizes: dict[str, int], seed: int
) -> None:
    here = Point(f, sizes, seed)
    xi = here.directions()
    xi = tuple(x / max(1.0, np.abs(x).max()) for x in xi)

    def beside(t: float) -> Any:
        return here.value(tuple(x + t * dx for x, dx in zip(here.at, xi, strict=True)))

    def quotient(h: float) -> Any:
        """Return the central difference of sixth order."""
        terms = [c * (beside(s * h) - beside(-s * h)) for s, c in ((1, 45), (2, -9), (3, 1))]
        return sum(terms) / (60 * h)

    # The rounding error is ~1e-12. The truncation error (N is strongly curved for similar rows)
    # falls 64-fold from one width to its half, so the difference of the two bounds it.
    wide, fine = quotient(2e-3), quotient(1e-3)
    room = 1e-8 * (1 + np.abs(fine)) + np.abs(wide - fine)
    assert (np.abs(here.pushed(xi) - fine) <= room).all()


@EVERY_MAP
@proves(short=5, full=100, sizes=SIZES, seed=SEEDS)
def test_the_jacobian_by_columns_is_the_jacobian_by_rows(
    f: Map, sizes: dict[str, int], seed: int
) -> None:
    here = Point(f, sizes, seed)
    shape = here.value().shape
    columns = np.stack([here.pushed(unit).ravel() for unit in unit_tuples(here.shapes)], axis=1)
    rows = np.stack(
        [np.concatenate([b.ravel() for b in here.pulled(unit)]) for (unit,) in unit_tuples([shape])]
    )
    np.testing.assert_allclose(columns, rows, rtol=1e-11, atol=1e-13)


def unit_tuples(shapes: list[tuple[int, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield every tuple of arrays that is 1 in one entry and 0 in all others."""
    for i, shape in enumerate(shapes):
        for entry in np.ndindex(shape):
            unit = tuple(np.zeros(s) for s in shapes)
            unit[i][entry] = 1.0
            yield unit


@EVERY_MAP
@proves(short=5, full=100, sizes=SIZES, seed=SEEDS)
def test_a_pullback_is_linear_and_mutates_nothing(f: Map, sizes: dict[str, int], seed: int) -> None:
    here = Point(f, sizes, seed)
    kept = [array.copy() for array in (*here.at, *here.targets)]
    value, pullback = f.value(*here.at, *here.targets)
    u, v = here.direction(value.shape), here.direction(value.shape)
    before = value.copy(), u.copy()
    together, apart_u, apart_v, again = pullback(2 * u - v), pullback(u), pullback(v), pullback(u)
    if not isinstance(together, tuple):
        together, apart_u, apart_v, again = (together,), (apart_u,), (apart_v,), (again,)
    for t, a, b, c in zip(together, apart_u, apart_v, again, strict=True):
        np.testing.assert_allclose(t, 2 * a - b, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(value, before[0])
    np.testing.assert_array_equal(u, before[1])
    for array, old in zip((*here.at, *here.targets), kept, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EVERY_MAP
def test_a_map_and_its_pullback_keep_the_number_type(f: Map, dtype: str) -> None:
    here = Point(f, {"n": 3, "p": 2, "q": 4, "k": 2}, 0)
    here.at = tuple(x.astype(dtype) for x in here.at)
    here.targets = tuple(y.astype(dtype) for y in here.targets)
    value = here.value()
    given = here.pulled(np.ones(value.shape, dtype))
    assert {array.dtype for array in (value, *given)} == {np.dtype(dtype)}


# --- the registry is complete ---------------------------------------------------------------------


def modules() -> list[Any]:
    package = deltarule.reference
    names = [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names if not name.endswith(".registry")]


def test_the_registry_holds_the_maps_of_every_module() -> None:
    listed = [f for module in modules() for f in getattr(module, "MAPS", ())]
    assert len(listed) >= 20
    assert set(listed) == set(MAPS)
    assert len({f.name for f in MAPS}) == len(MAPS)


def test_every_function_that_returns_a_pullback_is_registered() -> None:
    # These choose a registered map, or are tested below at a state of their own.
    # ``repeat`` is registered with three members; test_members tests the loss of members.
    dispatchers = {"activate", "broadcast", "dropout", "inference_norm"}
    dispatchers |= {"repeat", "loss_of_members", "blocks", "run_groups", "parametric"}
    values = {f.value for f in MAPS}
    missing = [
        f"{module.__name__}.{name}"
        for module in modules()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "Pullback]" in str(function.__annotations__.get("return"))
        and name not in dispatchers
        and function not in values
    ]
    assert missing == []


def test_every_code_has_a_registered_map() -> None:
    names = {f.name for f in MAPS}
    assert {code.name.lower() for code in ActivationCode} <= names
    assert set(ELEMENTWISE) | {ActivationCode.SOFTMAX} == set(ActivationCode)
    assert {code.name.lower() for code in LossCode} <= names
    assert set(LOSSES) == set(LossCode)
    assert {loss.value for loss in LOSSES.values()} == {
        f.value for f in MAPS if f.targets != "none"
    }


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
@proves(short=10, full=300, seed=SEEDS, n=st.integers(1, 6), q=st.integers(1, 5))
def test_batch_norm_at_prediction_is_affine(position: Any, seed: int, n: int, q: int) -> None:
    """N3: γ ⊙ (x − μ)/√(σ² + ε) + β with fixed μ, σ²; its pullback is the adjoint."""
    net = Network(q, [Dense(q, "tanh", batch_norm=BatchNorm(position)), Dense(1)])
    line = next(line for line in net.tape.instructions if line.op == Op.NORMALIZE)
    rng = np.random.default_rng(seed)
    x, dx, zeta = rng.normal(size=(3, n, q))
    (gamma, beta, dgamma, dbeta, mu), sigma2 = rng.normal(size=(5, q)), rng.uniform(0.1, 4.0, q)
    state = net.initialize()
    state.buffers |= {"0.mean": mu, "0.variance": sigma2}
    value, pullback = inference_norm(line, state, x, gamma, beta)
    hat = (x - mu) / np.sqrt(sigma2 + 1e-5)
    np.testing.assert_allclose(value, gamma * hat + beta, rtol=1e-13, atol=1e-14)
    forth = gamma * dx / np.sqrt(sigma2 + 1e-5) + dgamma * hat + dbeta
    back, xi = pullback(zeta), (dx, dgamma, dbeta)
    room = 1e-12 * max(magnitude(back, xi), magnitude(zeta, forth))
    assert abs(inner(back, xi) - inner(zeta, forth)) <= room


@pytest.mark.parametrize("keep", [0.2, 0.7, 1.0])
def test_dropout_and_its_pullback_are_one_map(keep: float) -> None:
    """R3: Ayrapetyan's example; the pullback is the same map x ⊙ mask/p."""
    z, kept = np.array([[16.0, 20.0], [15.0, 20.0]]), np.array([[True, True], [True, False]])
    value, pullback = dropout(z, kept, keep)
    np.testing.assert_allclose(value, [[16 / keep, 20 / keep], [15 / keep, 0.0]], rtol=1e-15)
    np.testing.assert_array_equal(pullback(z), value)


# --- the values of the algebraic maps, in exact arithmetic ----------------------------------------


def exact(array: Any) -> Any:
    """Return the array in exact rational arithmetic."""
    flat = [Fraction(float(v)) for v in np.ravel(array)]
    return np.array(flat, dtype=object).reshape(np.shape(array))


@proves(short=10, full=500, sizes=SIZES, seed=SEEDS)
def test_algebraic_maps_agree_with_rational_arithmetic(sizes: dict[str, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, p, q = sizes["n"], sizes["p"], sizes["q"]
    k = sizes["k"]
    x, w, b = rng.normal(size=(n, p)), rng.normal(size=(p, q)), rng.normal(size=q)
    z, gamma = rng.normal(size=(n, q)), rng.normal(size=q)
    r, xs, ws = rng.normal(size=(k, p)), rng.normal(size=(n, k, p)), rng.normal(size=(k, p, q))
    bs = rng.normal(size=(k, q))
    X, W, B, Z, G, R, XS, WS, BS = map(exact, (x, w, b, z, gamma, r, xs, ws, bs))
    by_member = [(i, m) for i in range(n) for m in range(k)]
    XW = np.array([[sum(X[i, m] * W[m, j] for m in range(p)) for j in range(q)] for i in range(n)])
    mu = np.array([sum(Z[:, j]) / n for j in range(q)])
    var = np.array([sum((Z[i, j] - mu[j]) ** 2 for i in range(n)) / n for j in range(q)])
    expected = [
        (product(x, w), XW),
        (shift(z, b), Z + B),
        (affine(x, w, b), XW + B),
        (scale(gamma, z), G * Z),
        (hadamard(z, z), Z * Z),
        (mean(z), mu),
        (variance(z), var),
        (center(z), Z - mu),
        (power(z**2, 2.0), (Z * Z) * (Z * Z)),
        (expand(x, w, r), np.array([(X[i] * R[m]) @ W for i, m in by_member]).reshape(n, k, q)),
        (
            heads(xs, ws, bs),
            np.array([XS[i, m] @ WS[m] + BS[m] for i, m in by_member]).reshape(n, k, q),
        ),
        (average(xs), XS.sum(axis=1) / k),
    ]
    for (value, _), truth in expected:
        np.testing.assert_allclose(value, truth.astype(float), rtol=1e-12, atol=1e-13)
    normal = normalize(z, 1e-3)[0]
    Var = var.astype(float)
    np.testing.assert_allclose(normal.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose((normal**2).mean(axis=0), Var / (Var + 1e-3), atol=1e-12)
    np.testing.assert_allclose(
        normal * np.sqrt(Var + 1e-3), (Z - mu).astype(float), rtol=1e-11, atol=1e-13
    )


def test_the_inverse_root_is_the_default_power() -> None:
    np.testing.assert_array_equal(power(np.array([[4.0, 0.25]]))[0], [[0.5, 2.0]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: product(np.ones((2, 3)), np.ones((2, 4))), r"w must have shape \(3, 4\); got"),
        (lambda: shift(np.ones((2, 3)), np.ones(2)), r"b must have shape \(3,\); got \(2,\)"),
        (lambda: affine(np.ones((2, 3)), np.ones((4, 5)), np.ones(5)), r"w must .*\(3, 5\); got"),
        (lambda: scale(np.ones(2), np.ones((2, 3))), r"gamma must have shape \(3,\)"),
        (lambda: hadamard(np.ones((2, 3)), np.ones((3, 2))), r"y must have shape \(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call: Any, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        call()


def test_a_cotangent_of_the_wrong_shape_is_named() -> None:
    _, pullback = affine(np.ones((2, 3)), np.ones((3, 4)), np.ones(4))
    with pytest.raises(ShapeError, match=r"dz must have shape \(2, 4\); got \(2, 3\)"):
        pullback(np.ones((2, 3)))
