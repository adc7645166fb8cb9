"""Anchor: a published result, how it is reproduced, and the goals that the runs must meet."""

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
    """Size of the runs at one scale; ``rows`` training rows are used, None means all."""

    epochs: int
    seeds: tuple[int, ...] = (0,)
    rows: int | None = None


@dataclass(frozen=True)
class Task:
    """One run: the argument of an anchor's ``fit``; long runs resume from ``checkpoint``."""

    variant: str
    seed: int
    epochs: int
    images: Images
    n_threads: int
    checkpoint: Path


@dataclass(frozen=True)
class Outcome:
    """Result of one run: the test error in percent, and the curves by epoch."""

    test_error: float
    loss: Sequence[float]  # training loss by epoch
    test_errors: Sequence[float] = ()  # in percent by epoch; never used for a choice

    @classmethod
    def of(cls, history: Any) -> Outcome:
        """Return the last epoch's outcome of a history whose ``validation`` is the test set."""
        errors = [100 * (1 - score) for score in history.validation_score]
        return cls(errors[-1], history.loss, errors)


Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Records of an anchor's runs, by variant."""


@dataclass(frozen=True)
class Goal:
    """A condition on the results; ``measure`` returns a number and whether it meets the goal."""

    text: str
    measure: Callable[[Results], tuple[str, bool]]

    @classmethod
    def error_at_most(cls, variant: str, percent: float) -> Goal:
        """Upper bound on the mean test error over seeds."""

        def measure(results: Results) -> tuple[str, bool]:
            mean = float(np.mean([run["test_error"] for run in results[variant]]))
            return f"{mean:.2f} %", round(mean, 4) <= percent

        return cls(f"{variant}: test error ≤ {percent:.2f} %", measure)

    @classmethod
    def range_holds(cls, variant: str, percent: float) -> Goal:
        """The published lowest error lies within the range of our runs' lowest errors."""

        def measure(results: Results) -> tuple[str, bool]:
            lowest = [min(run["test_errors"]) for run in results[variant]]
            low, high = min(lowest), max(lowest)
            return f"{low:.2f} to {high:.2f} %", low <= percent <= high

        return cls(f"{variant}: {percent:.2f} % among the runs' lowest test errors", measure)

    @classmethod
    def accuracy_near(cls, variant: str, accuracy: float, within: float) -> Goal:
        """Mean test accuracy over seeds within a distance of the published one."""

        def measure(results: Results) -> tuple[str, bool]:
            mean = float(np.mean([1 - run["test_error"] / 100 for run in results[variant]]))
            return f"{mean:.4f}", abs(mean - accuracy) <= within + 1e-12

        return cls(f"{variant}: test accuracy {accuracy} ± {within}", measure)

    @classmethod
    def error_close(cls, variant: str, other: str, within: float) -> Goal:
        """Mean test errors of two variants differ by at most ``within`` percentage points."""

        def measure(results: Results) -> tuple[str, bool]:
            a, b = (
                float(np.mean([r["test_error"] for r in results[key]])) for key in (variant, other)
            )
            return f"{a:.2f} % and {b:.2f} %", abs(a - b) <= within

        return cls(f"{variant}: test error within {within} points of {other}", measure)

    @classmethod
    def sooner_below(cls, variant: str, other: str, percent: float) -> Goal:
        """One variant falls below a test error in fewer epochs than another, on average."""

        def epoch(run: Mapping[str, Any]) -> int:
            errors = run["test_errors"]
            return next((i for i, e in enumerate(errors, 1) if e < percent), len(errors) + 1)

        def measure(results: Results) -> tuple[str, bool]:
            a, b = (float(np.mean([epoch(run) for run in results[k]])) for k in (variant, other))
            return f"epoch {a:.1f} and {b:.1f}", a < b

        return cls(f"test error of {variant} below {percent:g} % sooner than of {other}", measure)

    @classmethod
    def in_order(cls, lower: str, higher: str, what: str = "test_error") -> Goal:
        """Final mean of one variant is below that of another."""
        name = "test error" if what == "test_error" else "training loss"

        def end(run: Mapping[str, Any]) -> float:
            return float(run["test_error"] if what == "test_error" else run["loss"][-1])

        def measure(results: Results) -> tuple[str, bool]:
            low, high = (
                float(np.mean([end(run) for run in results[variant]]))
                for variant in (lower, higher)
            )
            return f"{low:.4g} and {high:.4g}", low < high

        return cls(f"{name} of {lower} below {higher}", measure)


@dataclass(frozen=True)
class Anchor:
    """A published result and its reproduction.

    ``published`` has the source's number for every variant: the test error in percent (100 minus
    an accuracy), or a description of a curve. ``plans`` has the size of the runs at the scales
    "smoke", "full" and optionally "long"; ``differences`` says how our runs differ from the source.
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
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that are compared."""
        return tuple(self.published)

    def curve(self, results: Results) -> str:
        """Return the key of the curve that is drawn: test error, or training loss.

        The training loss is drawn if a goal is about it, or if a run has no test errors by epoch.
        """
        whole = all(run["test_errors"] for runs in results.values() for run in runs)
        judged = any("loss" in goal.text for goal in self.goals)
        return "test_errors" if whole and not judged else "loss"

    def task(self, variant: str, seed: int, scale: str, n_threads: int, checkpoint: Path) -> Task:
        """Return the argument of ``fit`` for one run."""
        plan = self.plans[scale]
        images = load_images(self.data, plan.rows, substitute=scale == "smoke")
        return Task(variant, seed, plan.epochs, images, n_threads, checkpoint)
