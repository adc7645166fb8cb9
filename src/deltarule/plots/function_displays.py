"""Displays of functions: activations and losses with derivatives, learning-rate schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.functions import ACTIVATIONS, Activation, losses
from deltarule.plots.axes import BLUE, GREY, ORANGE
from deltarule.plots.display import Display
from deltarule.schedules import Position, Schedule, resolve_schedule
from deltarule.training import History
from deltarule.utils.checks import check_between, check_name, check_positive_integer, check_sequence

__all__ = ["ActivationDisplay", "LossDisplay", "ScheduleDisplay"]

_TARGETS = {"binary_cross_entropy": 1.0, "sigmoid_cross_entropy": 1.0, "poisson": 2.0}
_RANGES = {"binary_cross_entropy": (0.15, 0.99), "poisson": (0.4, 6.0)}


def _check_ends(low: float, high: float) -> None:
    """Raise ``SpecError`` unless these are the ends of an interval."""
    for name, end in (("low", low), ("high", high)):
        check_between(name, end, open_low=True, open_high=True)
    if not low < high:
        raise SpecError(f"low must be below high; got {low!r} and {high!r}.")


class ActivationDisplay(Display):
    """An activation g and its derivative g' over an interval (items A1-A5, A7).

    Attributes
    ----------
    name : str
    z, value, derivative : (m,) arrays

    Examples
    --------
    >>> from deltarule.plots import ActivationDisplay
    >>> display = ActivationDisplay.from_name("tanh")
    >>> display.ax_.get_title()
    'tanh'
    """

    def __init__(self, name: str, z: Any, value: Any, derivative: Any) -> None:
        self.name, self.z, self.value, self.derivative = name, z, value, derivative

    @classmethod
    def from_name(
        cls, name: str, *, low: float = -4.0, high: float = 4.0, ax: Any = None
    ) -> ActivationDisplay:
        """Draw an activation and its derivative.

        Parameters
        ----------
        name : str
            Of an elementwise activation of `deltarule.functions`.
        low, high : float, default=-4, 4
            The interval of z.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        elementwise = {n: f for n, f in ACTIVATIONS.items() if isinstance(f, Activation)}
        g = elementwise[check_name("name", name, elementwise)]
        _check_ends(low, high)
        z = np.linspace(low, high, 401)
        return cls(name, z, g(z), g.derivative(z)).plot(ax)

    def _draw(self, ax: Any) -> None:
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.plot(self.z, self.value, color=BLUE, linewidth=2, label="g(z)")
        ax.plot(self.z, self.derivative, color=ORANGE, linewidth=2, linestyle="--", label="g'(z)")
        ax.set_xlabel("z")
        ax.set_title(self.name)
        ax.legend(frameon=False)


class LossDisplay(Display):
    """A loss L and its derivative ∂L/∂a over the outputs a, at one target (items L1, L3, L4).

    Attributes
    ----------
    name : str
    target : float
    a, value, derivative : (m,) arrays

    Examples
    --------
    >>> from deltarule.plots import LossDisplay
    >>> LossDisplay.from_name("huber", target=1.0).ax_.get_title()
    'huber, y = 1'
    """

    def __init__(self, name: str, target: float, a: Any, value: Any, derivative: Any) -> None:
        self.name, self.target = name, target
        self.a, self.value, self.derivative = a, value, derivative

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        target: float | None = None,
        low: float | None = None,
        high: float | None = None,
        ax: Any = None,
    ) -> LossDisplay:
        """Draw a loss and its derivative.

        Parameters
        ----------
        name : str
            Of a loss of `deltarule.functions` of single numbers: "squared_error",
            "absolute_error", "huber", "quantile", "poisson", "binary_cross_entropy" (of a
            probability) or "sigmoid_cross_entropy" (of a logit).
        target : float, optional
            y; by default 0, of cross-entropies 1, of Poisson 2.
        low, high : float, optional
            The interval of outputs; by default the domain near the target.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        names = [n for n in losses.LOSSES if not n.startswith(("categorical", "softmax"))]
        loss = losses.LOSSES[check_name("name", name, names)]
        y = _TARGETS.get(name, 0.0) if target is None else target
        ends = _RANGES.get(name, (-4.0, 4.0))
        low, high = ends[0] if low is None else low, ends[1] if high is None else high
        check_between("target", y, open_low=True, open_high=True)
        _check_ends(low, high)
        a = np.linspace(low, high, 401)
        return cls(name, y, a, loss(a, y), loss.derivative(a, y)).plot(ax)

    def _draw(self, ax: Any) -> None:
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.axvline(self.target, color=GREY, linewidth=0.8, linestyle=":")
        ax.plot(self.a, self.value, color=BLUE, linewidth=2, label="L(a, y)")
        ax.plot(self.a, self.derivative, color=ORANGE, linewidth=2, linestyle="--", label="∂L/∂a")
        ax.set_xlabel("z, a logit" if self.name == "sigmoid_cross_entropy" else "a")
        ax.set_title(f"{self.name}, y = {self.target:g}")
        ax.legend(frameon=False)


class ScheduleDisplay(Display):
    """The learning rate of every step of a training, by a schedule (item O7).

    Attributes
    ----------
    epochs : (m,) array
        The place of every step, in epochs.
    rates : (m,) array
        Its learning rate.
    name : str
    """

    def __init__(self, epochs: Any, rates: Any, name: str) -> None:
        self.epochs, self.rates, self.name = epochs, rates, name

    @classmethod
    def from_schedule(
        cls,
        schedule: str | Schedule,
        *,
        learning_rate: float = 0.01,
        epochs: int = 50,
        steps_per_epoch: int = 20,
        metrics: Sequence[float] | None = None,
        ax: Any = None,
    ) -> ScheduleDisplay:
        """Draw the rates that a schedule gives.

        Parameters
        ----------
        schedule : str or a schedule
            Such as "cosine" or ``OneCycle()``.
        learning_rate : float, default=0.01
            The optimiser's rate η₀.
        epochs, steps_per_epoch : int, default=50, 20
            The length of the training.
        metrics : sequence of float, optional
            The loss after each epoch, for schedules that wait for progress; by default it falls
            for half of the epochs, and then stands still.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        made = resolve_schedule(schedule)
        check_positive_integer("epochs", epochs)
        check_positive_integer("steps_per_epoch", steps_per_epoch)
        check_between("learning_rate", learning_rate, 0.0, 1e100, open_low=True)
        if metrics is None:
            metrics = [1 / (1 + min(i, epochs // 2)) for i in range(epochs)]
        metrics = check_sequence("metrics", metrics, "a list of losses, one for each epoch")
        if len(metrics) < epochs:
            raise SpecError(f"metrics must have a loss for each of {epochs} epochs; got "
                            f"{len(metrics)}.")  # fmt: skip
        for metric in metrics:
            check_between("metrics", metric)
        position = Position(planned_epochs=epochs)
        rates = []
        for epoch in range(epochs):
            own = np.asarray(made.rates(learning_rate, position, steps_per_epoch))
            rates.append(own)
            state, current = made.observe(
                position.schedule_state, metrics[epoch], float(own[-1]), maximize=False
            )
            steps = (epoch + 1) * steps_per_epoch
            position = position._replace(
                epochs=epoch + 1, steps=steps, examples=steps, learning_rate=current,
                schedule_state=state,
            )  # fmt: skip
        place = np.arange(epochs * steps_per_epoch) / steps_per_epoch
        return cls(place, np.concatenate(rates), type(made).__name__).plot(ax)

    @classmethod
    def from_history(cls, history: History, *, ax: Any = None) -> ScheduleDisplay:
        """Draw the rates of a training, each epoch's last."""
        if not isinstance(history, History) or not history.learning_rate:
            raise SpecError("history must be the History of a training with steps, from train.")
        rates = np.asarray(list(history.learning_rate))
        return cls(np.arange(1, len(rates) + 1), rates, "learning rate by epoch").plot(ax)

    def _draw(self, ax: Any) -> None:
        ax.plot(self.epochs, self.rates, color=BLUE, linewidth=2)
        ax.set_xlabel("epoch")
        ax.set_ylabel("learning rate")
        ax.set_ylim(bottom=0)
        ax.set_title(self.name)
