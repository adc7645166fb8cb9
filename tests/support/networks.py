"""What several tests share: networks, parameters and data to run on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltarule import Dense, Network, hessian_vector_product, spec
from deltarule.program import BatchSchedule, Block, State, StepLog
from deltarule.reference import Reference
from deltarule.spec import LOSSES, loss_name
from deltarule.training.batches import batch_bounds

LIBRARIES = [pytest.param(np, id="numpy"), pytest.param(array_api_strict, id="strict")]
"""The array libraries that the reference mathematics is tested on."""

ACTIVATIONS = tuple(spec.ACTIVATIONS)

HEADS = [
    (loss, output)
    for loss, domain in LOSSES.items()
    for output, values in spec.ACTIVATIONS.items()
    if values in domain
]
"""Every loss with every output activation that it allows."""

FACTORS = ("gamma", "scale", "r", "s", "alpha")
"""Names of parameters that multiply, and are 1 at first."""

SEEDS = st.integers(0, 2**32 - 1)


def proves(*, short: int, full: int, **strategies: st.SearchStrategy[Any]) -> Callable[..., Any]:
    """Make a function a property test: ``short`` examples, and ``full`` under the mark ``long``."""

    def decorate(claim: Callable[..., None]) -> Callable[..., None]:
        def test(count: int, **fixed: Any) -> None:
            def holds(**drawn: Any) -> None:
                claim(**fixed, **drawn)

            holds.__name__ = holds.__qualname__ = claim.__name__
            settings(max_examples=count)(given(**strategies)(holds))()

        names = [name for name in inspect.signature(claim).parameters if name not in strategies]
        kind = inspect.Parameter.KEYWORD_ONLY
        test.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind) for name in ["count", *names]]
        )
        test.__name__, test.__qualname__ = claim.__name__, claim.__qualname__
        test.__module__, test.__doc__ = claim.__module__, claim.__doc__
        counts = [
            pytest.param(short, id="short"),
            pytest.param(full, id="full", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
        ]
        return pytest.mark.parametrize("count", counts)(test)

    return decorate


@dataclass(frozen=True)
class Data:
    """Rows that a network's loss accepts."""

    x: Any
    y: Any
    weight: Any

    @property
    def block(self) -> Block:
        return Block(self.x, self.y, self.weight)


def random_data(net: Network, n: int, seed: int) -> Data:
    """Return inputs, targets in the loss's domain and uneven positive weights."""
    rng = np.random.default_rng(seed)
    k = net.n_targets
    targets = {
        "binary_cross_entropy": lambda: rng.integers(0, 2, (n, k)).astype(float),
        "categorical_cross_entropy": lambda: (
            rng.multinomial(64, np.ones(k) / k, n) / 64
        ),  # sums to 1
        "poisson": lambda: rng.poisson(1.5, (n, k)).astype(float),
    }.get(loss_name(net.loss), lambda: rng.normal(size=(n, k)))()
    x, weight = rng.normal(size=(n, net.n_inputs)), rng.uniform(0.2, 3.0, n)
    return Data(*(array.astype(net.dtype) for array in (x, targets, weight)))


def random_state(net: Network, seed: int) -> State:
    """Return a state with random weights, factors about 1 and, unlike a fresh one, biases."""
    rng = np.random.default_rng(seed)
    # Small weights keep exp(W exp(W exp(x))) among the numbers.
    small = any(layer.activation == "exp" for layer in net.dense_layers[:-1])
    state = State(np.empty(net.tape.n_parameters, net.dtype), seed=seed)
    for name, view in net.parameters(state).items():
        if name.startswith("W"):
            view[...] = rng.normal(
                0.0, (0.3 if small else 1.0) / np.sqrt(view.shape[-2]), view.shape
            )
        else:
            is_factor = name.rstrip("0123456789") in FACTORS
            view[...] = rng.normal(1.0 if is_factor else 0.0, 0.5, view.shape)
    return state


def least_outputs(loss: str, output: str) -> int:
    """Return how many units an output layer needs: a cross-entropy of softmax needs two."""
    return 2 if output == "softmax" and loss.endswith("cross_entropy") else 1


@st.composite
def networks(
    draw: st.DrawFn,
    hidden: tuple[str, ...] = ACTIVATIONS,
    heads: list[tuple[str, str]] = HEADS,
    **given: Any,
) -> Network:
    """Draw a small network of any architecture."""
    loss, output = draw(st.sampled_from(heads))
    layers = draw(
        st.lists(st.builds(Dense, st.integers(1, 5), st.sampled_from(hidden)), max_size=3)
    )
    layers.append(Dense(draw(st.integers(least_outputs(loss, output), 4)), output))
    return Network(draw(st.integers(1, 5)), layers, loss, **given)


def one_order(rows: Any, batch_size: int, rate: float) -> BatchSchedule:
    """Return an epoch over the rows at one learning rate."""
    bounds = batch_bounds(len(rows), batch_size)
    return BatchSchedule(np.asarray(rows), bounds, np.full(len(bounds) - 1, rate))


def train_all_steps(
    interpreter: Reference,
    state: State,
    block: Block,
    order: BatchSchedule,
    most: int | None = None,
) -> StepLog:
    """Take every step of an order, at most ``most`` a call, however often control comes back."""
    pieces, done = [], 0
    while done < order.n_batches and not (pieces and pieces[-1].diverged):
        end = order.n_batches if most is None else min(done + most, order.n_batches)
        pieces.append(interpreter.train_steps(state, block, order, range(done, end)))
        done += len(pieces[-1].loss)
    return StepLog.join(pieces)


def inner(a: Any, b: Any) -> float:
    """Return the Euclidean inner product of two arrays, or of two tuples of arrays."""
    if isinstance(a, tuple):
        return sum(inner(u, v) for u, v in zip(a, b, strict=True))
    return float(np.sum(np.asarray(a) * np.asarray(b)))


def magnitude(a: Any, b: Any) -> float:
    """Return the inner product of the absolute values: the size that rounding is relative to."""
    if isinstance(a, tuple):
        return sum(magnitude(u, v) for u, v in zip(a, b, strict=True))
    return float(np.sum(np.abs(np.asarray(a) * np.asarray(b))))


def with_statistics(net: Network, seed: int) -> Any:
    """Return a state that has seen data: random θ, random means and variances."""
    rng, state = np.random.default_rng(seed), random_state(net, seed)
    for i, norm in enumerate(net.tape.normalizations):
        state.buffers[f"{i}.mean"] = rng.normal(size=norm.width)
        state.buffers[f"{i}.variance"] = rng.uniform(0.1, 3.0, norm.width)
    return state


def assert_hessian_vector_product(net: Network, state: State, data: Data, seed: int) -> None:
    """Compare H v with central differences of the gradient, within what two steps differ by."""
    reference = Reference(net.tape)
    v = np.random.default_rng(seed).normal(size=state.theta.shape)

    def slope(t: float) -> Any:
        at = State(state.theta + t * v, seed=state.seed)
        return reference.cost(at, reference.gradient(at, Block(data.x, data.y)))[2]

    h = 1e-5
    fine = (slope(h) - slope(-h)) / (2 * h)
    wide = (slope(2 * h) - slope(-2 * h)) / (4 * h)
    found = hessian_vector_product(net, state, data.x, data.y, v)
    room = 1e-6 * (1 + np.abs(fine).max()) + 2 * np.abs(wide - fine).max()
    assert np.abs(found - fine).max() <= room
