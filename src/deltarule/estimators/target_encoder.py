"""What every kind of target is: encoded for a network, decoded from its outputs, scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deltarule.program import Block
from deltarule.spec import Loss

if TYPE_CHECKING:
    from deltarule.onnx.heads import Head

__all__ = ["TargetEncoder"]


class TargetEncoder(ABC):
    """Translates between a user's targets and a network's: held by the fitted model, immutable."""

    @property
    def can_standardize(self) -> bool:
        """Whether ``standardize=True`` scales the targets, too."""
        return False

    @abstractmethod
    def output(self) -> tuple[str, Loss]:
        """Return the output layer's activation and the loss that the targets need."""

    @abstractmethod
    def encode(self, y: Any, *, validated: bool = False, name: str = "y") -> Any:
        """Return targets (n, k) for the network.

        Parameters
        ----------
        y : array-like
            Targets as the user has them.
        validated : bool, default=False
            Whether scikit-learn's validation has already seen y.
        """

    @abstractmethod
    def decode(self, outputs: Any) -> Any:
        """Return predictions from outputs (n, k) in the unit of the targets."""

    @abstractmethod
    def score(self, targets: Any, outputs: Any, weight: Any) -> float:
        """Return the score of outputs against encoded targets, both (n, k)."""

    def scores(self, targets: Any, outputs: Any, weight: Any) -> list[float]:
        """Return the scores of several outputs (m, n, k) against the same targets."""
        return [self.score(targets, one, weight) for one in outputs]

    @abstractmethod
    def head(self) -> Head:
        """Return the end of an ONNX graph, which does what :meth:`decode` does."""

    @abstractmethod
    def callback_targets(self, y: Any, targets: Any, rows: Any) -> Any:
        """Return the targets that callbacks see.

        Parameters
        ----------
        y : array-like
            All targets, as the user gave them.
        targets : array of shape (m, k)
            Those of the training rows, encoded.
        rows : array of shape (m,) or None
            Numbers of the training rows in y; None means all.
        """

    def strata(self, targets: Any) -> Any:
        """Return the labels that a validation split is stratified by, or None."""
        return None

    def weigh(self, block: Block) -> Block:
        """Return the block with the weights of its rows' classes multiplied in."""
        return block

    def loss_scale(self, n_outputs: int) -> float:
        """Return the factor from the network's loss to the loss that scikit-learn reports."""
        return 1.0

    def in_prediction_order(self, jacobian: Any, outputs: Callable[[], Any]) -> Any:
        """Return a Jacobian (n, k, d) with its outputs in the order of :meth:`decode`."""
        return jacobian
