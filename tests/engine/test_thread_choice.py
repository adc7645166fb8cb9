"""On how many threads steps run: the faster number, whatever it is, and never another result."""

from __future__ import annotations

from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule import Adam, ClipNorm, Dense, Network
from deltarule.engine import Engine
from deltarule.engine.thread_choice import ThreadChoice
from deltarule.engine.work_plan import Mode, make_plan
from deltarule.program import BatchSchedule
from deltarule.program.shards import even_cuts, tree_sum
from support.networks import random_data, random_state, train_all_steps

SHORT, LONG = 1e6, 1e9  # operations of a step

times = st.floats(1e-6, 1e-3)


def calls(choice: ThreadChoice, alone: float, together: float, n: int) -> list[int]:
    """Return on how many threads n calls run whose steps take these times."""
    seen = []
    for _ in range(n):
        seen.append(choice.threads(SHORT, 8))
        choice.note(seen[-1], alone if seen[-1] == 1 else together)
    return seen


@given(times, times)
def test_most_calls_run_on_the_faster_number(alone: float, together: float) -> None:
    seen = calls(ThreadChoice(2), alone, together, 330)
    better = 1 if alone < 0.95 * together else 2
    assert seen.count(better) > 310
    assert seen.count(3 - better) >= 10  # tried again and again


@given(times, times)
def test_a_change_of_the_processor_is_found(fast: float, slow: float) -> None:
    """Another program may take the second core, and give it back."""
    fast, slow = min(fast, slow), 2.0 * max(fast, slow)
    choice = ThreadChoice(2)
    for alone, together, better in [(slow, fast, 2), (fast, slow, 1), (slow, fast, 2)]:
        seen = calls(choice, alone, together, 400)
        assert seen[-32:].count(better) >= 31


def test_what_is_not_measured() -> None:
    assert ThreadChoice(1).threads(SHORT, 8) == 1
    assert [ThreadChoice(4).threads(LONG, tiles) for tiles in (1, 3, 8)] == [1, 3, 4]
    forced = ThreadChoice(5, measures=False)
    assert set(calls(forced, 1e-6, 1.0, 50)) == {5}
    assert forced.best == 5
    assert not forced.is_open


@pytest.mark.parametrize("n_threads", [1, 2])
def test_trying_changes_no_bit(n_threads: int) -> None:
    net = Network(30, [Dense(64, "relu"), Dense(64, "tanh"), Dense(1)], "squared_error")
    data = random_data(net, 32 * 40, 0).block
    order = BatchSchedule(np.arange(32 * 40), np.arange(0, 32 * 40 + 1, 32), np.full(40, 0.01))

    def theta(most: int) -> bytes:
        engine, state = Engine(net.tape, Adam(), n_threads=most), random_state(net, 1)
        for _ in range(3):
            train_all_steps(engine, state, data, order, 5)
        return state.theta.tobytes()

    assert theta(n_threads) == theta(1)


@pytest.mark.parametrize("rows", [8, 32, 100, 128, 400])
@pytest.mark.parametrize("widths", [(30, 64, 64, 1), (100, 100, 2), (10, 80, 80, 3)])
def test_a_step_along_a_gradient_sums_norms_as_a_whole_step_does(
    rows: int, widths: tuple[int, ...]
) -> None:
    """Norms are sums over blocks of θ: they have the same bits only if the blocks are the same."""
    net = Network(
        widths[0],
        [*(Dense(units, "relu") for units in widths[1:-1]), Dense(widths[-1])],
        "squared_error",
    )
    train, apply = (make_plan(net.tape, mode, rows).blocks for mode in (Mode.TRAIN, Mode.APPLY))
    assert train == apply
    data = random_data(net, rows, 2).block
    order = BatchSchedule(np.arange(rows), np.array([0, rows]), np.full(1, 0.1))
    whole, parts = random_state(net, 1), random_state(net, 1)
    engine = Engine(net.tape, Adam(), ClipNorm(1e-3), n_shards=4)
    engine.train_steps(whole, data, order, range(1))
    sums = [
        engine.gradient(parts, data, slice(a, b), first=a)
        for a, b in pairwise(even_cuts(rows, 4).tolist())
    ]
    engine.step_along(parts, tree_sum(sums, add), 0.1, rows)
    np.testing.assert_array_equal(whole.theta, parts.theta)
