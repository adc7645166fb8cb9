"""L-BFGS over the whole training set: SciPy's minimiser on the cost that an interpreter sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.program import Block, Interpreter, State
from deltarule.training.history import History
from deltarule.utils.blas import one_blas_thread

__all__ = ["Minimum", "minimize_cost"]


class Minimum(NamedTuple):
    """Result of a minimiser."""

    history: History
    n_iterations: int
    converged: bool
    message: str  # of the minimiser


@one_blas_thread()
def minimize_cost(
    interpreter: Interpreter,
    state: State,
    block: Block,
    *,
    max_iterations: int = 200,
    max_evaluations: int = 15_000,
    memory: int = 10,
    tol: float = 1e-4,
    ftol: float = 2.2204460492503131e-09,
    loss_scale: float = 1.0,
    on_iteration: Callable[[History], bool] | None = None,
) -> Minimum:
    """Minimise the cost over the block by L-BFGS (Liu & Nocedal 1989; SciPy's L-BFGS-B).

    θ is updated in place. It ends at the minimiser's last point, as in scikit-learn; after Ctrl-C,
    or if that point is not finite, at the best finite point.

    Parameters
    ----------
    max_iterations, max_evaluations : int
        Limits on iterations, and on evaluations of the cost.
    memory : int, default=10
        The number of recent steps from which the inverse Hessian is estimated.
    tol : float, default=1e-4
        The largest entry of the gradient at which the cost counts as minimal.
    ftol : float, default=2.2e-9
        The relative fall of the cost in an iteration below which it ends too (SciPy's default).
    loss_scale : float, default=1.0
        Multiplies the loss in the history.
    on_iteration : callable, optional
        Called with the history after every iteration; returning True stops.
    """
    from scipy.optimize import OptimizeResult, minimize

    history = History()
    trial = state.copy()  # other threads may read the state, and see no trial point of a search
    best = (np.inf, np.array(state.theta, copy=True))
    penalties: dict[float, float] = {}
    stopped = evaluated = False

    def cost(theta: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        nonlocal best, evaluated
        trial.theta[...] = theta
        loss, penalty, gradient = interpreter.cost(trial, interpreter.gradient(trial, block))
        value = loss + penalty
        penalties[value] = penalty
        evaluated = True
        if np.isfinite(value) and np.isfinite(gradient).all() and value < best[0]:
            best = (value, np.array(trial.theta, copy=True))
        return value, np.asarray(gradient, dtype=np.float64)

    def record(intermediate_result: OptimizeResult) -> None:
        nonlocal stopped
        value = float(intermediate_result.fun)
        penalty = penalties.get(value, 0.0)
        penalties.clear()
        history.loss.append(loss_scale * (value - penalty))
        history.penalty.append(penalty)
        state.move_to(intermediate_result.x)
        if on_iteration is not None and on_iteration(history):
            stopped = True
            raise StopIteration

    begin = np.asarray(state.theta, dtype=np.float64).copy()
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            result = minimize(
                cost,
                begin,
                method="L-BFGS-B",
                jac=True,
                callback=record,
                options={
                    "maxiter": max_iterations,
                    "maxfun": max_evaluations,
                    "maxcor": memory,
                    "gtol": tol,
                    "ftol": ftol,
                },
            )
        except KeyboardInterrupt:
            result = None
    finite = result is not None and np.isfinite(result.fun) and np.isfinite(result.x).all()
    state.move_to(result.x if finite else best[1])
    iterations = history.n_epochs if result is None else int(result.nit)
    history.best_epoch = iterations or None
    if (evaluated and not np.isfinite(best[0])) or (
        result is not None and not np.isfinite(result.fun)
    ):
        history.stopped_by = "divergence"
    elif result is None:
        history.stopped_by = "interrupt"
    elif stopped:
        history.stopped_by = "callback"
    else:
        history.stopped_by = "no improvement" if result.status == 0 else "epochs"
    message = "interrupted" if result is None else str(result.message)
    return Minimum(history, iterations, result is not None and result.status == 0, message)
