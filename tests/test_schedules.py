"""How the learning rate changes, alone and in a training run."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import SGD, Adaptive, Constant, Dense, InverseScaling, Network, Stopping, train
from deltarule.errors import SpecError
from deltarule.schedules import Clock
from support import proves

X, Y = np.linspace(-1, 1, 10)[:, None], np.linspace(-1, 1, 10)


def run(schedule: Any, epochs: int = 6, **given: Any) -> Any:
    net = Network(1, [Dense(1)])
    return train(
        net, net.initialize(0), X, Y, optimizer=SGD(0.1), epochs=epochs, schedule=schedule, **given
    )


def test_constant_is_constant() -> None:
    assert run(Constant()).learning_rate == run(None).learning_rate == [0.1] * 6
    assert Constant().on_plateau(0.1) is None


@proves(
    short=30,
    full=1000,
    initial=st.floats(1e-6, 10),
    power=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    t=st.integers(0, 10**9),
)
def test_inverse_scaling(initial: float, power: float, t: int) -> None:
    """η₀/(t + 1)^power, t the examples seen."""
    rate = InverseScaling(power).rate(initial, 123.0, Clock(0, t))
    with mpmath.workdps(50):
        exact = mpmath.mpf(initial) / mpmath.mpf(t + 1) ** power
    assert rate == pytest.approx(float(exact), rel=1e-14)


def test_inverse_scaling_counts_examples() -> None:
    rates = run(InverseScaling(0.5)).learning_rate
    np.testing.assert_allclose(rates, 0.1 / np.sqrt(10.0 * np.arange(6) + 1), rtol=1e-14)
    assert InverseScaling().on_plateau(0.1) is None


def test_adaptive_divides_on_a_plateau_and_stops_when_small() -> None:
    """A tolerance that nothing meets: after two stale epochs the rate falls by 5, to the end."""
    history = run(Adaptive(5.0, smallest=1e-3), epochs=100, stopping=Stopping(tol=1e9, patience=1))
    # The first epoch has nothing to better; then every second stale epoch is a plateau.
    assert history.learning_rate == pytest.approx(
        [0.1] * 3 + [0.02] * 2 + [0.004] * 2 + [0.0008] * 2
    )
    assert history.stopped_by == "no improvement"


def test_without_adaptive_a_plateau_ends_the_run() -> None:
    history = run(Constant(), epochs=100, stopping=Stopping(tol=1e9, patience=1))
    assert (history.n_epochs, history.stopped_by) == (3, "no improvement")


def test_a_schedule_is_what_answers_the_two_questions() -> None:
    class Table:
        """The manual decay of O7: a table of epochs."""

        def rate(self, initial: float, current: float, clock: Clock) -> float:
            assert clock.examples == 10 * clock.epoch
            return initial * [1.0, 0.5, 0.25][min(clock.epoch, 2)]

        def on_plateau(self, current: float) -> None:
            return None

    assert run(Table(), epochs=4).learning_rate == pytest.approx([0.1, 0.05, 0.025, 0.025])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: InverseScaling(-0.5), r"power must be in \[0, inf\]; got -0\.5"),
        (lambda: Adaptive(1.0), r"divisor must be in \(1, inf\]; got 1\.0"),
        (lambda: Adaptive(5.0, -1.0), "smallest must be in"),
        (lambda: InverseScaling("half"), "power must be a number"),
    ],
)
def test_constants_out_of_range_are_named(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()
