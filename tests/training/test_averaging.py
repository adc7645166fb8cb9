"""Shards that take steps by themselves: the rounds and the outer step, against NumPy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from deltarule import L2, SGD, Dense, MaxNorm, MLPRegressor, Network, Shards, State, train
from deltarule.errors import DataError, DivergenceError, SpecError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((48, 3)), RNG.standard_normal(48)
LENGTHS = (20, 10, 18)
EPOCHS, RATE, BATCH = 4, 0.05, 12


def by_hand(every: int | str, weight: Any, l2: float) -> Any:
    """Return θ of a linear regression by local steps, after DiLoCo's algorithm 1.

    Rows are not shuffled. Two shards: partition 0, and 1 and 2; four batches an epoch, which take
    rows ⌊n k/4⌋ to ⌊n (k + 1)/4⌋ of every partition, shifted by the golden ratio's multiples.
    """
    golden = (0, 0x9E3779B97F4A7C15, 0x9E3779B97F4A7C15 * 2 % 2**64)
    offsets = [value * 4 >> 64 for value in golden]
    starts = np.append(0, np.cumsum(LENGTHS))
    theta, velocity = np.zeros(4), np.zeros(4)
    n_batches = 4
    rounds = [(0, 4)] if every == "epoch" else list(pairwise([*range(0, 4, int(every)), 4]))
    for _ in range(EPOCHS):
        for begin, end in rounds:
            ended, seen = [], []
            for members in ((0,), (1, 2)):
                own, total = theta.copy(), 0.0
                for k in range(begin, end):
                    rows = np.concatenate(
                        [
                            starts[p]
                            + np.arange(
                                (LENGTHS[p] * k + offsets[p]) // n_batches,
                                (LENGTHS[p] * (k + 1) + offsets[p]) // n_batches,
                            )
                            for p in members
                        ]
                    )
                    w = weight[rows]
                    wrong = X[rows] @ own[:3] + own[3] - Y[rows]
                    gradient = np.append(X[rows].T @ (w * wrong), np.sum(w * wrong)) / w.sum()
                    gradient[:3] += l2 * own[:3]
                    own -= RATE * gradient
                    total += w.sum()
                ended.append(own)
                seen.append(total)
            move = theta - np.average(ended, axis=0, weights=seen)
            velocity = 0.9 * velocity + move
            theta = theta - 0.7 * (move + 0.9 * velocity)
    return theta


@pytest.mark.parametrize("every", ["epoch", 1, 3])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_rounds_are_those_of_diloco(every: Any, engine: str) -> None:
    weight = RNG.random(48) + 0.5
    net = Network(3, [Dense(1, "identity")], loss="squared_error", penalties=[L2(0.1)])
    state = State(np.zeros(4))
    shards = Shards(2, LENGTHS, every)
    history = train(
        net, state, X, Y, optimizer=SGD(RATE), batch_size=BATCH, epochs=EPOCHS, shuffle=False,
        sample_weight=weight, shards=shards, engine=engine,
    )  # fmt: skip
    views = dict(zip("Wb", (view for _, view in net.tape.views(state.theta)), strict=True))
    found = np.append(views["W"].ravel(), views["b"])
    np.testing.assert_allclose(found, by_hand(every, weight, 0.1), rtol=1e-12)
    assert history.n_epochs == EPOCHS
    assert state.step == 4 * EPOCHS


def test_one_call_has_the_bits_of_two() -> None:
    net = Network(3, [Dense(5, "tanh"), Dense(1, "identity")], loss="squared_error")
    shards = Shards(4, every=3)
    given: dict[str, Any] = {"optimizer": "adam", "batch_size": 8, "shards": shards}
    once, twice = net.initialize(0), net.initialize(0)
    train(net, once, X, Y, epochs=4, **given)
    history = train(net, twice, X, Y, epochs=2, planned_epochs=4, **given)
    train(net, twice, X, Y, epochs=2, resume=history, **given)
    np.testing.assert_array_equal(once.theta, twice.theta)


@pytest.mark.filterwarnings("ignore:.*converge.*")
def test_a_penalty_by_batch_has_the_strength_of_the_whole_batch() -> None:
    """With one shard and equal batches, the step before the outer one is a plain step."""
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (3,), "solver": "sgd", "momentum": 0.0, "alpha": 5.0,
        "batch_size": 12, "max_iter": 1, "random_state": 0, "shuffle": False,
    }  # fmt: skip
    plain = MLPRegressor(**arguments, shards=Shards(2)).fit(X[:12], Y[:12])
    local = MLPRegressor(**arguments, shards=Shards(2, every=1)).fit(X[:12], Y[:12])
    begin = MLPRegressor(**arguments | {"learning_rate_init": 1e-300}).fit(X[:12], Y[:12])
    moved = plain.state_.theta - begin.state_.theta
    found = local.state_.theta - begin.state_.theta
    np.testing.assert_allclose(found, 0.7 * 1.9 * moved, rtol=1e-9)


def test_a_loss_that_is_not_finite_ends_the_training_before_its_round() -> None:
    net = Network(3, [Dense(1, "identity")], loss="squared_error")
    state = net.initialize(0)
    begin = state.theta.copy()
    with pytest.raises(DivergenceError):
        train(net, state, 1e200 * X, Y, optimizer=SGD(1.0), epochs=2, shards=Shards(2, every=2))
    np.testing.assert_array_equal(state.theta, begin)


def test_what_local_steps_cannot_do_is_refused_by_name() -> None:
    net = Network(3, [Dense(1, "identity")], loss="squared_error")
    shards = Shards(2, every="epoch")
    for optimizer in ("lbfgs", "line_search", "rprop"):
        with pytest.raises(SpecError, match="needs the gradient over all rows"):
            train(net, net.initialize(0), X, Y, optimizer=optimizer, shards=shards)
    bound = Network(3, [Dense(1, "identity")], loss="squared_error", constraints=[MaxNorm(1.0)])
    with pytest.raises(SpecError, match="outer step would leave the bound"):
        train(bound, bound.initialize(0), X, Y, shards=shards)
    state = net.initialize(0)
    history = train(net, state, X, Y, optimizer="adam", epochs=1)
    with pytest.raises(DataError, match="must be AveragedState"):
        train(net, state, X, Y, optimizer="adam", epochs=1, resume=history, shards=shards)
    for wrong in (0, -1, 1.5, True, "step", np.array([1, 2]), np.array([])):
        with pytest.raises(SpecError, match="every of Shards"):
            Shards(2, every=wrong)  # type: ignore[arg-type]
