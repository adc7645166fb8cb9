"""Schedules against PyTorch and closed forms, and in a training run (O7).

PyTorch's numbers were made by golden/make_optimizer_traces.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block, State, StepLog
from deltarule.schedules import (
    Adaptive,
    Constant,
    Cosine,
    CosineLog,
    EpochSchedule,
    Exponential,
    FlatCosine,
    InverseScaling,
    InverseSquareRoot,
    InverseTime,
    OneCycle,
    PiecewiseConstant,
    Position,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)
from deltarule.training import EarlyStopping, History, Metrics, TrainingConfig, run_epochs
from deltarule.training.state import TrainingState
from support.networks import proves
from support.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "schedule_rates.json").read_text(encoding="utf-8"))["numbers"]
RATES = st.floats(1e-6, 10)


class Script:
    """Interpreter that takes no steps; it records the rates and reports given losses.

    Control goes back after two batches.
    """

    def __init__(self, losses: Sequence[float] = ()) -> None:
        self.rates: list[float] = []
        self._losses = iter(losses)

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        if steps.start == 0:
            self._loss = next(self._losses, 1.0)
        taken = steps[:2]
        self.rates += [float(order.learning_rates[k]) for k in taken]
        rows = np.array([len(order.batch(k)) for k in taken])
        loss = np.full(len(rows), self._loss)
        return StepLog(rows, rows.astype(float), loss, np.zeros(len(rows)))


def run(
    schedule: Schedule,
    epochs: int,
    n_batches: int = 1,
    losses: Sequence[float] = (),
    rate: float = 0.1,
    **more: Any,
) -> tuple[list[float], History, Position]:
    """Return the rate of every step, the history and the position, over batches of two rows."""
    rows = 2 * n_batches - 1
    script = Script(losses)
    start = more.pop("start", Position())
    config = TrainingConfig(
        epochs=epochs, batch_size=2, learning_rate=rate, schedule=schedule, **more
    )
    state = State(np.zeros(1))
    ended = run_epochs(
        script, state, Block(np.zeros((rows, 1))), config, TrainingState.begin(state, start)
    )  # type: ignore[arg-type]
    return script.rates, ended.history, ended.position


# --- against PyTorch ------------------------------------------------------------------------------

PER_EPOCH = {
    "exponential": Exponential(0.95),
    "step": StepDecay(4, 0.3),
    "table": PiecewiseConstant([3, 10], [0.01, 0.001]),
}
PER_STEP = {  # argument: number of steps per epoch
    "warm-up": lambda n: WarmUp(8 / n),
    "cosine": lambda n: Cosine(min_lr=0.001),
    "cosine-warm-up": lambda n: Cosine(warm_up=6 / n, min_lr=0.002),
    "one-cycle": lambda n: OneCycle(),
    "one-cycle-linear": lambda n: OneCycle(0.45, 10, 100, "linear"),
}


@pytest.mark.parametrize("name", PER_EPOCH)
def test_rates_of_epochs_agree_with_pytorch(name: str) -> None:
    golden = GOLDEN[name]
    rates, history, _ = run(PER_EPOCH[name], len(golden), n_batches=3)
    np.testing.assert_allclose(rates, np.repeat(golden, 3), rtol=1e-12)
    assert history.learning_rate == rates[::3]


@pytest.mark.parametrize("name", PER_STEP)
@pytest.mark.parametrize("n_batches", [1, 3, 10, 30])
def test_rates_of_steps_agree_with_pytorch(name: str, n_batches: int) -> None:
    """The rates of thirty steps do not depend on their division into epochs."""
    golden = np.array(GOLDEN[name])
    rates, history, _ = run(PER_STEP[name](n_batches), 30 // n_batches, n_batches)
    np.testing.assert_allclose(rates, golden, rtol=1e-12, atol=1e-14)
    assert history.learning_rate == rates[n_batches - 1 :: n_batches]


@pytest.mark.parametrize(
    ("name", "schedule", "maximize"),
    [
        ("min", ReduceOnPlateau(patience=2), False),
        ("min-absolute", ReduceOnPlateau(patience=1, threshold=0.02, relative=False), False),
        ("min-rest", ReduceOnPlateau(0.5, patience=1, cooldown=3, min_lr=0.02), False),
        ("max", ReduceOnPlateau(0.2, patience=2), True),
    ],
)
def test_rates_on_plateaus_agree_with_pytorch(
    name: str, schedule: ReduceOnPlateau, maximize: bool
) -> None:
    figures = GOLDEN["plateau"]["high" if maximize else "low"]
    more: dict[str, Any] = {}
    if maximize:
        scores = iter(figures)
        more["validation"] = lambda state: Metrics(score=next(scores))
        more["stopping"] = EarlyStopping(patience=math.inf, maximize=True)
    rates, _, plan = run(schedule, len(figures), 1, figures, **more)
    golden = np.array(GOLDEN["plateau"][name])
    # PyTorch ignores changes of less than 1e-8, so its rates stay constant below 1e-7.
    told = golden[:-1] > 1e-7
    np.testing.assert_allclose(np.array(rates[1:])[told], golden[:-1][told], rtol=1e-12)
    assert max(np.array(rates[1:])[~told], default=0.0) <= 1e-7
    assert plan.learning_rate == pytest.approx(golden[-1], rel=1e-12, abs=1e-7)


# --- closed forms ---------------------------------------------------------------------------------


@proves(short=20, full=1000, eta=RATES, decay=st.floats(0, 5), i=st.integers(0, 1000))
def test_decay_by_epoch(eta: float, decay: float, i: int) -> None:
    def rate(schedule: EpochSchedule) -> float:
        return schedule.rate(eta, Position(i, 5 * i, 10 * i, 2000, 77.0))

    assert rate(InverseTime(decay)) == pytest.approx(eta / (1 + decay * i), rel=1e-14)
    assert rate(InverseSquareRoot(decay + 0.1)) == pytest.approx(
        (decay + 0.1) * eta / math.sqrt(i + 1), rel=1e-14
    )
    assert rate(Exponential(1 / (1 + decay))) == pytest.approx(
        eta * math.exp(-i * math.log1p(decay)), rel=1e-11
    )
    assert rate(InverseScaling(decay)) == pytest.approx(eta * (10 * i + 1) ** -decay, rel=1e-12)
    assert rate(Constant()) == 77.0


def test_the_first_epoch_is_finite() -> None:
    """η/√i counts from i = 1 (erratum E-ah); the others count from 0 and start at η₀."""
    laws = (
        InverseTime(3.0),
        Exponential(0.5),
        InverseSquareRoot(),
        StepDecay(),
        PiecewiseConstant([1], [9]),
    )
    for schedule in laws:
        assert run(schedule, 1)[0] == [0.1]


def test_mebsouts_exponential_decay() -> None:
    assert run(Exponential(), 3, rate=1.0)[0] == pytest.approx([1, 0.95, 0.9025], rel=1e-15)


@pytest.mark.parametrize("n", [1, 5, 40])
def test_flat_cosine_is_constant_and_then_a_cosine(n: int) -> None:
    """The rates of forty steps, in epochs of n, by the formula with mpmath."""
    rates, _, _ = run(FlatCosine(0.25), 40 // n, n, rate=0.2)
    assert rates[:11] == [0.2] * 11
    exact = [float(0.1 * (1 + mpmath.cos(mpmath.pi * (k - 10) / 30))) for k in range(11, 40)]
    np.testing.assert_allclose(rates[11:], exact, rtol=1e-12)
    np.testing.assert_array_equal(run(FlatCosine(0.0), 40 // n, n)[0], run(Cosine(), 40 // n, n)[0])


@pytest.mark.parametrize("cycles", [1, 2, 4])
def test_cosines_of_doubling_periods_touch_zero_at_their_ends(cycles: int) -> None:
    unit = 12
    rates = np.array(run(CosineLog(cycles), (2**cycles - 1) * unit, rate=0.2)[0])
    ends = [(2**j - 1) * unit for j in range(cycles)]
    np.testing.assert_allclose(rates[ends], 0.0, atol=1e-15)
    tops = [round((2 ** (j + 0.5) - 1) * unit) for j in range(cycles)]  # halfway in the logarithm
    assert (rates[tops] > 0.195).all()
    for k in (1, 5, len(rates) - 1):
        turns = mpmath.log(1 + (2**cycles - 1) * mpmath.mpf(k) / len(rates), 2)
        assert rates[k] == pytest.approx(
            float(0.1 * (1 - mpmath.cos(2 * mpmath.pi * turns))), 1e-12
        )


@proves(short=20, full=1000, eta=RATES, epochs=st.integers(1, 12), n=st.integers(1, 9))
def test_shapes_of_the_schedules_by_step(eta: float, epochs: int, n: int) -> None:
    cosine, _, _ = run(Cosine(warm_up=2), epochs, n, rate=eta)
    peak = min(2 * n, len(cosine) - 1)
    assert np.all(np.diff(cosine[: peak + 1]) > 0)
    assert np.all(np.diff(cosine[peak:]) < 0)
    assert max(cosine) <= eta * (1 + 1e-15)
    one_cycle, _, _ = run(OneCycle(), epochs, n, rate=eta)
    assert len(one_cycle) == epochs * n
    assert one_cycle[-1] == pytest.approx(eta / 25 / 1e4, rel=1e-9)
    assert np.max(one_cycle) <= eta * (1 + 1e-15)
    assert np.sum(np.diff(np.sign(np.diff(one_cycle))) != 0) <= 1
    warm, _, _ = run(WarmUp(1), epochs, n, rate=eta)
    assert warm[n:] == [eta] * (len(warm) - n)


@pytest.mark.parametrize("rise", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_at_its_edges(rise: float, steps: int) -> None:
    rates, _, _ = run(OneCycle(rise), steps)
    assert np.isfinite(rates).all()
    assert min(rates) > 0
    assert max(rates) <= 0.1
    if rise == 1.0:
        assert rates[-1] == 0.1


def test_warm_up_of_a_part_of_an_epoch_and_of_more_than_the_run() -> None:
    np.testing.assert_allclose(run(WarmUp(0.5), 1, 4)[0], [0.1 / 3, 0.2 / 3, 0.1, 0.1])
    np.testing.assert_allclose(run(Cosine(warm_up=9), 1, 2)[0], [0.1 / 19, 0.2 / 19])
    assert run(WarmUp(0), 1, 2)[0] == [0.1, 0.1]


# --- in a training run ----------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [Constant(), InverseScaling(), Adaptive()], ids=repr)
def test_rates_of_an_epoch_are_the_same_bits(schedule: EpochSchedule) -> None:
    rates, history, _ = run(schedule, 6, 5, start=Position(examples=11))
    expected = [schedule.rate(0.1, Position(i, 0, 11 + 9 * i, 6, 0.1)) for i in range(6)]
    assert rates == [rate for rate in expected for _ in range(5)]
    assert history.learning_rate == expected


def test_adaptive_divides_on_a_plateau_then_stops() -> None:
    rates, history, plan = run(
        Adaptive(min_lr=0.001), 100, 1, stopping=EarlyStopping(tol=1e-9, patience=2)
    )
    assert history.stopped_by == "no improvement"
    assert sorted(set(rates), reverse=True) == pytest.approx([0.1, 0.02, 0.004, 0.0008])
    assert plan.learning_rate == rates[-1]


@pytest.mark.parametrize("rate", np.random.default_rng(0).uniform(1e-5, 1.0, 50))
def test_the_default_factor_divides_by_five_to_the_bit(rate: float) -> None:
    """scikit-learn computes ``learning_rate / 5``."""
    assert Adaptive().on_plateau(rate) == rate / 5


def test_reduce_on_plateau_watches_the_metric_of_early_stopping() -> None:
    """The training loss falls and the validation loss does not; the validation loss counts."""
    falling = [1 / (i + 1) for i in range(9)]
    more = {"validation": lambda state: Metrics(loss=1.0)}
    rates, history, plan = run(ReduceOnPlateau(0.5, patience=1), 9, 1, falling, **more)
    assert rates == [0.1] * 3 + [0.05] * 2 + [0.025] * 2 + [0.0125] * 2
    assert history.learning_rate == rates
    assert len(set(run(ReduceOnPlateau(0.5, patience=1), 9, 1, falling)[0])) == 1
    assert plan.schedule_state.best == 1.0


def test_reduce_on_plateau_has_a_patience_of_its_own() -> None:
    rates, history, _ = run(
        ReduceOnPlateau(0.5, patience=1), 50, 1, stopping=EarlyStopping(tol=1e-9, patience=5)
    )
    assert history.stopped_by == "no improvement"
    assert len(rates) == 7
    assert rates == [0.1] * 3 + [0.05] * 2 + [0.025] * 2


def test_the_memory_of_a_schedule_continues_in_the_next_run() -> None:
    schedule = ReduceOnPlateau(0.5, patience=2)
    whole = run(schedule, 8)[0]
    pieces: list[float] = []
    position = Position()
    for _ in range(8):
        rates, _, position = run(schedule, 1, start=position)
        pieces += rates
    assert pieces == whole
    assert schedule == ReduceOnPlateau(0.5, patience=2)


def test_a_metric_of_nan_is_no_progress() -> None:
    figures = iter([math.nan] * 6)
    more = {"validation": lambda state: Metrics(loss=next(figures))}
    assert (
        run(ReduceOnPlateau(0.5, patience=1), 6, **more)[0] == [0.1] * 2 + [0.05] * 2 + [0.025] * 2
    )


def test_min_lr_never_raises_a_rate() -> None:
    schedule = ReduceOnPlateau(0.5, patience=0, min_lr=1.0)
    assert run(schedule, 5)[0] == [0.1] * 5


@dataclass(frozen=True)
class Broken(EpochSchedule):
    """An invalid schedule of a user: a wrong number of rates, or a negative rate."""

    shape: int
    value: float

    def rates(self, initial: float, position: Position, n_steps: int) -> Any:
        return np.full(self.shape, self.value)


@pytest.mark.parametrize(("shape", "value"), [(1, 0.1), (3, -0.1), (3, math.nan)])
def test_invalid_rates_are_refused(shape: int, value: float) -> None:
    with pytest.raises(SpecError, match=r"schedule must give 3 rates.*Broken.rates"):
        run(Broken(shape, value), 1, 3)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InverseScaling(-1), r"power must be in \[0, inf\]; got -1"),
        (lambda: Adaptive(factor=1), r"factor must be in \(0, 1\); got 1"),
        (lambda: Adaptive(min_lr=-1), r"min_lr must be in \[0, inf\]; got -1"),
        (lambda: InverseTime(-0.1), r"decay must be in \[0, inf\); got -0.1"),
        (lambda: Exponential(0), r"decay must be in \(0, 1\]; got 0"),
        (lambda: Exponential(1.1), r"decay must be in \(0, 1\]; got 1.1"),
        (lambda: InverseSquareRoot(0), r"scale must be in \(0, inf\); got 0"),
        (
            lambda: PiecewiseConstant([], []),
            r"epochs and values must have the same number of entries",
        ),
        (
            lambda: PiecewiseConstant([1, 2], [0.1]),
            r"same number of entries, at least one; got 2 and 1",
        ),
        (
            lambda: PiecewiseConstant([2, 1], [0.1, 0.2]),
            r"epochs must be in ascending order; got \(2, 1\). Sort",
        ),
        (
            lambda: PiecewiseConstant([1, 1], [0.1, 0.2]),
            r"epochs must be in ascending order; got \(1, 1\)",
        ),
        (
            lambda: PiecewiseConstant([-1], [0.1]),
            r"epochs must be an integer of at least 0; got -1",
        ),
        (lambda: PiecewiseConstant([1], [0.0]), r"values must be in \(0, inf\); got 0.0"),
        (
            lambda: PiecewiseConstant(3, [0.1]),
            r"epochs must be a sequence with one entry per change.*got 3",
        ),
        (
            lambda: PiecewiseConstant([1], "0"),
            r"values must be a sequence with one entry per change.*got '0'",
        ),
        (lambda: StepDecay(0), r"every must be an integer of at least 1; got 0"),
        (lambda: StepDecay(factor=2), r"factor must be in \(0, 1\]; got 2"),
        (lambda: WarmUp(-1), r"epochs must be in \[0, inf\); got -1"),
        (lambda: Cosine(warm_up=-1), r"warm_up must be in \[0, inf\); got -1"),
        (lambda: Cosine(min_lr=-1), r"min_lr must be in \[0, inf\); got -1"),
        (lambda: FlatCosine(1.0), r"flat must be in \[0, 1\); got 1"),
        (lambda: CosineLog(0), "cycles must be"),
        (lambda: OneCycle(rise=2), r"rise must be in \[0, 1\]; got 2"),
        (lambda: OneCycle(start=0.5), r"start must be in \[1, inf\); got 0.5"),
        (lambda: OneCycle(end=0), r"end must be in \[1, inf\); got 0"),
        (lambda: OneCycle(shape="cosin"), r"shape must be one of.*Did you mean 'cosine'"),
        (lambda: ReduceOnPlateau(1.0), r"factor must be in \(0, 1\); got 1.0"),
        (lambda: ReduceOnPlateau(patience=-1), r"patience must be an integer of at least 0"),
        (
            lambda: ReduceOnPlateau(cooldown=True),
            r"cooldown must be an integer of.*got True",
        ),
        (lambda: ReduceOnPlateau(threshold=-1), r"threshold must be in \[0, inf\); got -1"),
        (lambda: ReduceOnPlateau(min_lr=-1), r"min_lr must be in \[0, inf\); got -1"),
    ],
)
def test_bad_constants_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_schedules_are_frozen_and_compare_by_value() -> None:
    assert PiecewiseConstant([1, 2], [0.1, 0.2]) == PiecewiseConstant((1, 2), (0.1, 0.2))
    assert (
        len({PiecewiseConstant([1], [0.1]), PiecewiseConstant([1], [0.1]), Cosine(), Cosine(0.0)})
        == 2
    )
    with pytest.raises(AttributeError):
        Cosine().min_lr = 1.0  # type: ignore[misc]
