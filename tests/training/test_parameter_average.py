"""The average of θ over epochs, against pandas, and near a noisy minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from deltarule import Dense, Network, State, train
from deltarule.errors import SpecError
from deltarule.training import ParameterAverage

NET = Network(3, [Dense(4, "tanh"), Dense(1)])


def rows(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, np.sin(x[:, 0]) + rng.normal(size=n)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_it_is_the_average_of_pandas(beta: float) -> None:
    x, y = rows()
    average, state, ends = ParameterAverage(beta), NET.initialize(1), []

    def begin(entered: State) -> None:
        average(entered)
        ends.append(entered.theta.copy())

    train(NET, state, x, y, epochs=7, batch_size=20, stopping=None, on_epoch_begin=begin)
    series = pd.DataFrame([*ends[1:], state.theta])  # without the untrained state
    expected = series.ewm(alpha=1 - beta, adjust=True).mean().iloc[-1]
    found = average.state(state)
    np.testing.assert_allclose(found.theta, expected, rtol=1e-12)
    assert found.optimizer_state is None
    again = average.state(state)  # asking changes nothing
    np.testing.assert_array_equal(again.theta, found.theta)


def test_it_is_nearer_to_a_minimum_than_noisy_steps() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2))
    y = x @ [1.0, -2.0] + 3 * rng.normal(size=200)
    exact = np.linalg.lstsq(np.column_stack([x, np.ones(200)]), y, rcond=None)[0]
    net, average = Network(2, [Dense(1)]), ParameterAverage(0.95)
    state = net.initialize(0)
    train(
        net, state, x, y, optimizer="sgd", epochs=200, batch_size=4, stopping=None,
        on_epoch_begin=average,
    )  # fmt: skip
    near, last = (
        np.linalg.norm(theta - exact) for theta in (average.state(state).theta, state.theta)
    )
    assert near < 0.7 * last


def test_wrong_arguments_are_named() -> None:
    for beta in (1.0, -0.1, "a"):
        with pytest.raises(SpecError, match="beta"):
            ParameterAverage(beta)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="state must be the State"):
        ParameterAverage()(np.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="last must be the State"):
        ParameterAverage().state(None)  # type: ignore[arg-type]
