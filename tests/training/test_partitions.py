"""Orders and batches of rows in partitions: every row once, every batch its share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule import L2, SGD, ClipNorm, Dense, MLPRegressor, Network, Shards, load, train
from deltarule.engine import Engine
from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block, StepLog
from deltarule.training.data import advance
from deltarule.training.partitions import (
    BatchPlan,
    PartitionedBlock,
    PartitionLayout,
    held_out_rows,
    permutation,
)
from deltarule.training.shards import Sharded

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(sum)
COUNTS = st.sampled_from([1, 2, 8, 16])


@given(LENGTHS, COUNTS, st.integers(1, 50), st.integers(0, 5), st.booleans())
def test_an_epoch_visits_every_row_once_and_shards_hold_their_groups(
    lengths: list[int], count: int, batch_size: int, epoch: int, shuffle: bool
) -> None:
    layout = PartitionLayout(lengths, count)
    n = sum(lengths)
    data = PartitionedBlock(Block(np.zeros((n, 1))), layout).ordered(7, batch_size, shuffle)
    bounds = data.bounds(batch_size)
    order = BatchSchedule(np.arange(0), bounds, np.zeros(len(bounds) - 1))
    cut = data.of_epoch(epoch).at(order, 0)[1]
    (rows, cut_bounds, _), shards = cut, cut.shards
    assert sorted(rows.tolist()) == list(range(n))
    assert np.array_equal(cut_bounds, bounds)
    assert (np.diff(bounds) > 0).all()
    assert shards is not None
    partition_of = np.repeat(np.arange(len(lengths)), lengths)
    group_of = np.array(layout.group)[partition_of]
    for k, (low, high) in enumerate(pairwise(bounds.tolist())):
        for s in range(count):
            shard = rows[low:high][shards[k, s] : shards[k, s + 1]]
            assert (group_of[shard] == s).all()
        for p, length in enumerate(lengths):  # its share, up to one row
            taken = np.count_nonzero(partition_of[rows[low:high]] == p)
            assert abs(taken - length / -(-n // min(batch_size, n))) < 1
    assert list(layout.group) == sorted(layout.group)
    assert [p for s in range(count) for p in layout.members(s)] == list(range(len(lengths)))
    assert layout.row_cuts[0] == 0
    assert layout.row_cuts[-1] == n


def test_one_row_partitions_are_spread_over_the_batches() -> None:
    plan = BatchPlan(PartitionLayout([1] * 1000, 8), 50)
    sizes = np.diff(plan.bounds)
    assert len(sizes) == 20
    assert sizes.min() >= 40
    assert sizes.max() <= 60


def test_orders_depend_on_seed_epoch_and_partition() -> None:
    drawn = {
        tuple(permutation(seed, epoch, p, 30))
        for seed in (0, 1)
        for epoch in (0, 1)
        for p in (0, 1)
    }
    assert len(drawn) == 8
    assert np.array_equal(permutation(3, 4, 5, 30), permutation(3, 4, 5, 30))


def test_the_share_held_out_is_right_on_average() -> None:
    held = [held_out_rows(0, p, 3, 0.2) for p in range(2000)]
    assert abs(np.mean(held) - 0.2) < 0.02
    assert {int(rows.sum()) for rows in held} == {0, 1}


def test_steps_resume_in_the_middle_of_a_fit_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    net = Network(3, [Dense(4, "tanh"), Dense(1)])
    shards = Shards(4, (20, 0, 1, 39))
    once, twice = net.initialize(0), net.initialize(0)
    arguments = {"optimizer": "adam", "batch_size": 7, "seed": 5, "shards": shards}
    whole = train(net, once, x, y, epochs=4, **arguments)
    half = train(net, twice, x, y, epochs=2, **arguments)
    joined = train(net, twice, x, y, epochs=2, resume=half, **arguments)
    assert once.theta.tobytes() == twice.theta.tobytes()
    assert whole.loss == joined.loss


def test_steps_do_not_depend_on_where_calls_end() -> None:
    """Batches differ in size: the largest of an epoch decides how θ is cut, in every call."""
    rng = np.random.default_rng(0)
    layout = PartitionLayout([333, 100, 300, 97], 4)
    net = Network(200, [Dense(300, "relu"), Dense(1)], penalties=(L2(0.1),))
    block = Block(rng.standard_normal((830, 200)), rng.standard_normal((830, 1)))
    data = PartitionedBlock(block, layout).ordered(1, 310, True)
    bounds = data.bounds(310)
    assert len(set(np.diff(bounds).tolist())) > 1
    order = BatchSchedule(np.arange(0), bounds, np.full(len(bounds) - 1, 0.01))
    found = []
    for most in (1, 99):
        interpreter = Sharded(Engine(net.tape, SGD(0.1), ClipNorm(0.1), n_shards=4), 4)
        state, logs, done = net.initialize(0), [], 0
        while done < order.n_batches:
            steps = range(done, min(done + most, order.n_batches))
            logs.append(advance(interpreter, state, data.of_epoch(0), order, steps))
            done += len(logs[-1].loss)
        found.append((state.theta.tobytes(), StepLog.join(logs).penalty.tobytes()))
    assert found[0] == found[1]


def test_partitions_of_another_number_of_rows_are_refused() -> None:
    model = MLPRegressor(hidden_layer_sizes=(2,), shards=Shards(2, (3, 4)))
    with pytest.raises(SpecError, match=r"7 rows in all, but X has 9"):
        model.fit(np.ones((9, 1)), np.arange(9.0))


@pytest.mark.parametrize("partitions", [(), (0, 0), (-1, 3), "12", 5, (1.5,), (True,)])
def test_partitions_that_are_no_numbers_of_rows_are_refused(partitions: object) -> None:
    with pytest.raises(SpecError, match="partitions of Shards must be numbers of rows"):
        Shards(2, partitions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_norm": True, "shards": 2}, "does not go with batch norm"),
        ({"augment": lambda x, r, e: x, "shards": Shards(2, (9,))}, "does not go with partitions"),
    ],
)
def test_what_does_not_go_with_shards_is_refused(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        MLPRegressor(hidden_layer_sizes=(2,), **arguments).fit(np.ones((9, 1)), np.arange(9.0))


@pytest.mark.parametrize("shards", [None, 4, Shards(2, (5, 4))])
def test_a_model_file_keeps_the_shards(tmp_path: object, shards: object) -> None:
    x, y = np.linspace(0, 1, 9)[:, None], np.arange(9.0)
    model = MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", shards=shards).fit(x, y)
    path = model.save(f"{tmp_path}/model.safetensors")
    assert load(path).shards == shards
