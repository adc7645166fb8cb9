"""Training of an ensemble: a network for each fold, side by side on the cores.

Every network trains on one thread from seeds of its own, so that the bits do not depend on how many
are trained at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from deltarule.engine.thread_pool import thread_ceiling
from deltarule.errors import DivergenceError, SpecError, TableError
from deltarule.estimators import MLPClassifier, MLPRegressor
from deltarule.estimators.loading import RecordedEstimator
from deltarule.spec.optimizers import AdamW
from deltarule.tables.ensemble import Ensemble, best_temperature, tempered
from deltarule.tables.evaluation import Evaluation, Predictions, Scores
from deltarule.tables.folds import draw_folds
from deltarule.tables.preparation import Prepared
from deltarule.tables.recipes import RECIPES
from deltarule.tables.record import Classes, Quantity
from deltarule.tables.settings import Settings
from deltarule.tables.time_budget import Deadline, Stopwatch, affordable

__all__ = ["GivenUpError", "fit_folds", "member_estimator", "to_the_last_epoch"]

EPOCHS, PATIENCE = 100, 20


class _Trained(NamedTuple):
    """A network, and what it says about the rows that it left out."""

    member: RecordedEstimator
    outside: NDArray[np.float64]


def fit_folds(
    prepared: Prepared,
    settings: Settings,
    callbacks: tuple[Any, ...] = (),
    weight: NDArray[np.float64] | None = None,
    is_hopeless: Callable[[int, float], bool] | None = None,
) -> tuple[Ensemble | RecordedEstimator, Evaluation]:
    """Train a network for each fold of the training rows; return them, and their scores out of it.

    Each network is scored on the rows that it did not learn from. It was stopped where its loss on
    them was least, and one temperature was chosen on all of them: that much they know.

    One is trained after the other if callbacks, which see every network as a fit of its own, or
    verbose lines ask for it. ``is_hopeless`` is called with the number of every network, in order,
    and its least loss on the fold; if it returns True the others are given up.

    Ctrl-C ends networks after their epoch; those that have begun are kept, with a warning.

    Raises
    ------
    GivenUpError
        If the ensemble is hopeless.
    KeyboardInterrupt
        After Ctrl-C, if no network is kept.
    """
    target = prepared.preprocessing.target
    X, y = prepared.reader.whole_part("training")
    X = X.astype(np.float32)
    classes = isinstance(target, Classes)
    seeds = np.random.SeedSequence(prepared.provenance.network_seed).generate_state(
        prepared.folds + 1
    )
    fold = draw_folds(len(y), prepared.folds, int(seeds[0]), y if classes else None)
    learned, stopper = target.to_network(y), _Stopper()
    judge = _Judge(is_hopeless, stopper)
    in_turn = bool(callbacks) or settings.verbose
    workers = 1 if in_turn else min(prepared.folds, thread_ceiling(None))
    deadline = None if settings.max_seconds is None else Deadline(settings.max_seconds)
    if weight is not None and settings.alpha and not 1e-30 < weight.max() < 1e30:
        raise TableError(
            f"sample_weight goes up to {weight.max():g}, beside which float32 does not hold alpha; "
            "divide the weights by their largest, or leave alpha out"
        )
    ratios = _scaled if not settings.alpha else np.asarray

    def fitted(number: int, settings: Settings, *watchers: Any) -> Any:
        inside, outside = fold != number, fold == number
        estimator = member_estimator(
            number, target, settings, int(inside.sum()), int(seeds[number + 1])
        )
        estimator.set_callbacks(*watchers, stopper)
        estimator.fit(
            X[inside],
            learned[inside],
            None if weight is None else ratios(weight[inside]),
            X_val=X[outside],
            y_val=learned[outside],
            sample_weight_val=None if weight is None else ratios(weight[outside]),
        )
        return estimator

    def train(number: int) -> _Trained:
        watchers = callbacks if deadline is None else (*callbacks, deadline)
        estimator, outside = fitted(number, settings, *watchers), fold == number
        if not np.isfinite(estimator.validation_loss_curve_).any():
            raise DivergenceError(
                f"the loss of network {number + 1} was not finite after any epoch; lower "
                "--learning-rate (learning_rate_init), or look for wrong units in the target"
            )
        judge.hear(number, float(np.nanmin(estimator.validation_loss_curve_)))
        said = estimator.predict_proba if classes else estimator.predict
        outputs = np.asarray(said(X[outside]), dtype=np.float64)
        return _Trained(RecordedEstimator(*estimator.to_record()), outputs)

    count, epochs = prepared.folds, settings.epochs or EPOCHS
    with to_the_last_epoch():
        if deadline is not None:
            watch = Stopwatch()
            fitted(0, replace(settings, epochs=2, verbose=False), watch)
            count, fewer = affordable(deadline.left, watch.per_epoch, count, epochs, workers)
            settings = replace(settings, epochs=fewer)
            if (count, fewer) != (prepared.folds, epochs):
                warnings.warn(
                    f"in {settings.max_seconds:g} s there is time for {count} of {prepared.folds} "
                    f"networks, of {fewer} of {epochs} epochs each; a longer time "
                    "(--time, max_seconds) has more",
                    stacklevel=4,
                )
        found = _side_by_side(train, count, workers, stopper, keeps=is_hopeless is None)
    if len(found) < count:
        some = f"{len(found)} of {count} networks were trained, some for fewer epochs"
        warnings.warn(f"Training interrupted by user: {some}.", stacklevel=4)

    held = np.isin(fold, list(found))
    width = next(iter(found.values())).outside.shape[1:]
    outputs = np.empty((len(y), *width))
    for number, trained in found.items():
        outputs[fold == number] = trained.outside
    outputs, y, temperature = outputs[held], y[held], 1.0
    scores = Scores(target)
    if isinstance(target, Classes):
        temperature = best_temperature(
            outputs, y, None if weight is None else _scaled(weight[held])
        )
        P = tempered(outputs, temperature)
        scores.add(Predictions(np.array(target.labels)[P.argmax(axis=1)], target.labels, P), y)
    else:
        scores.add(Predictions(target.from_network(outputs), [], None), y)
    evaluation = scores.evaluation()
    score = evaluation.scores["accuracy" if classes else "r2"]
    known = None if np.isnan(score) else score
    members = tuple(one.member for one in found.values())
    if len(members) == 1:
        return members[0], evaluation
    return Ensemble(members, temperature, known), evaluation


def _scaled(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights with the same ratios, the largest between 0.5 and 1.

    They are divided by a power of two: without a penalty, whose share falls with the sum of the
    weights, no bit of what is learned changes, and float32 holds the largest.
    """
    return np.ldexp(weight, -int(np.frexp(weight.max(initial=0.0))[1]))


def member_estimator(
    number: int,
    target: Classes | Quantity,
    settings: Settings,
    rows: int,
    seed: int,
    n_threads: int | None = 1,
) -> Any:
    """Return the network of a fold, not yet fitted; what the settings say holds for every one.

    AdamW with a cosine of the rate over the epochs, about n/40 rows a batch, in float32. Training
    watches the loss on the rows that it does not learn from.
    """
    recipes = settings.recipes or RECIPES
    recipe = recipes[number % len(recipes)]
    hidden = recipe.hidden_layer_sizes if settings.hidden is None else settings.hidden
    if not hidden or min(hidden) < 1:
        raise SpecError("hidden must be widths of at least 1, such as 64,32 (--hidden)")
    rate, decay = settings.learning_rate or recipe.learning_rate_init, recipe.weight_decay
    if settings.alpha is not None:  # the user's penalty, instead of the decoupled decay
        decay = 0.0
    kind: type[Any] = MLPClassifier if isinstance(target, Classes) else MLPRegressor
    return kind(
        hidden_layer_sizes=tuple(hidden),
        activation=settings.activation or recipe.activation,
        solver=AdamW(rate, weight_decay=decay),
        learning_rate="cosine",
        alpha=settings.alpha or 0.0,
        batch_size=min(settings.batch_size or int(np.clip(rows // 40, 16, 256)), rows),
        max_iter=settings.epochs or EPOCHS,
        n_iter_no_change=settings.patience or PATIENCE,
        dropout=recipe.dropout if settings.dropout is None else settings.dropout,
        random_state=seed,
        early_stopping=True,
        monitor="auto" if settings.monitor == "score" else "loss",
        dtype="float32",
        verbose=settings.verbose,
        n_threads=n_threads,
    )


@contextmanager
def to_the_last_epoch() -> Iterator[None]:
    """Warn of no fit that reaches its last epoch: the rate falls until then."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
        yield


class GivenUpError(Exception):
    """An ensemble is not worth the rest of its training."""


class _Judge:
    """Tells the losses of networks in their order, whichever is trained first."""

    def __init__(self, verdict: Callable[[int, float], bool] | None, stopper: _Stopper) -> None:
        self._verdict, self._stopper = verdict, stopper
        self._lock, self._losses, self._told = Lock(), dict[int, float](), 0

    def hear(self, number: int, loss: float) -> None:
        """Take the loss of a network; raise ``GivenUpError`` if those told so far are hopeless."""
        if self._verdict is None:
            return
        with self._lock:
            self._losses[number] = loss
            while self._told in self._losses and not self._stopper.stopped:
                self._told += 1
                self._stopper.stopped = self._verdict(self._told - 1, self._losses[self._told - 1])
            if self._stopper.stopped:
                raise GivenUpError


class _Stopper:
    """A callback that ends fits in other threads after their epoch, once it is told to."""

    def __init__(self) -> None:
        self.stopped = False

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Return whether the fit is to stop."""
        return self.stopped

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""


def _side_by_side(
    train: Callable[[int], _Trained], count: int, workers: int, stopper: _Stopper, *, keeps: bool
) -> dict[int, _Trained]:
    """Return what each call returns, by its number; an error ends the others after their epoch.

    So does Ctrl-C; with ``keeps`` the calls that have begun are returned then.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="deltarule-network")
    futures = [pool.submit(train, number) for number in range(count)]
    try:
        return {number: future.result() for number, future in enumerate(futures)}
    except KeyboardInterrupt:
        stopper.stopped = True
        pool.shutdown(cancel_futures=True)
        ended = {n: f for n, f in enumerate(futures) if not f.cancelled() and f.exception() is None}
        if not (ended and keeps):
            raise
        return {number: future.result() for number, future in ended.items()}
    finally:
        stopper.stopped = True
        pool.shutdown(cancel_futures=True)
