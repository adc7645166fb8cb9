"""A later call of ``train`` continues an earlier one to the same bits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule import (
    BatchNorm,
    Checkpoint,
    ClipNorm,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    Network,
    State,
    train,
)
from deltarule.errors import DataError, SpecError
from deltarule.network.data import make_block
from deltarule.program import Block
from deltarule.schedules import SCHEDULES, Position
from deltarule.spec.optimizers import OPTIMIZERS
from deltarule.training.data import StreamedBlock
from support.checkpoints import NOISE, NUMBERS, X, digest

VALIDATION = X[:20], NUMBERS[:20]
STEPPERS = [name for name in OPTIMIZERS if name not in ("lbfgs", "line_search")]
NET = Network(6, [Dense(8, "tanh", batch_norm=BatchNorm()), Dropout(0.8), Dense(1)])


def call(state: State, epochs: int, net: Network = NET, **given: Any) -> History:
    return train(net, state, X, NUMBERS, **({"epochs": epochs, "seed": 4} | given))


def ends(state: State, history: History) -> str:
    assert history.position is not None
    position = history.position._replace(planned_epochs=0)  # it grows with every call
    seen = vars(history) | {"resume_point": None, "position": position}
    return digest([vars(state), seen])


def in_calls(*lengths: int, net: Network = NET, **given: Any) -> str:
    """Return a digest of state and history after calls of these numbers of epochs."""
    state, history = net.initialize(1), None
    for epochs in lengths:
        history = call(state, epochs, net, resume=history, **given)
    assert history is not None
    return ends(state, history)


@pytest.mark.parametrize("optimizer", STEPPERS)
def test_two_calls_equal_one_for_every_optimiser(optimizer: str) -> None:
    given = {"optimizer": optimizer, "validation": VALIDATION}
    assert in_calls(1, 1, **given) == in_calls(2, **given)
    assert in_calls(2, 1, 3, **given) == in_calls(6, **given)


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_calls_equal_one_for_every_schedule(name: str) -> None:
    given = {
        "optimizer": "adam", "schedule": name, "planned_epochs": 8,
        "stopping": EarlyStopping(tol=10.0, patience=1),
    }  # fmt: skip
    assert in_calls(*[1] * 8, **given) == in_calls(3, 5, **given) == in_calls(8, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"shuffle": False},
        {"augment": NOISE},
        {"clipping": ClipNorm(0.5)},
        {"record_health": True},
        {"sample_weight": np.arange(120.0)},
        {"engine": "reference"},
        {"batch_size": 7, "loss_scale": 0.5},
        {"stopping": EarlyStopping(tol=0.5, patience=2)},
        {"stopping": EarlyStopping(tol=0.5, patience=2), "validation": VALIDATION},
        {"stopping": EarlyStopping(0.1, 2, maximize=True), "validation": VALIDATION},
        {"stopping": EarlyStopping(0.1, 2, restore_best=False), "validation": VALIDATION},
    ],
    ids=lambda given: ", ".join(given),
)
def test_two_calls_equal_one_with_every_option(given: Any) -> None:
    given = {"optimizer": "adam"} | given
    assert in_calls(*[1] * 6, **given) == in_calls(2, 4, **given) == in_calls(6, **given)


def test_patience_counts_over_calls() -> None:
    given: Any = {"optimizer": "sgd", "stopping": EarlyStopping(tol=1e9, patience=3)}
    state, history = NET.initialize(1), None
    for _ in range(9):
        history = call(state, 1, resume=history, **given)
    assert history is not None
    assert (history.n_epochs, history.stopped_by) == (5, "no improvement")
    more = call(state, 2, resume=history, optimizer="sgd", stopping=EarlyStopping(1e9, 99))
    assert (more.n_epochs, more.stopped_by) == (7, "epochs")  # more patience than before


def test_a_history_can_be_resumed_twice_and_stays_as_it_is() -> None:
    given: Any = {"optimizer": "adam", "stopping": EarlyStopping(patience=5)}
    state = NET.initialize(1)
    first = call(state, 2, **given)
    left, before = state.copy(), digest(vars(first))
    results = []
    for _ in range(2):
        again = left.copy()
        results.append(ends(again, call(again, 3, resume=first, **given)))
    assert results[0] == results[1]
    assert digest(vars(first)) == before
    assert first.position is not None
    assert (first.position.epochs, first.position.steps) == (2, 8)


def test_an_interrupted_epoch_is_finished_first() -> None:
    def interrupt(state: State) -> Any:
        signal.raise_signal(signal.SIGINT)
        return None

    expected = in_calls(4, validation=lambda state: metrics(state))
    state = NET.initialize(1)
    history = call(state, 2, validation=lambda state: metrics(state))
    broken = call(state, 1, validation=interrupt, resume=history)
    assert (broken.stopped_by, broken.n_epochs) == ("interrupt", 2)
    history = call(state, 2, validation=lambda state: metrics(state), resume=broken)
    assert ends(state, history) == expected


def metrics(state: State) -> Any:
    from deltarule.training import Metrics

    return Metrics(loss=float(np.sum(state.theta**2)))


def test_a_callback_that_stops_can_be_resumed() -> None:
    expected = in_calls(5)
    state = NET.initialize(1)
    stopped = call(state, 5, on_epoch=lambda history: history.n_epochs == 2)
    assert stopped.stopped_by == "callback"
    assert ends(state, call(state, 3, resume=stopped)) == expected


def test_two_calls_with_checkpoints_equal_one(tmp_path: Path) -> None:
    given: Any = {"optimizer": "adam", "stopping": EarlyStopping(0.1, 3), "augment": NOISE}
    folder = Checkpoint(tmp_path, every_epochs=1)
    expected = in_calls(5, **given)
    for epochs in (2, 5):  # with checkpoints, the epochs of all calls
        state = NET.initialize(1)
        history = call(state, epochs, checkpoint=folder, **given)
    assert ends(state, history) == expected
    longer = NET.initialize(1)
    call(longer, 6, **given)
    call(state, 1, resume=history, **given)
    assert state.theta.tobytes() == longer.theta.tobytes()


def test_two_calls_on_a_stream_equal_one() -> None:
    block, _ = make_block(NET, X, NUMBERS, smoothed=True)

    def blocks(epoch: int) -> Iterator[Block]:
        rows = np.random.default_rng(epoch).permutation(120)
        yield from (block.take(rows[:50]), block.take(rows[50:]))

    stream = StreamedBlock(120, blocks, block.take(slice(3)))
    results = []
    for lengths in ((3,), (1, 2)):
        state, history = NET.initialize(1), None
        for epochs in lengths:
            history = train(NET, state, stream, optimizer="adam", epochs=epochs, resume=history)
        assert history is not None
        results.append(ends(state, history))
    assert results[0] == results[1]


def test_a_generator_of_the_caller_continues() -> None:
    expected, rng = NET.initialize(1), np.random.default_rng(4)
    call(expected, 2)
    state = NET.initialize(1)
    history = call(state, 1, seed=rng)
    call(state, 1, seed=rng, resume=history)
    assert state.theta.tobytes() == expected.theta.tobytes()


def test_a_position_continues_counts_and_rates_with_a_new_history() -> None:
    given: Any = {"schedule": "exponential"}
    whole = call(NET.initialize(1), 3, **given)
    state = NET.initialize(1)
    first = call(state, 2, **given)
    more = call(state, 1, resume=first.position, **given)
    assert more.n_epochs == 1
    assert more.learning_rate == whole.learning_rate[2:]
    assert more.position is not None
    assert more.position.epochs == 3


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_resumed_is_told(tmp_path: Path) -> None:
    state = NET.initialize(1)
    history = call(state, 1, optimizer="adam")
    theta = state.theta.copy()
    for given, words in [
        ({"resume": History()}, "resume must be the History of a training"),
        ({"resume": history.copy()}, "resume must be the History of a training"),
        ({"resume": 3}, "resume must be a History that train returned"),
        ({"resume": history, "checkpoint": tmp_path}, "resume does not go with checkpoint"),
    ]:
        with pytest.raises(SpecError, match=words):
            call(state, 1, **given)
    with pytest.raises(SpecError, match="resume needs the state that the earlier call left"):
        call(NET.initialize(1), 1, optimizer="adam", resume=history)
    with pytest.raises(SpecError, match="resume needs the 120 rows of the earlier call; got 60"):
        train(NET, state, X[:60], NUMBERS[:60], optimizer="adam", resume=history)
    with pytest.raises(DataError, match=r"state\.optimizer_state"):
        call(state, 1, optimizer="sgd", resume=history)
    np.testing.assert_array_equal(state.theta, theta)
    assert isinstance(history.position, Position)
