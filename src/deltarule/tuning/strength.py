"""The protocol for a strength of regularisation: train, choose on dev, report once on test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.metrics import mean_loss
from deltarule.utils.checks import check_call, check_name, check_sequence, is_number, shown

__all__ = ["StrengthChoice", "choose_strength"]

Criterion: TypeAlias = Literal["error", "loss"] | Callable[[Any, Any, Any], float]


@dataclass(frozen=True)
class StrengthChoice:
    """The result of :func:`choose_strength`; ``str()`` is its table.

    Attributes
    ----------
    strengths : tuple
        What was tried.
    train, dev : tuple of float
        The criterion on both sets, for each strength.
    chosen : float
        The strength with the lowest criterion on dev; of equal ones the largest strength.
    test : float or None
        The criterion of the chosen model on the test set, measured once.
    model : estimator
        The chosen model, fitted to the training set.
    """

    strengths: tuple[float, ...]
    train: tuple[float, ...]
    dev: tuple[float, ...]
    chosen: float
    test: float | None
    model: Any

    def __str__(self) -> str:
        """Return one line for each strength, and the test's."""
        lines = [f"{'strength':>10} {'train':>10} {'dev':>10}"]
        for strength, train, dev in zip(self.strengths, self.train, self.dev, strict=True):
            mark = "  chosen" if strength == self.chosen else ""
            lines.append(f"{strength:>10g} {train:>10.4g} {dev:>10.4g}{mark}")
        if self.test is not None:
            lines.append(f"On the test set: {self.test:.4g}.")
        return "\n".join(lines)


def choose_strength(
    estimator: Any,
    train: tuple[Any, Any],
    dev: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    strengths: Sequence[float],
    parameter: str = "alpha",
    criterion: Criterion = "error",
) -> StrengthChoice:
    """Return the strength λ of regularisation that is best on the dev set (item T1; Matt R §5).

    For every λ a new estimator is fitted to the training set. The lowest criterion on the dev set
    decides; it never includes the penalty, which would make λ = 0 look best. The test set is
    looked at once, for the chosen model, so that its number is not part of any choice.

    Parameters
    ----------
    estimator : classifier or regressor
        What is fitted, cloned for each strength; its other arguments stay.
    train, dev : (X, y)
        The sets to fit and to choose on.
    test : (X, y), optional
        The set that the result is reported on.
    strengths : sequence of float
        The values of λ, each tried once; usually powers of ten, with 0 for none.
    parameter : str, default="alpha"
        The argument of the estimator that takes λ, such as "l1" or "mlp__alpha" in a pipeline.
    criterion : {"error", "loss"} or callable, default="error"
        "error" is the share of wrong classes, or the mean squared error; "loss" is the unpenalised
        loss of `deltarule.metrics.mean_loss`; a callable is ``criterion(model, X, y)``, lower is
        better.

    Returns
    -------
    choice : StrengthChoice

    Raises
    ------
    SpecError
        If an argument is not of its form, or the estimator has no such parameter.
    DataError
        If the criterion of a strength is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import MLPRegressor
    >>> from deltarule.tuning import choose_strength
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 20))
    >>> y = X[:, 0] + rng.normal(size=60)              # 19 of 20 inputs are noise
    >>> model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", max_iter=500)
    >>> choice = choose_strength(
    ...     model, (X[:30], y[:30]), (X[30:], y[30:]), strengths=[0, 0.1, 1, 10, 100]
    ... )
    >>> choice.chosen
    10
    """
    from sklearn.base import clone

    if not hasattr(estimator, "get_params"):
        raise SpecError(
            f"estimator must be one of scikit-learn's kind, with get_params; got "
            f"{shown(estimator)}."
        )
    if not isinstance(parameter, str) or parameter not in estimator.get_params():
        raise SpecError(
            f"parameter must be an argument of the estimator; got {shown(parameter)}. "
            "estimator.get_params() names them."
        )
    values = check_sequence("strengths", strengths, "a list such as [0, 1e-4, 1e-3]")
    if not all(is_number(value) and np.isfinite(value) for value in values):
        raise SpecError(f"strengths must be finite numbers; got {shown(strengths)}.")
    if not values or len(set(values)) < len(values):
        raise SpecError(f"strengths must be different, at least one; got {shown(strengths)}.")
    sets = {"train": train, "dev": dev} | ({} if test is None else {"test": test})
    for name, pair in sets.items():
        _check_set(name, pair)
    measure = _measure(criterion)
    models, found = [], []
    for value in values:
        model = clone(estimator).set_params(**{parameter: value}).fit(*train)
        models.append(model)
        found.append((measure(model, *train), measure(model, *dev)))
        if not np.isfinite(found[-1]).all():
            raise DataError(
                f"criterion must be a finite number; at {parameter}={value:g} it is "
                f"{found[-1][0]:g} on train and {found[-1][1]:g} on dev."
            )
    best = min(range(len(values)), key=lambda i: (found[i][1], -values[i]))
    return StrengthChoice(
        strengths=values,
        train=tuple(on_train for on_train, _ in found),
        dev=tuple(on_dev for _, on_dev in found),
        chosen=values[best],
        test=None if test is None else measure(models[best], *test),
        model=models[best],
    )


def _check_set(name: str, pair: Any) -> None:
    """Raise unless a set is (X, y), with a row of X for each entry of y."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise SpecError(f"{name} must be (X, y); got {shown(pair)}.")
    X, y = pair
    if not all(hasattr(part, "shape") or isinstance(part, list | tuple) for part in pair):
        raise DataError(f"{name} must be (X, y), two arrays; got {shown(pair)}.")
    rows = [part.shape[:1] if hasattr(part, "shape") else (len(part),) for part in (X, y)]
    numbers = getattr(getattr(X, "dtype", None), "kind", "-") in "biuf" and len(X.shape) == 1
    if rows[0] != rows[1] or rows[0] in ((), (0,)) or numbers:
        raise DataError(
            f"{name} must be (X, y) with X of shape (n, d) and n targets, n ≥ 1; got shapes "
            f"{getattr(X, 'shape', rows[0])} and {getattr(y, 'shape', rows[1])}."
        )


def _measure(criterion: Criterion) -> Callable[[Any, Any, Any], float]:
    if callable(criterion):
        check_call("criterion", criterion, "criterion(model, X, y)", 3)
        return lambda model, X, y: float(criterion(model, X, y))
    check_name("criterion", criterion, ("error", "loss"))
    return _error if criterion == "error" else mean_loss


def _error(model: Any, X: Any, y: Any) -> float:
    from sklearn.base import is_classifier

    if is_classifier(model):
        return 1.0 - float(model.score(X, y))
    residual = np.asarray(model.predict(X), dtype=np.float64) - np.asarray(y, dtype=np.float64)
    return float(np.mean(np.square(residual)))
