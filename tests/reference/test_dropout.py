"""R3: dropout masks, the map, its moments, and training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import sparse

from deltarule import Adam, BatchNorm, Dense, Dropout, Network, State, train
from deltarule.errors import SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.dropout import dropout, mask, philox
from support.networks import LIBRARIES, SEEDS, proves, random_data, random_state, train_all_steps
from support.regularization import order_of

Z = 5.0
"""Number of standard errors that are allowed; a correct sample exceeds it with p = 6e-7."""

# --- the generator --------------------------------------------------------------------------------

ONES = 0xFFFFFFFF
# The known answers that Random123 (Salmon et al. 2011) ships for philox4x32 with 10 rounds.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(counter: Any, key: Any, words: Any) -> None:
    found = philox(counter, key[0] + (key[1] << 32))
    assert found.dtype == np.uint32
    assert tuple(found.tolist()) == words


def test_philox_of_many_counters_is_philox_of_each() -> None:
    first, key = np.arange(5, dtype=np.uint32)[:, None] * 0x33333333, 0x0123456789ABCDEF
    third = np.array([0, 7, ONES])
    found = philox((first, 3, third, 1), key)
    assert found.shape == (5, 3, 4)
    for i in range(5):
        for j in range(3):
            alone = philox((int(first[i, 0]), 3, int(third[j]), 1), key)
            np.testing.assert_array_equal(found[i, j], alone)


# --- masks ----------------------------------------------------------------------------------------


@proves(
    short=20, full=2000, seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**32 - 1),
    number=st.integers(0, 50), n=st.integers(1, 9), cut=st.integers(0, 9), units=st.integers(1, 9),
    keep=st.floats(0.05, 1.0),
)  # fmt: skip
def test_a_mask_does_not_depend_on_how_the_batch_is_divided(
    seed: int, step: int, number: int, n: int, cut: int, units: int, keep: float
) -> None:
    given = {"seed": seed, "step": step, "number": number}
    whole = mask(keep, n, units, **given)
    assert whole.shape == (n, units)
    k = min(cut, n)
    pieces = [mask(keep, k, units, **given), mask(keep, n - k, units, **given, first=k)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    wider = mask(keep, n, units + 3, **given)  # nor on the number of units
    np.testing.assert_array_equal(wider[:, :units], whole)


def test_a_unit_is_kept_where_its_word_is_below_keep() -> None:
    """The layout is public: (unit // 4, row, step, dropout) under the seed; word unit % 4."""
    kept = mask(0.3, 6, 7, seed=99, step=5, number=2, first=10)
    for row in range(6):
        for unit in range(7):
            word = philox((unit // 4, 10 + row, 5, 2), 99)[unit % 4]
            assert kept[row, unit] == (int(word) / 2**32 < 0.3)


KEY = {"seed": 3, "step": 0, "number": 0}


def test_masks_differ_by_seed_step_and_dropout() -> None:
    """Each pair agrees on half of the units, as independent fair coins do (within 5 s.e.)."""
    keys = [KEY, KEY | {"seed": 4}, KEY | {"seed": 3 + 2**32}, KEY | {"step": 1}]
    keys += [KEY | {"number": 1}, KEY | {"first": 1000}]
    masks = [mask(0.5, 200, 100, **key) for key in keys]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert abs(np.mean(one == other) - 0.5) < Z * 0.5 / np.sqrt(one.size)


@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.8, 0.99])
def test_the_share_of_kept_units_is_keep(keep: float) -> None:
    """Within 5 s.e. √(p(1−p)/N), N = 200 000; and by row, by unit and by step with their N."""
    kept = np.stack([mask(keep, 100, 100, seed=7, step=t, number=1) for t in range(20)])
    deviation = np.sqrt(keep * (1 - keep))
    for axes in (None, (0, 1), (0, 2), (1, 2)):
        shares = np.atleast_1d(kept.mean(axis=axes))
        count = kept.size / shares.size
        # The normal approximation needs many expected drops; 0.01 has at least 20.
        assert np.abs(shares - keep).max() < (Z + 1) * deviation / np.sqrt(count) + 1 / count


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_units_rows_steps_and_layers_are_pairwise_independent(keep: float) -> None:
    """Correlations of neighbours, and of all units with each other: |r| < 5/√N (6 for 780)."""
    kept = np.stack(
        [[mask(keep, 40, 40, seed=11, step=t, number=m) for t in range(40)] for m in range(3)]
    ).astype(float)  # dropout, step, row, unit
    standard = (kept - keep) / np.sqrt(keep * (1 - keep))
    for axis in range(4):
        for lag in (1, 2, 4):
            if lag < kept.shape[axis]:
                a = np.take(standard, range(kept.shape[axis] - lag), axis)
                b = np.take(standard, range(lag, kept.shape[axis]), axis)
                assert abs(np.mean(a * b)) < Z / np.sqrt(a.size)
    draws = standard.reshape(-1, 40)
    correlations = draws.T @ draws / len(draws)
    off = correlations[~np.eye(40, dtype=bool)]
    assert np.abs(off).max() < (Z + 1) / np.sqrt(len(draws))


def test_keep_of_one_keeps_every_unit() -> None:
    """keep = 1 keeps every unit: the largest word is still below 2³²."""
    assert mask(1.0, 1000, 40, seed=0, step=0, number=0).all()


# --- the map --------------------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ayrapetyans_example(xp: Any, dtype: str) -> None:
    """§4.2: Z = [[16, 20], [15, 20]] are the sums of the kept units; with p = ½ they double."""
    z = xp.asarray([[16.0, 20.0], [15.0, 20.0]], dtype=getattr(xp, dtype))
    value, pull = dropout(z, xp.asarray([[True, True], [True, True]]), 0.5)
    assert np.asarray(value).tolist() == [[32.0, 40.0], [30.0, 40.0]]
    value, pull = dropout(z, xp.asarray([[True, False], [False, True]]), 0.5)
    assert np.asarray(value).tolist() == [[32.0, 0.0], [0.0, 40.0]]
    assert value.dtype == z.dtype
    back = pull(xp.ones_like(z))
    assert np.asarray(back).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert np.asarray(z).tolist() == [[16.0, 20.0], [15.0, 20.0]]


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_mean_and_variance_of_a_dropped_unit(keep: float) -> None:
    """E[h̃] = h and Var(h̃) = h²(1 − p)/p, each within 5 standard errors of N = 100 000 draws."""
    h = np.array([[1.0, -3.0, 0.25, 10.0]])
    n = 25_000
    kept = np.concatenate([mask(keep, n, 4, seed=5, step=t, number=0) for t in range(4)])
    drawn = dropout(np.repeat(h, len(kept), axis=0), kept, keep)[0]
    variance = h[0] ** 2 * (1 - keep) / keep
    error = np.abs(drawn.mean(axis=0) - h[0])
    assert (error < Z * np.sqrt(variance / len(drawn))).all()
    # Fourth central moment of a two-point distribution: Var(s²) = (μ₄ − σ⁴)/N.
    fourth = (h[0] / keep) ** 4 * keep * (1 - keep) * (keep**3 + (1 - keep) ** 3)
    spread = np.sqrt(np.maximum(fourth - variance**2, 1e-20) / len(drawn))
    found = drawn.var(axis=0)
    bound = Z * spread + 25 * variance / len(drawn)  # the mean is estimated too
    assert (np.abs(found - variance) < bound).all()


# --- in a network ---------------------------------------------------------------------------------


def deep(*keeps: float, norm: Any = None) -> Network:
    first, second, third = keeps
    return Network(
        4,
        [
            Dropout(keep=first), Dense(6, "tanh", batch_norm=norm),
            Dropout(keep=second), Dense(5, "silu"),
            Dropout(keep=third), Dense(3, "softmax"),
        ],
        "categorical_cross_entropy",
    )  # fmt: skip


def plain() -> Network:
    layers = [Dense(6, "tanh"), Dense(5, "silu"), Dense(3, "softmax")]
    return Network(4, layers, "categorical_cross_entropy")


def test_a_training_pass_is_the_hand_made_product_of_masks() -> None:
    net = deep(0.8, 0.5, 0.7)
    state, data = random_state(net, 1), random_data(net, 7, 1)
    state.step = 12
    reference = Reference(net.tape)
    trace = reference.trace(state, data.x, reference.training_pass(state, data.block))
    a, views = data.x, list(net.parameters(state).values())
    functions = [np.tanh, lambda z: z / (1 + np.exp(-z)), lambda z: z]
    for number, (keep, f) in enumerate(zip((0.8, 0.5, 0.7), functions, strict=True)):
        kept = mask(keep, 7, a.shape[1], seed=1, step=12, number=number)
        assert 0 < kept.mean() < 1
        a = f((a * kept / keep) @ views[2 * number] + views[2 * number + 1])
    np.testing.assert_allclose(trace.contents[net.tape.logits], a, rtol=1e-13)


def test_nothing_is_dropped_at_prediction() -> None:
    net, without = deep(0.5, 0.2, 0.7), plain()
    state, data = random_state(net, 2), random_data(net, 9, 2)
    for step in (0, 5):
        state.step = step
        np.testing.assert_array_equal(
            net.predict(state, data.x), without.predict(State(state.theta), data.x)
        )
    labels = np.argmax(data.y, axis=1)
    assert net.loss_of(state, data.x, labels) == without.loss_of(State(state.theta), data.x, labels)


def test_keep_of_one_is_the_network_without_dropout_to_the_bit() -> None:
    net, without = deep(1.0, 1.0, 1.0), plain()
    data = random_data(net, 20, 3)
    states = [n.initialize(4) for n in (net, without)]
    for n, state in zip((net, without), states, strict=True):
        train(n, state, data.x, data.y, optimizer=Adam(0.01), batch_size=6, epochs=3)
    assert states[0].theta.tobytes() == states[1].theta.tobytes()


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, float("nan"), True, "half"])
def test_a_keep_outside_its_interval_is_refused(keep: Any) -> None:
    with pytest.raises(SpecError, match=r"keep must be .*\(0, 1\]; got"):
        Dropout(keep=keep)


@proves(short=12, full=400, seed=SEEDS, n=st.integers(2, 12), cut=st.integers(1, 11))
def test_gradients_of_parts_add_up_under_dropout(seed: int, n: int, cut: int) -> None:
    net = deep(0.8, 0.5, 0.7)
    state, data = random_state(net, seed), random_data(net, n, seed)
    reference, k = Reference(net.tape), min(cut, n)
    whole = reference.gradient(state, data.block)
    one = reference.gradient(state, data.block, slice(0, k))
    two = reference.gradient(state, data.block, np.arange(k, n), first=k)
    size = np.abs(whole.gradient).max()
    np.testing.assert_allclose(
        one.gradient + two.gradient, whole.gradient, rtol=0, atol=1e-13 * size
    )
    assert one.loss + two.loss == pytest.approx(whole.loss, rel=1e-13)


def test_the_position_of_a_part_determines_its_masks() -> None:
    net = deep(0.8, 0.5, 0.7)
    state, data = random_state(net, 0), random_data(net, 8, 0)
    reference = Reference(net.tape)
    right = reference.gradient(state, data.block, slice(4, 8), first=4)
    wrong = reference.gradient(state, data.block, slice(4, 8))
    assert np.abs(right.gradient - wrong.gradient).max() > 1e-3


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_dropout_of_csr_inputs_equals_that_of_dense_inputs(kind: Any) -> None:
    net = Network(6, [Dropout(0.4), Dense(5, "relu"), Dropout(0.5), Dense(2)])
    data = random_data(net, 11, 5)
    x = np.where(np.random.default_rng(5).random((11, 6)) < 0.4, data.x, 0.0)
    state, reference = random_state(net, 5), Reference(net.tape)
    rows = kind(x)
    kept = rows.copy()
    dense = reference.gradient(state, Block(x, data.y, data.weight))
    found = reference.gradient(state, Block(rows, data.y, data.weight))
    assert found.loss == pytest.approx(dense.loss, rel=1e-13)
    np.testing.assert_allclose(found.gradient, dense.gradient, rtol=1e-12, atol=1e-13)
    assert (rows != kept).nnz == 0
    ends = []
    for given in (x, rows):
        end = net.initialize(0)
        train(net, end, given, data.y, batch_size=4, epochs=2)
        ends.append(end.theta)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-10, atol=1e-13)


def test_the_original_form_is_the_same_function_of_rescaled_weights() -> None:
    """Srivastava et al. 2014: no 1/p in training, W' = W/p; at prediction W' × p = W."""
    p = 0.6
    net = Network(3, [Dense(8, "tanh"), Dropout(keep=p), Dense(2)])
    state, data = random_state(net, 6), random_data(net, 10, 6)
    w1, b1, w2, b2 = net.parameters(state).values()
    original = w2 / p
    reference = Reference(net.tape)
    trace = reference.trace(state, data.x, reference.training_pass(state, data.block))
    kept = mask(p, 10, 8, seed=6, step=0, number=0)
    hidden = np.tanh(data.x @ w1 + b1)
    np.testing.assert_allclose(
        trace.contents[net.tape.output], (hidden * kept) @ original + b2, rtol=1e-13, atol=1e-14
    )
    predicted = net.predict(state, data.x)
    np.testing.assert_allclose(predicted, hidden @ (original * p) + b2, rtol=1e-13, atol=1e-14)
    # Its steps differ: ∂C/∂W = ∂C/∂W' / p, so a step in W' changes W by p² times as much.
    sums = reference.gradient(state, data.block)
    found = {q.name: view for q, view in net.tape.views(sums.gradient)}["W2"]
    residual = (hidden * kept) @ original + b2 - data.y
    by_hand = (hidden * kept).T @ (data.weight[:, None] * residual)
    np.testing.assert_allclose(found, by_hand / p, rtol=1e-12, atol=1e-13)


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize(
    "norm", [None, BatchNorm(), BatchNorm("post_activation", "running")], ids=repr
)
def test_k_steps_in_one_call_are_k_calls_of_one(norm: Any, most: int) -> None:
    net = deep(0.8, 0.5, 0.7, norm=norm)
    data = random_data(net, 23, 7)
    ends = []
    for pieces in (None, most):
        state, reference = net.initialize(7), Reference(net.tape, Adam(0.01))
        for _ in range(2):
            order = order_of([0, 5, 9, 14, 18, 23])
            train_all_steps(reference, state, data.block, order, pieces)
        ends.append(state)
    one, other = ends
    assert one.step == other.step == 10
    assert one.theta.tobytes() == other.theta.tobytes()
    assert set(one.buffers) == set(other.buffers)
    assert all(one.buffers[k].tobytes() == other.buffers[k].tobytes() for k in one.buffers)


def test_masks_are_fresh_at_every_step_and_repeat_with_the_seed() -> None:
    """E-p: masks change in every iteration, and are reproducible."""
    net = Network(4, [Dropout(0.5), Dense(2)])
    data = random_data(net, 6, 8)
    runs = {}
    for name, seed in (("a", 1), ("again", 1), ("b", 2)):
        state = State(net.initialize(0).theta, seed=seed)
        train(net, state, data.x, data.y, batch_size=6, epochs=3, shuffle=False)
        runs[name] = state.theta.tobytes()
    assert runs["a"] == runs["again"] != runs["b"]
    state, reference = net.initialize(0), Reference(net.tape)
    gradients = []
    for step in range(4):
        state.step = step
        gradients.append(reference.gradient(state, data.block).gradient.tobytes())
    assert len(set(gradients)) == 4


def test_the_gradient_is_that_of_the_average_over_masks() -> None:
    """For an affine network under squared error: E[C] = C + Σ_j w_j² Σ_i x_ij² (1−p)/(2np).

    So dropout on the inputs is an adaptive ridge (Wager et al. 2013); 4000 masks within 5 s.e.
    """
    p, n = 0.7, 8
    net = Network(3, [Dropout(keep=p), Dense(1)])
    state, data = random_state(net, 9), random_data(net, n, 9)
    reference, block = Reference(net.tape), Block(data.x, data.y)
    costs = []
    for step in range(4000):
        state.step = step
        costs.append(reference.gradient(state, block).loss / n)
    w = net.parameters(state)["W1"][:, 0]
    ridge = np.sum(w**2 * np.sum(data.x**2, axis=0)) * (1 - p) / (2 * n * p)
    expected = net.loss_of(state, data.x, data.y) + ridge
    assert abs(np.mean(costs) - expected) < Z * np.std(costs) / np.sqrt(len(costs))
    assert ridge > 20 * np.std(costs) / np.sqrt(len(costs))  # large enough to detect a difference
