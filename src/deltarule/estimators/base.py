"""What the two estimators share: scikit-learn's conventions around a network and its training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from deltarule.analysis.health import Health
from deltarule.clipping import Clipping
from deltarule.errors import SpecError
from deltarule.estimators.compatibility import check_arguments, check_rows
from deltarule.estimators.fit_checkpoint import begin_stream, checkpoints_of, compare_data
from deltarule.estimators.fit_data import Given, Rows, in_one_piece, is_frame, is_plain, rows_of
from deltarule.estimators.fitting import Course, fit_by_steps, fit_whole
from deltarule.estimators.initial_state import begin_state, draw_seed
from deltarule.estimators.inspection import Inspection
from deltarule.estimators.interpreter_cache import Kept
from deltarule.estimators.layer_options import Hidden, Restraint, build_network, read_hidden
from deltarule.estimators.onnx_export import Exporting
from deltarule.estimators.parameter_constraints import COMMON
from deltarule.estimators.sklearn_compat import CallbackSupportMixin, check_sample_weight
from deltarule.estimators.solver_options import minimizes, optimizer_of
from deltarule.estimators.standardization import Scales, learn_scales
from deltarule.estimators.validation_metric import check_monitor
from deltarule.estimators.validation_split import Validation, own_validation_set, split
from deltarule.network import Network
from deltarule.optimizers import Optimizer, Rprop
from deltarule.parts import Loss
from deltarule.program import Block, Interpreter
from deltarule.targets import Targets, smooth
from deltarule.training import Stopping, augmented_blocks

if TYPE_CHECKING:
    from deltarule.estimators.streamed_dataset import Pieces
    from deltarule.training.checkpoints.keeper import FolderKeeper

__all__ = ["BaseMLP"]


_NONE = Validation()


class BaseMLP(Inspection, Exporting, CallbackSupportMixin, BaseEstimator, ABC):
    """A network behind scikit-learn's interface; not to be used directly.

    The random numbers are drawn in scikit-learn's order, so that the same ``random_state`` gives
    the same initial parameters and the same mini-batches as scikit-learn's own estimators.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = COMMON
    # Groups are often meant for the splitter around the fit alone, as they must be with
    # scikit-learn's own: ``set_fit_request(groups=True)`` asks for them.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"groups": False}
    scales_: Scales | None

    # --- what a subclass says ------------------------------------------------------------------

    @abstractmethod
    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """Return validated (X, targets (n, k))."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Any:
        """Return validation targets (n, k), by what the fit has learned of them."""

    @abstractmethod
    def _output(self) -> tuple[str, Loss]:
        """Return the output layer's activation and the network's loss, in our names."""

    @abstractmethod
    def _decode(self, outputs: Any) -> Any:
        """Return predictions from the network's outputs (n, k)."""

    @abstractmethod
    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        """Return the score of outputs against targets, both (n, k)."""

    @abstractmethod
    def _strata(self, targets: Any) -> Any:
        """Return what a held-out part is stratified by, or None."""

    @abstractmethod
    def _shown_targets(self, y: Any, targets: Any, kept: Any) -> Any:
        """Return what callbacks are to see of the user's y, or of its rows kept as targets."""

    def _standardizes_targets(self) -> bool:
        """Whether ``standardize`` means the targets, too."""
        return False

    def _weigh_classes(self, block: Block) -> Block:
        """Return the block with its rows weighted by their classes, if that is asked for."""
        return block

    def _types(self) -> Any:
        """Return the types that X may have; the first one is what others become."""
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def _loss_scale(self) -> float:
        """Return what the network's loss is multiplied by to be scikit-learn's number."""
        return 1.0

    # --- fitting -------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: Validation = _NONE,
        *,
        incremental: bool = False,
        pieces: Pieces | None = None,
    ) -> None:
        """Train on X and y; or on ``pieces``, of which X and y are a few rows."""
        kept = self.__dict__.setdefault("_kept", Kept())
        kept.check(self)
        hidden = read_hidden(
            self.activation,
            self.hidden_layer_sizes,
            self.dropout,
            self.batch_norm,
            self.input_dropout,
        )
        check_arguments(self, hidden, incremental)
        with nullcontext() if self.checkpoint is None else checkpoints_of(self, pieces) as keeper:
            with _unchanged_on_error(self):
                rows = self._prepare(
                    X, y, sample_weight, validation, hidden, incremental=incremental, keeper=keeper
                )
            if pieces is not None:
                rows = rows._replace(block=pieces.stream(self, rows.block))
            if minimizes(self.solver):
                fit_whole(self, rows)
            else:
                fit_by_steps(self, rows, incremental, keeper)

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: Validation,
        hidden: Hidden,
        *,
        incremental: bool = False,
        keeper: FolderKeeper | None = None,
    ) -> Rows:
        """Check everything, begin the network if it is new, and hold the validation set out."""
        first = not hasattr(self, "_state") or not (self.warm_start or incremental)
        given_X = X
        X, targets = self._check_targets(X, y, incremental=incremental, reset=first)
        weight = check_sample_weight(sample_weight, X)
        self._random_state = self._kept.stream(self.random_state)
        if keeper is not None:
            begin_stream(self, keeper)
        if first:
            self._begin(hidden, X.shape[1], targets.shape[1], X.dtype)
        else:
            self._go_on(hidden, X.shape[1], targets.shape[1])
        dtype = self._state.theta.dtype
        with np.errstate(over="ignore"):  # the loss will be infinite, and the message says why
            block = Block(
                in_one_piece(X, dtype),
                in_one_piece(targets, dtype),
                None if weight is None else in_one_piece(weight, dtype),
            )
        given = Given(given_X if is_frame(given_X) else X, y, block.weight)
        rows = self._hold_out(block, given, validation, hidden, first)
        if keeper is not None:
            compare_data(self, keeper, block, validation, rows)
        return rows

    def _hold_out(
        self, block: Block, given: Given, validation: Validation, hidden: Hidden, first: bool
    ) -> Rows:
        """Return the rows to train on and those to watch, as the network takes them."""
        by_steps = not minimizes(self.solver)
        held_out = own_validation_set(self, validation)
        kept: Any = None
        if by_steps and self.early_stopping and held_out is None:
            kept, block, held_out = split(self, block, given, validation.groups)
        shown = Block(
            rows_of(given.X, kept) if is_frame(given.X) else block.x,
            self._shown_targets(given.y, block.y, kept),
            block.weight,
        )
        if first and self.standardize:
            self.scales_ = learn_scales(block, targets=self._standardizes_targets())
        ready = self._weigh_classes(self._to_network(block))
        check_rows(self, hidden, ready)
        if held_out is not None:
            check_monitor(self, held_out.given)
            held_out = held_out._replace(block=self._to_network(held_out.block))
        fresh = None
        if self.augment is not None:
            then = None if self.scales_ is None else self.scales_.inputs
            fresh = augmented_blocks(ready._replace(x=block.x), self.augment, then)
        return Rows(ready, shown, held_out, fresh)

    def _to_network(self, block: Block) -> Block:
        """Return a block as the network takes it: standardised, its labels smoothed."""
        if self.scales_ is not None:
            block = self.scales_.block(block)
        kind: Any = "classes" if self.out_activation_ == "softmax" else "labels"
        return block._replace(y=smooth(self._network, Targets(block.y, kind)))

    def _begin(self, hidden: Hidden, n_features: int, n_outputs: int, dtype: Any) -> None:
        """Forget everything, and draw a new network."""
        self._hidden = hidden
        self.n_outputs_ = n_outputs
        self.n_layers_ = len(hidden.sizes) + 2
        self._network = self._build(hidden, n_features, str(np.dtype(dtype)))
        self._state = begin_state(self._network, hidden, self.weight_init, self._random_state)
        self._course, self.scales_ = Course(), None
        self._watch: Stopping | None = None
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_: list[float] = []
        stops = bool(self.early_stopping)
        self.validation_scores_: list[float] | None = [] if stops else None
        self.validation_loss_curve_: list[float] | None = [] if stops else None
        self.best_loss_: float | None = None if stops else np.inf
        self.best_validation_score_: float | None = -np.inf if stops else None
        self.health_: list[Health] = []

    def _build(
        self,
        hidden: Hidden,
        n_features: int,
        dtype: str,
        output: tuple[str, Loss] | None = None,
    ) -> Network:
        output = self._output() if output is None else output
        self.out_activation_ = {"sigmoid": "logistic"}.get(output[0], output[0])
        proximal = minimizes(self.solver) or not isinstance(optimizer_of(self), Rprop)
        limit = None if self.max_norm is None else float(self.max_norm)
        return build_network(
            hidden,
            output,
            Restraint(float(self.alpha), float(self.l1), proximal, limit),
            n_inputs=n_features,
            n_outputs=self.n_outputs_,
            dtype=dtype,
        )

    def _go_on(self, hidden: Hidden, n_features: int, n_outputs: int) -> None:
        """Refuse to go on with other parameters; take up a changed ``alpha`` or ``dropout``."""
        self._check_unchanged(hidden, n_outputs)
        if hidden.drops and not self._hidden.drops:
            self._state.seed = draw_seed(self._random_state)
        self._hidden = hidden
        for name in ("validation_scores_", "validation_loss_curve_"):
            if self.early_stopping and getattr(self, name) is None:
                setattr(self, name, [])
        wanted = self._build(hidden, n_features, self._network.dtype)
        if wanted != self._network:  # else its tape is lowered already, and interpreters are kept
            self._network = wanted

    def _check_unchanged(self, hidden: Hidden, n_outputs: int) -> None:
        remedy = "Set it back, set warm_start=False, or fit a new estimator."
        widths = [layer.units for layer in self._network.dense_layers]
        if widths != [*hidden.sizes, n_outputs]:
            raise ValueError(
                f"the fitted network has layers of {widths} units, but hidden_layer_sizes and y "
                f"now ask for {[*hidden.sizes, n_outputs]}. Set warm_start=False, or fit a new "
                "estimator."
            )
        if hidden.normalizes != self._hidden.normalizes:
            raise SpecError(
                f"the fitted network has batch_norm={not hidden.batch_norm}, but batch_norm is now "
                f"{hidden.batch_norm}. {remedy}"
            )
        if bool(self.standardize) != (self.scales_ is not None):
            raise SpecError(
                f"the fitted network has standardize={not self.standardize}, but standardize is "
                f"now {self.standardize}. {remedy}"
            )
        if self.dtype not in ("auto", self._network.dtype):
            raise SpecError(
                f"the fitted network has dtype={self._network.dtype!r}, but dtype is now "
                f"{self.dtype!r}. {remedy}"
            )

    # --- after fitting -------------------------------------------------------------------------

    def _interpreter(
        self, optimizer: Optimizer | None = None, clipping: Clipping | None = None
    ) -> Interpreter:
        """Return an interpreter of the network, kept from the last call if it still fits."""
        return self._kept.interpreter(
            self._network.tape, optimizer, clipping, engine=self.engine, n_threads=self.n_threads
        )

    def _forward(self, X: Any, *, logits: bool = False) -> Any:
        if not is_plain(self, X):
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        x = in_one_piece(X, self._state.theta.dtype)
        if self.scales_ is not None:
            x = self.scales_.inputs(x)
        return self._interpreter().forward(self._state, Block(x), logits=logits)

    def predict(self, X: Any) -> Any:
        """Predict for the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, label indicators or numbers.
        """
        return self._decode(self._forward(X))

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the fitted estimator in one file that holds no code; see ``deltarule.save``.

        Parameters
        ----------
        path : str or path-like
            The file to write; ``.safetensors`` is the usual ending.
        overwrite : bool, default=False
            Whether an existing file may be replaced.

        Returns
        -------
        pathlib.Path
            The path written.

        Raises
        ------
        ModelFileError
            If the estimator is not fitted, or an argument of it is code.
        OutputError
            If the file cannot be written, or exists and ``overwrite`` is false.

        See Also
        --------
        deltarule.load : Read the file back.
        """
        from deltarule.estimators.serialization import to_record
        from deltarule.files import Contents, write_contents

        contents = Contents("estimator", *to_record(self))
        return write_contents(contents, path, overwrite=overwrite)

    def _check_solver(self) -> bool:
        if minimizes(self.solver):
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not "
                "stochastic."
            )
        return True

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` or ``partial_fit`` has run."""
        return hasattr(self, "_state")

    def __sklearn_tags__(self) -> Any:
        """Say that sparse input is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@contextmanager
def _unchanged_on_error(estimator: BaseMLP) -> Iterator[None]:
    """Put every attribute back if the arguments turn out to be bad: an earlier fit stays."""
    before = dict(vars(estimator))
    try:
        yield
    except Exception:
        estimator.__dict__ = before
        raise
