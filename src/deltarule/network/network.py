"""`Network`: a network specification with methods to initialise, predict, score and summarise.

Training is in ``deltarule.trainer``, and the analysis of trained networks in
``deltarule.analysis``.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.network.backend import interpreter_of
from deltarule.network.data import check_inputs, make_block
from deltarule.network.initialization import draw_parameters
from deltarule.network.likelihood import log_likelihood
from deltarule.network.predictor import Predictor
from deltarule.network.scores import accuracy, mean_of_rows, r_squared
from deltarule.network.targets import Targets
from deltarule.program import Block, Interpreter, State
from deltarule.program.lowering import lower
from deltarule.program.state_checks import check_theta
from deltarule.program.tape import Tape
from deltarule.spec import Dropout, Embedding, NetworkSpec, Periodic, Scale
from deltarule.utils.arrays import Array, all_finite, is_array, to_numpy
from deltarule.utils.checks import check_flag, check_seed, shown

if TYPE_CHECKING:
    from deltarule.network.network_graph import NetworkGraph
    from deltarule.network.trace import Trace

__all__ = ["Network", "mean_loss", "score_outputs"]

_OF_PERIODIC = ("frequency", "phase", "wave", "shift")
"""The parameters of a Periodic layer."""


@dataclass(frozen=True)
class Network(NetworkSpec):
    """A multilayer perceptron. The layers and the loss make it one of the models M1 and M3-M7.

    Parameters
    ----------
    n_inputs : int
        d, the number of features.
    layers : sequence of Dense, Dropout, Scale, Periodic and Embedding
        The hidden layers, followed by the output layer.
    loss : str, Huber, Quantile, BinaryCrossEntropy, CategoricalCrossEntropy, CustomLoss or callable
        "squared_error", "absolute_error", "huber", "quantile", "poisson", "binary_cross_entropy" or
        "categorical_cross_entropy". An output activation and a loss can be combined if the range
        of the activation lies in the domain of the loss. A function of your own becomes
        ``CustomLoss(f)``, and the network runs in the reference engine.
    penalties : sequence of L2 and L1, default=()
        Terms that are added to the mean loss.
    constraints : sequence of MaxNorm, default=()
        Sets that the weights are projected onto after every step.
    dtype : {"float64", "float32"}, default="float64"
        The type of all parameters and computations.
    members : int, default=1
        Number k of members: k networks that share the weights W of their hidden layers, and are
        trained together (TabM; Gorishniy et al. 2025). Each has factors r_i and s_i and a bias in
        every hidden layer, y_i = g(((x_i ⊙ r_i) W) ⊙ s_i + b_i), and an output layer of its own.
        The loss of a row is the mean of its members' losses; the prediction is the mean of their
        outputs. Batch norm does not go with members.

    Examples
    --------
    >>> from deltarule import Dense, Network
    >>> print(Network(5, [Dense(3, "relu"), Dense(3, "relu"), Dense(2)]).summary())
    layer  kind   activation  shape  parameters
    1      dense  relu        5 → 3          18
    2      dense  relu        3 → 3          12
    3      dense  identity    3 → 2           8
    total                                    38
    """

    @property
    def tape(self) -> Tape:
        """The network lowered to a verified tape; computed once."""
        # Not a cached_property: Python 3.11's has a lock, which may be locked in a forked child.
        kept: Tape | None = self.__dict__.get("_tape")
        if kept is None:
            kept = self.__dict__.setdefault("_tape", lower(self))
        return kept

    def initialize(self, seed: int = 0, *, like: Array | None = None) -> State:
        """Return an untrained state, with θ drawn with ``seed``.

        Parameters
        ----------
        seed : int, default=0
            In [0, 2⁶³). The same seed gives the same bits. It is also the key of the dropout masks.
        like : array, optional
            An array of the library to use for θ; NumPy by default.
        """
        key = check_seed("seed", seed)
        if not (like is None or is_array(like)):
            raise SpecError(f"like must be an array of a library, or None; got {shown(like)}.")
        theta = draw_parameters(self, self.tape.parameters, key)
        if like is not None:
            theta = like.__array_namespace__().asarray(theta)
        return State(theta, seed=key)

    def parameters(self, state: State) -> dict[str, Array]:
        """Return the named arrays W1 (d_0, d_1), b1 (d_1,), …: views into ``state.theta``."""
        check_theta(state, self.tape)
        return {p.name: view for p, view in self.tape.views(state.theta)}

    def predict(self, state: State, X: Array) -> Array:
        """Return the outputs (n, k) of the last layer: probabilities, rates or values.

        With members it is the mean of their outputs.
        """
        check_theta(state, self.tape)
        return _outputs(self, state, Block(check_inputs(self, X)))

    def predictor(self, state: State, *, n_threads: int | None = None) -> Predictor:
        """Return a fast predictor of this state: ``predictor(X)`` gives the outputs.

        Parameters
        ----------
        state : State
            Parameters and statistics. The predictor holds a copy, with batch norm folded into it.
        n_threads : int or None, default=None
            The largest number of threads; used if there are many rows.

        Examples
        --------
        >>> from deltarule import Dense, Network
        >>> net = Network(2, [Dense(3, "tanh"), Dense(1)])
        >>> net.predictor(net.initialize(seed=0))([[0.5, -1.0]]).shape
        (1, 1)
        """
        check_theta(state, self.tape)
        return Predictor(self, state, n_threads=n_threads)

    def loss_of(self, state: State, X: Array, y: Any, sample_weight: Any = None) -> float:
        """Return the weighted mean loss on the rows, without penalties and label smoothing.

        With members it is the mean of their losses, not the loss of their mean, which is smaller.
        """
        block, _ = make_block(self, X, y, sample_weight, smoothed=False)
        return mean_loss(self, state, block)

    def losses(self, state: State, X: Array, y: Any) -> Array:
        """Return the loss of every row (n,), without penalties and label smoothing."""
        check_theta(state, self.tape)
        block, _ = make_block(self, X, y, smoothed=False)
        interpreter = _interpreter(self, state)
        return state.read(lambda state: interpreter.losses(state, block))

    def gradients(
        self,
        state: State,
        X: Array,
        y: Any,
        sample_weight: Any = None,
        *,
        penalties: bool = False,
        engine: str = "auto",
        n_threads: int | None = None,
    ) -> dict[str, Array]:
        """Return ∂C/∂W1, ∂C/∂b1, … of the mean loss C by name, as a training step computes them.

        Parameters
        ----------
        state : State
            Parameters; its seed and step decide the masks of dropout. It is not changed.
        X : (n, d) array or CSR matrix
            The rows of one batch, whose moments batch norm normalises with.
        y : (n,) or (n, k) array
            Targets, smoothed as in training if the loss has label smoothing.
        sample_weight : (n,) array, optional
            C is the weighted mean; by default all weights are 1.
        penalties : bool, default=False
            Whether C includes the penalties, as in the gradient check.
        engine : {"auto", "compiled", "reference"}, default="auto"
            The interpreter; "auto" is "compiled" for NumPy arrays, else "reference".
        n_threads : int or None, default=None
            The largest number of threads of the compiled engine.

        Returns
        -------
        gradients : dict of str to array
            In the order of θ, each with the shape of its parameter: ``{"W1": (d, d_1), ...}``.

        Raises
        ------
        DataError, ShapeError
            If X, y or sample_weight do not fit the network or each other.

        Examples
        --------
        >>> from deltarule import Dense, Network
        >>> net = Network(1, [Dense(1)])
        >>> state = net.initialize(seed=0)
        >>> state.theta[:] = [2.0, 1.0]                          # W1 = 2, b1 = 1
        >>> gradients = net.gradients(state, [[3.0]], [5.0])     # C = ½(2·3 + 1 − 5)²
        >>> gradients["W1"].item(), gradients["b1"].item()
        (6.0, 2.0)
        """
        check_flag("penalties", penalties)
        check_theta(state, self.tape)
        block, _ = make_block(self, X, y, sample_weight, smoothed=True)
        interpreter = interpreter_of(
            self.tape, engine=engine, n_threads=n_threads, like=state.theta
        )

        def compute(state: State) -> Array:
            sums = interpreter.gradient(state, block)
            return interpreter.cost(state, sums)[2] if penalties else sums.gradient / sums.weight

        gradient = state.read(compute)
        return {p.name: view for p, view in self.tape.views(gradient)}

    def trace(
        self,
        state: State,
        X: Array,
        y: Any = None,
        sample_weight: Any = None,
        *,
        training: bool = False,
    ) -> Trace:
        """Return every Z, A, δ and gradient of one pass by name (items B1-B4).

        It is computed by the reference mathematics, whose gradients ``check_gradients`` compares
        with difference quotients, and ``gradients`` computes with either engine.

        Parameters
        ----------
        state : State
            Parameters, statistics of batch norm; seed and step decide the masks of dropout.
        X : (n, d) array or CSR matrix
            Rows.
        y : (n,) or (n, k) array, optional
            Targets; without them there is no loss and no way back.
        sample_weight : (n,) array, optional
            The loss is the weighted mean; by default all weights are 1.
        training : bool, default=False
            Whether this is a pass of training, with the moments of these rows in batch norm and
            with dropout, as ``gradients`` is, or the pass that predicts.

        Returns
        -------
        trace : Trace
            A mapping from names such as "Z1", "A1", "delta1", "dW1", "loss" to arrays.

        Raises
        ------
        DataError, ShapeError
            If X, y or sample_weight do not fit the network or each other.

        Examples
        --------
        >>> from deltarule import Dense, Network
        >>> net = Network(2, [Dense(1, "sigmoid")], loss="binary_cross_entropy")
        >>> state = net.initialize(seed=0)
        >>> state.theta[:] = 0.0
        >>> trace = net.trace(state, [[1.0, 2.0]], [1])
        >>> list(trace)
        ['A0', 'Z1', 'A1', 'losses', 'loss', 'penalty', 'delta1', 'dW1', 'db1']
        >>> trace["delta1"]                               # a − y
        array([[-0.5]])
        >>> trace["dW1"].tolist()
        [[-0.5], [-1.0]]
        """
        from deltarule.network.trace import trace_pass

        check_theta(state, self.tape)
        if y is None:
            if sample_weight is not None:
                raise SpecError("sample_weight weighs the loss, which needs y; give y as well.")
            block = Block(check_inputs(self, X))
        else:
            block, _ = make_block(self, X, y, sample_weight, smoothed=True)
        check_flag("training", training)
        return state.read(lambda state: trace_pass(self.tape, state, block, training=training))

    def log_likelihood(self, state: State, X: Array, y: Any, sample_weight: Any = None) -> float:
        """Return the log-likelihood of the rows under the network (item L5).

        Bernoulli for binary cross-entropy, categorical for categorical cross-entropy, Poisson for
        Poisson, and Gaussian with σ̂² = RSS/n for squared error (Khabar §4-5; Ayrapetyan §2).
        Label smoothing is part of the training objective, not of the likelihood. With members it is
        the likelihood of the predictions, the members' mean.

        Raises
        ------
        SpecError
            If the loss is not a log-likelihood.
        """
        check_theta(state, self.tape)
        block, targets = make_block(self, X, y, sample_weight, smoothed=False)
        state = state.copy(optimizer=False)  # outputs and losses of the same state
        outputs = to_numpy(_outputs(self, state, block))
        return log_likelihood(self, mean_loss(self, state, block), outputs, targets, block)

    def score(self, state: State, X: Array, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy for classes and labels (all labels of a row correct), or R²."""
        check_theta(state, self.tape)
        block, targets = make_block(self, X, y, sample_weight, smoothed=False)
        outputs = _outputs(self, state, block)
        return score_outputs(outputs, targets, block.weight)

    def graph(
        self, state: State | None = None, X: Array | None = None, y: Any = None
    ) -> NetworkGraph:
        """Return a drawing of the network, with weights, values and deltas if they are given.

        Parameters
        ----------
        state : State, optional
            Parameters: arrows are blue for positive weights, orange for negative ones, and as
            wide as their size.
        X : (n, d) array, optional
            Rows, of which the first gives the value of every unit.
        y : (n,) or (n, k) array, optional
            Targets, which give the δ of every unit.

        Returns
        -------
        graph : NetworkGraph
            A notebook shows it; ``svg()`` returns it as text. Of more than 8 units in a layer the
            first 6 and the last are drawn.

        Examples
        --------
        >>> from deltarule import Dense, Network
        >>> net = Network(2, [Dense(3, "tanh"), Dense(1)])
        >>> net.graph(net.initialize(0), [[1.0, 2.0]], [0.5])
        <Network 2-3-1; svg() returns the drawing>
        """
        from deltarule.network.network_graph import draw_network

        if state is None and (X is not None or y is not None):
            raise SpecError("X and y need state, the parameters of the network; give all three.")
        if X is None and y is not None:
            raise SpecError("y needs X, the rows that it belongs to; give both.")
        trace = None if state is None or X is None else self.trace(state, X, y)
        if state is not None:
            check_theta(state, self.tape)
        theta = None if state is None else to_numpy(state.copy(optimizer=False).theta)
        return draw_network(self, self.tape, theta, trace)

    def _repr_html_(self) -> str:
        """Return the drawing and the summary, for a notebook."""
        return f"{self.graph().svg()}\n<pre>{escape(self.summary())}</pre>"

    def summary(self) -> str:
        """Return a table of the layers with their shapes and parameter counts."""
        rows = [("layer", "kind", "activation", "shape", "parameters")]
        width, dense, scales, k = self.n_inputs, 0, 0, self.members
        sizes = {p.name: p.stop - p.start for p in self.tape.parameters}
        periodics = embeddings = 0
        for number, layer in enumerate(self.layers, start=1):
            if isinstance(layer, Dropout):
                rows.append((str(number), f"dropout, keep {layer.keep:g}", "", f"{width}", "0"))
                continue
            if isinstance(layer, Scale):
                scales += 1
                count = sizes[f"scale{scales}"]
                rows.append((str(number), "scale", "", f"{width}", f"{count:,}"))
                continue
            if isinstance(layer, Periodic | Embedding):
                if isinstance(layer, Periodic):
                    periodics += 1
                    count = sum(sizes[f"{name}{periodics}"] for name in _OF_PERIODIC)
                    kind = f"periodic, {layer.frequencies} waves"
                else:
                    embeddings += 1
                    count, kind = sizes[f"embedding{embeddings}"], "embedding"
                shape = f"{width} → {layer.width(width)}"
                rows.append((str(number), kind, "", shape, f"{count:,}"))
                width = layer.width(width)
                continue
            dense += 1
            kind = "dense" if layer.batch_norm is None else "dense, batch norm"
            if k > 1:
                kind += f", {k} heads" if number == len(self.layers) else f", {k} members"
            count = sum(p.stop - p.start for p in self.tape.parameters if p.layer == dense)
            shape = f"{width} → {layer.units}"
            name = f"{layer.activation_name}, α" if layer.is_parametric else layer.activation_name
            rows.append((str(number), kind, name, shape, f"{count:,}"))
            width = layer.units
        rows.append(("total", "", "", "", f"{self.tape.n_parameters:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join([*(f"{c:<{w}}" for c, w in zip(row[:4], widths[:4], strict=True)),
                       f"{row[4]:>{widths[4]}}"])
            for row in rows
        )  # fmt: skip


def _interpreter(net: Network, state: State) -> Interpreter:
    """Return an interpreter of the network for arrays of θ's library."""
    return interpreter_of(net.tape, like=state.theta)


def _outputs(net: Network, state: State, block: Block) -> Array:
    """Return the outputs of a block."""
    interpreter = _interpreter(net, state)
    outputs: Array = state.read(lambda state: interpreter.forward(state, block))
    return outputs


def mean_loss(
    net: Network, state: State, block: Block, interpreter: Interpreter | None = None
) -> float:
    """Return the weighted mean loss of a block, measured by a new interpreter by default."""
    check_theta(state, net.tape)
    runs = _interpreter(net, state) if interpreter is None else interpreter
    losses = to_numpy(state.read(lambda state: runs.losses(state, block)))
    weight = None if block.weight is None else to_numpy(block.weight)
    return mean_of_rows(losses, weight)


def score_outputs(outputs: Array, targets: Targets, weight: Array | None) -> float:
    """Return the accuracy (classes, labels) or R² (numbers); NaN if an output is not finite."""
    given, values = to_numpy(outputs), np.asarray(targets.values)
    w = None if weight is None else to_numpy(weight)
    if not all_finite(given):
        return float("nan")
    if targets.kind == "numbers":
        return r_squared(values, given, w)
    if targets.kind == "classes":
        return accuracy(np.argmax(values, axis=1), np.argmax(given, axis=1), w)
    return accuracy(values > 0.5, given > 0.5, w)
