"""When a run stops, and with which parameters it ends (O9, R4; erratum E-z)."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import SGD, Dense, EarlyStopping, Network, train
from deltarule.errors import SpecError
from deltarule.program import GradientSums, State, StepLog
from deltarule.schedules import Constant, Position
from deltarule.training import Metrics, TrainingConfig, run_epochs
from deltarule.training.state import TrainingState
from support.networks import proves

FIGURES = st.lists(
    st.one_of(st.integers(-4, 4).map(float), st.floats(-1e3, 1e3)), min_size=1, max_size=40
)


def slow_stop(figures: list[float], tol: float, patience: int, maximize: bool) -> Any:
    """Return (stop, best): counted from 1, the epoch that ends a run, and the best until then.

    Looks back over the whole list at every epoch. An epoch is progress if it betters the best
    of all epochs before it by tol; the run ends once more than ``patience`` in a row are not.
    """
    sign = 1 if maximize else -1
    signed = [sign * v for v in figures]

    def is_progress(t: int) -> bool:
        return t == 0 or signed[t] >= max(signed[:t]) + tol

    for t in range(len(signed)):
        recent = signed[max(0, t - patience) : t + 1]
        window = range(t + 1 - len(recent), t + 1)
        if len(recent) == patience + 1 and not any(map(is_progress, window)):
            return t + 1, signed.index(max(signed[: t + 1])) + 1
    return None, signed.index(max(signed)) + 1


@pytest.mark.parametrize("maximize", [False, True])
@proves(
    short=50,
    full=3000,
    figures=FIGURES,
    tol=st.sampled_from([0.0, 1e-4, 0.5, 2.0]),
    patience=st.integers(0, 5),
)
def test_the_best_so_far_decides(
    maximize: bool, figures: list[float], tol: float, patience: int
) -> None:
    rule, state = EarlyStopping(tol, patience, maximize), None
    best, stop = None, None
    for epoch, figure in enumerate(figures, start=1):
        state, is_best = rule.observe(state, figure)
        if is_best:
            best = epoch
        if rule.is_exhausted(state):
            stop = epoch
            break
    assert (stop, best) == slow_stop(figures, tol, patience, maximize)
    assert state is not None
    assert state.best == (max if maximize else min)(figures[: stop or len(figures)])


def test_a_slow_descent_is_not_mistaken_for_progress() -> None:
    """Steps below tol count against the best so far, which moves along with them."""
    rule, state, told = EarlyStopping(tol=1.0, patience=3), None, []
    for value in (10.0, 9.5, 9.0, 8.5, 8.0):
        state, is_best = rule.observe(state, value)
        told.append((is_best, rule.is_exhausted(state)))
    assert told == [(True, False)] * 4 + [(True, True)]


def test_a_figure_that_is_no_number_is_never_the_best() -> None:
    for maximize in (False, True):
        rule, state, told = EarlyStopping(maximize=maximize), None, []
        for value in (np.nan, 1.0, np.nan):
            state, is_best = rule.observe(state, value)
            told.append(is_best)
        assert told == [False, True, False]
        assert state is not None
        assert state.best == 1.0


@pytest.mark.parametrize("first", [1.0, np.nan, np.inf])
def test_figures_that_are_no_numbers_are_not_progress(first: float) -> None:
    rule, state = EarlyStopping(patience=2), None
    for value in (first, *([first if np.isinf(first) else np.nan] * 5)):
        state, _ = rule.observe(state, value)
    assert rule.is_exhausted(state)


# --- in the loop, with an interpreter that only counts --------------------------------------------


class Counter:
    """An interpreter whose θ counts its epochs: the loop knows no more of it than four verbs."""

    def __init__(self, losses: list[float], most: int | None = None) -> None:
        self.losses, self.most, self.visited = iter(losses), most, []

    def train_steps(self, state: State, block: Any, order: Any, steps: range) -> StepLog:
        taken = list(steps)[: self.most]
        if steps.start == 0:
            self.visited.append([])
            self.loss = next(self.losses)
            state.theta[...] = state.theta + 1
        self.visited[-1] += [order.batch(k).tolist() for k in taken]
        ones = np.ones(len(taken))
        rows = np.array([len(order.batch(k)) for k in taken])
        return StepLog(rows, rows * 1.0, self.loss * ones, 0.25 * ones)

    def gradient(self, state: State, block: Any, rows: Any = None) -> GradientSums:
        raise AssertionError("the loop must only ask for steps")

    apply = forward = cost = gradient


class Rows:
    n_rows = 5
    weight = None


def loop(losses: list[float], **given: Any) -> tuple[State, Any, Counter]:
    settings = {"epochs": len(losses), "batch_size": 2, "learning_rate": 0.1}
    counter, state = Counter(losses, given.pop("most", None)), State(np.zeros(1))
    ended = run_epochs(counter, state, Rows(), TrainingConfig(**(settings | given)))
    return state, ended.history, counter


def test_the_loop_visits_every_batch_once_an_epoch() -> None:
    for most in (None, 1, 2):  # however soon the interpreter gives control back
        state, history, counter = loop([3.0, 2.0], most=most)
        assert counter.visited == [[[0, 1], [2, 3], [4]]] * 2
        assert history.loss == [3.0, 2.0]
        assert history.penalty == [0.25, 0.25]
        assert history.cost == [3.25, 2.25]
        assert (history.n_epochs, history.stopped_by) == (2, "epochs")
        assert state.theta[0] == 2


@proves(
    short=20,
    full=1000,
    figures=FIGURES,
    patience=st.integers(0, 3),
    kind=st.sampled_from(["cost", "loss", "score"]),
)
def test_the_run_ends_with_the_best_parameters(
    figures: list[float], patience: int, kind: str
) -> None:
    maximize = kind == "score"
    figures = [round(64 * v) / 64 for v in figures]  # to which a penalty is added exactly
    stop, best = slow_stop(figures, 0.5, patience, maximize)
    measured = iter(figures)
    flat = [7.0] * len(figures)
    state, history, _ = loop(
        figures if kind == "cost" else flat,
        stopping=EarlyStopping(0.5, patience, maximize),
        validation={
            "cost": None,
            "loss": lambda state: Metrics(loss=next(measured), score=-1.0),
            "score": lambda state: Metrics(loss=1.0, score=next(measured)),
        }[kind],
    )
    assert history.n_epochs == (stop or len(figures))
    assert history.stopped_by == ("no improvement" if stop else "epochs")
    assert state.theta[0] == history.best_epoch == best
    if kind != "cost":
        n = history.n_epochs
        assert (len(history.validation_loss), len(history.validation_score)) == (n, n)


def test_without_restoring_the_last_parameters_stay() -> None:
    state, history, _ = loop([3.0, 1.0, 2.0])
    assert (state.theta[0], history.best_epoch) == (3, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_run_at_the_best(bad: float) -> None:
    state, history, _ = loop([3.0, 1.0, 2.0, bad, 0.0])
    assert (history.stopped_by, history.best_epoch, history.n_epochs) == ("divergence", 2, 4)
    assert state.theta[0] == 2
    state, history, _ = loop([bad, 1.0])
    assert (history.stopped_by, history.best_epoch) == ("divergence", None)
    assert state.theta[0] == 0  # where it began


@pytest.mark.parametrize("led_to", [np.nan, 13.0])
def test_the_best_epoch_of_a_run_that_diverges_must_not_have_led_there(led_to: float) -> None:
    """Its loss is that before its steps. What the epoch began with had that loss, and is kept."""
    state, history, _ = loop([3.0, 1.0, led_to, np.inf])
    assert (history.stopped_by, history.best_epoch) == ("divergence", 2)
    assert state.theta[0] == 1
    state, _, _ = loop([3.0, 1.0, 12.0, np.inf])  # costs 1.25 and 12.25: not ten times as much
    assert state.theta[0] == 2


def test_ctrl_c_ends_the_run_at_the_best() -> None:
    calls = count()

    def pressed(history: Any) -> bool:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return False

    state, history, _ = loop([3.0, 1.0, 2.0, 0.0], on_epoch=pressed)
    assert (history.stopped_by, history.n_epochs) == ("interrupt", 3)
    assert state.theta[0] == 2


def test_a_callback_can_stop_a_run() -> None:
    state, history, _ = loop([3.0, 1.0, 2.0, 0.0], on_epoch=lambda h: h.loss[-1] == 2.0)
    assert (history.stopped_by, history.n_epochs, state.theta[0]) == ("callback", 3, 3)


def test_hooks_rates_and_counts() -> None:
    begun = []
    config = TrainingConfig(
        epochs=3, batch_size=2, learning_rate=0.5, schedule=Constant(),
        on_epoch_begin=lambda state: begun.append(1), loss_scale=0.5,
    )  # fmt: skip
    state = State(np.zeros(1))
    start = TrainingState.begin(state, Position(learning_rate=0.125, examples=10))
    ended = run_epochs(Counter([4.0, 2.0, 1.0]), state, Rows(), config, start)
    history = ended.history
    assert len(begun) == 3
    assert history.learning_rate == [0.125] * 3
    assert history.loss == [2.0, 1.0, 0.5]
    assert (ended.position.learning_rate, ended.position.examples) == (0.125, 25)


# --- through ``train`` ----------------------------------------------------------------------------


def test_train_returns_the_best_parameters() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 6)), rng.normal(size=30)
    validation = rng.normal(size=(30, 6)), rng.normal(size=30)
    net = Network(6, [Dense(30, "tanh"), Dense(1)])
    state = net.initialize(0)
    history = train(
        net, state, X, y, optimizer=SGD(0.1), batch_size=5, epochs=300,
        validation=validation, stopping=EarlyStopping(tol=0.0, patience=15),
    )  # fmt: skip
    losses = history.validation_loss
    assert history.stopped_by == "no improvement"
    assert history.best_epoch == int(np.argmin(losses)) + 1 == history.n_epochs - 16
    assert net.loss_of(state, *validation) == min(losses) < losses[-1]


def test_a_stopping_rule_can_be_used_twice() -> None:
    rule = EarlyStopping(tol=1e9, patience=1)
    net, X, y = Network(1, [Dense(1)]), [[0.0], [1.0]], [0.0, 1.0]
    lengths = [train(net, net.initialize(), X, y, stopping=rule).n_epochs for _ in range(2)]
    assert lengths == [3, 3]
    assert rule == EarlyStopping(tol=1e9, patience=1)


def test_maximize_needs_a_score() -> None:
    net = Network(1, [Dense(1)])
    with pytest.raises(SpecError, match=r"maximize=True watches the validation score: give valid"):
        train(net, net.initialize(), [[0.0]], [0.0], stopping=EarlyStopping(maximize=True))
