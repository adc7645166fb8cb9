"""Curves of a training read like lists, at a cost that does not grow; resumed ones stay apart."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule import Dense, EarlyStopping, History, MLPClassifier, Network, train
from deltarule.training import curve as curves
from deltarule.training.curve import Curve, Records, SumOfCurves

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
NUMBERS = st.lists(st.floats(allow_nan=False), max_size=40)


@given(NUMBERS, NUMBERS, st.slices(60), st.integers(0, 60), st.integers(1, 7))
def test_a_curve_is_a_list(
    begin: list[float], more: list[float], cut: slice, start: int, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_CHUNK", chunk)
        curve, model = Curve(begin), list(begin)
        listed, twin = curve.as_list(), curve.copy()
        assert listed == model
        for value in more:
            curve.append(value)
            model.append(value)
        twin.append(0.5)
        assert twin == [*begin, 0.5]
        assert (curve == model, model == curve, curve == [*model, 1.0]) == (True, True, False)
        assert curve.as_list() is listed
        assert listed == model == list(curve) == curve.tolist()
        assert (len(curve), repr(curve), curve[cut]) == (len(model), repr(model), model[cut])
        assert curve + model == model + curve == [*model, *model]
        np.testing.assert_array_equal(curve.numbers(start), np.array(model[start:], dtype=float))
        np.testing.assert_array_equal(np.asarray(curve), np.array(model, dtype=float))
        for same in (pickle.loads(pickle.dumps(curve)), copy.deepcopy(curve), Records(model)):
            assert same == curve
        for i in range(-len(model), len(model)):
            assert curve[i] == model[i]
        for outside in (len(model), -len(model) - 1):
            with pytest.raises(IndexError):
                curve[outside]
        if model:
            assert curve.last == model[-1]
        total = SumOfCurves(curve, Curve([1.0] * len(model)))
        assert total == [value + 1.0 for value in model]
        assert total[cut] == [value + 1.0 for value in model][cut]


def test_lists_that_a_user_gives_become_curves() -> None:
    history = History(loss=[2.0, 1.0], penalty=[0.5, 0.25])
    assert (history.n_epochs, history.cost, history.last_cost) == (2, [2.5, 1.25], 1.25)
    assert history == history.copy() == pickle.loads(pickle.dumps(history))
    assert (1.0 in history.loss, history.loss.index(1.0)) == (True, 1)


def test_the_attributes_of_an_estimator_are_lists() -> None:
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model = MLPClassifier((2,), max_iter=3, record_health=True, random_state=0).fit(*XOR)
    assert type(model.loss_curve_) is type(model.health_) is list
    assert model.loss_curve_ is model.loss_curve_
    model.loss_curve_ = [1.0]
    assert model.loss_curve_ == [1.0]


# --- what an epoch costs --------------------------------------------------------------------------


def instructions(work: Callable[[Callable[[], None]], None]) -> list[int]:
    """Return how many instructions of Python were run up to each call of a function."""
    counted, marks = 0, []

    def count(frame: Any, event: str, arg: Any) -> Any:
        nonlocal counted
        frame.f_trace_opcodes = True
        counted += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work(lambda: marks.append(counted))
    finally:
        sys.settrace(before)
    return marks


def read(history: History) -> None:
    assert history.cost[-1] == history.loss[-1] + history.penalty[-1]


class Watching:
    """A callback that looks at a copy of the estimator after every epoch."""

    def __init__(self, mark: Callable[[], None]) -> None:
        self.mark = mark

    def setup(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
        assert fitted_estimator.n_iter_ > 0
        assert estimator.loss_curve_[-1] == estimator.loss_
        self.mark()

    def teardown(self, estimator: Any, context: Any) -> None: ...


def callback(mark: Callable[[], None]) -> None:
    def note(history: History) -> bool:
        read(history)
        mark()
        return False

    net = Network(2, [Dense(2), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    stopping = EarlyStopping(patience=1000)
    train(net, net.initialize(0), *XOR, batch_size=4, epochs=70, on_epoch=note, stopping=stopping)


def resumes(mark: Callable[[], None]) -> None:
    net = Network(2, [Dense(2), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    state, history = net.initialize(0), None
    for _ in range(70):
        history = train(net, state, *XOR, batch_size=4, epochs=1, resume=history)
        read(history)
        mark()


def warm_starts(mark: Callable[[], None]) -> None:
    model = MLPClassifier((2,), max_iter=1, warm_start=True, random_state=0)
    for _ in range(70):
        with pytest.warns(UserWarning, match="Maximum iterations"):
            model.fit(*XOR)
        mark()


def part_by_part(mark: Callable[[], None]) -> None:
    model = MLPClassifier((2,), random_state=0)
    for _ in range(70):
        model.partial_fit(*XOR, classes=[0, 1])
        mark()


def fits(mark: Callable[[], None]) -> None:
    model = MLPClassifier((2,), max_iter=70, n_iter_no_change=1000, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.set_callbacks(Watching(mark)).fit(*XOR)


@pytest.mark.parametrize("work", [callback, resumes, warm_starts, part_by_part, fits])
def test_a_late_epoch_takes_no_more_instructions_than_an_early_one(
    work: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instructions of Python: they count what time only hints at."""
    monkeypatch.setattr(curves, "_CHUNK", 8)
    costs = np.diff(instructions(work))
    early, late = costs[5:25], costs[-20:]
    assert np.median(late) < np.median(early) + 25


def test_a_textbooks_epochs_are_a_matter_of_seconds() -> None:
    """10 000 epochs of XOR: most of a minute when an epoch was slow; the bound is generous."""
    import time

    net = Network(2, [Dense(2, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    state = net.initialize(seed=1)
    train(net, state, *XOR, optimizer="adam", batch_size=4, epochs=10)
    start = time.process_time()
    history = train(net, state, *XOR, optimizer="adam", batch_size=4, epochs=10_000)
    assert history.n_epochs == 10_000
    assert time.process_time() - start < 5.0
