"""Steps of a training: what is kept from call to call is never used for other arguments."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from deltarule import Adam, BatchNorm, Dense, Network, train
from deltarule.engine import Engine
from deltarule.errors import DataError, ShapeError
from deltarule.program import BatchSchedule, Block, State, StepLog
from support.networks import random_data

NET = Network(4, [Dense(6, "tanh"), Dense(2)])
DATA = random_data(NET, 30, 0)
BOUNDS = np.array([0, 10, 20, 30])


def order(rows: Any = None, bounds: Any = BOUNDS) -> BatchSchedule:
    rows = np.random.default_rng(1).permutation(30) if rows is None else rows
    return BatchSchedule(rows, bounds, np.full(len(bounds) - 1, 0.01))


def block(x: Any = None, weight: Any = None) -> Block:
    return Block(DATA.x if x is None else x, DATA.y, weight)


PLAIN = block()  # calls with this very block use what is kept


def taken(engine: Engine, state: State, rows: Block, batches: BatchSchedule) -> StepLog:
    logs, done = [], 0
    while done < batches.n_batches:
        logs.append(engine.train_steps(state, rows, batches, range(done, batches.n_batches)))
        done += len(logs[-1].loss)
    return StepLog.join(logs)


def outcome(state: State, log: StepLog) -> bytes:
    arrays = [state.theta, *(a for a in state.optimizer_state if isinstance(a, np.ndarray)), *log]
    return b"".join(a.tobytes() for a in arrays)


def test_what_changes_between_calls_is_seen() -> None:
    """One engine for all of them gives the bits of an engine for each."""
    rng, first, second = np.random.default_rng(2), NET.initialize(0), NET.initialize(1)
    wide, other = block(2 * DATA.x), block(sparse.csr_array(DATA.x))
    rows = [rng.permutation(30) for _ in range(3)]
    turns = [
        (first, PLAIN, order()),
        (first, PLAIN, order(rows[0])),
        (second, PLAIN, order(rows[0])),
        (first, wide, order(rows[1])),
        (first, wide, order(rows[1], np.array([0, 30]))),
        (second, other, order(rows[2], np.array([0, 4, 30]))),
        (second, block(weight=DATA.weight), order(rows[2])),
        (first, PLAIN, order(rows[0][:20], np.array([0, 20]))),
    ]
    shared = Engine(NET.tape, Adam())
    for state, given, batches in turns * 2:
        alone = state.copy()
        log = taken(shared, state, given, batches)
        expected = taken(Engine(NET.tape, Adam()), alone, given, batches)
        assert outcome(state, log) == outcome(alone, expected)
    shared.release()


def test_a_state_that_was_replaced_or_restored_between_calls() -> None:
    engine, state = Engine(NET.tape, Adam()), NET.initialize(0)
    begin = state.copy()
    first = outcome(state, taken(engine, state, PLAIN, order()))
    state.restore(begin)
    assert outcome(state, taken(engine, state, PLAIN, order())) == first
    state.theta, state.optimizer_state, state.step = begin.theta.copy(), None, 0
    assert outcome(state, taken(engine, state, PLAIN, order())) == first
    state.theta = state.theta[:-1]
    with pytest.raises(DataError, match="theta"):
        taken(engine, state, PLAIN, order())


@pytest.mark.parametrize("bad", [-1, 30, 2**40, -(2**63)])
@pytest.mark.parametrize("n", [30, 5000])
def test_rows_of_a_later_call_are_checked(bad: int, n: int) -> None:
    data = random_data(NET, n, 0)
    bounds, given = np.array([0, n]), Block(data.x, data.y)
    engine, state = Engine(NET.tape), NET.initialize(0)
    taken(engine, state, given, order(np.arange(n), bounds))
    rows = np.arange(n)
    rows[n // 2] = bad if bad != 30 else n
    before = state.theta.copy()
    with pytest.raises(DataError, match=r"order\.rows must be row numbers"):
        taken(engine, state, given, order(rows, bounds))
    for odd in (np.arange(n).astype(np.int32), np.arange(2 * n)[::2], np.arange(n - 1)):
        with pytest.raises(DataError):
            taken(engine, state, given, order(odd, bounds))
    with pytest.raises(ShapeError, match="steps must lie in"):
        engine.train_steps(state, given, order(np.arange(n), bounds), range(1, 2))
    assert state.theta.tobytes() == before.tobytes()


def test_bounds_that_change_in_place_do_not_lead_kernels_astray() -> None:
    bounds = BOUNDS.copy()
    engine, state = Engine(NET.tape), NET.initialize(0)
    taken(engine, state, PLAIN, order(bounds=bounds))
    twin = state.copy()
    expected = outcome_of_theta(taken(Engine(NET.tape), twin, PLAIN, order()), twin)
    batches = order(bounds=bounds)
    bounds[1:3] = 10**9  # the kernels read a copy
    assert outcome_of_theta(taken(engine, state, PLAIN, batches), state) == expected


def outcome_of_theta(log: StepLog, state: State) -> bytes:
    return log.loss.tobytes() + state.theta.tobytes()


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_columns_that_change_in_place_are_checked(index: Any) -> None:
    x = sparse.csr_array(DATA.x)
    x.indices, x.indptr = x.indices.astype(index), x.indptr.astype(index)
    given, engine, state = block(x), Engine(NET.tape), NET.initialize(0)
    taken(engine, state, given, order())
    x.indices[3] = 10**6
    if index is np.int64:
        with pytest.raises(DataError, match="invalid CSR"):
            taken(engine, state, given, order())
    else:  # the kernels read a copy
        taken(engine, state, given, order())
    assert np.isfinite(state.theta).all()


def test_batches_with_too_few_rows_for_batch_norm_are_refused_in_later_calls_too() -> None:
    net = Network(4, [Dense(6, "tanh", batch_norm=BatchNorm()), Dense(2)])
    engine, state, bounds = Engine(net.tape), net.initialize(0), np.array([0, 20, 29, 30])
    batches = order(bounds=bounds)
    engine.train_steps(state, PLAIN, batches, range(1))
    with pytest.raises(DataError, match="at least 2 rows"):
        engine.train_steps(state, PLAIN, batches, range(2, 3))


def test_nothing_of_a_training_is_kept_after_it() -> None:
    class Rows(np.ndarray):
        """An array that can be watched."""

    engine, state = Engine(NET.tape, Adam()), NET.initialize(0)
    x, y = DATA.x.copy(), DATA.y.copy()
    watched = [weakref.ref(x), weakref.ref(y)]
    train(NET, state, Block(x, y), optimizer=Adam(), epochs=3, batch_size=10, engine=engine)
    held = weakref.ref(state)
    del x, y, state
    gc.collect()
    assert [ref() for ref in [*watched, held]] == [None] * 3


def test_a_training_within_a_training_with_the_same_engine() -> None:
    def run(nested: bool) -> bytes:
        engine, state = Engine(NET.tape, Adam()), NET.initialize(0)

        def inner(history: Any) -> bool:
            if nested:
                train(NET, NET.initialize(1), Block(DATA.x, DATA.y), optimizer=Adam(), epochs=1,
                      engine=engine)  # fmt: skip
            return False

        train(NET, state, Block(DATA.x, DATA.y), optimizer=Adam(), epochs=4, batch_size=10,
              engine=engine, on_epoch=inner)  # fmt: skip
        return state.theta.tobytes()

    assert run(True) == run(False)
