"""The data that a fit leaves: network, state, encoder of the targets, scales, history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltarule.estimators.fit_data import as_stored
from deltarule.estimators.layer_options import HiddenLayers
from deltarule.estimators.standardization import Scales
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network import Network
from deltarule.network.targets import Targets, smooth
from deltarule.program import Block, Interpreter, State
from deltarule.schedules import Position
from deltarule.training.curve import Curve, Records
from deltarule.utils.arrays import aligned

if TYPE_CHECKING:
    pass

__all__ = ["FitHistory", "FittedModel", "PartialFitState"]


@dataclass
class FitHistory:
    """Losses and scores, epoch by epoch: the estimator's attributes of the same names with "_".

    The attributes show the curves as lists.

    ``loss`` is None before the first epoch. The validation curves are None without early
    stopping, ``best_loss`` is None with it.
    """

    n_iter: int = 0
    t: int = 0
    loss: float | None = None
    loss_curve: Curve = field(default_factory=Curve)
    best_loss: float | None = np.inf
    validation_scores: Curve | None = None
    validation_loss_curve: Curve | None = None
    best_validation_score: float | None = None
    health: Records = field(default_factory=Records)

    @classmethod
    def begin(cls, *, early_stopping: bool) -> FitHistory:
        """Return the history of a fit before its first epoch."""
        if not early_stopping:
            return cls()
        return cls(
            best_loss=None,
            validation_scores=Curve(),
            validation_loss_curve=Curve(),
            best_validation_score=-np.inf,
        )

    def copy(self) -> FitHistory:
        """Return a copy that further epochs do not change."""
        columns = ((k, v) for k, v in vars(self).items() if isinstance(v, Curve | Records))
        curves: dict[str, Any] = {name: column.copy() for name, column in columns}
        return replace(self, **curves)

    def with_validation(self) -> FitHistory:
        """Return a history with curves of early stopping, which continues this one's."""
        if self.validation_scores is not None and self.validation_loss_curve is not None:
            return self
        return replace(
            self,
            validation_scores=self.validation_scores or Curve(),
            validation_loss_curve=self.validation_loss_curve or Curve(),
        )


class PartialFitState(NamedTuple):
    """What the next call of ``partial_fit``, or of ``fit`` with ``warm_start``, continues from."""

    position: Position = Position()
    maximizes: bool = False  # whether the best metric in the position is a score
    factor: float = 1.0  # of every learning rate; below 1 after a recovery
    best: tuple[float, State] | None = None  # lowest cost of a call, for a recovery
    solver: type[Any] | None = None  # the optimiser's class, whose memory the state holds


@dataclass(eq=False)
class FittedModel:
    """A trained network, and all that is needed to use it and to train it further.

    Attributes
    ----------
    network : Network
    state : State
        Parameters, statistics of batch norm, the optimiser's memory.
    hidden : HiddenLayers
        The hidden layers as they were asked for.
    targets : TargetEncoder
        What outputs mean.
    scales : Scales or None
        Means and deviations of ``standardize=True``.
    feature_names : list of str or None
        Names of the columns of X, if it had any.
    history : FitHistory
    progress : PartialFitState
    """

    network: Network
    state: State
    hidden: HiddenLayers
    targets: TargetEncoder
    scales: Scales | None = None
    feature_names: list[str] | None = None
    history: FitHistory = field(default_factory=FitHistory)
    progress: PartialFitState = field(default_factory=PartialFitState)

    @property
    def dtype(self) -> Any:
        """Type of every number."""
        return self.state.theta.dtype

    @property
    def n_outputs(self) -> int:
        """How many outputs the network has."""
        return self.network.dense_layers[-1].units

    @property
    def widths(self) -> list[int]:
        """Units of every layer, inputs and outputs included."""
        return [self.network.n_inputs, *(layer.units for layer in self.network.dense_layers)]

    def features(self) -> dict[str, Any]:
        """Return the attributes that scikit-learn sets when it validates X."""
        if self.feature_names is None:
            return {"n_features_in_": self.network.n_inputs}
        names = np.array(self.feature_names, dtype=object)
        return {"n_features_in_": self.network.n_inputs, "feature_names_in_": names}

    @property
    def loss_scale(self) -> float:
        """Factor from the network's loss to the loss that scikit-learn reports."""
        return self.targets.loss_scale(self.n_outputs)

    def own_arrays(self) -> None:
        """Copy arrays that cannot be written, such as those of ``joblib.load(mmap_mode="r")``."""
        state = self.state
        held = state.optimizer_state
        arrays = [state.theta, *state.buffers.values(), *_arrays_in(held)]
        if all(array.flags.writeable for array in arrays):
            return
        state.theta = aligned(state.theta)
        state.buffers = {name: np.array(array) for name, array in state.buffers.items()}
        state.optimizer_state = _own(held)

    def copy(self, *, optimizer: bool = True) -> FittedModel:
        """Return a copy of this moment: finite, whole, and not changed by further training.

        With ``optimizer=False`` it is a copy without the optimiser's memory.
        """
        with self.state.unchanged():
            state = self.state.finite_copy(optimizer=optimizer)
            return replace(self, state=state, history=self.history.copy())

    # --- rows ----------------------------------------------------------------------------------

    def takes_as_it_is(self, X: Any) -> bool:
        """Whether X is a plain array, which scikit-learn's validation would not change.

        That validation takes several times as long as the network needs for a row. It is left
        out only where it has nothing to say about names, types and shapes; ``forward`` looks for
        missing values.
        """
        return (
            type(X) is np.ndarray
            and X.dtype.char in "fd"
            and X.shape[1:] == (self.network.n_inputs,)
            and len(X) > 0
            and self.feature_names is None
        )

    def inputs(self, X: Any, dtype: Any = None) -> Any:
        """Return checked rows as the network takes them: of its type, standardised."""
        wanted = self.state.theta.dtype if dtype is None else dtype
        x = X if type(X) is np.ndarray and X.dtype is wanted else as_stored(X, wanted)
        return x if self.scales is None else self.scales.inputs(x)

    def as_block(self, X: Any, targets: Any, weight: Any) -> Block:
        """Return checked rows and encoded targets as a block, in the user's units."""
        with np.errstate(over="ignore"):  # an infinite loss has a message of its own
            return Block(
                as_stored(X, self.dtype),
                as_stored(targets, self.dtype),
                None if weight is None else as_stored(weight, self.dtype),
            )

    def standardized(self, block: Block) -> Block:
        """Return a block in the units of the network, as predictions are measured."""
        return block if self.scales is None else self.scales.block(block)

    def prepare(self, block: Block) -> Block:
        """Return a block as the network is trained on: standardised, with smoothed labels."""
        block = self.standardized(block)
        kind: Any = "classes" if self.network.output.activation == "softmax" else "labels"
        return block._replace(y=smooth(self.network, Targets(block.y, kind)))

    def forward(
        self, interpreter: Interpreter, X: Any, *, logits: bool = False, if_finite: bool = False
    ) -> Any:
        """Return the network's outputs, or its logits, for checked rows of X.

        With ``if_finite`` return None if a number is NaN or infinite as the network takes it.
        """
        block = Block(self.inputs(X))
        return self.state.read(
            lambda state: interpreter.forward(state, block, logits=logits, if_finite=if_finite)
        )

    def predict(self, interpreter: Interpreter, X: Any) -> Any:
        """Return predictions for checked rows of X, in the user's units."""
        return self.decode(self.forward(interpreter, X))

    def predict_proba(self, interpreter: Interpreter, X: Any) -> Any:
        """Return the probability of every class or label for checked rows of X."""
        outputs = self.forward(interpreter, X, logits=self.is_binary)
        return self.probabilities(outputs) if self.is_binary else outputs

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes, whose probabilities come from one logit."""
        return getattr(self.targets, "target_type", None) == "binary"

    def probabilities(self, logits: Any) -> Any:
        """Return the probabilities of two classes (n, 2)."""
        targets: Any = self.targets
        return targets.probabilities(logits)

    def decode(self, outputs: Any) -> Any:
        """Return predictions from the network's outputs, in the user's units."""
        return self.targets.decode(outputs if self.scales is None else self.scales.outputs(outputs))


def _arrays_in(held: Any) -> list[Any]:
    """Return the arrays of an optimiser's state."""
    if isinstance(held, tuple):
        return [array for part in held for array in _arrays_in(part)]
    return [held] if isinstance(held, np.ndarray) else []


def _own(held: Any) -> Any:
    """Return an optimiser's state with copies of its arrays."""
    if isinstance(held, tuple):
        return type(held)(*map(_own, held))
    return np.array(held) if isinstance(held, np.ndarray) else held
