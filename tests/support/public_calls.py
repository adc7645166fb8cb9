"""One right call of every public callable, and wrong values for each of its arguments."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import deltarule as dr
from deltarule import analysis, augmentation, datasets, functions, metrics, schedules, tuning
from support.estimators import unconverged

__all__ = ["CALLS", "Call"]

rng = np.random.default_rng(0)
X = rng.normal(size=(24, 3))
Y = X @ [1.0, 2.0, 3.0]
CODES = (Y > 0).astype(int)
WEIGHT = np.linspace(0.5, 1.5, 24)
NET = dr.Network(3, [dr.Dense(2, "tanh"), dr.Dense(1)])
DROPPING = dr.Network(3, [dr.Dense(2, "tanh"), dr.Dropout(0.5), dr.Dense(1)])
NORMED = dr.Network(3, [dr.Dense(2, "tanh", batch_norm=dr.BatchNorm()), dr.Dense(1)])
IMAGES = rng.uniform(size=(3, 8, 8))
FIT: dict[str, Any] = {"hidden_layer_sizes": (2,), "max_iter": 2, "random_state": 0}


class Call(NamedTuple):
    """A right call.

    Attributes
    ----------
    function : callable
        What is called, with keyword arguments only.
    given : dict
        Right values of the arguments that have no default, and of those whose default is None.
    free : tuple of str
        Arguments that take anything, such as a user's function.
    """

    function: Callable[..., Any]
    given: dict[str, Any]
    free: tuple[str, ...] = ()
    signature: Callable[..., Any] | None = None
    """What has the signature, if the function only passes its arguments on."""

    def default(self, argument: str) -> Any:
        """Return the default of an argument, or ``inspect.Parameter.empty``."""
        return inspect.signature(self.signature or self.function).parameters[argument].default

    def arguments(self) -> dict[str, Any]:
        """Return a right value of every argument."""
        found = {}
        for name, parameter in inspect.signature(
            self.signature or self.function
        ).parameters.items():
            if name in ("self", "args", "kwargs"):
                continue
            if name in self.given:
                found[name] = self.given[name]
            elif parameter.default is not parameter.empty:
                found[name] = parameter.default
        return found


def trained(net: Any, **options: Any) -> Any:
    """Train two epochs; return θ and the history."""
    state = net.initialize(0)
    history = dr.train(net, state, X, Y, **{"epochs": 2, "batch_size": 12, **options})
    return state.theta, history.loss


def used(cls: Any, use: Callable[[Any], Any], free: tuple[str, ...] = (), **given: Any) -> Call:
    """Return the call of a description's constructor, which is then used."""
    return Call(lambda **arguments: use(cls(**arguments)), given, free, signature=cls)


def moved(transform: Any) -> Any:
    shape = {3: (8, 8, 3), 2: (8, 8), 1: (64,)}[max(transform.ranks)]
    data = np.broadcast_to(IMAGES[..., None], (3, 8, 8, 3)) if len(shape) == 3 else IMAGES
    return augmentation.Compose([transform], shape=shape, n_threads=1)(data.reshape(3, *shape))


class Counted:
    """A vectoriser that counts the words "a"."""

    def transform(self, texts: list[str]) -> Any:
        return np.array([[text.split().count("a")] for text in texts])


def reworded(transform: Any) -> Any:
    augmentation.Compose([transform])(np.array(["a c a", ""], dtype=object))
    return 0.0


def with_layer(layer: Any) -> Any:
    return trained(dr.Network(3, [layer, dr.Dense(1)]))


def with_loss(loss: Any) -> Any:
    name = type(loss).__name__
    last = {"BinaryCrossEntropy": (1, "sigmoid"), "CategoricalCrossEntropy": (2, "softmax")}
    units, activation = last.get(name, (1, "identity"))
    net = dr.Network(3, [dr.Dense(units, activation)], loss)
    state = net.initialize(0)
    y = CODES if name in last else Y
    return dr.train(net, state, X, y, epochs=2).loss


@cache
def fitted(kind: str) -> Any:
    with unconverged():
        if kind == "classifier":
            return dr.MLPClassifier(**FIT, early_stopping=True).fit(X, CODES)
        return dr.MLPRegressor(**FIT, early_stopping=True).fit(X, Y)


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp())


def fresh_file(name: str = "m") -> Path:
    fresh_file.count += 1  # type: ignore[attr-defined]
    return folder() / f"{name}{fresh_file.count}"  # type: ignore[attr-defined]


fresh_file.count = 0  # type: ignore[attr-defined]


@cache
def search() -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y)


def ridge() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge()


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


@cache
def only_axes() -> Any:
    from matplotlib.figure import Figure

    return Figure().subplots()


def axes() -> Any:
    only_axes().cla()
    return only_axes()


@cache
def saved() -> Path:
    return dr.save(fitted("regressor"), fresh_file())


def written(path: Any, **options: Any) -> Any:
    return dr.save(fitted("regressor"), path, **options).exists()


@cache
def idx() -> Path:
    path = folder() / "labels-idx1-ubyte"
    path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    return path


STATE = {"net": NET, "state": NET.initialize(0)}
ROWS = {"X": X, "y": Y, "sample_weight": WEIGHT}
HISTORY = dr.History(loss=[1.0, 0.5, 0.4], penalty=[0.0] * 3, validation_loss=[1.1, 0.6, 0.7])


def on(method: str, *drop: str, **given: Any) -> Call:
    """Return the call of a method of the network."""
    rows = {"state": STATE["state"], **ROWS, **given}
    function = getattr(NET, method)
    names = set(inspect.signature(function).parameters) - set(drop)
    return Call(function, {name: rows[name] for name in names if name in rows})


def of(kind: str, method: str, **given: Any) -> Call:
    """Return the call of an estimator's method."""
    model = fitted(kind)
    y = CODES if kind == "classifier" else Y
    if method in ("fit", "partial_fit"):
        early = method == "fit"

        def function(**arguments: Any) -> Any:
            options = {**FIT, "max_iter": 1, "early_stopping": early}
            fresh = type(model)(**options)
            with unconverged():
                return getattr(fresh, method)(**arguments).coefs_

        signature = getattr(model, method)
    else:
        function, signature = getattr(model, method), None
    rows = {"X": X, "y": y, "sample_weight": WEIGHT}
    names = inspect.signature(signature or function).parameters
    return Call(
        function, {**{n: v for n, v in rows.items() if n in names}, **given}, signature=signature
    )


def train_free() -> dict[str, Any]:
    return {
        "net": NET, "optimizer": dr.SGD(), "planned_epochs": 2, "stopping": dr.EarlyStopping(),
        "schedule": dr.Cosine(), "clipping": dr.ClipNorm(1.0), "validation": (X, Y),
        "batch_size": 12, "epochs": 1, "n_threads": 1, **ROWS,
    }  # fmt: skip


def train_fresh(**arguments: Any) -> Any:
    state = NET.initialize(0)
    history = dr.train(state=state, **arguments)
    return state.theta, history.loss


@cache
def calls() -> dict[str, Call]:
    """Return a right call of every public callable, by its dotted name."""
    from support.public_calls_of_views import view_calls  # which needs the names of this module

    hidden, plain = dr.Dense(2, "tanh"), dr.Dense(1)
    found: dict[str, Call] = {
        "Adadelta": None, "Adagrad": None, "Adam": None, "AdamW": None, "EMAMomentum": None,
        "Nadam": None, "RMSprop": None, "SGD": None,
    }  # type: ignore[dict-item] # fmt: skip
    for name in found:
        found[name] = used(getattr(dr, name), lambda o: trained(NET, optimizer=o))
    found["Rprop"] = used(dr.Rprop, lambda o: trained(NET, optimizer=o, batch_size=24))
    found["LBFGS"] = used(dr.LBFGS, lambda o: trained(NET, optimizer=o, batch_size=None), ftol=1e-9)
    found["LineSearch"] = used(dr.LineSearch, lambda o: trained(NET, optimizer=o, batch_size=None))
    for name in (
        "Adaptive", "Constant", "Cosine", "Exponential", "InverseScaling", "InverseSquareRoot",
        "InverseTime", "OneCycle", "ReduceOnPlateau", "StepDecay", "WarmUp", "CosineLog",
        "FlatCosine",
    ):  # fmt: skip
        found[name] = used(getattr(dr, name), lambda s: trained(NET, schedule=s))
    found["PiecewiseConstant"] = used(
        dr.PiecewiseConstant, lambda s: trained(NET, schedule=s), epochs=[1, 2], values=[0.1, 0.2]
    )
    found |= {
        "BatchNorm": used(dr.BatchNorm, lambda b: with_layer(dr.Dense(2, "tanh", batch_norm=b))),
        "BinaryCrossEntropy": used(dr.BinaryCrossEntropy, with_loss),
        "CategoricalCrossEntropy": used(dr.CategoricalCrossEntropy, with_loss),
        "CustomActivation": used(
            dr.CustomActivation,
            lambda a: with_layer(dr.Dense(2, a)),
            value=np.tanh,
            derivative=functions.tanh.derivative,
            second_derivative=functions.tanh.second_derivative,
        ),
        "CustomLoss": used(
            dr.CustomLoss,
            with_loss,
            value=functions.squared_error,
            derivative=functions.squared_error.derivative,
        ),
        "Huber": used(dr.Huber, with_loss),
        "Quantile": used(dr.Quantile, with_loss),
        "Checkpoint": used(
            dr.Checkpoint,
            lambda c: trained(NET, checkpoint=c),
            folder=str(folder() / "c"),
            every_epochs=1,
            every_seconds=1.5,
        ),
        "ClipNorm": used(dr.ClipNorm, lambda c: trained(NET, clipping=c), limit=1.0),
        "ClipValue": used(dr.ClipValue, lambda c: trained(NET, clipping=c), limit=1.0),
        "ConstantInitializer": used(
            dr.ConstantInitializer, lambda i: with_layer(dr.Dense(2, initializer=i))
        ),
        "Normal": used(dr.Normal, lambda i: with_layer(dr.Dense(2, initializer=i))),
        "Uniform": used(dr.Uniform, lambda i: with_layer(dr.Dense(2, initializer=i))),
        "Dense": used(
            dr.Dense, with_layer, units=2, initializer="zeros", batch_norm=dr.BatchNorm()
        ),
        "Dropout": used(dr.Dropout, lambda d: with_layer(d), rate=0.5),
        "Scale": used(dr.Scale, with_layer),
        "Periodic": used(dr.Periodic, with_layer, columns=[0, 2]),
        "Embedding": used(dr.Embedding, with_layer, groups=[(0, 2)]),
        "Shards": used(dr.Shards, lambda s: trained(NET, shards=s), partitions=[8, 16]),
        "ELU": used(dr.ELU, lambda a: with_layer(dr.Dense(2, a))),
        "Parametric": used(dr.Parametric, lambda a: with_layer(dr.Dense(2, a))),
        "LeakyReLU": used(dr.LeakyReLU, lambda a: with_layer(dr.Dense(2, a))),
        "EarlyStopping": used(
            dr.EarlyStopping, lambda s: trained(NET, stopping=s, validation=(X, Y))
        ),
        "L1": used(dr.L1, lambda p: trained(dr.Network(3, [plain], penalties=[p])), strength=0.1),
        "L2": used(dr.L2, lambda p: trained(dr.Network(3, [plain], penalties=[p])), strength=0.1),
        "MaxNorm": used(
            dr.MaxNorm, lambda c: trained(dr.Network(3, [plain], constraints=[c])), limit=1.0
        ),
        "Network": used(
            dr.Network,
            trained,
            n_inputs=3,
            layers=[hidden, plain],
            penalties=[dr.L2(0.1)],
            constraints=[dr.MaxNorm(1.0)],
        ),
        "State": used(
            dr.State,
            lambda s: NET.predict(s, X),
            ("optimizer_state",),
            theta=NET.initialize(0).theta,
        ),
        "check_function": Call(
            dr.check_function,
            {"f": lambda x: float((x**2).sum()), "gradient": lambda x: 2 * x, "x": np.ones(3)},
        ),
        "check_gradients": Call(dr.check_gradients, {**STATE, **ROWS}),
        "critical_point": Call(dr.critical_point, {**STATE, **ROWS}),
        "exact_dropout_mean": Call(
            dr.exact_dropout_mean, {"net": DROPPING, "state": DROPPING.initialize(0), "X": X}
        ),
        "fold_batch_norm": Call(dr.fold_batch_norm, {"net": NORMED, "state": NORMED.initialize(0)}),
        "hessian_eigenvalues": Call(dr.hessian_eigenvalues, {**STATE, **ROWS}),
        "hessian_vector_product": Call(
            dr.hessian_vector_product, {**STATE, **ROWS, "v": np.ones(NET.tape.n_parameters)}
        ),
        "monte_carlo_dropout": Call(
            dr.monte_carlo_dropout, {"net": DROPPING, "state": DROPPING.initialize(0), "X": X}
        ),
        "network_health": Call(dr.network_health, {**STATE, **ROWS}),
        "recompute_batch_norm": Call(
            dr.recompute_batch_norm,
            {"net": NORMED, "state": NORMED.initialize(0), "X": X, "sample_weight": WEIGHT},
        ),
        "shrinkage_table": Call(dr.shrinkage_table, {**STATE, **ROWS, "strength": 0.1}),
        "load": Call(lambda path: dr.load(path).predict(X), {"path": saved()}),
        "save": Call(
            lambda model, path, overwrite=False: dr.save(model, path, overwrite=overwrite).exists(),
            {"model": fitted("regressor"), "path": saved(), "overwrite": True},
            signature=dr.save,
        ),
        "plot_confusion_matrix": Call(
            lambda ax=None, **k: dr.plot_confusion_matrix(ax=axes() if ax is None else ax, **k),
            {"y_true": CODES, "y_pred": CODES[::-1]},
            signature=dr.plot_confusion_matrix,
        ),
        "plot_predictions": Call(
            lambda ax=None, **k: dr.plot_predictions(ax=axes() if ax is None else ax, **k),
            {"y_true": Y, "y_pred": Y[::-1]},
            signature=dr.plot_predictions,
        ),
        "plot_learning_curve": Call(
            lambda ax=None, **k: dr.plot_learning_curve(ax=axes() if ax is None else ax, **k),
            {"model": HISTORY},
            signature=dr.plot_learning_curve,
        ),
        "train": Call(train_fresh, train_free(), ("on_epoch", "on_epoch_begin"), dr.train),
    }
    for method in (
        "initialize", "log_likelihood", "loss_of", "losses", "parameters", "predict", "score",
    ):  # fmt: skip
        found[f"Network.{method}"] = on(method)
    found["Network.predictor"] = Call(
        lambda X=X, **k: NET.predictor(**k)(X),
        {"state": STATE["state"], "n_threads": 1, "X": X},
        signature=lambda state, n_threads, X: None,
    )
    for kind, cls in (("classifier", "MLPClassifier"), ("regressor", "MLPRegressor")):
        y = CODES if kind == "classifier" else Y
        found[f"{cls}.fit"] = of(
            kind, "fit", X_val=X, y_val=y, sample_weight_val=WEIGHT, groups=None
        )
        found[f"{cls}.partial_fit"] = of(
            kind, "partial_fit", **({"classes": [0, 1]} if kind == "classifier" else {})
        )
        for method in (
            "predict",
            "score",
            "check_gradients",
            "layer_activations",
            "input_gradients",
        ):
            found[f"{cls}.{method}"] = of(kind, method)
        found[f"{cls}.save"] = of(kind, "save", path=saved(), overwrite=True)
        found[f"{cls}.to_onnx"] = of(kind, "to_onnx", path=folder() / "m.onnx", overwrite=True)
    for method in ("predict_proba", "predict_log_proba"):
        found[f"MLPClassifier.{method}"] = of("classifier", method)
    pairs = {"training": (X[:, 0], Y), "unseen": (X[:, 0], Y)}
    found |= {f"analysis.{name}": call for name, call in {
        "bias_corrected": Call(analysis.bias_corrected, {"averages": Y, "beta": 0.5}),
        "capacity_table": Call(analysis.capacity_table, {**pairs, "degrees": [1, 2]}),
        "effective_window": Call(analysis.effective_window, {"beta": 0.5}),
        "exponential_average": Call(analysis.exponential_average, {"x": Y, "beta": 0.5}),
        "least_squares": Call(analysis.least_squares, {"X": X, "y": Y}),
        "moving_average": Call(analysis.moving_average, {"x": Y, "window": 2}),
        "polynomial_features": Call(analysis.polynomial_features, {"x": X, "degree": 2}),
        "ridge": Call(analysis.ridge, {"X": X, "y": Y, "strength": 0.5}),
    }.items()}  # fmt: skip
    for name in (
        "ColorJitter", "Crop", "Elastic", "Flip", "Gain", "GaussianNoise", "PitchShift",
        "Rotation", "Scaling", "Shear", "SignalNoise", "TimeShift", "Translation",
    ):  # fmt: skip
        found[f"augmentation.{name}"] = used(getattr(augmentation, name), moved)
    words = {"synonyms": {"a": ["b"]}}
    for name, given in {
        "RandomDeletion": {}, "RandomInsertion": words, "RandomSwap": {},
        "SynonymReplacement": words,
    }.items():  # fmt: skip
        found[f"augmentation.{name}"] = used(getattr(augmentation, name), reworded, **given)
    found["augmentation.TextAugmenter"] = used(
        augmentation.TextAugmenter,
        lambda a: a(np.ones((2, 1)), rows=np.arange(2), epoch=0),
        texts=["a", "a b"],
        vectorizer=Counted(),
        transforms=[],
    )
    found["augmentation.Compose"] = used(
        augmentation.Compose,
        lambda c: c(IMAGES),
        transforms=[augmentation.Rotation(15)],
        shape=(8, 8),
        n_threads=1,
    )
    pipeline = augmentation.Compose([augmentation.Rotation(15)], shape=(8, 8), n_threads=1)
    found["augmentation.Compose.call"] = Call(
        pipeline.__call__, {"x": IMAGES, "rows": np.arange(3), "epoch": 0}
    )
    found["augmentation.Compose.preview"] = Call(pipeline.preview, {"x": IMAGES})
    streams = {"seed": 0, "epoch": 0, "rows": np.arange(3)}
    found["augmentation.RowStreams"] = used(
        augmentation.RowStreams, lambda r: r.uniform(size=(2,)), **streams
    )
    row = lambda: augmentation.RowStreams(**streams)  # noqa: E731
    for method, given in {
        "displacements": {"size": (2, 2)}, "integers": {"low": 0, "high": 5}, "normal": {},
        "raw": {"words": 3}, "uniform": {},
    }.items():  # fmt: skip
        found[f"augmentation.RowStreams.{method}"] = Call(
            lambda method=method, **k: getattr(row(), method)(**k),
            given,
            signature=getattr(row(), method),
        )
    found["augmentation.RowStreams.generator"] = Call(
        lambda i: row().generator(i).normal(), {"i": 1}
    )
    found |= {
        "datasets.read_idx": Call(datasets.read_idx, {"path": idx()}),
        "datasets.penguins_path": Call(datasets.penguins_path, {}),
    }
    costs = {"false_positive_cost": 1.0, "false_negative_cost": 2.0}
    found |= {f"metrics.{name}": call for name, call in {
        "choose_threshold": Call(
            metrics.choose_threshold, {"y_true": CODES, "scores": Y, "sample_weight": WEIGHT}
        ),
        "compare_targets": Call(metrics.compare_targets, {"dev": CODES, "test": CODES[:9]}),
        "cost_threshold": Call(metrics.cost_threshold, costs),
        "cross_validated_cost": Call(
            metrics.cross_validated_cost, {"estimator": ridge(), "X": X, "y": Y, "target": 1.0}
        ),
        "decompose_error": Call(
            metrics.decompose_error,
            {"estimator": ridge(), "truth": lambda x: x[:, 0], "X": X, "at": X, "noise": 0.1,
             "refits": 2},
        ),
        "diagnose_bias_variance": Call(
            metrics.diagnose_bias_variance,
            {"train_error": 0.1, "dev_error": 0.2, "target": 0.05, "dev_targets": CODES,
             "test_targets": CODES},
        ),
        "epoch_curve": Call(metrics.epoch_curve, {"model": HISTORY}),
        "estimate_generalization_error": Call(
            metrics.estimate_generalization_error, {"losses": Y, "training_losses": Y}
        ),
        "information_criteria": Call(
            metrics.information_criteria, {"log_likelihood": -1.5, "n_parameters": 2, "n": 3}
        ),
        "mean_loss": Call(metrics.mean_loss, {"model": fitted("regressor"), "X": X, "y": Y}),
        "row_losses": Call(metrics.row_losses, {"model": fitted("classifier"), "X": X, "y": CODES}),
        "measure_classification": Call(
            metrics.measure_classification,
            {"y_true": CODES, "y_pred": CODES[::-1], "scores": Y, "sample_weight": WEIGHT},
        ),
        "measure_regression": Call(
            metrics.measure_regression, {"y_true": Y, "y_pred": Y + 1, "sample_weight": WEIGHT}
        ),
        "plot_learning_curves": Call(
            lambda ax=None, **k: metrics.plot_learning_curves(ax=axes() if ax is None else ax, **k),
            {"curves": metrics.epoch_curve(HISTORY)}, signature=metrics.plot_learning_curves,
        ),
        "separation_epoch": Call(metrics.separation_epoch, {"model": HISTORY}),
        "size_curve": Call(metrics.size_curve, {"estimator": ridge(), "X": X, "y": Y, "folds": 3,
                                                "sizes": [0.5, 1.0]}),
    }.items()}  # fmt: skip
    found["metrics.GeneralizationError.interval"] = Call(
        metrics.estimate_generalization_error(Y).interval, {}
    )
    found |= {
        "tuning.LogUniform": used(
            tuning.LogUniform, lambda d: d.rvs(3, random_state=0), low=0.5, high=2.0
        ),
        "tuning.LogMomentum": used(
            tuning.LogMomentum, lambda d: d.rvs(3, random_state=0), low=0.5, high=0.75
        ),
        "tuning.LogUniform.rvs": Call(
            tuning.LogUniform(0.5, 2.0).rvs, {"size": 3, "random_state": 0}
        ),
        "tuning.choose_strength": Call(
            lambda **given: tuning.choose_strength(**given).dev,
            {
                "estimator": ridge(),
                "train": (X, Y),
                "dev": (X, Y),
                "test": (X, Y),
                "strengths": [0.0, 1.0],
            },
            signature=tuning.choose_strength,
        ),
        "tuning.retune": Call(tuning.retune, {"search": search(), "X": X, "y": Y, "cv": 2}),
        "schedules.resolve_schedule": Call(
            lambda given: type(schedules.resolve_schedule(given)).__name__, {"given": "cosine"}
        ),
    }
    return found | view_calls()


class _Calls(Mapping[str, Call]):
    """The calls, made when they are first needed."""

    def __getitem__(self, name: str) -> Call:
        return calls()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(calls())

    def __len__(self) -> int:
        return len(calls())


CALLS = _Calls()
