"""Right calls of what shows a network, of plain functions, and of the estimators of tables."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import deltarule as dr
from deltarule import functions, plots
from support.estimators import unconverged
from support.public_calls import (
    CODES,
    FIT,
    NET,
    STATE,
    WEIGHT,
    Call,
    X,
    Y,
    axes,
    fitted,
    folder,
    fresh_file,
    of,
    on,
    used,
)  # fmt: skip

__all__ = ["view_calls"]

LABELS = np.array(["no", "yes"])[CODES]
TABLE = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "red", "blue"), "c": X[:, 2]})


@cache
def table_model(kind: str) -> Any:
    cls = dr.TabularClassifier if kind == "classifier" else dr.TabularRegressor
    with unconverged():
        model = cls(hidden_layer_sizes=(2,), max_iter=1)
        return model.fit(TABLE, LABELS if kind == "classifier" else Y)


def predicted(model: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
    with unconverged():
        return model.fit(X, y, sample_weight).predict(TABLE)


def drawn(function: Any, **given: Any) -> Call:
    """Return the call of a constructor of a display, on axes that are used again."""
    return Call(
        lambda ax=None, **k: function(ax=axes() if ax is None else ax, **k).ax_ is not None,
        given,
        signature=function,
    )


def _functions() -> dict[str, Call]:
    positive, share = np.abs(Y) + 0.1, np.clip(np.abs(Y), 0.1, 0.9)
    found = {}
    for name in functions.__all__:
        function = getattr(functions, name)
        if isinstance(function, dict):
            continue
        if isinstance(function, functions.LossFunction):
            a, y = {
                "binary_cross_entropy": (share, CODES.astype(float)),
                "categorical_cross_entropy": (
                    np.stack([share, 1 - share], 1), np.eye(2)[CODES]
                ),
                "sigmoid_cross_entropy": (Y, CODES.astype(float)),
                "softmax_cross_entropy": (np.stack([Y, -Y], 1), np.eye(2)[CODES]),
                "poisson": (positive, CODES.astype(float)),
            }.get(name, (Y, Y + 1))  # fmt: skip
            call = lambda a, y, function=function: (function(a, y), function.derivative(a, y))  # noqa: E731
            found[f"functions.{name}"] = Call(call, {"a": a, "y": y}, signature=lambda a, y: None)
        elif name not in ("Activation", "LossFunction", "Softmax"):
            call = lambda z, function=function: function(z)  # noqa: E731
            found[f"functions.{name}"] = Call(call, {"z": Y}, signature=lambda z: None)
    return found


def _plots() -> dict[str, Call]:
    state = STATE["state"]
    trace = NET.trace(state, X, Y)
    classifier, regressor = fitted("classifier"), fitted("regressor")
    dropping = dr.Network(3, [dr.Dense(2, "tanh"), dr.Dropout(0.5), dr.Dense(1)])
    masks = dropping.trace(dropping.initialize(0), X, Y, training=True)
    plane = dr.Network(2, [dr.Dense(2, "tanh"), dr.Dense(1, "sigmoid")], "binary_cross_entropy")
    shrunk = dr.shrinkage_table(NET, state, X, Y, strength=0.1)
    history = dr.train(NET, NET.initialize(0), X, Y, epochs=2, record_health=True)
    with unconverged():
        watched = dr.MLPRegressor(**FIT, record_health=True).fit(X, Y)
    displays = {
        "ActivationDisplay.from_name": {"name": "elu"},
        "ActivationHistogramDisplay.from_estimator": {"estimator": classifier, "X": X},
        "ActivationHistogramDisplay.from_trace": {"trace": trace},
        "BoundaryDisplay.from_network": {
            "net": plane, "state": plane.initialize(0), "X": X[:, :2], "y": CODES, "resolution": 5,
        },
        "CostContourDisplay.from_path": {
            "cost": lambda point: float(np.sum(np.square(point))), "path": X[:4, :2],
            "resolution": 5,
        },
        "DropoutMaskDisplay.from_trace": {"trace": masks, "layer": 1},
        "GradientNormDisplay.from_estimator": {"estimator": regressor, "X": X, "y": Y},
        "GradientNormDisplay.from_trace": {"trace": trace},
        "HealthDisplay.from_estimator": {"estimator": watched},
        "HealthDisplay.from_history": {"history": history},
        "HessianDisplay.from_eigenvalues": {"eigenvalues": Y},
        "LossDisplay.from_name": {"name": "huber", "target": 1.0, "low": -2.0, "high": 2.0},
        "ScheduleDisplay.from_history": {"history": history},
        "ScheduleDisplay.from_schedule": {
            "schedule": "cosine", "epochs": 2, "steps_per_epoch": 2, "metrics": [1.0, 0.5],
        },
        "ShrinkageDisplay.from_table": {"table": shrunk},
        "ThresholdDisplay.from_estimator": {"estimator": classifier, "X": X, "y": CODES},
        "ThresholdDisplay.from_predictions": {"y_true": CODES, "y_score": Y},
        "WeightsDisplay.from_estimator": {"estimator": classifier, "image_shape": (1, 3)},
        "WeightsDisplay.from_network": {"net": NET, "state": state, "image_shape": (1, 3)},
    }  # fmt: skip
    found = {}
    for name, given in displays.items():
        display, method = name.split(".")
        found[f"plots.{name}"] = drawn(getattr(getattr(plots, display), method), **given)
    return found


def _tables() -> dict[str, Call]:
    found = {}
    for kind, cls in (("classifier", dr.TabularClassifier), ("regressor", dr.TabularRegressor)):
        y = LABELS if kind == "classifier" else Y
        options = {"hidden_layer_sizes": (2,), "max_iter": 1}
        found[cls.__name__] = used(
            cls, lambda m, y=y: predicted(m, TABLE, y), ("verbose", "checkpoint"), **options,
            categories=["b"], ignore=["c"], n_iter_no_change=5,
        )  # fmt: skip
        found[f"{cls.__name__}.fit"] = Call(
            lambda cls=cls, options=options, **k: predicted(cls(**options), **k),
            {"X": TABLE, "y": y, "sample_weight": WEIGHT},
            signature=cls(**options).fit,
        )
        model = table_model(kind)
        for method, given in {
            "predict": {}, "transform": {}, "score": {"y": y, "sample_weight": WEIGHT},
            "log_likelihood": {"y": y, "sample_weight": WEIGHT},
        }.items():  # fmt: skip
            found[f"{cls.__name__}.{method}"] = Call(getattr(model, method), {"X": TABLE, **given})
        found[f"{cls.__name__}.save"] = Call(
            model.save, {"path": model.save(fresh_file()), "overwrite": True}
        )
        found[f"{cls.__name__}.to_onnx"] = Call(
            model.to_onnx, {"path": folder() / "t.onnx", "overwrite": True}
        )
    return found


def view_calls() -> dict[str, Call]:
    """Return the calls, by dotted names."""
    found = {
        "explain": Call(
            lambda **k: str(dr.explain(**k)),
            {"model": NET, "state": STATE["state"], "X": X[:1], "y": Y[:1], "optimizer": "adam",
             "training": False},
            signature=dr.explain,
        ),
        "graph": Call(
            lambda expression, x, y: str(dr.graph(expression, x=x, y=y)),
            {"expression": "x * y + 1", "x": 2.0, "y": 3.0},
        ),
        "Network.graph": on("graph", "sample_weight"),
    }  # fmt: skip
    for method in ("trace", "gradients"):
        found[f"Network.{method}"] = on(method)
    for kind, cls in (("classifier", "MLPClassifier"), ("regressor", "MLPRegressor")):
        for method in ("trace", "gradients", "log_likelihood", "aic", "bic"):
            found[f"{cls}.{method}"] = of(kind, method)
    return found | _functions() | _plots() | _tables()
