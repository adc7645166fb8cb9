"""Max-norm per unit in the engine, with blocks of 64 columns and a shorter last block (item R5)."""

from __future__ import annotations

import numpy as np
import pytest

from deltarule import SGD, Dense, MaxNorm, Network, train

LIMIT = 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 63, 64, 65, 130])
def test_every_column_ends_at_its_norm_or_at_the_limit(width: int, dtype: str) -> None:
    net = Network(
        7, [Dense(width, "tanh"), Dense(2)], constraints=[MaxNorm(LIMIT)], dtype=dtype
    )  # fmt: skip
    state = net.initialize(0)
    rng = np.random.default_rng(width)
    sizes = rng.choice([0.0, 0.1, 1.0, 1e30], width)  # squared, the last overflows float32
    sizes[-1] = 1.0
    weights = net.parameters(state)["W1"]
    directions = rng.normal(size=weights.shape)
    weights[:] = directions / np.linalg.norm(directions, axis=0) * sizes
    given = weights.astype(np.float64)
    X = np.zeros((4, 7), dtype)  # the gradient of the first layer's weights is 0
    train(net, state, X, np.zeros((4, 2), dtype), optimizer=SGD(0.1), batch_size=4, epochs=1)
    norms = np.linalg.norm(given, axis=0)
    expected = given * np.minimum(1.0, LIMIT / np.maximum(norms, 1e-300))
    found = net.parameters(state)["W1"]
    np.testing.assert_allclose(found, expected, rtol=3e-7 if dtype == "float32" else 1e-15)
    short = norms <= LIMIT
    np.testing.assert_array_equal(found[:, short], given[:, short].astype(dtype))  # to the bit
