"""Random networks of every kind: backpropagation against central differences (B4).

Depth 0 to 6, mixed activations, batch norm before and after them, dropout of layers and inputs
with the masks of a step held fixed, L1 and L2 on the mean loss and per batch, sample weights, and
every loss with every output that fits it. Coordinates whose difference quotient crosses a kink
are left out, and counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltarule import Dense, Dropout, Network, State, check_gradients
from deltarule.spec import LOSSES, loss_name
from support.networks import FACTORS, SEEDS, random_data, random_state
from support.strategies import whole_networks


def verdict(net: Network, seed: int, n: int, weighted: bool, flat: bool) -> Any:
    """Return the check at random parameters and rows, with masks of a seed and a step.

    ``flat`` puts biases, β and a fifth of the weights at zero: onto kinks of rectifiers where a
    unit's inputs are dropped, and onto those of L1.
    """
    data = random_data(net, n, seed)
    state = random_state(net, seed)
    if flat:
        rng = np.random.default_rng(seed + 1)
        for name, view in net.parameters(state).items():
            if name.startswith("W"):
                view[...] *= rng.random(view.shape) < 0.8
            elif name.rstrip("0123456789") not in FACTORS:
                view[...] = 0.0
    state = State(state.theta, seed=seed, step=seed % 7)
    weight = data.weight if weighted else None
    return check_gradients(net, state, data.x, data.y, sample_weight=weight, tolerance=1e-6)


@pytest.mark.parametrize(
    "count", [pytest.param(15, id="short"), pytest.param(300, id="full", marks=pytest.mark.long)]
)
def test_random_networks_have_right_gradients(count: int) -> None:
    errors: list[float] = []
    kinks, told, compared = 0, 0, 0
    depths: Counter[int] = Counter()
    losses: set[str] = set()

    @settings(max_examples=count)
    @given(
        net=whole_networks(),
        seed=SEEDS,
        n=st.integers(3, 8),
        weighted=st.booleans(),
        flat=st.booleans(),
    )
    def holds(net: Network, seed: int, n: int, weighted: bool, flat: bool) -> None:
        nonlocal kinks, told, compared
        check = verdict(net, seed, n, weighted, flat)
        depths[len(net.dense_layers) - 1] += 1
        losses.add(loss_name(net.loss))
        assert check.verdict != "wrong", f"{net}\n{check}"
        assert check.n_checked + check.n_kinks == net.tape.n_parameters
        kinks, compared = kinks + check.n_kinks, compared + check.n_checked
        if check.verdict == "right":
            assert check.error <= 1e-6
            errors.append(check.error)
        else:
            told += 1

    holds()
    print(
        f"{len(errors) + told} networks: largest error {max(errors):.2g}, median "
        f"{np.median(errors):.2g}; {compared} coordinates compared, {kinks} at kinks; for {told} "
        "networks the gradient was below the rounding of the quotients"
    )
    assert len(errors) >= 0.8 * (len(errors) + told)
    assert compared > 10 * kinks
    print(f"hidden layers: {dict(sorted(depths.items()))}; losses: {len(losses)}")
    if count >= 300:
        assert kinks > 0
        assert set(depths) == set(range(7))
        assert losses == set(LOSSES)


def test_the_masks_are_those_of_the_state() -> None:
    """Another step or seed has other masks and another gradient; all are right."""
    net = Network(4, [Dropout(0.3), Dense(5, "tanh"), Dropout(0.5), Dense(2)])
    data, state = random_data(net, 6, 0), random_state(net, 0)
    found = set()
    for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = State(state.theta, seed=seed, step=step)
        check = check_gradients(net, at, data.x, data.y)
        assert (check.verdict, check.n_kinks) == ("right", 0)
        assert check.error <= 1e-7
        found.add(check.worst_analytic)
    assert len(found) == 4
