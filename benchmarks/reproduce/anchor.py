"""What an anchor is: a published result, how we run it, and what counts as reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reproduce.images import Images, load_images

__all__ = ["Anchor", "Goal", "Outcome", "Plan", "Results", "Task"]


@dataclass(frozen=True)
class Plan:
    """How an anchor runs at one scale; ``rows`` training rows are used, None means all."""

    epochs: int
    seeds: tuple[int, ...] = (0,)
    rows: int | None = None


@dataclass(frozen=True)
class Task:
    """One run: what an anchor's ``fit`` is given; long ones go on from ``checkpoint``."""

    arm: str
    seed: int
    epochs: int
    images: Images
    n_threads: int
    checkpoint: Path


@dataclass(frozen=True)
class Outcome:
    """What one run came to: the error on the test set, in percent, and how it went."""

    test_error: float
    loss: Sequence[float]  # training loss, epoch by epoch
    test_errors: Sequence[float] = ()  # in percent, epoch by epoch; it chooses nothing

    @classmethod
    def of(cls, history: Any) -> Outcome:
        """Return what a history with the test set as ``validation`` says; the last epoch counts."""
        errors = [100 * (1 - score) for score in history.validation_score]
        return cls(errors[-1], history.loss, errors)


Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""The records of an anchor's runs, by arm."""


@dataclass(frozen=True)
class Goal:
    """What must hold of the results; ``measure`` returns a number and whether it is good enough."""

    text: str
    measure: Callable[[Results], tuple[str, bool]]

    @classmethod
    def error_at_most(cls, arm: str, percent: float) -> Goal:
        """The mean test error over seeds."""

        def measure(results: Results) -> tuple[str, bool]:
            mean = float(np.mean([run["test_error"] for run in results[arm]]))
            return f"{mean:.2f} %", round(mean, 4) <= percent

        return cls(f"{arm}: test error ≤ {percent:.2f} %", measure)

    @classmethod
    def range_holds(cls, arm: str, percent: float) -> Goal:
        """A source's one figure, the lowest error of a run's epochs, within the range of ours."""

        def measure(results: Results) -> tuple[str, bool]:
            lowest = [min(run["test_errors"]) for run in results[arm]]
            low, high = min(lowest), max(lowest)
            return f"{low:.2f} to {high:.2f} %", low <= percent <= high

        return cls(f"{arm}: {percent:.2f} % among the runs' lowest test errors", measure)

    @classmethod
    def accuracy_near(cls, arm: str, accuracy: float, within: float) -> Goal:
        """The mean test accuracy over seeds, from both sides."""

        def measure(results: Results) -> tuple[str, bool]:
            mean = float(np.mean([1 - run["test_error"] / 100 for run in results[arm]]))
            return f"{mean:.4f}", abs(mean - accuracy) <= within + 1e-12

        return cls(f"{arm}: test accuracy {accuracy} ± {within}", measure)

    @classmethod
    def error_close(cls, arm: str, other: str, within: float) -> Goal:
        """Two arms' mean test errors, as close as given, in points."""

        def measure(results: Results) -> tuple[str, bool]:
            a, b = (float(np.mean([r["test_error"] for r in results[key]])) for key in (arm, other))
            return f"{a:.2f} % and {b:.2f} %", abs(a - b) <= within

        return cls(f"{arm}: test error within {within} points of {other}", measure)

    @classmethod
    def sooner_below(cls, arm: str, other: str, percent: float) -> Goal:
        """One arm's test error first below a level in fewer epochs than another's, on average."""

        def epoch(run: Mapping[str, Any]) -> int:
            errors = run["test_errors"]
            return next((i for i, e in enumerate(errors, 1) if e < percent), len(errors) + 1)

        def measure(results: Results) -> tuple[str, bool]:
            a, b = (float(np.mean([epoch(run) for run in results[k]])) for k in (arm, other))
            return f"epoch {a:.1f} and {b:.1f}", a < b

        return cls(f"test error of {arm} below {percent:g} % sooner than of {other}", measure)

    @classmethod
    def in_order(cls, lower: str, higher: str, what: str = "test_error") -> Goal:
        """One arm's mean, at the end, below another's."""
        name = "test error" if what == "test_error" else "training loss"

        def end(run: Mapping[str, Any]) -> float:
            return float(run["test_error"] if what == "test_error" else run["loss"][-1])

        def measure(results: Results) -> tuple[str, bool]:
            low, high = (
                float(np.mean([end(run) for run in results[arm]])) for arm in (lower, higher)
            )
            return f"{low:.4g} and {high:.4g}", low < high

        return cls(f"{name} of {lower} below {higher}", measure)


@dataclass(frozen=True)
class Anchor:
    """A published result, and its reproduction.

    ``published`` has the source's figure for every arm: the error on the test set in percent (100
    minus an accuracy), or what a curve of it says. ``plans`` says how it runs at the scales
    "smoke", "full" and perhaps "long"; ``differences`` names what is not as in the source.
    """

    name: str
    title: str
    source: str
    published: Mapping[str, float | str]
    fit: Callable[[Task], Outcome]
    plans: Mapping[str, Plan]
    goals: Sequence[Goal]
    data: str = "mnist"
    long_goals: Sequence[Goal] = ()
    differences: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """The variants that are compared."""
        return tuple(self.published)

    def curve(self, results: Results) -> str:
        """Return the key of what is drawn: the test error, or the training loss where that counts.

        A run without test errors by epoch has its training loss alone.
        """
        whole = all(run["test_errors"] for runs in results.values() for run in runs)
        judged = any("loss" in goal.text for goal in self.goals)
        return "test_errors" if whole and not judged else "loss"

    def task(self, arm: str, seed: int, scale: str, n_threads: int, checkpoint: Path) -> Task:
        """Return what one run is given."""
        plan = self.plans[scale]
        images = load_images(self.data, plan.rows, stand_in=scale == "smoke")
        return Task(arm, seed, plan.epochs, images, n_threads, checkpoint)
