"""The low-level interface: a network, its training and its gradient check.

This is where specification, tape, interpreter and training meet; teachers build from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from deltarule.arrays import Array, is_sparse, to_numpy
from deltarule.checks import check_positive_integer, check_shape
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.initializers import draw_parameters
from deltarule.optimizers import SGD, Optimizer, check_optimizer
from deltarule.program import Block, State
from deltarule.reference import Reference
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.schedules import Constant, Schedule
from deltarule.spec import NetworkSpec
from deltarule.tape import Tape, lower
from deltarule.targets import Targets, as_numbers, encode_targets
from deltarule.training import History, Run, Stopping, epoch_orders, run_epochs
from deltarule.training.divergence import divergence_error
from deltarule.training.loop import Figures

__all__ = ["Network", "check_gradients", "train"]


@dataclass(frozen=True)
class Network(NetworkSpec):
    """A multilayer perceptron: models M1 and M3-M7, by the choice of layers and loss.

    Parameters
    ----------
    n_inputs : int
        d, the number of features.
    layers : sequence of Dense
        Hidden layers and, last, the output layer.
    loss : str, default="squared_error"
        "squared_error" (any output activation), "binary_cross_entropy" (sigmoid outputs: one
        unit, or one a label), "categorical_cross_entropy" (softmax outputs) or "poisson" (exp
        outputs).
    penalties : sequence of L2, default=()
        What is added to the mean loss.
    dtype : {"float64", "float32"}, default="float64"
        The type of every number.

    Examples
    --------
    >>> from deltarule import Dense, Network
    >>> print(Network(5, [Dense(3, "relu"), Dense(3, "relu"), Dense(2)]).summary())
    layer  activation  shape  parameters
    1      relu        5 → 3          18
    2      relu        3 → 3          12
    3      identity    3 → 2           8
    total                             38
    """

    @cached_property
    def tape(self) -> Tape:
        """The network lowered to a verified tape."""
        return lower(self)

    def initialize(self, seed: int = 0, *, like: Array | None = None) -> State:
        """Return a fresh state: θ drawn with ``seed``, nothing trained.

        Parameters
        ----------
        seed : int, default=0
            The same seed gives the same bits.
        like : array, optional
            An array of the library that θ shall belong to; NumPy by default.
        """
        theta = draw_parameters(self, seed)
        if like is not None:
            theta = like.__array_namespace__().asarray(theta)
        return State(theta, seed=seed)

    def parameters(self, state: State) -> dict[str, Array]:
        """Return the named arrays W1 (d_0, d_1), b1 (d_1,), …: views into ``state.theta``."""
        return {p.name: view for p, view in self.tape.views(state.theta)}

    def predict(self, state: State, X: Array) -> Array:
        """Return the outputs (n, k): probabilities, rates or values, as the last layer says."""
        self._check_state(state)
        return Reference(self.tape).forward(state, Block(self._inputs(X)))

    def loss_of(self, state: State, X: Array, y: Any, sample_weight: Any = None) -> float:
        """Return the weighted mean loss on these rows, without penalties."""
        block, _ = self._block(X, y, sample_weight)
        return self._mean_loss(state, block)

    def score(self, state: State, X: Array, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy for classes and labels (all of a row right), R² for numbers."""
        block, targets = self._block(X, y, sample_weight)
        return self._score(state, block, targets)

    def summary(self) -> str:
        """Return a table of the layers with their shapes and parameter counts."""
        rows = [("layer", "activation", "shape", "parameters")]
        width = self.n_inputs
        for number, layer in enumerate(self.layers, start=1):
            shape = f"{width} → {layer.units}"
            rows.append(
                (str(number), layer.activation_name, shape, f"{(width + 1) * layer.units:,}")
            )
            width = layer.units
        rows.append(("total", "", "", f"{self.tape.n_parameters:,}"))
        a, b, c, d = (max(len(row[i]) for row in rows) for i in range(4))
        return "\n".join(f"{r[0]:<{a}}  {r[1]:<{b}}  {r[2]:<{c}}  {r[3]:>{d}}" for r in rows)

    def _check_state(self, state: State) -> None:
        check_shape(
            "state.theta",
            state.theta,
            (self.tape.n_parameters,),
            "It is the state of another network: take net.initialize(seed) of this one.",
        )

    def _mean_loss(self, state: State, block: Block) -> float:
        self._check_state(state)
        losses = to_numpy(Reference(self.tape).losses(state, block))
        weight = None if block.weight is None else to_numpy(block.weight)
        return float(np.average(losses, weights=weight))

    def _score(self, state: State, block: Block, targets: Targets) -> float:
        self._check_state(state)
        from sklearn.metrics import accuracy_score, r2_score

        outputs = to_numpy(Reference(self.tape).forward(state, block))
        values = to_numpy(targets.values)
        weight = None if block.weight is None else to_numpy(block.weight)
        if not np.isfinite(outputs).all():
            return float("nan")
        if targets.kind == "numbers":
            return float(r2_score(values, outputs, sample_weight=weight))
        if targets.kind == "classes":
            right = np.argmax(values, axis=1), np.argmax(outputs, axis=1)
        else:
            right = values > 0.5, outputs > 0.5
        return float(accuracy_score(*right, sample_weight=weight))

    def _inputs(self, X: Array) -> Array:
        """Return X as a finite (n, d) array of θ's type; CSR stays CSR."""
        if is_sparse(X):
            matrix = X.tocsr().astype(self.dtype)
            finite = bool(np.isfinite(matrix.data).all())
        elif isinstance(X, np.ndarray) or not hasattr(X, "__array_namespace__"):
            matrix = as_numbers(
                "X",
                X,
                self.dtype,
                "Encode strings and categories first (sklearn.preprocessing.OneHotEncoder).",
            )
            finite = bool(np.isfinite(matrix).all())
        else:
            xp = X.__array_namespace__()
            matrix = xp.astype(X, getattr(xp, self.dtype))
            finite = bool(xp.all(xp.isfinite(matrix)))
        if len(matrix.shape) != 2 or matrix.shape[1] != self.n_inputs:
            raise ShapeError(
                f"X must have shape (n, {self.n_inputs}), a row an example; got "
                f"{tuple(matrix.shape)}."
            )
        if not finite:
            raise DataError("X contains NaN or infinity. Drop those rows, or impute them.")
        return matrix

    def _block(self, X: Array, y: Any, sample_weight: Any = None) -> tuple[Block, Targets]:
        inputs = self._inputs(X)
        n = int(inputs.shape[0])
        if n == 0:
            raise DataError("X has no rows. Give at least one example.")
        foreign = hasattr(inputs, "__array_namespace__") and not isinstance(inputs, np.ndarray)
        targets = encode_targets(self, to_numpy(y) if foreign else y, n)
        weight = None
        if sample_weight is not None:
            weight = as_numbers(
                "sample_weight", sample_weight, self.dtype, "Give one weight a row."
            )
            if weight.shape != (n,):
                raise ShapeError(f"sample_weight must have shape {(n,)}; got {weight.shape}.")
            if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() == 0:
                raise DataError("sample_weight must be finite, not negative, and not all zero.")
        if foreign:
            xp = inputs.__array_namespace__()
            targets = targets._replace(values=xp.asarray(targets.values))
            weight = None if weight is None else xp.asarray(weight)
        return Block(inputs, targets.values, weight), targets


def train(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    optimizer: Optimizer | None = None,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    sample_weight: Any = None,
    validation: tuple[Any, ...] | None = None,
    stopping: Stopping | None = None,
    schedule: Schedule | None = None,
    shuffle: bool = True,
    on_epoch: Callable[[History], bool] | None = None,
) -> History:
    """Train a network; the state is moved in place.

    Parameters
    ----------
    net : Network
        What to train.
    state : State
        From ``net.initialize(seed)``, or from an earlier call. The optimiser begins anew.
    X : (n, d) array or CSR matrix
        Inputs.
    y : (n,) or (n, k) array
        Targets: class numbers, one-hot or soft rows, 0/1 labels, or numbers.
    optimizer : Optimizer, default=SGD(0.01)
        ``SGD``, ``MomentumAverage`` or ``Adam``.
    batch_size : int, default=32
        Rows in a mini-batch; above n it means the whole set (item D3).
    epochs : int, default=10
        Passes over the rows, at most.
    seed : int, default=0
        Of the shuffling.
    sample_weight : (n,) array, optional
        Weights of the rows in the loss.
    validation : (X, y) or (X, y, sample_weight), optional
        Measured after every epoch.
    stopping : Stopping, optional
        End without improvement, and return the best θ: on the validation loss (its score with
        ``maximize=True``), without a validation set on the cost (items O9, R4).
    schedule : Schedule, optional
        How the learning rate changes; constant by default.
    shuffle : bool, default=True
        Visit the rows in a new order every epoch.
    on_epoch : callable, optional
        Called with the ``History`` so far after every epoch; returning True stops.

    Returns
    -------
    history : History
        Losses and scores, epoch by epoch.

    Raises
    ------
    DivergenceError
        At the first non-finite loss; the state is then the best finite one.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import SGD, Dense, Network, train
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = Network(2, [Dense(4, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    >>> state = net.initialize(seed=0)
    >>> history = train(net, state, X, y, optimizer=SGD(1.0), batch_size=4, epochs=300)
    >>> (net.predict(state, X)[:, 0] > 0.5).astype(int).tolist()
    [0, 1, 1, 0]
    """
    chosen = check_optimizer(SGD() if optimizer is None else optimizer)
    if not (stopping is None or isinstance(stopping, Stopping)):
        raise SpecError(f"stopping must be Stopping(…) or None; got {stopping!r}.")
    if not (schedule is None or hasattr(schedule, "on_plateau")):
        raise SpecError(f"schedule must be a schedule such as Adaptive(); got {schedule!r}.")
    net._check_state(state)
    block, _ = net._block(X, y, sample_weight)
    watch = None if stopping is None else replace(stopping, best=None, stale=0)
    if watch is not None and watch.maximize and validation is None:
        raise SpecError(
            "stopping with maximize=True watches the validation score: give validation=(X, y)."
        )
    rng = np.random.default_rng(seed)
    run = Run(
        epochs=check_positive_integer("epochs", epochs),
        batch_size=check_positive_integer("batch_size", batch_size),
        learning_rate=chosen.learning_rate,
        orders=epoch_orders(block.n_rows, rng.permutation if shuffle else None),
        schedule=Constant() if schedule is None else schedule,
        stopping=watch,
        validation=None if validation is None else _validation(net, validation),
        restore_best=stopping is not None,
        on_epoch=on_epoch,
    )
    state.slots = None
    history = run_epochs(Reference(net.tape, chosen), state, block, run)
    if history.stopped_by == "divergence":
        raise divergence_error(
            to_numpy(block.x) if not is_sparse(block.x) else block.x,
            to_numpy(block.y),
            epochs=history.n_epochs,
            learning_rate=chosen.learning_rate,
        )
    return history


def _validation(net: Network, given: tuple[Any, ...]) -> Callable[[State], Figures]:
    if len(given) not in (2, 3):
        raise ShapeError(
            f"validation must be (X, y) or (X, y, sample_weight); got {len(given)} items."
        )
    block, targets = net._block(*given)
    return lambda state: Figures(net._mean_loss(state, block), net._score(state, block, targets))


def check_gradients(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    sample_weight: Any = None,
    epsilon: float = 1e-6,
    tolerance: float = 1e-7,
    max_parameters: int = 2000,
    seed: int = 0,
) -> GradientCheck:
    """Check backpropagation against central differences on the user's own data (item B4).

    Always in float64, whatever the network's type. Above ``max_parameters`` a sample is compared,
    drawn with ``seed`` from every named array.

    Returns
    -------
    check : GradientCheck
        Its ``verdict`` is "right", "wrong" or "cannot tell"; ``str(check)`` explains.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import Dense, Network, check_gradients
    >>> net = Network(3, [Dense(4, "tanh"), Dense(2, "softmax")], "categorical_cross_entropy")
    >>> X = np.random.default_rng(0).normal(size=(5, 3))
    >>> check_gradients(net, net.initialize(0), X, np.array([0, 1, 0, 1, 1])).verdict
    'right'
    """
    double = replace(net, dtype="float64")
    double._check_state(state)
    block, _ = double._block(X, y, sample_weight)
    return check_tape(
        double.tape,
        np.array(to_numpy(state.theta), dtype=np.float64),
        block,
        epsilon=epsilon,
        tolerance=tolerance,
        max_parameters=max_parameters,
        seed=seed,
    )
