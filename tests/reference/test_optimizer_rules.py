"""Optimisers: PyTorch's traces on Rosenbrock, identities, and invalid constants (O1-O5).

The traces were made by golden/make_optimizer_traces.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.optimize import rosen_der

from deltarule import Dense, Network
from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block
from deltarule.reference import Reference
from deltarule.reference.optimizers import rule_of
from deltarule.spec.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    EMAMomentum,
    LineSearch,
    Nadam,
    Optimizer,
    RMSprop,
    Rprop,
    resolve_optimizer,
)
from support.networks import LIBRARIES, SEEDS, proves
from support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "optimizer_traces.json").read_text(encoding="utf-8"))[
    "numbers"
]
OURS: dict[str, Optimizer] = {
    "sgd": SGD(1e-4),
    "sgd-heavy-ball": SGD(1e-4, 0.9),
    "sgd-nesterov": SGD(1e-4, 0.9, nesterov=True),
    "rmsprop": RMSprop(),
    "rmsprop-slow": RMSprop(0.003, 0.99, 1e-6),
    "adam": Adam(),
    "adam-fast": Adam(0.05, 0.8, 0.99, 1e-7),
    "adamw": AdamW(),
    "adamw-strong": AdamW(0.02, weight_decay=0.5),
    "nadam": Nadam(),
    "nadam-fast": Nadam(0.03, 0.8, 0.99, momentum_decay=0.1),
    "adagrad": Adagrad(),
    "adagrad-fast": Adagrad(0.2, 1e-6),
    "adadelta": Adadelta(),
    "adadelta-slow": Adadelta(0.5, 0.95, 1e-4),
    "rprop": Rprop(),
    "rprop-bounded": Rprop(0.1, 0.6, 1.3, 0.05, 0.2),
}
EVERY = [*OURS.values(), EMAMomentum()]
names = [repr(optimizer) for optimizer in EVERY]


def rule(optimizer: Optimizer, n: int) -> Any:
    """Return the rule; the first half of θ are weights."""
    return rule_of(optimizer, [slice(0, n // 2)])


def walk(optimizer: Optimizer, theta: Any, slope: Any, steps: int, eta: float | None = None) -> Any:
    """Return θ after every step, along the gradient that ``slope`` gives."""
    begin, step = rule(optimizer, theta.shape[0])
    memory, seen = begin(theta), []
    for _ in range(steps):
        rate = optimizer.learning_rate if eta is None else eta
        change, memory, _ = step(memory, slope(theta), rate, theta)
        theta = theta + change
        seen.append(theta)
    return seen


# --- against PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("record", GOLDEN, ids=lambda r: f"{r['optimizer']}-{r['function']}")
def test_twenty_steps_on_rosenbrock_are_pytorchs(record: dict[str, Any], xp: Any) -> None:
    def slope(theta: Any) -> Any:
        return xp.asarray(rosen_der(np.asarray(theta)))

    ours = walk(OURS[record["optimizer"]], xp.asarray(record["start"]), slope, 20)
    theirs = np.array(record["trace"])
    assert theirs.shape == (20, len(record["start"]))
    assert np.abs(np.array([np.asarray(theta) for theta in ours]) - theirs).max() <= 1e-12


def test_every_golden_trace_is_read_and_every_rule_has_one() -> None:
    assert {record["optimizer"] for record in GOLDEN} == set(OURS)
    kinds = {type(optimizer) for optimizer in OURS.values()} | {EMAMomentum}
    assert kinds == {*Optimizer.__args__}


# --- identities -----------------------------------------------------------------------------------


@proves(short=10, full=500, seed=SEEDS, mu=st.floats(0, 1), eta=st.floats(1e-3, 0.2))
def test_nesterov_looks_ahead(seed: int, mu: float, eta: float) -> None:
    """Our θ is Sutskever's θ + μv: his eqs 3-4, literally, pass through the same points."""
    rng = np.random.default_rng(seed)
    h, begin = rng.uniform(0.1, 1.0, 3), rng.normal(size=3)
    ours = walk(SGD(eta, mu, nesterov=True), begin, lambda theta: h * theta, 20)
    theta, v = begin, np.zeros(3)
    for point in ours:
        v = mu * v - eta * h * (theta + mu * v)
        theta = theta + v
        np.testing.assert_allclose(point, theta + mu * v, rtol=0, atol=1e-12)


def test_adam_of_a_steady_gradient_is_exact_from_the_first_step() -> None:
    """m̂ = g and v̂ = g² at every t: the correction undoes the start at zero (E-m)."""
    g = np.array([1e-6, -3.0, 250.0])
    exact = -0.01 * g / (np.abs(g) + 1e-8)
    path = walk(Adam(0.01), np.zeros(3), lambda _: g, 50)
    np.testing.assert_allclose(np.diff([np.zeros(3), *path], axis=0), [exact] * 50, rtol=1e-12)


def test_epsilon_stands_outside_the_root() -> None:
    """With g² far below ε the step is −ηg/ε, not −ηg/√ε (erratum E-n)."""
    g = np.array([1e-12])
    for optimizer in (Adam(1.0, epsilon=1e-4), RMSprop(1.0, epsilon=1e-4)):
        assert walk(optimizer, np.zeros(1), lambda _: g, 1)[0] == pytest.approx(-1e-8, rel=1e-6)


def test_adagrad_of_a_steady_gradient_falls_with_the_root_of_time() -> None:
    path = np.array([0, *(p[0] for p in walk(Adagrad(0.5), np.zeros(1), np.ones_like, 30))])
    np.testing.assert_allclose(np.diff(path), -0.5 / np.sqrt(np.arange(1, 31)), rtol=1e-9)


def test_adadelta_does_not_see_the_units_of_the_cost() -> None:
    """Zeiler 2012 §3.2: scaling the cost leaves the path, but for ε."""
    start = np.array([1.0, -2.0])
    paths = [
        walk(Adadelta(epsilon=1e-30), start, lambda theta, c=c: c * theta, 10) for c in (1, 1e6)
    ]
    np.testing.assert_allclose(*paths, rtol=1e-10)


# --- Rprop ----------------------------------------------------------------------------------------


def test_rprop_grows_rests_and_shrinks_by_the_signs_alone() -> None:
    begin, step = rule_of(Rprop(0.1, eta_minus=0.5, eta_plus=1.2, min_step=0.01, max_step=0.13))
    memory = begin(np.zeros(1))
    seen = []
    for g in (7.0, 1e-9, 2.0, -5.0, -1.0, -1.0, 0.0, -3.0):
        change, memory, size = step(memory, np.array([g]), 0.1, np.zeros(1))
        seen.append((float(change[0]), float(size[0])))
    expected = [
        (-0.1, 0.1),  # the first step
        (-0.12, 0.12),  # same sign: grow
        (-0.13, 0.13),  # no larger than largest
        (0.0, 0.065),  # the sign turned: shrink, and rest
        (0.065, 0.065),  # after a rest neither
        (0.078, 0.078),
        (0.0, 0.078),  # no slope, no step
        (0.078, 0.078),  # a zero says nothing about signs
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-14)


def test_rprop_does_not_look_at_later_rates_and_stops_shrinking() -> None:
    begin, step = rule_of(Rprop(0.1, min_step=0.02))
    memory = begin(np.zeros(1))
    for k in range(40):
        _, memory, size = step(memory, np.array([(-1.0) ** (k // 2)]), 0.1 if k == 0 else 9.0, None)
    assert size[0] == 0.02


def test_rprop_knows_signs_whose_product_would_underflow() -> None:
    path = walk(Rprop(0.1), np.zeros(1), lambda _: np.array([1e-200]), 2)
    assert path[1][0] == pytest.approx(-0.22)


# --- decoupled decay ------------------------------------------------------------------------------


def test_adamw_decays_the_weights_it_was_told_and_nothing_else() -> None:
    theta = np.array([2.0, -4.0, 3.0, 5.0])
    begin, step = rule_of(AdamW(weight_decay=0.5), [slice(0, 1), slice(3, 4)])
    change, _, _ = step(begin(theta), np.zeros(4), 0.1, theta)
    np.testing.assert_allclose(theta + change, [2.0 * 0.95, -4.0, 3.0, 5.0 * 0.95], rtol=1e-15)


def test_adamw_must_be_told_where_the_weights_lie() -> None:
    with pytest.raises(
        SpecError, match=r"decayed must hold the positions of the weights in θ.*None"
    ):
        rule_of(AdamW())


# --- the effective step ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.05),
        SGD(0.01, 0.8),
        SGD(0.01, 0.8, nesterov=True),
        EMAMomentum(0.05, 0.8),
        RMSprop(0.005),
        Adam(0.02),
        AdamW(0.02, weight_decay=0.0),
        Nadam(0.02, momentum_decay=0.1),  # μ_t settles: until then the sum of its factors is not 1
        Adagrad(0.3),
        Adadelta(),
    ],
    ids=repr,
)
def test_a_proximal_step_of_the_effective_size_ends_at_the_lasso(optimizer: Optimizer) -> None:
    """min Σ ½ h (θ − c)² + s|θ| has the minimum sgn(c) max(|c| − s/h, 0) (item R2)."""
    h, c, s = np.array([1.0, 2.0, 0.5, 1.0, 4.0]), np.array([2.0, -1.0, 0.6, -0.2, 0.05]), 0.4
    begin, step = rule(optimizer, 5)
    theta = np.array([1.0, 1.0, -1.0, 0.5, -0.3])
    memory = begin(theta)
    for _ in range(6000):
        change, memory, size = step(memory, h * (theta - c), optimizer.learning_rate, theta)
        moved = theta + change
        theta = np.sign(moved) * np.maximum(np.abs(moved) - s * size, 0)
    lasso = np.sign(c) * np.maximum(np.abs(c) - s / h, 0)
    np.testing.assert_allclose(theta, lasso, rtol=0, atol=1e-6)
    assert ((theta == 0) == (lasso == 0)).all()


def test_the_effective_step_is_what_a_lasting_gradient_moves() -> None:
    for optimizer in EVERY:
        if isinstance(optimizer, Rprop | AdamW | Adadelta):
            continue
        begin, step = rule(optimizer, 2)
        g = np.array([0.3, -2.0])
        memory = begin(g)
        for _ in range(4000):
            change, memory, size = step(memory, g, optimizer.learning_rate, np.zeros(2))
        np.testing.assert_allclose(change, -size * g, rtol=2e-3)


def test_momentum_one_never_settles() -> None:
    begin, step = rule_of(SGD(0.1, 1.0))
    assert step(begin(np.zeros(2)), np.ones(2), 0.1, np.zeros(2)).size.tolist() == [0.1, 0.1]


# --- what every rule keeps ------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", EVERY, ids=names)
def test_a_step_mutates_nothing_and_keeps_the_type(optimizer: Optimizer) -> None:
    theta = np.linspace(-1, 1, 6, dtype=np.float32)
    g = np.array([0.0, -0.0, 1.0, -1e-30, 1e30, 5.0], dtype=np.float32)
    begin, step = rule(optimizer, 6)
    memory = begin(theta)
    for array in (theta, g, *(s for s in memory if isinstance(s, np.ndarray))):
        array.flags.writeable = False
    with np.errstate(over="ignore"):
        first = step(memory, g, 0.01, theta)
        again = step(memory, g, 0.01, theta)
    assert first.change.dtype == first.size.dtype == np.float32
    assert all(s.dtype == np.float32 for s in first.state if isinstance(s, np.ndarray))
    assert type(first.state) is type(memory)
    for a, b in zip(first.state, again.state, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.change, again.change)
    assert (first.change[:2] == 0).all() or isinstance(optimizer, AdamW)
    assert np.isfinite(first.change).all()


@pytest.mark.parametrize("optimizer", EVERY, ids=names)
def test_every_optimiser_trains_a_network(optimizer: Optimizer) -> None:
    if isinstance(optimizer, SGD | Adagrad):
        optimizer = type(optimizer)(0.5)
    net = Network(2, [Dense(8, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    block = Block(x, np.array([[0.0], [1.0], [1.0], [0.0]]))
    state = net.initialize(0)
    reference = Reference(net.tape, optimizer)
    rates = np.full(400, optimizer.learning_rate)
    order = BatchSchedule(np.tile(np.arange(4), 400), np.arange(0, 1601, 4), rates)
    done, losses = 0, []
    while done < 400:
        steps = reference.train_steps(state, block, order, range(done, 400))
        losses += steps.loss.tolist()
        done += len(steps.loss)
    assert losses[-1] < 0.95 * losses[0]
    assert state.step == 400


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), r"learning_rate must be in \(0, inf\); got 0.0"),
        (lambda: SGD(momentum=1.5), r"momentum must be in \[0, 1\]; got 1.5"),
        (lambda: EMAMomentum(beta=1.0), r"beta must be in \[0, 1\); got 1.0"),
        (lambda: RMSprop(beta=-0.1), r"beta must be in \[0, 1\); got -0.1"),
        (lambda: RMSprop(epsilon=0), r"epsilon must be in \(0, inf\); got 0"),
        (lambda: Adam(float("nan")), r"learning_rate must be in \(0, inf\); got nan"),
        (lambda: Adam(beta2=1), r"beta2 must be in \[0, 1\); got 1"),
        (lambda: AdamW(beta1=2.0), r"beta1 must be in \[0, 1\); got 2.0"),
        (lambda: AdamW(weight_decay=-1.0), r"weight_decay must be in \[0, inf\); got -1.0"),
        (lambda: Nadam(momentum_decay=-1), r"momentum_decay must be in \[0, inf\); got -1"),
        (lambda: Adagrad("fast"), r"learning_rate must be a number in \(0, inf\); got 'fast'"),
        (lambda: Adadelta(rho=1.0), r"rho must be in \[0, 1\); got 1.0"),
        (lambda: Rprop(eta_minus=1.0), r"eta_minus must be in \(0, 1\); got 1.0"),
        (lambda: Rprop(eta_plus=1.0), r"eta_plus must be in \(1, inf\); got 1.0"),
        (
            lambda: Rprop(min_step=2.0, max_step=1.0),
            r"min_step must be below max_step; got 2.0 and 1.0",
        ),
        (lambda: Rprop(99.0), r"learning_rate must be in \[min_step, max_step\] = \[1e-06, 50\]"),
        (lambda: LineSearch(max_step=0), r"max_step must be in \(0, inf\); got 0"),
        (lambda: LineSearch(tol=-1), r"tol must be in \[0, inf\]; got -1"),
        (lambda: LBFGS(memory=0), r"memory must be an integer of at least 1; got 0"),
        (lambda: LBFGS(max_evaluations=1.5), r"max_evaluations must be an integer .* got 1.5"),
        (lambda: resolve_optimizer("adamm"), r"optimizer must be one of .*Did you mean 'adam'"),
        (lambda: resolve_optimizer(0.1), r"such as SGD\(0.1\), Adam\(\) or LBFGS\(\); got 0.1"),
        (lambda: rule_of(LineSearch()), r"take one step per mini-batch.*got LineSearch"),
    ],
)
def test_bad_constants_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize("optimizer", [*EVERY, LineSearch(), LBFGS()], ids=repr)
def test_descriptions_are_frozen_and_compare_by_value(optimizer: Any) -> None:
    assert optimizer == type(optimizer)(**vars(optimizer))
    assert hash(optimizer) == hash(type(optimizer)(**vars(optimizer)))
    with pytest.raises(AttributeError):
        optimizer.learning_rate = 1.0
