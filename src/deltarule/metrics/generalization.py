"""The generalisation error: the expected loss of a fitted model on an unseen row (item E8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltarule.metrics._inputs import number_column
from deltarule.utils.checks import check_between

__all__ = ["GeneralizationError", "estimate_generalization_error"]


@dataclass(frozen=True)
class GeneralizationError:
    """The result of :func:`estimate_generalization_error`; ``print`` shows it.

    Attributes
    ----------
    mean : float
        The mean loss on the unseen rows: the estimate of E[L(f(X), Y)].
    standard_error : float
        The standard error of the mean, s/√n.
    n : int
        The number of unseen rows.
    training_loss : float or None
        The mean loss on the training rows.
    """

    mean: float
    standard_error: float
    n: int
    training_loss: float | None = None

    @property
    def gap(self) -> float | None:
        """The generalisation error minus the training loss; None without a training loss."""
        return None if self.training_loss is None else self.mean - self.training_loss

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the generalisation error (Student's t)."""
        from scipy.stats import t

        chance = check_between("level", level, 0.0, 1.0, open_low=True, open_high=True)
        reach = float(t.ppf((1 + chance) / 2, self.n - 1)) * self.standard_error
        return self.mean - reach, self.mean + reach

    def __str__(self) -> str:
        text = (
            f"generalisation error {self.mean:.6g} ± {self.standard_error:.2g} "
            f"on {self.n} unseen rows"
        )
        if self.gap is not None:
            text += f"; training loss {self.training_loss:.6g}, gap {self.gap:+.6g}"
        return text


def estimate_generalization_error(
    losses: npt.ArrayLike,
    training_losses: npt.ArrayLike | None = None,
) -> GeneralizationError:
    """Return the mean loss on unseen rows and its standard error (item E8; Mebsout §6).

    R(f) = E[L(f(X), Y)], estimated by the mean of n independent losses; its standard error is
    s/√n, where s² has n − 1 in the denominator. The estimate is valid only if the rows were used
    neither to train f nor to select it: use the test set, once.

    Parameters
    ----------
    losses : (n,) array-like
        The losses of the unseen rows, n ≥ 2; :func:`row_losses` returns them for an estimator.
    training_losses : (m,) array-like, optional
        The losses of the training rows, for the gap.

    Raises
    ------
    ShapeError, DataError
        If an argument is not a column of finite numbers, or has fewer than two unseen rows.

    Examples
    --------
    >>> print(estimate_generalization_error([1.0, 3.0, 2.0, 2.0], [1.0, 1.0]))
    generalisation error 2 ± 0.41 on 4 unseen rows; training loss 1, gap +1
    """
    unseen = number_column("losses", losses, at_least=2)
    seen = None if training_losses is None else number_column("training_losses", training_losses)
    return GeneralizationError(
        mean=float(unseen.mean()),
        standard_error=float(unseen.std(ddof=1) / np.sqrt(len(unseen))),
        n=len(unseen),
        training_loss=None if seen is None else float(seen.mean()),
    )
