"""Displays over a plane or a spectrum: boundaries, costs, thresholds, curvature, shrinkage."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from deltarule.analysis.shrinkage import Shrinkage
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.network import Network
from deltarule.plots.arguments import (
    check_estimator,
    check_network,
    finite_numbers,
    two_classes,
)
from deltarule.plots.axes import BLUE, GREY, ORANGE
from deltarule.plots.display import Display
from deltarule.program import State
from deltarule.utils.checks import check_call, check_count, shown

__all__ = [
    "BoundaryDisplay",
    "CostContourDisplay",
    "HessianDisplay",
    "ShrinkageDisplay",
    "ThresholdDisplay",
]


class BoundaryDisplay(Display):
    """The outputs of a network with two inputs over a plane, and its decision boundary (item M3).

    For estimators use scikit-learn's ``DecisionBoundaryDisplay.from_estimator``.

    Attributes
    ----------
    x0, x1 : (m, m) arrays
        The grid.
    response : (m, m) array
        The output; of several classes the number of the likeliest.
    points : (n, 2) array
    labels : (n,) array
    """

    def __init__(self, x0: Any, x1: Any, response: Any, points: Any, labels: Any) -> None:
        self.x0, self.x1, self.response = x0, x1, response
        self.points, self.labels = points, labels

    @classmethod
    def from_network(
        cls,
        net: Network,
        state: State,
        X: Any,
        y: Any = None,
        *,
        resolution: int = 120,
        ax: Any = None,
    ) -> BoundaryDisplay:
        """Draw what a network says on the plane around rows.

        Parameters
        ----------
        net : Network
            With two inputs.
        state : State
            Its parameters.
        X : (n, 2) array
            Rows, which give the range.
        y : (n,) array, optional
            Their classes, as colours.
        resolution : int, default=120
            Points of the grid in each direction.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        check_network(net)
        check_count("resolution", resolution, least=2)
        points = finite_numbers("X", X)
        if net.n_inputs != 2 or points.ndim != 2 or points.shape[-1] != 2 or not len(points):
            raise ShapeError(
                f"a plane has two inputs: the network has {net.n_inputs}, X has shape "
                f"{points.shape}. Use a network with two inputs."
            )
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.12 * np.where(high > low, high - low, 1.0)
        axes = [np.linspace(a, b, resolution) for a, b in
                zip(low - margin, high + margin, strict=True)]  # fmt: skip
        x0, x1 = np.meshgrid(*axes)
        outputs = np.asarray(net.predict(state, np.column_stack([x0.ravel(), x1.ravel()])))
        response = outputs[:, 0] if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        labels = None
        if y is not None:
            labels = finite_numbers("y", y)
            if not labels.ndim or len(labels) != len(points):
                raise ShapeError(f"y must have {len(points)} rows, as X has; got {labels.shape}.")
            labels = labels.reshape(len(points), -1)
            labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
        return cls(x0, x1, response.reshape(x0.shape), points, labels).plot(ax)

    def _draw(self, ax: Any) -> None:
        classes = self.response.dtype.kind == "i"
        shown = ax.contourf(self.x0, self.x1, self.response, levels=20, cmap="RdBu", alpha=0.55)
        if not classes:
            self.figure_.colorbar(shown, ax=ax, label="output")
            if self.response.min() < 0.5 < self.response.max():
                ax.contour(self.x0, self.x1, self.response, levels=[0.5], colors="black")
        colour = BLUE if self.labels is None else self.labels
        ax.scatter(*self.points.T, c=colour, cmap="RdBu", edgecolors="black", linewidths=0.6, s=22)
        ax.set_xlabel("x1")
        ax.set_ylabel("x2")


class CostContourDisplay(Display):
    """Contours of a cost on a plane, with the path of an optimiser (items O1-O6).

    Attributes
    ----------
    u, v : (m, m) arrays
        Coordinates on the plane.
    cost : (m, m) array
    path : (t, 2) array
        The optimiser's steps on the plane.
    """

    def __init__(self, u: Any, v: Any, cost: Any, path: Any, names: tuple[str, str]) -> None:
        self.u, self.v, self.cost, self.path, self.names = u, v, cost, path, names

    @classmethod
    def from_path(
        cls,
        cost: Callable[[Any], float],
        path: Any,
        *,
        resolution: int = 60,
        ax: Any = None,
    ) -> CostContourDisplay:
        """Draw a cost around a path.

        Parameters
        ----------
        cost : callable
            θ (p,) -> float, such as ``lambda theta: net.loss_of(State(theta), X, y)``.
        path : (t, p) array
            θ after every step, t ≥ 2. Of more than two parameters the plane is that of the path's
            two largest principal components, through its end.
        resolution : int, default=60
            Points of the grid in each direction.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        check_call("cost", cost, "cost(theta)", 1)
        check_count("resolution", resolution, least=2)
        steps = finite_numbers("path", path)
        if steps.ndim != 2 or len(steps) < 2 or steps.shape[-1] < 2:
            raise ShapeError(
                f"path must have shape (t, p) with t ≥ 2 steps of p ≥ 2 parameters; got "
                f"{steps.shape}."
            )
        end = steps[-1]
        if steps.shape[-1:] == (2,):
            origin, basis, names = np.zeros(2), np.eye(2), ("θ1", "θ2")
        else:
            basis = np.linalg.svd(steps - end, full_matrices=False)[2][:2]
            if len(basis) < 2:
                basis = np.vstack([basis, np.roll(basis[0], 1)])
            origin, names = end, ("first component", "second component")
        places = (steps - origin) @ basis.T
        low, high = places.min(axis=0), places.max(axis=0)
        margin = 0.3 * max(float((high - low).max()), 1e-6)
        axes = [np.linspace(a - margin, b + margin, resolution) for a, b in
                zip(low, high, strict=True)]  # fmt: skip
        u, v = np.meshgrid(*axes)
        grid = origin + np.column_stack([u.ravel(), v.ravel()]) @ basis
        values = np.array([_cost_at(cost, theta) for theta in grid]).reshape(u.shape)
        return cls(u, v, values, places, names).plot(ax)

    def _draw(self, ax: Any) -> None:
        finite = self.cost[np.isfinite(self.cost)]
        if not len(finite):
            raise SpecError("cost is not finite around the path; choose a shorter path.")
        levels = np.unique(np.quantile(finite, np.linspace(0.01, 0.99, 18)))
        if len(levels) > 1:
            ax.contour(self.u, self.v, self.cost, levels=levels, cmap="viridis", linewidths=0.9)
        ax.plot(*self.path.T, color=ORANGE, linewidth=1.6, marker=".", markersize=4, label="steps")
        ax.plot(*self.path[0], "o", color=GREY, label="begin")
        ax.plot(*self.path[-1], "*", color="black", markersize=11, label="end")
        ax.set_xlabel(self.names[0])
        ax.set_ylabel(self.names[1])
        ax.legend(framealpha=0.85)


def _cost_at(cost: Callable[[Any], float], theta: Any) -> float:
    value = cost(theta)
    if np.ndim(value) or not isinstance(value, Real | np.ndarray):
        raise SpecError(f"cost must return a number; got {shown(value)}.")
    return float(value)


class ThresholdDisplay(Display):
    """Precision, recall and F1 of the rule "positive from t on", for all thresholds t (item E1).

    Attributes
    ----------
    thresholds, precision, recall, f1 : (m,) arrays
    """

    def __init__(self, thresholds: Any, precision: Any, recall: Any) -> None:
        self.thresholds, self.precision, self.recall = thresholds, precision, recall
        total = precision + recall
        self.f1 = 2 * precision * recall / np.where(total > 0, total, 1.0)

    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any, *, ax: Any = None) -> ThresholdDisplay:
        """Draw the curves of scores: probabilities of the positive class, 0/1 targets."""
        from sklearn.metrics import precision_recall_curve

        targets, scores = two_classes(y_true, y_score)
        if not targets.any():
            raise DataError("y_true must have a positive row, which recall counts; it has none.")
        precision, recall, thresholds = precision_recall_curve(targets, scores)
        return cls(thresholds, precision[:-1], recall[:-1]).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None) -> ThresholdDisplay:
        """Draw the curves of a fitted classifier of two classes, the second one positive."""
        check_estimator(estimator, "predict_proba")
        classes: Any = getattr(estimator, "classes_", ())
        if len(classes) != 2:
            raise SpecError(
                f"estimator must be a fitted classifier of two classes; got {len(classes)} classes."
            )
        scores = estimator.predict_proba(X)[:, 1]
        if np.shape(y) != scores.shape:
            raise ShapeError(
                f"y must have the shape {scores.shape}, one class a row; got {np.shape(y)}."
            )
        labels = np.asarray(y)
        if not np.isin(labels, classes).all():
            raise DataError(f"y has classes that are not the estimator's: {list(classes)}.")
        return cls.from_predictions(labels == classes[1], scores, ax=ax)

    def _draw(self, ax: Any) -> None:
        ax.plot(self.thresholds, self.precision, color=BLUE, label="precision")
        ax.plot(self.thresholds, self.recall, color=ORANGE, linestyle="--", label="recall")
        ax.plot(self.thresholds, self.f1, color=GREY, linestyle=":", label="F1")
        best = int(np.argmax(self.f1))
        ax.plot(self.thresholds[best], self.f1[best], "o", color="black",
                label=f"best F1 {self.f1[best]:.3f} at {self.thresholds[best]:.3f}")  # fmt: skip
        ax.set_xlabel("threshold")
        ax.set_ylim(-0.02, 1.02)
        ax.legend(framealpha=0.85)


class HessianDisplay(Display):
    """The eigenvalues of a Hessian in descending order: curvature by direction (items H5, R6).

    Attributes
    ----------
    eigenvalues : (m,) array
    """

    def __init__(self, eigenvalues: Any) -> None:
        self.eigenvalues = np.sort(np.ravel(finite_numbers("eigenvalues", eigenvalues)))[::-1]

    @classmethod
    def from_eigenvalues(cls, eigenvalues: Any, *, ax: Any = None) -> HessianDisplay:
        """Draw eigenvalues, such as those of `deltarule.hessian_eigenvalues`."""
        display = cls(eigenvalues)
        if not len(display.eigenvalues):
            raise SpecError("eigenvalues must be at least one number; got none.")
        return display.plot(ax)

    def _draw(self, ax: Any) -> None:
        place = np.arange(1, len(self.eigenvalues) + 1)
        negative = self.eigenvalues < 0
        ax.bar(place[~negative], self.eigenvalues[~negative], color=BLUE, label="positive")
        if negative.any():
            ax.bar(place[negative], self.eigenvalues[negative], color=ORANGE, label="negative")
            ax.legend(framealpha=0.85)
        largest = float(np.max(np.abs(self.eigenvalues))) or 1.0
        ax.set_yscale("symlog", linthresh=largest * 1e-4)
        ax.set_xlabel("direction")
        ax.set_ylabel("eigenvalue")


class ShrinkageDisplay(Display):
    """What L2 and early stopping keep of the weights in each direction of curvature (item R6).

    Attributes
    ----------
    eigenvalues, l2_factors, stopping_factors : (m,) arrays
    """

    def __init__(self, eigenvalues: Any, l2_factors: Any, stopping_factors: Any) -> None:
        self.eigenvalues, self.l2_factors = eigenvalues, l2_factors
        self.stopping_factors = stopping_factors

    @classmethod
    def from_table(cls, table: Shrinkage, *, ax: Any = None) -> ShrinkageDisplay:
        """Draw the table of `deltarule.shrinkage_table`."""
        if not isinstance(table, Shrinkage):
            raise SpecError(
                f"table must be what deltarule.shrinkage_table returns; got {shown(table)}."
            )
        kept = table.eigenvalues > 0
        if not kept.any():
            raise SpecError("table has no positive eigenvalue: it is not of a minimum.")
        return cls(table.eigenvalues[kept], table.l2_factors[kept],
                   table.stopping_factors[kept]).plot(ax)  # fmt: skip

    def _draw(self, ax: Any) -> None:
        ax.plot(self.eigenvalues, self.l2_factors, "o-", color=BLUE, label="L2: D/(D + s)")
        ax.plot(self.eigenvalues, self.stopping_factors, "s--", color=ORANGE,
                label="stopping: 1 − (1 − ηD)^τ")  # fmt: skip
        ax.set_xscale("log")
        ax.set_ylim(-0.02, 1.05)
        ax.set_xlabel("eigenvalue D of the Hessian")
        ax.set_ylabel("share of the weight that is kept")
        ax.legend(framealpha=0.85)
