"""Compiled activations and losses, compared with the reference's maps on tiles of every shape."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

numba = pytest.importorskip("numba")

from deltarule.engine.compiler import kernel_address  # noqa: E402
from deltarule.engine.kernels import KERNELS, activations, losses  # noqa: E402
from deltarule.program.opcodes import ActivationCode, LossCode  # noqa: E402
from deltarule.reference.activations import ELEMENTWISE, activate  # noqa: E402
from deltarule.reference.losses import LOSSES  # noqa: E402
from support.networks import SEEDS, proves  # noqa: E402

CODES = pytest.mark.parametrize("code", list(ActivationCode), ids=lambda code: code.name.lower())
LOSS_CODES = pytest.mark.parametrize("code", list(LossCode), ids=lambda code: code.name.lower())
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
ROOM = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-13}
UNTOUCHED = 77.0
JIT = not numba.config.DISABLE_JIT
KERNEL_NAMES = {kernel: name for name, kernel in KERNELS.items()}


def run(kernel: Callable[..., None], *given: Any) -> None:
    """Call a kernel with addresses of arrays and numbers; the first array determines the type.

    Its machine code is the engine's own, from the cache of kernels.
    """
    taken = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in given]
    dtype = given[0].dtype
    if not JIT:
        with np.errstate(all="ignore"):
            kernel(*taken, dtype.type(1))
        return
    address = kernel_address(KERNEL_NAMES[kernel], dtype.name)
    numbers = [ctypes.c_double(v) if isinstance(v, float) else ctypes.c_int64(v) for v in taken]
    one = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype.name](1)
    nothing, error = ctypes.c_void_p(), ctypes.c_void_p()  # nobody reads what it writes there
    function = ctypes.CFUNCTYPE(ctypes.c_int32)(address)
    assert function(ctypes.byref(nothing), ctypes.byref(error), *numbers, one) <= 0


def assert_alike(got: Any, expected: Any, room: float | None = None, size: float = 0.0) -> None:
    """Assert equality up to a fraction of the largest entry, or of ``size`` if that is larger.

    Infinities and NaN must be the same.
    """
    assert got.dtype == expected.dtype
    finite = expected[np.isfinite(expected)]
    largest = float(np.abs(finite).max(initial=max(size, float(np.finfo(got.dtype).tiny))))
    room = (ROOM[got.dtype] if room is None else room) * largest
    np.testing.assert_allclose(got, expected, rtol=0, atol=room)


FROM_OUTPUTS = {  # derivatives with a small absolute error, not a small relative one
    ActivationCode.SIGMOID,
    ActivationCode.TANH,
    ActivationCode.SELU,
    ActivationCode.ELU,
    ActivationCode.SOFTMAX,
}


# --- activations ----------------------------------------------------------------------------------


def block(values: Any, stride: int) -> Any:
    """Return rows that lie ``stride`` apart, with marked numbers between them."""
    wide = np.full((values.shape[0], stride), UNTOUCHED, values.dtype)
    wide[:, : values.shape[1]] = values
    return wide


def forward(code: int, z: Any, gap: int, constant: float) -> Any:
    rows, columns = z.shape
    source = block(z, columns + gap)
    target = np.full_like(source, UNTOUCHED)
    run(activations.FORWARD[code], source, target, rows, columns, columns + gap, constant)
    assert (target[:, columns:] == UNTOUCHED).all()
    np.testing.assert_array_equal(source, block(z, columns + gap))
    return target[:, :columns]


def backward(code: int, z: Any, da: Any, gap: int, constant: float, in_place: bool) -> Any:
    rows, columns = z.shape
    stride = columns + gap
    source, output = block(z, stride), block(forward(code, z, 0, constant), stride)
    given = block(da, stride)
    target = given if in_place else np.full_like(given, UNTOUCHED)
    run(activations.BACKWARD[code], source, output, given, target, rows, columns, stride, constant)
    assert (target[:, columns:] == UNTOUCHED).all()
    if not in_place:
        np.testing.assert_array_equal(given, block(da, stride))
    return target[:, :columns]


@CODES
@DTYPES
@proves(
    short=8,
    full=300,
    seed=SEEDS,
    rows=st.integers(1, 9),
    columns=st.integers(1, 40),
    gap=st.integers(0, 5),
    in_place=st.booleans(),
)
def test_activations_equal_those_of_the_reference(
    code: ActivationCode, dtype: Any, seed: int, rows: int, columns: int, gap: int, in_place: bool
) -> None:
    rng = np.random.default_rng(seed)
    constant = {ActivationCode.LEAKY_RELU: 0.01, ActivationCode.ELU: 0.75}.get(code, 0.0)
    gap = 0 if code == ActivationCode.SOFTMAX else gap
    z = rng.normal(scale=rng.choice([0.1, 2.0]), size=(rows, columns)).astype(dtype)
    z[rng.random(z.shape) < 0.1] = 0.0
    da = rng.normal(size=z.shape).astype(dtype)
    value, pullback = activate(ELEMENTWISE.get(code), z, constant)
    assert_alike(forward(code, z, gap, constant), value)
    size = float(np.abs(da).max()) if code in FROM_OUTPUTS else 0.0
    assert_alike(backward(code, z, da, gap, constant, in_place), pullback(da), size=size)


def extremes(dtype: Any) -> Any:
    largest = float(np.finfo(dtype).max)
    points = [0.0, 1e-30, 1.0, 3.0, 6.0, 20.0, 88.0, 90.0, 700.0, 710.0, 1e3, 1e30, largest / 2]
    if dtype is np.float64:
        points.append(1e300)
    return np.array([*points, *(-p for p in points)], dtype)


@CODES
@DTYPES
def test_activations_at_the_ends_of_the_range(code: ActivationCode, dtype: Any) -> None:
    z = extremes(dtype)
    z = np.stack([z, z[::-1]]) if code == ActivationCode.SOFTMAX else z[:, None]
    da = np.ones_like(z)
    constant = 0.5
    with np.errstate(all="ignore"):
        value, pullback = activate(ELEMENTWISE.get(code), z, constant)
        dz = pullback(da)
    got, slope = forward(code, z, 0, constant), backward(code, z, da, 0, constant, in_place=False)
    room = 20 * np.finfo(dtype).eps
    # Relative errors entry by entry: a large entry must not hide the error of a small one.
    # GELU's reference rounds z/√2, which e^{−z²/2} magnifies by z².
    rtol = 20 * room if code == ActivationCode.GELU else room
    np.testing.assert_allclose(got, value, rtol=rtol, atol=float(np.finfo(dtype).tiny))
    np.testing.assert_allclose(slope, dz, rtol=room, atol=room)
    if code == ActivationCode.SOFTMAX:
        np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=room)


@CODES
@DTYPES
def test_nan_and_infinity_give_the_same_as_in_the_reference(
    code: ActivationCode, dtype: Any
) -> None:
    z = np.array([[np.nan, 1.0], [np.inf, 0.0], [-np.inf, 0.5], [0.0, -1.0]], dtype)
    with np.errstate(all="ignore"):
        value, _ = activate(ELEMENTWISE.get(code), z, 0.25)
    assert_alike(forward(code, z, 0, 0.25), value)
    da = np.array([[1.0, np.nan], [1.0, np.inf]], dtype)
    quiet = np.array([[0.5, -0.5], [0.25, 1.0]], dtype)
    with np.errstate(all="ignore"):
        expected = activate(ELEMENTWISE.get(code), quiet, 0.25)[1](da)
    assert_alike(backward(code, quiet, da, 0, 0.25, in_place=True), expected)


@CODES
@DTYPES
def test_nan_stays_nan(code: ActivationCode, dtype: Any) -> None:
    z = np.array([[np.nan], [0.5]], dtype)
    assert np.isnan(forward(code, z, 0, 0.25)).tolist() == [[True], [False]]
    if code == ActivationCode.RELU:
        for in_place in (False, True):
            dz = backward(code, z, np.ones_like(z), 0, 0.25, in_place)
            assert np.isnan(dz).tolist() == [[True], [False]]


@DTYPES
def test_slopes_at_kinks(dtype: Any) -> None:
    """The left derivative (errata E-a, A5), and 0 at the ends of clipped ranges."""
    for code, at, slope in (
        (ActivationCode.RELU, 0.0, 0.0),
        (ActivationCode.RELU, -0.0, 0.0),
        (ActivationCode.LEAKY_RELU, 0.0, 0.3),
        (ActivationCode.ELU, 0.0, 0.3),
        (ActivationCode.HARD_SIGMOID, 3.0, 0.0),
        (ActivationCode.HARD_SIGMOID, -3.0, 0.0),
        (ActivationCode.HARD_TANH, 1.0, 0.0),
        (ActivationCode.HARD_TANH, -1.0, 0.0),
    ):
        z = np.array([[at]], dtype)
        assert backward(code, z, np.ones_like(z), 0, 0.3, in_place=False)[0, 0] == dtype(slope)


def test_every_activation_and_loss_has_kernels() -> None:
    assert set(activations.FORWARD) == set(activations.BACKWARD) == set(ActivationCode)
    assert set(losses.LOSSES) == set(LossCode)
    kernels = [*activations.FORWARD.values(), *activations.BACKWARD.values()]
    kernels += losses.LOSSES.values()
    assert len({kernel.__name__ for kernel in kernels}) == len(kernels)


# --- losses ---------------------------------------------------------------------------------------


def random_rows(code: LossCode, rng: Any, shape: tuple[int, int], dtype: Any) -> tuple[Any, Any]:
    """Return outputs or logits, and targets, some of which equal the outputs."""
    given, name = rng.normal(scale=rng.choice([0.3, 3.0]), size=shape), code.name
    if name.endswith("POISSON"):
        y = rng.poisson(1.5, shape).astype(float)
        given = np.exp(given) if name == "POISSON" else given
        near = (rng.random(shape) < 0.3) & (y > 0)
        rate = y * (1 + 1e-3 * given)
        given = np.where(near, rate if name == "POISSON" else np.log(np.maximum(rate, 1)), given)
    elif "CROSS_ENTROPY" in name:
        y = rng.dirichlet(np.ones(shape[1]), shape[0])
        if rng.random() < 0.5:
            y = (y == y.max(axis=1, keepdims=True)).astype(float)
    else:
        y = np.where(rng.random(shape) < 0.2, given, rng.normal(size=shape))
    return given.astype(dtype), y.astype(dtype)


def loss_of(code: int, given: Any, y: Any, share: Any, c: tuple[float, ...]) -> tuple[Any, Any]:
    """Return the rows' losses and gradients; check that losses without gradients are the same."""
    rows, columns = given.shape
    constants = np.array([*c, UNTOUCHED])
    outcomes = []
    for address in (True, False):
        values = np.full(rows, UNTOUCHED, given.dtype)
        delta = np.full_like(given, UNTOUCHED)
        run(
            losses.LOSSES[code], given, y, share, values, delta if address else 0, rows, columns,
            constants if c else 0, len(c),
        )  # fmt: skip
        outcomes.append((values, delta))
    (values, delta), (alone, untouched) = outcomes
    assert (untouched == UNTOUCHED).all()
    assert_alike(alone, values)
    return values, delta


@LOSS_CODES
@DTYPES
@proves(short=8, full=400, seed=SEEDS, rows=st.integers(1, 40), columns=st.integers(1, 20))
def test_losses_equal_those_of_the_reference(
    code: LossCode, dtype: Any, seed: int, rows: int, columns: int
) -> None:
    rng = np.random.default_rng(seed)
    columns += code == LossCode.SOFTMAX_BINARY_CROSS_ENTROPY  # it needs two
    given, y = random_rows(code, rng, (rows, columns), dtype)
    share = rng.uniform(0, 2, rows).astype(dtype)
    c = {
        LossCode.HUBER: (0.7,),
        LossCode.QUANTILE: tuple(rng.uniform(0.05, 0.95, rng.choice([1, columns]))),
    }.get(code, ())
    with np.errstate(all="ignore"):
        expected, pullback = LOSSES[code].value(given, y, c)
    values, delta = loss_of(code, given, y, share, c)
    # z − ℓ and z − log y magnify the rounding errors of their terms.
    room = ROOM[np.dtype(dtype)]
    room *= 10 if code == LossCode.SOFTMAX_BINARY_CROSS_ENTROPY else 1
    size = float(y.max()) / 100 if code == LossCode.EXP_POISSON else 0.0
    assert_alike(values, expected, room, size)
    assert_alike(delta, pullback(share), room, size)


@LOSS_CODES
@DTYPES
@pytest.mark.parametrize("size", [1e3, 1e30, 1e300])
def test_losses_at_extreme_outputs(code: LossCode, dtype: Any, size: float) -> None:
    size = min(size, float(np.finfo(dtype).max) / 4)
    signs = np.array([[1, -1, 0], [-1, 1, 0], [1, 1, -1], [-1, -1, -1], [0, 0, 1]])
    given = (size * signs).astype(dtype)
    if code == LossCode.POISSON:
        given = np.where(signs > 0, size, np.where(signs < 0, 1 / size, 1)).astype(dtype)
    y = np.eye(3, dtype=dtype)[[0, 0, 1, 1, 2]]
    c = {LossCode.HUBER: (0.7,), LossCode.QUANTILE: (0.3,)}.get(code, ())
    with np.errstate(all="ignore"):
        expected, pullback = LOSSES[code].value(given, y, c)
        slopes = pullback(np.ones(5, dtype))
    values, delta = loss_of(code, given, y, np.ones(5, dtype), c)
    room = 20 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(values, expected, rtol=room, atol=0)
    np.testing.assert_allclose(delta, slopes, rtol=room, atol=room)
    if "CROSS_ENTROPY" in code.name:
        assert not np.isnan(values).any()


@DTYPES
def test_losses_keep_the_digits_of_confident_answers(dtype: Any) -> None:
    """σ(40) rounds to 1, and S = (1, e^{−40}): loss and gradient are still e^{−40}."""
    tail, share = np.exp(-40.0), np.ones(1, dtype)
    room = 20 * np.finfo(dtype).eps
    values, delta = loss_of(
        LossCode.SIGMOID_CROSS_ENTROPY, *np.array([[[40.0]], [[1.0]]], dtype), share, ()
    )
    np.testing.assert_allclose([values[0], -delta[0, 0]], tail, rtol=room)
    for code in (LossCode.SOFTMAX_CROSS_ENTROPY, LossCode.SOFTMAX_BINARY_CROSS_ENTROPY):
        z, y = np.array([[[40.0, 0.0, -50.0]], [[1.0, 0.0, 0.0]]], dtype)
        values, delta = loss_of(code, z, y, share, ())
        with np.errstate(all="ignore"):
            expected = LOSSES[code].value(z, y, ())[0]
        np.testing.assert_allclose(values, expected, rtol=room)
        assert delta[0, 1] > 0


@LOSS_CODES
@DTYPES
def test_nan_changes_only_the_loss_of_its_row(code: LossCode, dtype: Any) -> None:
    given = np.array([[0.5, 1.0, 2.0], [0.5, np.nan, 1.0], [0.25, 0.5, 1.0]], dtype)
    y = np.eye(3, dtype=dtype)
    c = {LossCode.HUBER: (0.7,), LossCode.QUANTILE: (0.3,)}.get(code, ())
    values, delta = loss_of(code, given, y, np.ones(3, dtype), c)
    assert np.isnan(values).tolist() == [False, True, False]
    assert np.isfinite(delta[[0, 2]]).all()


# --- without the compiler -------------------------------------------------------------------------


@pytest.mark.skipif(not JIT, reason="this is the run without the compiler")
def test_kernels_run_without_the_compiler() -> None:
    files = ("test_engine_elementwise.py", "test_math_functions.py")
    paths = [os.path.join(os.path.dirname(__file__), file) for file in files]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not long",
         "-k", "float64 or any_number", *paths],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-2000:]
