"""Moving averages of a series, as momentum and Adam use them (item O8; Matt R §7.1).

Time runs along the first axis; other axes are averaged independently. The averages of float32 and
float64 arrays have their type; those of other numbers, such as integers and lists, are float64.
"""

from __future__ import annotations

from math import expm1, log

from deltarule.errors import ShapeError
from deltarule.utils.arrays import Array, array_namespace, floating
from deltarule.utils.checks import check_between, check_positive_integer

__all__ = ["bias_corrected", "effective_window", "exponential_average", "moving_average"]


def moving_average(x: Array, window: int) -> Array:
    """Return the simple moving average: the mean of every k consecutive values.

    Parameters
    ----------
    x : (n, …) array-like
        The series.
    window : int
        k in 1 … n.

    Returns
    -------
    averages : (n − k + 1, …) array
        Entry t is (x_t + … + x_{t+k−1})/k.

    Raises
    ------
    ShapeError
        If the series is shorter than the window.

    Examples
    --------
    >>> import numpy as np
    >>> moving_average(np.array([1.0, 2.0, 6.0, 4.0]), 2).tolist()
    [1.5, 4.0, 5.0]
    """
    k = check_positive_integer("window", window)
    x = floating(x)
    n = _length("x", x)
    if k > n:
        raise ShapeError(
            f"x must hold at least window = {k} values along its first axis; got {n}. "
            "Choose a smaller window."
        )
    total = x[: n - k + 1, ...]
    for j in range(1, k):
        total = total + x[j : n - k + 1 + j, ...]
    return total / k


def exponential_average(x: Array, beta: float) -> Array:
    """Return the exponential moving average V_t = β V_{t−1} + (1 − β) x_t, with V_0 = 0.

    V_t = (1 − β) Σ_{j<t} βʲ x_{t−j} (erratum E-ah): its weights sum to 1 − βᵗ instead of 1;
    ``bias_corrected`` divides by that sum.

    Parameters
    ----------
    x : (n, …) array-like
        The series.
    beta : float
        β in [0, 1).

    Returns
    -------
    averages : (n, …) array
        V_1 … V_n.

    Examples
    --------
    >>> exponential_average([4, 4, 4], 0.5).tolist()
    [2.0, 3.0, 3.5]
    """
    beta = check_between("beta", beta, 0.0, 1.0, open_high=True)
    x = floating(x)
    _length("x", x)
    xp = array_namespace(x)
    averages = xp.empty_like(x)
    v = xp.zeros_like(x[0, ...])
    for t in range(x.shape[0]):
        v = beta * v + (1 - beta) * x[t, ...]
        averages[t, ...] = v
    return averages


def bias_corrected(averages: Array, beta: float) -> Array:
    """Return a bias-corrected copy V_t/(1 − βᵗ) = Σ_{j<t} βʲ x_{t−j} / Σ_{j<t} βʲ.

    The recursion must continue with the uncorrected averages (erratum E-m).

    Parameters
    ----------
    averages : (n, …) array-like
        V_1 … V_n, from ``exponential_average``.
    beta : float
        The β of these averages, in [0, 1).

    Returns
    -------
    corrected : (n, …) array

    Examples
    --------
    >>> import numpy as np
    >>> bias_corrected(np.array([2.0, 3.0, 3.5]), 0.5).tolist()
    [4.0, 4.0, 4.0]
    """
    beta = check_between("beta", beta, 0.0, 1.0, open_high=True)
    averages = floating(averages, "averages")
    n = _length("averages", averages)
    xp = array_namespace(averages)
    corrected = xp.empty_like(averages)
    for t in range(1, n + 1):
        weight = -expm1(t * log(beta)) if beta > 0 else 1.0  # 1 − βᵗ, without cancellation
        corrected[t - 1, ...] = averages[t - 1, ...] / weight
    return corrected


def effective_window(beta: float) -> float:
    """Return 1/(1 − β), the effective number of values in an exponential moving average.

    Parameters
    ----------
    beta : float
        β in [0, 1).

    Examples
    --------
    >>> [round(effective_window(beta)) for beta in (0.9, 0.999, 0.9995)]
    [10, 1000, 2000]
    """
    return 1.0 / (1.0 - check_between("beta", beta, 0.0, 1.0, open_high=True))


def _length(name: str, x: Array) -> int:
    if x.ndim == 0 or x.shape[0] == 0:
        got = "a number" if x.ndim == 0 else f"shape {tuple(x.shape)}"
        raise ShapeError(
            f"{name} must be an array with the time along its first axis, at least one value; got "
            f"{got}."
        )
    return int(x.shape[0])
